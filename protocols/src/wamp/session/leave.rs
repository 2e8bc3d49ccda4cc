//! How a session ends: GOODBYE, from either end, and ABORT.
//!
//! *Spec.* WAMP §Session Closing, §ABORT, §Protocol Errors. GOODBYE is answered by GOODBYE, and ABORT by
//! nothing; a violation is an ABORT. Left open there: where the broker is lost, or the server shuts
//! down, the session ends with a GOODBYE, and the connection once the client has answered, or at
//! `limits.leave_timeout`. In the same way a session ends that another one kills (§Session Meta API).

use super::{Phase, WampSession};
use crate::broker::BrokerError;
use crate::session::{Actions, Close, CloseCause, CloseCode, Shared};
use crate::text::Text;
use crate::violation::{Violation, shown};
use crate::wamp::handshake::Refusal;
use crate::wamp::message::{Abort, CloseDetails, Goodbye, Message};
use crate::wamp::meta::Farewell;
use crate::wamp::payload::Payload;
use crate::wamp::reason;

/// Why and how a session ends.
#[derive(Debug)]
pub(super) struct End {
    /// The URI.
    reason: Text,
    /// What was wrong, and what would be right. Not there only if one who kills says nothing.
    sentence: Option<Text>,
    code: CloseCode,
    cause: CloseCause,
}

const SHUTTING_DOWN: &str = "the server is going away for now; connect again";

impl WampSession {
    /// The client's GOODBYE, which was the first.
    pub(super) fn on_goodbye(&mut self, actions: &mut Actions) {
        let (details, reason) =
            (CloseDetails::default(), Text::from_static(reason::GOODBYE_AND_OUT));
        self.send(Goodbye { details, reason }, actions);
        self.close_for_peer(actions);
    }

    /// The client's ABORT: nothing is said.
    pub(super) fn on_abort(&mut self, actions: &mut Actions) {
        self.close_for_peer(actions);
    }

    fn close_for_peer(&mut self, actions: &mut Actions) {
        let (code, cause) = (CloseCode::Normal, CloseCause::Peer);
        self.close(Close { code, reason: Text::EMPTY, cause }, actions);
    }

    /// A message after the session's GOODBYE: anything but the answer was sent before it had come.
    pub(super) fn on_leaving(&mut self, message: &Message, actions: &mut Actions) {
        if matches!(message, Message::Goodbye(_) | Message::Abort(_)) {
            self.say_farewell(actions);
        }
    }

    /// The server shuts down.
    pub(super) fn on_drain(&mut self, actions: &mut Actions) {
        let end = End::new(
            reason::SYSTEM_SHUTDOWN,
            Text::from_static(SHUTTING_DOWN),
            (CloseCode::GoingAway, CloseCause::Drain),
        );
        match self.phase {
            Phase::Established { .. } => self.leave(end, actions),
            Phase::Opening { .. } | Phase::Challenged { .. } | Phase::Authenticating { .. } => {
                self.abort(end, actions);
            }
            Phase::Leaving { .. } | Phase::Closed => {}
        }
    }

    /// The broker is gone, and with it all that the session had there.
    pub(super) fn lose_broker(&mut self, error: &BrokerError, actions: &mut Actions) {
        let code = error.kind.report().code;
        let why = (code, CloseCause::Broker);
        self.leave(End::new(error.kind.wamp_reason(), error.text.clone(), why), actions);
    }

    /// Another session ends this one.
    pub(super) fn on_killed(&mut self, farewell: Farewell, actions: &mut Actions) {
        let Farewell { reason, message: sentence } = farewell;
        let (code, cause) = (CloseCode::Policy, CloseCause::Killed);
        self.leave(End { reason, sentence, code, cause }, actions);
    }

    /// The broker has ended a subscription, and the client would not understand if it was told that alone.
    pub(super) fn lose_subscription(&mut self, why: Option<Text>, actions: &mut Actions) {
        let sentence =
            why.unwrap_or_else(|| Text::from_static("the broker has ended a subscription"));
        let why = (CloseCode::TryAgainLater, CloseCause::Broker);
        self.leave(End::new(reason::UNAVAILABLE, sentence, why), actions);
    }

    /// The realm has taken away what the session had registered, and the client would not understand if
    /// it was told that alone.
    pub(super) fn lose_registration(&mut self, why: &str, actions: &mut Actions) {
        let why = shown(why);
        let sentence = format!(
            "a registration of this session was taken away ({why}); a callee that announces \
             registration_revocation is told that alone"
        );
        let why = (CloseCode::Policy, CloseCause::Broker);
        self.leave(End::new(reason::UNAVAILABLE, Text::from(sentence), why), actions);
    }

    /// What concerns other sessions. What is shared does not pass through here: nothing of it may come
    /// after the last message.
    pub(super) fn leave_others(&mut self, actions: &mut Actions) {
        if let Phase::Established { member } = &mut self.phase
            && let Some(dealer) = member.dealer.take()
        {
            dealer.leave(actions);
        }
        if std::mem::take(&mut self.shares) {
            actions.shared.push(Shared::LeaveAll);
        }
    }

    /// The client is at fault.
    pub(super) fn fail_violation(&mut self, violation: Violation, actions: &mut Actions) {
        self.abort(violation.into(), actions);
    }

    /// ABORT, and close; after a GOODBYE, the close alone.
    pub(super) fn abort(&mut self, end: End, actions: &mut Actions) {
        match self.phase {
            Phase::Leaving { .. } => self.say_farewell(actions),
            _ => {
                let payload = Payload::empty(self.pen.serializer);
                let (details, reason) = (end.details(), end.reason.clone());
                self.send(Abort { details, reason, payload }, actions);
                self.close(end.into(), actions);
            }
        }
    }

    /// GOODBYE; the close follows its answer.
    fn leave(&mut self, end: End, actions: &mut Actions) {
        self.leave_others(actions);
        self.send(Goodbye { details: end.details(), reason: end.reason.clone() }, actions);
        let deadline = self.now + self.policy.limits.leave_timeout;
        self.phase = Phase::Leaving { deadline, close: end.into() };
    }

    /// Closes as it was about to.
    pub(super) fn say_farewell(&mut self, actions: &mut Actions) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Leaving { close, .. } => self.close(close, actions),
            phase => self.phase = phase,
        }
    }

    fn close(&mut self, close: Close, actions: &mut Actions) {
        self.leave_others(actions);
        self.phase = Phase::Closed;
        actions.close = Some(close);
    }
}

impl End {
    fn new(reason: &'static str, sentence: Text, (code, cause): (CloseCode, CloseCause)) -> Self {
        Self { reason: Text::from_static(reason), sentence: Some(sentence), code, cause }
    }

    fn details(&self) -> CloseDetails {
        CloseDetails { message: self.sentence.clone() }
    }
}

impl From<End> for Close {
    fn from(End { reason, sentence, code, cause }: End) -> Self {
        let reason = match sentence {
            Some(sentence) => Text::from(format!("{reason}: {sentence}")),
            None => reason,
        };
        Self { code, reason, cause }
    }
}

/// The client is not let in.
impl From<Refusal> for End {
    fn from(Refusal { reason, sentence, code }: Refusal) -> Self {
        Self::new(reason, sentence, (code, CloseCause::LoginRefused))
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        let (reason, sentence) = (violation.wamp_reason(), Text::from(violation.to_string()));
        Self::new(reason, sentence, (violation.report().code, CloseCause::Violation(violation)))
    }
}
