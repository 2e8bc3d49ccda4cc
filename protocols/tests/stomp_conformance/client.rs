//! A client as the tests speak: a [`Pair`], the version it connected with, and what tests ask of
//! both over and over.

use std::sync::Arc;
use std::time::Duration;

use protocols::auth::{AuthReply, AuthRequest, Grant};
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, Message, Outcome, Publication,
    SubscriptionId, Token,
};
use protocols::policy::Policy;
use protocols::session::{Close, CloseCause, CloseCode, FrameKind};
use protocols::stomp::Stomp;

pub(crate) use crate::pair::{Pair, SESSION_ID};
pub(crate) use crate::wire::{WireFrame, frame};

pub(crate) struct Client {
    pub(crate) pair: Pair,
}

/// ERROR and close, as they must come together.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: WireFrame,
    pub(crate) close: Close,
}

impl Client {
    /// Before CONNECT.
    pub(crate) fn new() -> Self {
        Self::with_policy(Policy::default())
    }

    pub(crate) fn with_policy(policy: Policy) -> Self {
        Self { pair: Pair::open(&Stomp, None, policy) }
    }

    /// Logged in, CONNECTED looked at.
    pub(crate) fn connected(version: &str) -> Self {
        Self::connected_with(version, Policy::default())
    }

    pub(crate) fn connected_with(version: &str, policy: Policy) -> Self {
        let mut client = Self::with_policy(policy);
        client.send("CONNECT", &[("accept-version", version), ("host", "/")]);
        let connected = client.granted();
        assert_eq!(connected.header("version"), Some(version));
        client
    }

    /// Connects with these headers; the CONNECTED that follows.
    pub(crate) fn connect(&mut self, headers: &[(&str, &str)]) -> WireFrame {
        self.send("CONNECT", headers);
        self.granted()
    }

    /// Sends a frame without a body, as text.
    pub(crate) fn send(&mut self, verb: &str, headers: &[(&str, &str)]) {
        self.send_body(verb, headers, b"");
    }

    pub(crate) fn send_body(&mut self, verb: &str, headers: &[(&str, &str)], body: &[u8]) {
        let kind =
            if std::str::from_utf8(body).is_ok() { FrameKind::Text } else { FrameKind::Binary };
        self.pair.input(kind, frame(verb, headers, body));
    }

