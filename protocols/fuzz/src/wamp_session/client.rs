//! One of the two: a session, its client, its broker, and what they remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::auth::AuthReply;
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Outcome, SubscriptionId, Token,
};
use protocols::policy::Policy;
use protocols::session::{FrameKind, Shared, Unit};
use protocols::violation::Violation;
use protocols::wamp::Wamp;
use protocols::wamp::message::{Message, RequestType};
use protocols::wamp::peers::{Notice, Realms, Request};
use protocols::wamp::serializer::{Limits, Serializer};
use protocols::{Actions, Session, SessionSetup, Subprotocol};

/// What a client may say, for operands to choose from, in JSON: `#` is its next request, `@` the last
/// one, `!` its last invocation, `$` its last registration, `%` its last subscription.
pub(super) const PHRASES: [&str; 44] = [
    r#"[1,"r",{"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}}]"#,
    r#"[1,"r",{"roles":{"caller":{"features":{"call_canceling":true,"progressive_call_results":true,"progressive_call_invocations":true,"call_timeout":true}},"callee":{"features":{"call_canceling":true,"progressive_call_results":true,"progressive_call_invocations":true,"call_timeout":true,"call_reroute":true,"registration_revocation":true}},"publisher":{},"subscriber":{}}}]"#,
    r#"[1,"nowhere",{"roles":{"caller":{}}}]"#,
    r#"[5,"a",{}]"#,
    r##"[64,#,{},"a.b"]"##,
    r##"[64,#,{"invoke":"roundrobin","concurrency":1},"a.b"]"##,
    r##"[64,#,{"match":"prefix","disclose_caller":true},"a."]"##,
    r##"[64,#,{"force_reregister":true},"a.b"]"##,
    r##"[66,#,$]"##,
    r##"[48,#,{},"a.b",[1],{"k":2}]"##,
    r##"[48,#,{},"a.b"]"##,
    r##"[48,#,{"receive_progress":true,"timeout":300},"a.b"]"##,
    r##"[48,#,{"timeout":20000,"disclose_me":true},"a.c",[1]]"##,
    r##"[48,#,{"progress":true},"a.b",[1]]"##,
    r#"[48,@,{"progress":true},"a.b",[2]]"#,
    r#"[48,@,{},"a.b",[3]]"#,
    r##"[48,#,{},"nobody.has.this"]"##,
    r#"[49,@,{"mode":"skip"}]"#,
    r#"[49,@,{"mode":"kill"}]"#,
    r#"[49,@,{"mode":"killnowait"}]"#,
    r#"[49,@,{}]"#,
    r#"[70,!,{}]"#,
    r#"[70,!,{},["done"]]"#,
    r#"[70,!,{"progress":true},["part"]]"#,
    r#"[8,68,!,{},"com.app.error",["no"]]"#,
    r#"[8,68,!,{},"wamp.error.unavailable"]"#,
    r#"[8,68,!,{},"wamp.error.canceled"]"#,
    r##"[32,#,{},"a.b"]"##,
    r##"[32,#,{"match":"wildcard"},"a..b"]"##,
    r##"[34,#,%]"##,
    r##"[16,#,{},"a.b",[1]]"##,
    r##"[16,#,{"acknowledge":true},"a.b"]"##,
    r##"[16,#,{"acknowledge":true},"not..good"]"##,
    r#"[6,{},"wamp.close.close_realm"]"#,
    r#"[6,{},"wamp.close.goodbye_and_out"]"#,
    r#"[3,{},"wamp.close.normal"]"#,
    r##"[48,#,{},"wamp.session.count"]"##,
    r##"[64,#,{},"wamp.mine"]"##,
    r#"[48,7,{},"a.b"]"#,
    r#"[99,1]"#,
    r##"[32,#,{"match":"prefix"},"wamp."]"##,
    r##"[48,#,{},"wamp.session.kill_all",[],{"reason":"com.app.out"}]"##,
    r##"[48,#,{},"wamp.subscription.match",["a.b"]]"##,
    r##"[48,#,{},"wamp.registration.list"]"##,
];

