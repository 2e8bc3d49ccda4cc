//! How a session ends: DISCONNECT, the server's own shutdown, and ERROR.
//!
//! *Spec.* STOMP 1.2 §DISCONNECT, §ERROR, §Connection Lingering. What was asked for before is
//! answered before the close: receipts that wait for the broker come first, for as long as
//! `limits.leave_timeout`. Only a broker that refuses or is gone ends a session at once. An ERROR
//! is the last frame, unless [`Switch::OpenAfterError`] is set and only one frame was wrong. To a client
//! that asked for soft errors such a one is told as a MESSAGE instead.

use crate::broker::{Command, Token};
use crate::session::{Actions, Close, CloseCause, CloseCode, OutFrame, Shared};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::Switch;
use crate::stomp::frame::Verb;
use crate::stomp::output::{ErrorFrame, Notice};
use crate::stomp::resume::SESSION;
use crate::text::Text;
use crate::violation::{Report, Violation};

use super::{Phase, StompSession};

/// The last words of a session.
#[derive(Debug)]
pub(super) struct Farewell {
    /// None after DISCONNECT: its RECEIPT was the last frame.
    error: Option<OutFrame>,
    close: Close,
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

const SHUTTING_DOWN: Failure<'static> = Failure {
    report: Report { message: "Server shutting down", code: CloseCode::GoingAway, label: "drain" },
    sentence: "the server is going away for now; connect again",
    receipt: None,
    subscription: None,
    cause: CloseCause::Drain,
};

impl StompSession {
    /// DISCONNECT: its RECEIPT is the last frame (STOMP 1.2 §DISCONNECT).
    pub(super) fn on_disconnect(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let receipt = self.receipt_of(frame)?;
        match (self.end_resumable(actions), receipt) {
            (Some(token), Some(receipt)) => self.receipts.wait(token, receipt),
            (_, receipt) => self.answer(receipt, actions),
        }
        let (code, cause) = (CloseCode::Normal, CloseCause::Peer);
        let close = Close { code, reason: Text::EMPTY, cause };
        self.leave(Farewell { error: None, close }, actions);
        Ok(())
    }

    /// Nobody will go on with it. The answer to the command with this token says so.
    fn end_resumable(&mut self, actions: &mut Actions) -> Option<Token> {
        self.resumable.take()?;
        let lasting: Vec<_> = self.subscriptions.lasting().collect();
        let mut last = None;
        for subscription in lasting.into_iter().chain([SESSION]) {
            let (token, delete) = (self.next_token(), true);
            actions.commands.push(Command::Unsubscribe { token, subscription, delete });
            last = Some(token);
        }
        last
    }

    /// The server shuts down.
    pub(super) fn on_drain(&mut self, actions: &mut Actions) {
        match self.phase {
            Phase::Connected => {
                let farewell = self.farewell(SHUTTING_DOWN);
                self.leave(farewell, actions);
            }
            // Nobody would understand an ERROR yet.
            Phase::Connecting { .. } | Phase::Authenticating { .. } | Phase::Resuming { .. } => {
                let close = self.farewell(SHUTTING_DOWN).close;
                self.close(Farewell { error: None, close }, actions);
            }
            Phase::Leaving { .. } | Phase::Closed => {}
        }
    }

    /// A frame is wrong: ERROR, and the end, unless the next one may be right all the same.
    pub(super) fn refuse(
        &mut self,
        violation: Violation,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) {
        let receipt = frame.get("receipt");
        let is_connected = matches!(self.phase, Phase::Connected);
        if is_connected && self.soft_errors && violation.is_soft() {
            // A COMMIT that was refused can be sent again.
            let is_part = matches!(frame.verb(), Verb::Send | Verb::Ack | Verb::Nack);
            if let Some(transaction) = frame.get("transaction").filter(|_| is_part) {
                self.transactions.break_off(transaction);
            }
            let is_about_one = matches!(frame.verb(), Verb::Subscribe | Verb::Unsubscribe);
            let failure = Failure {
                report: violation.report(),
                sentence: &violation.to_string(),
                receipt,
                subscription: frame.get("id").filter(|_| is_about_one),
                cause: CloseCause::Violation(violation),
            };
            return self.notify(&failure, actions);
        }
        if !is_connected || !violation.is_local() || !self.has(Switch::OpenAfterError) {
            return self.fail_violation(violation, receipt, actions);
        }
        let failure = Failure {
            report: violation.report(),
            sentence: &violation.to_string(),
            receipt,
            subscription: None,
            cause: CloseCause::Violation(violation),
        };
        self.report(&failure, actions);
    }