    /// Raw bytes, as one binary unit.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.pair.input(FrameKind::Binary, bytes.to_vec());
    }

    /// The login that was asked for.
    pub(crate) fn login(&mut self) -> AuthRequest {
        self.pair.auth.take().expect("a login is asked for")
    }

    /// Grants the login that was asked for; the CONNECTED that follows.
    pub(crate) fn granted(&mut self) -> WireFrame {
        self.login();
        self.grant();
        let connected = self.frame();
        assert_eq!(connected.verb, "CONNECTED");
        connected
    }

    pub(crate) fn grant(&mut self) {
        let grant = Grant { user: "guest".into(), vhost: "/".into() };
        self.pair.reply(AuthReply::Granted(grant));
    }

    /// The frames sent since the last look. Heart-beats are not among them: see `beats`.
    pub(crate) fn frames(&mut self) -> Vec<WireFrame> {
        let units: Vec<_> = self.pair.frames.drain(..).collect();
        units.iter().filter(|unit| unit.bytes != "\n").map(WireFrame::read).collect()
    }

    /// The one frame sent since the last look.
    pub(crate) fn frame(&mut self) -> WireFrame {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1, "{frames:#?} {:?}", self.pair.close);
        frames.remove(0)
    }

    /// How many heart-beats were sent since the last look; nothing else was.
    pub(crate) fn beats(&mut self) -> usize {
        let units: Vec<_> = self.pair.frames.drain(..).collect();
        assert!(units.iter().all(|unit| unit.bytes == "\n"), "{units:?}");
        units.len()
    }

    /// The commands given to the broker since the last look.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        self.pair.commands.drain(..).collect()
    }

    /// The one command given since the last look.
    pub(crate) fn command(&mut self) -> Command {
        let mut commands = self.commands();
        assert_eq!(commands.len(), 1, "{commands:#?}, frames {:#?}", self.frames());
        commands.remove(0)
    }

    /// The one publish since the last look: its token, and whether it is to be confirmed.
    pub(crate) fn publish(&mut self) -> (Token, bool) {
        match self.command() {
            Command::Publish { token, confirm, mandatory: false, .. } => (token, confirm),
            other => panic!("a publish, not {other:?}"),
        }
    }

    /// The message of the one publish since the last look.
    pub(crate) fn message(&mut self) -> Message {
        match self.command() {
            Command::Publish { message, .. } => message,
            other => panic!("a publish, not {other:?}"),
        }
    }

    pub(crate) fn confirm(&mut self, token: Token, outcome: Outcome) {
        self.pair.event(Event::Confirmed { token, outcome });
    }

    /// The receipts sent since the last look; nothing else was.
    pub(crate) fn receipts(&mut self) -> Vec<String> {
        let receipt = |frame: WireFrame| {
            assert_eq!(frame.verb, "RECEIPT", "{frame:?}");
            frame.header("receipt-id").expect("a receipt-id").to_owned()
        };
        self.frames().into_iter().map(receipt).collect()
    }

    /// Subscribes to `/queue/a`, and lets the broker agree.
    pub(crate) fn subscribe(&mut self, id: &str, ack: &str) -> SubscriptionId {
        self.send("SUBSCRIBE", &[("id", id), ("destination", "/queue/a"), ("ack", ack)]);
        self.agree()
    }

    /// The broker agrees to the SUBSCRIBE that was sent last.
    pub(crate) fn agree(&mut self) -> SubscriptionId {
        match self.command() {
            Command::Subscribe { token, subscription, .. } => {
                self.pair.event(Event::Subscribed { token });
                subscription
            }
            other => panic!("a subscribe, not {other:?}"),
        }
    }

    /// The broker delivers a message of the default exchange; the MESSAGE that follows.
    pub(crate) fn deliver(&mut self, subscription: SubscriptionId, tag: u64) -> WireFrame {
        self.event_delivery(subscription, tag, Message::default());
        let message = self.frame();
        assert_eq!(message.verb, "MESSAGE");
        message
    }

    pub(crate) fn event_delivery(
        &mut self,
        subscription: SubscriptionId,
        tag: u64,
        message: Message,
    ) {
        let publication =
            Arc::new(Publication { exchange: "".into(), routing_key: "a".into(), message });
        let (tag, redelivered) = (DeliveryTag(tag), false);
        self.pair.event(Event::Delivery { subscription, tag, redelivered, publication });
    }

    /// The settlements since the last look, as (tag, verdict, cumulative); nothing else was asked.
    pub(crate) fn settlements(&mut self) -> Vec<(u64, protocols::broker::Verdict, bool)> {
        let settlement = |command| match command {
            Command::Settle { up_to, verdict, cumulative, .. } => (up_to.0, verdict, cumulative),
            other => panic!("a settlement, not {other:?}"),
        };
        self.commands().into_iter().map(settlement).collect()
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.pair.advance(Duration::from_millis(millis));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pair.close.is_none()
    }

    /// The session has ended with an ERROR, and sent nothing else since the last look.
    pub(crate) fn refusal(&mut self) -> Refusal {
        let error = self.frame();
        assert_eq!(error.verb, "ERROR");
        assert_eq!(error.header("content-type"), Some("text/plain"));
        assert!(!error.body.is_empty(), "a sentence");
        let close = self.pair.close.clone().expect("closed after an ERROR");
        let sentence = std::str::from_utf8(&error.body).expect("a sentence");
        let message = error.header("message").expect("a short message");
        assert_eq!(close.reason, *format!("{message}: {sentence}"));
        Refusal { error, close }
    }

    /// As [`refusal`](Self::refusal), with this short message, for a violation of this code.
    pub(crate) fn violation(&mut self, message: &str, code: CloseCode) -> WireFrame {
        let Refusal { error, close } = self.refusal();
        assert_eq!(error.header("message"), Some(message), "{error:?}");
        assert_eq!(close.code, code, "{error:?}");
        assert!(matches!(close.cause, CloseCause::Violation(_)), "{close:?}");
        error
    }

    /// As [`violation`](Self::violation), of the policy.
    pub(crate) fn policy_violation(&mut self, message: &str) -> WireFrame {
        self.violation(message, CloseCode::Policy)
    }
}

pub(crate) fn not_found() -> BrokerError {
    BrokerError::new(BrokerErrorKind::NotFound, "NOT_FOUND - no queue 'a' in vhost '/'")
}

/// The body of a frame as text.
pub(crate) fn sentence(frame: &WireFrame) -> &str {
    std::str::from_utf8(&frame.body).unwrap()
}