pub(super) struct Side {
    session: Box<dyn Session>,
    actions: Actions,
    serializer: Serializer,
    /// A login is asked for.
    awaits_login: bool,
    has_asked: bool,
    is_closed: bool,
    /// The client has said that it goes, or the session has.
    is_leaving: bool,
    /// The latest request of the client, invocation, registration and subscription.
    latest: [u64; 4],
    /// Requests that are not answered, and what they are.
    asked: BTreeMap<u64, RequestType>,
    /// What it was ever subscribed to.
    subscriptions: BTreeSet<u64>,
    /// Invocations that the client has not answered.
    running: BTreeSet<u64>,
    tokens: BTreeSet<Token>,
    /// What the broker has not answered.
    waiting: Vec<(Token, Awaited)>,
    shared: BTreeSet<SubscriptionId>,
}

/// What a broker says if it does what it was told.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Subscribed,
    Unsubscribed,
    Confirmed,
}

impl Awaited {
    /// What it says, as an operand chooses.
    fn outcome(self, token: Token, operand: u8) -> Event {
        match (operand % 4, self) {
            (0, _) => Event::Failed { token, error: error() },
            (1, Self::Confirmed) => Event::Confirmed { token, outcome: Outcome::Rejected },
            (_, Self::Confirmed) => Event::Confirmed { token, outcome: Outcome::Accepted },
            (_, Self::Subscribed) => Event::Subscribed { token },
            (_, Self::Unsubscribed) => Event::Unsubscribed { token },
        }
    }
}

impl Side {
    pub(super) fn new(
        who: u8,
        serializer: Serializer,
        policy: &Arc<Policy>,
        realms: Arc<dyn Realms>,
        now: Instant,
    ) -> Self {
        let session = Wamp.open(SessionSetup {
            name: Some(serializer.subprotocol()),
            session_id: "s".into(),
            secret: protocols::auth::Secret::new("secret"),
            random: [who; 32],
            is_local: true,
            realms,
            can_confirm: true,
            most_output: 1 << 16,
            policy: Arc::clone(policy),
            now,
            time_of_day: Duration::ZERO,
        });
        Self {
            session,
            actions: Actions::default(),
            serializer,
            awaits_login: false,
            has_asked: false,
            is_closed: false,
            is_leaving: false,
            latest: [0; 4],
            asked: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            running: BTreeSet::new(),
            tokens: BTreeSet::new(),
            waiting: Vec::new(),
            shared: BTreeSet::new(),
        }
    }

    /// A phrase, in the words of the serializer.
    pub(super) fn say(&mut self, now: Instant, phrase: &str) {
        let [request, invocation, registration, subscription] = self.latest;
        let words = phrase
            .replace('#', &(request + 1).to_string())
            .replace('@', &request.to_string())
            .replace('!', &invocation.to_string())
            .replace('$', &registration.to_string())
            .replace('%', &subscription.to_string());
        let json = Bytes::from(words);
        let message = Message::decode(Serializer::Json, &json, &Limits::DEFAULT);
        let bytes = match message {
            Ok(message) => message.encode(self.serializer, &Limits::DEFAULT).expect("writable"),
            Err(_) => json,
        };
        self.input(now, &bytes);
    }

    pub(super) fn input(&mut self, now: Instant, words: &[u8]) {
        // The driver reads nothing while a login is asked for.
        if self.awaits_login || self.is_closed {
            return;
        }
        let bytes = Bytes::copy_from_slice(words);
        if let Ok(message) = Message::decode(self.serializer, &bytes, &Limits::DEFAULT) {
            self.note_said(&message);
        }
        let is_text = self.serializer.is_text();
        if is_text && std::str::from_utf8(words).is_err() {
            return; // the transport's business
        }
        let kind = if is_text { FrameKind::Text } else { FrameKind::Binary };
        self.session.handle_input(now, Unit { kind, bytes }, &mut self.actions);
    }

