//! How a session ends: DISCONNECT, the server's own shutdown, and ERROR.
//!
//! *Spec.* STOMP 1.2 §DISCONNECT, §ERROR, §Connection Lingering: what was asked for before is
//! answered before the close, and the ERROR is the last frame.

use crate::session::{Actions, Close, CloseCause, CloseCode};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::output::ErrorFrame;
use crate::text::Text;
use crate::violation::{Report, Violation};

use super::{Phase, StompSession};

/// Why a session is leaving.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goodbye {
    /// The client sent DISCONNECT.
    Disconnect,
    /// The server is shutting down.
    Drain,
}

/// The end of a session that is not the client's wish.
pub(super) struct Failure<'a> {
    pub(super) report: Report,
    /// The body of the ERROR.
    pub(super) sentence: &'a str,
    /// The receipt that the offending frame asked for.
    pub(super) receipt: Option<&'a str>,
    /// The subscription that has ended.
    pub(super) subscription: Option<&'a str>,
    pub(super) cause: CloseCause,
}

const SHUTTING_DOWN: &str = "Server shutting down";

impl StompSession {
    /// DISCONNECT: its RECEIPT is the last frame (STOMP 1.2 §DISCONNECT).
    pub(super) fn on_disconnect(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        self.answer(frame.receipt()?, actions)?;
        self.leave(Goodbye::Disconnect, actions);
        Ok(())
    }

    /// No more input; goodbye once every receipt is out.
    pub(super) fn leave(&mut self, goodbye: Goodbye, actions: &mut Actions) {
        self.phase = Phase::Leaving(goodbye);
        self.heartbeat.expect_nothing();
        self.decoder.clear();
        self.release_receipts(actions);
    }

    pub(super) fn say_goodbye(&mut self, goodbye: Goodbye, actions: &mut Actions) {
        match goodbye {
            Goodbye::Disconnect => {
                self.close(CloseCode::Normal, Text::EMPTY, CloseCause::Peer, actions);
            }
            Goodbye::Drain => {
                let failure = Failure {
                    report: Report {
                        message: SHUTTING_DOWN,
                        code: CloseCode::GoingAway,
                        label: "drain",
                    },
                    sentence: "the server is going away for now; connect again",
                    receipt: None,
                    subscription: None,
                    cause: CloseCause::Drain,
                };
                self.fail(failure, actions);
            }
        }
    }

    /// The server shuts down, and there is nobody yet who would understand an ERROR.
    pub(super) fn go_away(&mut self, actions: &mut Actions) {
        self.close(
            CloseCode::GoingAway,
            Text::from_static(SHUTTING_DOWN),
            CloseCause::Drain,
            actions,
        );
    }

    pub(super) fn fail_violation(
        &mut self,
        violation: Violation,
        receipt: Option<&str>,
        actions: &mut Actions,
    ) {
        let failure = Failure {
            report: violation.report(),
            sentence: &violation.to_string(),
            receipt,
            subscription: None,
            cause: CloseCause::Violation(violation),
        };
        self.fail(failure, actions);
    }

    /// ERROR, and close (STOMP 1.2 §ERROR).
    pub(super) fn fail(&mut self, failure: Failure<'_>, actions: &mut Actions) {
        let Failure { report, sentence, receipt, subscription, cause } = failure;
        let with_versions =
            matches!(cause, CloseCause::Violation(Violation::VersionMismatch { .. }));
        let message = report.message;
        let error = ErrorFrame { message, sentence, receipt, subscription, with_versions };
        actions.frames.push(self.output.error(error));
        let reason = Text::from(format!("{message}: {sentence}"));
        self.close(report.code, reason, cause, actions);
    }

    fn close(&mut self, code: CloseCode, reason: Text, cause: CloseCause, actions: &mut Actions) {
        self.phase = Phase::Closed;
        self.decoder.clear();
        actions.close = Some(Close { code, reason, cause });
    }
}
