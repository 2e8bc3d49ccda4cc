//! What comes before WELCOME: HELLO and AUTHENTICATE, and the answer to the login.
//!
//! *Spec.* WAMP §Session Establishment, §Authentication Methods, §Protocol Errors.

use std::time::Instant;

use super::{Phase, WampSession, unexpected};
use crate::auth::AuthReply;
use crate::session::{Actions, Established};
use crate::violation::Violation;
use crate::wamp::handshake::{Candidate, Refusal, Step};
use crate::wamp::message::{Authenticate, Message, Roles};

impl WampSession {
    /// A message before WELCOME.
    pub(super) fn on_opening(
        &mut self,
        message: Message,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let (phase, expected) = match (&self.phase, &message) {
            (_, Message::Abort(_)) => {
                self.on_abort(actions);
                return Ok(());
            }
            (Phase::Opening { deadline }, Message::Hello(hello)) => {
                let deadline = *deadline;
                self.roles = hello.details.roles.unwrap_or(Roles::NONE);
                if self.roles.is_empty() {
                    return Err(Violation::NoRoles);
                }
                let step = self.acceptor.on_hello(hello);
                self.go_on(step, deadline, actions);
                return Ok(());
            }
            (Phase::Challenged { .. }, Message::Authenticate(message)) => {
                self.on_authenticate(message, actions);
                return Ok(());
            }
            (Phase::Opening { .. }, _) => ("first", "a session begins with HELLO"),
            (Phase::Challenged { .. }, _) => ("after CHALLENGE", "AUTHENTICATE or ABORT is due"),
            _ => ("before WELCOME or ABORT", "wait for one of them"),
        };
        Err(unexpected(&message, phase, expected))
    }

    fn on_authenticate(&mut self, message: &Authenticate, actions: &mut Actions) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Challenged { deadline, challenged } => {
                let step = challenged.on_authenticate(message);
                self.go_on(step, deadline, actions);
            }
            phase => self.phase = phase,
        }
    }

    /// Says what the acceptor has decided.
    fn go_on(&mut self, step: Result<Step, Refusal>, deadline: Instant, actions: &mut Actions) {
        match step {
            Ok(Step::Challenge(challenge, challenged)) => {
                self.phase = Phase::Challenged { deadline, challenged };
                self.send(challenge, actions);
            }
            Ok(Step::LogIn(request, candidate)) => {
                self.phase = Phase::Authenticating { deadline, candidate };
                actions.auth = Some(request);
            }
            Err(refusal) => self.abort(refusal.into(), actions),
        }
    }

    /// The answer to the login.
    pub(super) fn on_auth(
        &mut self,
        candidate: Candidate,
        reply: AuthReply,
        actions: &mut Actions,
    ) {
        match self.acceptor.on_reply(candidate, reply, self.roles) {
            Ok((welcome, member)) => {
                self.send(welcome, actions);
                if let Some(dealer) = &member.dealer {
                    dealer.enter(actions);
                }
                self.phase = Phase::Established { member: Box::new(member) };
                actions.established = Some(Established { probe: self.policy.wamp.probe });
            }
            Err(refusal) => self.abort(refusal.into(), actions),
        }
    }
}
