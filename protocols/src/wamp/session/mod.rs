//! The state machine of one WAMP session: Opening → Challenged → Authenticating → Established →
//! Leaving → Closed, of which a client that need not prove who it is skips the second.
//!
//! A session and its connection are one: the end of either is that of the other. What comes before
//! WELCOME is in [`opening`], and who is let in is decided in `handshake.rs`; what comes after it is in
//! [`established`], and how it ends in [`leave`].
//!
//! *Spec.* WAMP §Sessions, whose state chart this is; §Protocol Errors; §WebSocket Transport (one
//! message in each message of the transport, text for JSON and binary for the others); §IDs (the order
//! of requests).
//!
//! # Deviations
//! - No second session on a connection: it is closed after GOODBYE and ABORT.
//! - A message that the client sends between its HELLO or AUTHENTICATE and WELCOME is a violation, as
//!   the state chart has it, if it comes while the login is being decided. One that is read only
//!   afterwards cannot be told from one that was sent afterwards.
//!
//! Must not: read a clock, wait, or panic on anything a peer or a broker does.

mod established;
mod leave;
mod opening;

use std::sync::Arc;
use std::time::Instant;

use super::handshake::{Acceptor, Candidate, Challenged, Member};
use super::id::RequestOrder;
use super::message::{Feature, Message, Role, Roles, Unsubscribed};
use super::peers::Notice;
use super::pen::Pen;
use super::publications::Publications;
use super::serializer::Serializer;
use crate::auth::AuthReply;
use crate::broker::Event;
use crate::policy::Policy;
use crate::registry::SessionSetup;
use crate::session::{Actions, Close, Session, Unit};
use crate::violation::Violation;

/// One WAMP session.
#[derive(Debug)]
pub(super) struct WampSession {
    policy: Arc<Policy>,
    pen: Pen,
    acceptor: Acceptor,
    phase: Phase,
    /// Bytes that came before WELCOME.
    heard: usize,
    /// The requests that the client makes.
    requests: RequestOrder,
    /// What the client says it is, and can do.
    roles: Roles,
    last_token: u64,
    last_subscription: u64,
    /// What publications are called: the next one, and what makes it hard to guess.
    publications: Publications,
    /// It has, or had, subscriptions: they are shared with other sessions.
    shares: bool,
    /// When the current call began.
    now: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Waits for HELLO.
    Opening { deadline: Instant },
    /// Waits for AUTHENTICATE.
    Challenged { deadline: Instant, challenged: Challenged },
    /// Waits for the answer to a login.
    Authenticating { deadline: Instant, candidate: Candidate },
    /// The client is in.
    Established { member: Box<Member> },
    /// Has said GOODBYE, and waits for the client to say so too, or the deadline.
    Leaving { deadline: Instant, close: Close },
    /// Has said what it had to say.
    Closed,
}

impl Session for WampSession {
    fn handle_input(&mut self, now: Instant, unit: Unit, actions: &mut Actions) {
        self.now = now;
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let handled = self.read(&unit).and_then(|message| match self.phase {
            Phase::Established { .. } => self.on_established(message, actions),
            Phase::Leaving { .. } => {
                self.on_leaving(&message, actions);
                Ok(())
            }
            _ => self.on_opening(message, actions),
        });
        if let Err(violation) = handled {
            self.fail_violation(violation, actions);
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event, actions: &mut Actions) {
        self.now = now;
        let Phase::Established { member } = &mut self.phase else { return };
        let messages = member.pubsub.on_event(&event).unwrap_or_default();
        self.report(actions);
        for message in messages {
            if !self.say_or_end(message, actions) {
                return;
            }
        }
        if let Event::Down { error } = event {
            self.lose_broker(&error, actions);
        }
    }

    fn handle_peers(&mut self, now: Instant, notice: Notice, actions: &mut Actions) {
        self.now = now;
        self.on_notice(notice, actions);
    }

    fn handle_auth(&mut self, now: Instant, reply: AuthReply, actions: &mut Actions) {
        self.now = now;
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Authenticating { candidate, .. } => self.on_auth(candidate, reply, actions),
            phase => self.phase = phase,
        }
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        if self.next_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        match &mut self.phase {
            Phase::Established { member } => {
                if let Some(dealer) = &mut member.dealer {
                    dealer.handle_timeout(now, actions);
                }
            }
            Phase::Leaving { .. } => self.say_farewell(actions),
            _ => {
                let timeout = self.policy.limits.login_timeout.as_millis();
                let millis = u64::try_from(timeout).unwrap_or(u64::MAX);
                self.fail_violation(Violation::LoginTimeout { millis }, actions);
            }
        }
    }