    /// What an answer may come to.
    fn note_said(&mut self, message: &Message) {
        let (request, kind) = match message {
            Message::Call(it) => (it.request, RequestType::CALL),
            Message::Subscribe(it) => (it.request, RequestType::SUBSCRIBE),
            Message::Unsubscribe(it) => (it.request, RequestType::UNSUBSCRIBE),
            Message::Register(it) => (it.request, RequestType::REGISTER),
            Message::Unregister(it) => (it.request, RequestType::UNREGISTER),
            Message::Publish(it) => (it.request, RequestType::PUBLISH),
            Message::Yield(it) => {
                if it.options.progress != Some(true) {
                    self.running.remove(&it.request.get());
                }
                return;
            }
            Message::Error(it) => {
                self.running.remove(&it.request.get());
                return;
            }
            Message::Goodbye(_) | Message::Abort(_) => {
                self.is_leaving = true;
                return;
            }
            _ => return,
        };
        let request = request.get();
        // Further parts of a call have its ID. They are answered with it, or come too late.
        if request > self.latest[0] {
            self.latest[0] = request;
            self.asked.insert(request, kind);
        }
    }

    pub(super) fn notice(&mut self, now: Instant, notice: Notice) {
        self.session.handle_peers(now, notice, &mut self.actions);
    }

    pub(super) fn grant(&mut self, now: Instant, reply: &AuthReply) {
        if std::mem::take(&mut self.awaits_login) {
            self.session.handle_auth(now, reply.clone(), &mut self.actions);
        }
    }

    /// The broker answers something.
    pub(super) fn answer(&mut self, now: Instant, operand: u8) {
        if !self.waiting.is_empty() {
            let place = usize::from(operand / 4) % self.waiting.len();
            let (token, awaited) = self.waiting.remove(place);
            let event = awaited.outcome(token, operand);
            self.session.handle_event(now, event, &mut self.actions);
        }
    }