    /// The error as a MESSAGE, and no end.
    pub(super) fn notify(&mut self, failure: &Failure<'_>, actions: &mut Actions) {
        let Failure { report, sentence, receipt, subscription, .. } = *failure;
        let Report { message, label: code, .. } = report;
        self.notices += 1;
        let message_id = format!("errors@@{}@@{}", self.session_id, self.notices);
        let newest = self.errors.last().and_then(|id| self.subscriptions.get_mut(*id));
        let header = newest.and_then(|it| it.header.clone());
        let notice = Notice { subscription: header.as_deref(), message_id: &message_id };
        let with_versions = false;
        let error = ErrorFrame { message, code, sentence, receipt, subscription, with_versions };
        actions.frames.push(self.output.notice(&error, &notice));
    }

    /// ERROR, and no end.
    pub(super) fn report(&self, failure: &Failure<'_>, actions: &mut Actions) {
        actions.frames.push(self.error(failure));
    }

    /// The client is at fault: ERROR, after the receipts of what it did right.
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
        match self.phase {
            Phase::Leaving { .. } | Phase::Closed => self.fail(failure, actions),
            _ => {
                let farewell = self.farewell(failure);
                self.leave(farewell, actions);
            }
        }
    }

    /// ERROR, and close, at once (STOMP 1.2 §ERROR). A session that leaves because its client was
    /// at fault says that instead: it came first.
    pub(super) fn fail(&mut self, failure: Failure<'_>, actions: &mut Actions) {
        match &self.phase {
            Phase::Leaving { farewell, .. }
                if matches!(farewell.close.cause, CloseCause::Violation(_)) =>
            {
                self.say_farewell(actions);
            }
            Phase::Closed => {}
            _ => {
                let farewell = self.farewell(failure);
                self.close(farewell, actions);
            }
        }
    }

    /// Says what it was about to say; receipts that are still out will not come.
    pub(super) fn say_farewell(&mut self, actions: &mut Actions) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Leaving { farewell, .. } => self.close(farewell, actions),
            phase => self.phase = phase,
        }
    }

    /// No more input; the farewell once every receipt is out.
    fn leave(&mut self, farewell: Farewell, actions: &mut Actions) {
        let deadline = self.now + self.policy.limits.leave_timeout;
        self.phase = Phase::Leaving { deadline, farewell };
        self.leave_shared(actions);
        self.heartbeat.expect_nothing();
        self.decoder.clear();
        self.release_receipts(actions);
    }

    /// What is shared does not pass through here: nothing of it may come after the last frame.
    fn leave_shared(&mut self, actions: &mut Actions) {
        if std::mem::take(&mut self.shares) {
            actions.shared.push(Shared::LeaveAll);
        }
    }

    fn farewell(&self, failure: Failure<'_>) -> Farewell {
        let error = Some(self.error(&failure));
        let Failure { report: Report { message, code, .. }, sentence, cause, .. } = failure;
        let reason = Text::from(format!("{message}: {sentence}"));
        Farewell { error, close: Close { code, reason, cause } }
    }

    fn error(&self, failure: &Failure<'_>) -> OutFrame {
        let Failure { report, sentence, receipt, subscription, ref cause } = *failure;
        let with_versions =
            matches!(cause, CloseCause::Violation(Violation::VersionMismatch { .. }));
        let Report { message, label: code, .. } = report;
        self.output.error(ErrorFrame {
            message,
            code,
            sentence,
            receipt,
            subscription,
            with_versions,
        })
    }

    fn close(&mut self, Farewell { error, close }: Farewell, actions: &mut Actions) {
        self.phase = Phase::Closed;
        self.leave_shared(actions);
        self.decoder.clear();
        actions.frames.extend(error);
        actions.more_input = false;
        actions.close = Some(close);
    }
}
