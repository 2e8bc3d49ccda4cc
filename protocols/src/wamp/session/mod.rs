//! The state machine of one WAMP session: Opening → Challenged → Authenticating → Established →
//! Leaving → Closed, of which a client that need not prove who it is skips the second.
//!
//! A session and its connection are one: the end of either is that of the other. How it ends is in
//! [`leave`], and who is let in is decided in `handshake.rs`.
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

mod leave;
mod publications;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use self::publications::Publications;
use super::handshake::{Acceptor, Candidate, Challenged, Member, Refusal, Step};
use super::id::{Id, RequestOrder};
use super::message::{
    Authenticate, CloseDetails, Error, ErrorDetails, Feature, Message, RequestType, Role, Roles,
    Unsubscribed,
};
use super::payload::Payload;
use super::reason;
use super::serializer::Serializer;
use crate::auth::AuthReply;
use crate::broker::{Event, SubscriptionId, Token};
use crate::policy::Policy;
use crate::registry::SessionSetup;
use crate::session::{Actions, Close, Established, FrameKind, OutFrame, Session, Unit};
use crate::text::Text;
use crate::violation::Violation;

/// One WAMP session.
#[derive(Debug)]
pub(super) struct WampSession {
    policy: Arc<Policy>,
    serializer: Serializer,
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
        let Phase::Established { member } = &mut self.phase else {
            return;
        };
        for message in member.pubsub.on_event(&event).unwrap_or_default() {
            // Without a request it tells of a subscription that has ended by itself.
            if let Message::Unsubscribed(Unsubscribed { request: None, details }) = &message
                && !self.roles.has(Role::Subscriber, Feature::SubscriptionRevocation)
            {
                let why = details.as_ref().and_then(|details| details.reason.clone());
                return self.lose_subscription(why, actions);
            }
            self.send(message, actions);
        }
        if let Event::Down { error } = event {
            self.lose_broker(&error, actions);
        }
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
        if self.next_timeout().is_some_and(|deadline| deadline <= now) {
            if matches!(self.phase, Phase::Leaving { .. }) {
                self.say_farewell(actions);
            } else {
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
            Phase::Established { .. } | Phase::Closed => None,
        }
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
        Self {
            policy: Arc::clone(&setup.policy),
            serializer,
            acceptor: Acceptor::new(setup, serializer),
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
        }
        if unit.kind != self.kind() {
            let (format, expected) = match self.serializer {
                Serializer::Json => ("JSON", "text"),
                Serializer::MsgPack => ("MessagePack", "binary"),
                Serializer::Cbor => ("CBOR", "binary"),
            };
            return Err(Violation::WrongKind { format, expected });
        }
        Message::decode(self.serializer, &unit.bytes, &self.policy.wamp.limits)
            .map_err(|error| Violation::BadMessage(error.to_string()))
    }

    /// A message before WELCOME.
    fn on_opening(&mut self, message: Message, actions: &mut Actions) -> Result<(), Violation> {
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
    fn on_auth(&mut self, candidate: Candidate, reply: AuthReply, actions: &mut Actions) {
        match self.acceptor.on_reply(candidate, reply) {
            Ok((welcome, member)) => {
                self.phase = Phase::Established { member: Box::new(member) };
                self.send(welcome, actions);
                actions.established = Some(Established { probe: self.policy.wamp.probe });
            }
            Err(refusal) => self.abort(refusal.into(), actions),
        }
    }

    /// A message between WELCOME and GOODBYE.
    fn on_established(&mut self, message: Message, actions: &mut Actions) -> Result<(), Violation> {
        self.check_order(&message)?;
        match &message {
            Message::Goodbye(_) => self.on_goodbye(actions),
            Message::Abort(_) => self.on_abort(actions),
            Message::Subscribe(_) | Message::Unsubscribe(_) | Message::Publish(_) => {
                self.on_pubsub(&message, actions);
            }
            Message::Call(it) => self.refuse(RequestType::CALL, it.request, actions),
            Message::Register(it) => self.refuse(RequestType::REGISTER, it.request, actions),
            Message::Unregister(it) => self.refuse(RequestType::UNREGISTER, it.request, actions),
            // They are about calls, of which there are none.
            Message::Cancel(_) | Message::Yield(_) | Message::Error(_) => {}
            Message::Hello(_) | Message::Authenticate(_) => {
                return Err(unexpected(&message, "in a session", "it is sent before WELCOME"));
            }
            _ => return Err(unexpected(&message, "from a client", "routers send it")),
        }
        Ok(())
    }

    /// A request to the broker.
    fn on_pubsub(&mut self, message: &Message, actions: &mut Actions) {
        let token = self.next_token();
        let Phase::Established { member } = &mut self.phase else {
            return;
        };
        let Member { pubsub, rights, .. } = &mut **member;
        let answered = match message {
            Message::Subscribe(subscribe) => {
                self.shares = true;
                self.last_subscription += 1;
                let names = (token, SubscriptionId(self.last_subscription));
                pubsub.on_subscribe(subscribe, rights, names, actions)
            }
            Message::Unsubscribe(unsubscribe) => {
                pubsub.on_unsubscribe(unsubscribe, token, actions).map(|()| None)
            }
            Message::Publish(publish) => {
                let names = (token, self.publications.next());
                pubsub.on_publish(publish, rights, names, actions).map(|()| None)
            }
            _ => Ok(None),
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(refusal) => refusal.to_message(self.serializer),
        };
        if let Some(answer) = answer {
            self.send(answer, actions);
        }
    }

    fn next_token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    /// The requests of a client are counted up by one from 1.
    fn check_order(&mut self, message: &Message) -> Result<(), Violation> {
        let request = match message {
            Message::Publish(it) => it.request,
            Message::Subscribe(it) => it.request,
            Message::Unsubscribe(it) => it.request,
            Message::Call(it) => it.request,
            Message::Register(it) => it.request,
            Message::Unregister(it) => it.request,
            _ => return Ok(()),
        };
        self.requests.check_next(request).map_err(|error| {
            Violation::OutOfSequence(format!("{}: {error}", message.message_type()))
        })
    }

    /// No role of the router's that could carry it out.
    fn refuse(&self, request_type: RequestType, request: Id, actions: &mut Actions) {
        let error = Error {
            request_type,
            request,
            details: ErrorDetails::default(),
            error: Text::from_static(reason::FEATURE_NOT_SUPPORTED),
            payload: Payload::empty(self.serializer),
        };
        self.send(error, actions);
    }

    fn send(&self, message: impl Into<Message>, actions: &mut Actions) {
        actions.frames.push(OutFrame::new(self.kind(), self.encode(&message.into())));
    }

    /// A message whose parts are all in the session's serializer.
    fn encode(&self, message: &Message) -> Bytes {
        message
            .encode(self.serializer, &self.policy.wamp.limits)
            .expect("nothing in it must be transcoded")
    }

    const fn kind(&self) -> FrameKind {
        if self.serializer.is_text() { FrameKind::Text } else { FrameKind::Binary }
    }
}

fn unexpected(message: &Message, phase: &'static str, expected: &'static str) -> Violation {
    Violation::UnexpectedMessage { message: message.message_type().as_str(), phase, expected }
}

/// `Details` with a sentence in it.
fn because(sentence: impl Into<Text>) -> CloseDetails {
    CloseDetails { message: Some(sentence.into()) }
}