    pub(super) fn answer_all(&mut self, now: Instant) {
        for (token, _) in std::mem::take(&mut self.waiting) {
            self.session.handle_event(
                now,
                Event::Failed { token, error: error() },
                &mut self.actions,
            );
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.session.next_timeout()
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.next_timeout().is_some_and(|deadline| deadline <= now) {
            self.session.handle_timeout(now, &mut self.actions);
            let next = self.next_timeout();
            assert!(next.is_none_or(|next| next > now), "a deadline that is over stays");
        }
    }

    pub(super) fn disturb(&mut self, now: Instant, operand: u8) {
        let actions = &mut self.actions;
        match operand % 8 {
            0 => self.session.start_drain(now, actions),
            1 => self.session.handle_event(now, Event::Down { error: error() }, actions),
            2 => {
                let violation = Violation::TextNotUtf8;
                self.session.handle_violation(now, violation, actions);
            }
            3 => {
                self.session.handle_gone(now, actions);
                actions.frames.clear();
                actions.close = None;
                self.is_closed = true;
            }
            _ => {
                let subscription = SubscriptionId(u64::from(operand / 8));
                let canceled = Event::Canceled { subscription, error: error() };
                self.session.handle_event(now, canceled, actions);
            }
        }
    }

    /// What must hold after each operation; `on_way` takes what is for the other session.
    pub(super) fn check(&mut self, now: Instant, mut on_way: impl FnMut(Request)) {
        self.check_actions(&mut on_way);
        while std::mem::take(&mut self.actions.more_input) {
            self.session.resume_input(now, &mut self.actions);
            self.check_actions(&mut on_way);
        }
    }

    fn check_actions(&mut self, on_way: &mut impl FnMut(Request)) {
        for request in self.actions.peers.drain(..) {
            assert!(self.has_asked, "something for others before the login");
            on_way(request);
        }
        for shared in std::mem::take(&mut self.actions.shared) {
            self.share(shared);
        }
        assert!(!self.is_closed || self.actions.is_empty(), "something after the close");
        if self.actions.auth.take().is_some() {
            assert!(!std::mem::replace(&mut self.has_asked, true), "a second login");
            self.awaits_login = true;
        }
        self.actions.established = None;
        for frame in std::mem::take(&mut self.actions.frames) {
            let is_text = frame.kind == FrameKind::Text;
            assert_eq!(is_text, self.serializer.is_text());
            let message = Message::decode(self.serializer, &frame.bytes, &Limits::DEFAULT);
            self.check_message(&message.expect("a message"));
        }
        for command in std::mem::take(&mut self.actions.commands) {
            assert!(self.has_asked, "a command before the login");
            match command {
                Command::Publish { token, confirm, .. } => {
                    self.note(token, confirm.then_some(Awaited::Confirmed));
                }
                other => panic!("{other:?}"),
            }
        }
        self.is_closed |= self.actions.close.take().is_some();
        if self.is_closed {
            assert_eq!(self.session.next_timeout(), None);
            assert!(self.shared.is_empty(), "nothing may come after the close");
        }
    }

    fn check_message(&mut self, message: &Message) {
        let [_, invocation, registration, subscription] = &mut self.latest;
        match message {
            Message::Welcome(_) | Message::Challenge(_) => assert_eq!(self.asked.len(), 0),
            Message::Abort(_) => assert!(self.actions.close.is_some(), "ABORT is the end"),
            Message::Goodbye(_) => self.is_leaving = true,
            Message::Published(it) => self.answered(it.request.get(), RequestType::PUBLISH),
            Message::Subscribed(it) => {
                *subscription = it.subscription.get();
                self.subscriptions.insert(*subscription);
                self.answered(it.request.get(), RequestType::SUBSCRIBE);
            }
            Message::Registered(it) => {
                *registration = it.registration.get();
                self.answered(it.request.get(), RequestType::REGISTER);
            }
            Message::Unsubscribed(it) => {
                if let Some(request) = it.request {
                    self.answered(request.get(), RequestType::UNSUBSCRIBE);
                }
            }
            Message::Unregistered(it) => {
                if let Some(request) = it.request {
                    self.answered(request.get(), RequestType::UNREGISTER);
                }
            }
            Message::CallResult(it) => {
                let request = it.request.get();
                assert_eq!(self.asked.get(&request), Some(&RequestType::CALL), "{message:?}");
                if it.details.progress != Some(true) {
                    self.answered(request, RequestType::CALL);
                }
            }
            Message::Error(it) => self.answered(it.request.get(), it.request_type),
            Message::Invocation(it) => {
                let request = it.request.get();
                if request == *invocation + 1 {
                    *invocation = request;
                    self.running.insert(request);
                } else {
                    assert!(self.running.contains(&request), "no part of what is over");
                }
            }
            Message::Interrupt(it) => {
                assert!(self.running.contains(&it.request.get()), "{message:?}");
            }
            // What the broker has does not pass through the session; what the realm has does.
            Message::Event(it) => {
                assert!(self.subscriptions.contains(&it.subscription.get()), "{message:?}");
            }
            other => panic!("a message of a client: {other:?}"),
        }
    }

    fn answered(&mut self, request: u64, kind: RequestType) {
        assert_eq!(self.asked.remove(&request), Some(kind), "an answer to what was asked, once");
    }

    fn note(&mut self, token: Token, awaited: Option<Awaited>) {
        assert!(self.tokens.insert(token), "a token is used once");
        self.waiting.extend(awaited.map(|awaited| (token, awaited)));
    }

    fn share(&mut self, shared: Shared) {
        match shared {
            Shared::Join { token, subscription, .. } => {
                self.note(token, Some(Awaited::Subscribed));
                assert!(self.shared.insert(subscription), "a subscription id is used once");
            }
            Shared::Leave { token, subscription } => {
                self.note(token, Some(Awaited::Unsubscribed));
                assert!(self.shared.remove(&subscription), "it was joined, and left once");
            }
            Shared::LeaveAll => self.shared.clear(),
        }
    }

    /// At the end: every call of a client that is still in has been answered.
    pub(super) fn assert_nothing_waits(&self) {
        if !self.is_closed && !self.is_leaving {
            let calls: Vec<_> =
                self.asked.iter().filter(|(_, kind)| **kind == RequestType::CALL).collect();
            assert!(calls.is_empty(), "calls that nobody answers: {calls:?}");
        }
    }
}

fn error() -> BrokerError {
    BrokerError::new(BrokerErrorKind::NotFound, "NOT_FOUND - no such thing")
}