    fn handle_violation(&mut self, now: Instant, violation: Violation, actions: &mut Actions) {
        self.now = now;
        if !matches!(self.phase, Phase::Closed) {
            self.fail_violation(violation, actions);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Opening { deadline }
            | Phase::Challenged { deadline, .. }
            | Phase::Authenticating { deadline, .. }
            | Phase::Leaving { deadline, .. } => Some(*deadline),
            Phase::Established { member } => member.dealer.as_ref()?.next_timeout(),
            Phase::Closed => None,
        }
    }

    fn handle_gone(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        self.leave_others(actions);
        self.phase = Phase::Closed;
    }

    fn start_drain(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        self.on_drain(actions);
    }
}

impl WampSession {
    /// A session that waits for HELLO.
    pub(super) fn new(setup: &SessionSetup) -> Self {
        let serializer = setup.name.and_then(Serializer::of_subprotocol);
        let serializer = serializer.unwrap_or(Serializer::Json);
        let limits = setup.policy.wamp.limits;
        let pen = Pen { serializer, limits, most: setup.most_output };
        Self {
            policy: Arc::clone(&setup.policy),
            pen,
            acceptor: Acceptor::new(setup, pen),
            phase: Phase::Opening { deadline: setup.now + setup.policy.limits.login_timeout },
            heard: 0,
            requests: RequestOrder::new(),
            roles: Roles::NONE,
            last_token: 0,
            last_subscription: 0,
            publications: Publications::new(&setup.random),
            shares: false,
            now: setup.now,
        }
    }

    /// The message that a unit is.
    fn read(&mut self, unit: &Unit) -> Result<Message, Violation> {
        let (limits, got) = (&self.policy.limits, unit.bytes.len());
        let mut decoding = self.policy.wamp.limits;
        if matches!(self.phase, Phase::Established { .. } | Phase::Leaving { .. }) {
            let limit = limits.frame_size;
            if got > limit {
                return Err(Violation::MessageTooLarge { limit, got });
            }
        } else {
            let limit = limits.frame_size_before_login;
            self.heard = self.heard.saturating_add(got);
            if self.heard > limit {
                return Err(Violation::TooMuchBeforeLogin { limit, got: self.heard });
            }
            decoding = decoding.before_welcome();
        }
        if unit.kind != self.pen.kind() {
            let (format, expected) = match self.pen.serializer {
                Serializer::Json => ("JSON", "text"),
                Serializer::MsgPack => ("MessagePack", "binary"),
                Serializer::Cbor => ("CBOR", "binary"),
            };
            return Err(Violation::WrongKind { format, expected });
        }
        Message::decode(self.pen.serializer, &unit.bytes, &decoding)
            .map_err(|error| Violation::BadMessage(error.to_string()))
    }

    /// Sends what was said of subscriptions, or says goodbye if the client would not understand it. True if
    /// the session goes on.
    fn say_or_end(&mut self, message: Message, actions: &mut Actions) -> bool {
        // Without a request it tells of a subscription that has ended by itself.
        if let Message::Unsubscribed(Unsubscribed { request: None, details }) = &message
            && !self.roles.has(Role::Subscriber, Feature::SubscriptionRevocation)
        {
            let why = details.as_ref().and_then(|details| details.reason.clone());
            self.lose_subscription(why, actions);
            return false;
        }
        self.send(message, actions);
        true
    }

    /// Tells the realm what has become of subscriptions.
    fn report(&mut self, actions: &mut Actions) {
        if let Phase::Established { member } = &mut self.phase {
            let requests = member.pubsub.take_requests();
            if member.dealer.is_some() {
                actions.peers.extend(requests);
            }
        }
    }

    fn send(&self, message: impl Into<Message>, actions: &mut Actions) {
        self.pen.write(message, actions);
    }
}

fn unexpected(message: &Message, phase: &'static str, expected: &'static str) -> Violation {
    Violation::UnexpectedMessage { message: message.message_type().as_str(), phase, expected }
}
