//! WAMP §Publish and Subscribe, as far as one session's broker role goes: requests and answers of a
//! [`PubSub`], and the events that its encoders write, in all serializers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod event;
mod properties;
mod publish;
mod restricted;
mod subscribe;

use std::sync::Arc;

use bytes::Bytes;
use protocols::broker::{
    Address, Command, Event, Message as Body, Publication, SubscriptionId, Token,
};
use protocols::delivery::{DeliveryEncoder, SharedDelivery};
use protocols::session::{Actions, FrameKind, Shared};
use protocols::text::Text;
use protocols::wamp::access::{Action, Disclosure};
use protocols::wamp::id::Id;
use protocols::wamp::message::{
    Choice, MatchPolicy, Message, Publish, PublishOptions, Subscribe, SubscribeOptions, Unsubscribe,
};
use protocols::wamp::payload::Payload;
use protocols::wamp::pubsub::{Access, Most, PubSub, Realm, Trust};
use protocols::wamp::realm::Principal;
use protocols::wamp::refusal::{Reason, Refusal};
use protocols::wamp::serializer::{Limits, Serializer};
use protocols::wamp::uri::Pattern;

const GATEWAY: &str = "gateway";

/// The token of a declaration is this and the number of its request.
const DECLARATION: u64 = 500;

/// All that is not denied, either way.
#[derive(Debug, Clone, Copy)]
struct Rules {
    denied: &'static str,
    disclosure: Disclosure,
}

impl Access for Rules {
    fn may(&self, _: Action, pattern: &Pattern) -> bool {
        pattern.uri != self.denied
    }

    fn disclosure(&self, _: &str) -> Disclosure {
        self.disclosure
    }
}

/// A session, and what it has asked for.
#[derive(Debug)]
struct Client {
    pubsub: PubSub,
    serializer: Serializer,
    rules: Rules,
    actions: Actions,
    tokens: u64,
    requests: Id,
}

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

fn realm() -> Realm {
    let trust = Trust { own: GATEWAY.into(), others: vec!["other-gateway".into()] };
    Realm::new("realm1", trust)
}

fn principal(session: u64, authid: &str, authrole: &str) -> Principal {
    Principal {
        session: id(session),
        authid: authid.into(),
        authrole: authrole.into(),
        authmethod: "anonymous",
        authprovider: "static",
    }
}

impl Client {
    fn new(serializer: Serializer) -> Self {
        Self::of(serializer, principal(7, "ann", "staff"), realm())
    }

    fn of(serializer: Serializer, principal: Principal, realm: Realm) -> Self {
        let most = Most { subscriptions: 3, unanswered: 4 };
        let pubsub = PubSub::new(Arc::new(realm), Arc::new(principal), serializer, most);
        let rules = Rules { denied: "denied", disclosure: Disclosure::Allow };
        let (actions, requests) = (Actions::default(), Id::MIN);
        Self { pubsub, serializer, rules, actions, tokens: 0, requests }
    }

    fn request(&mut self) -> Id {
        let request = self.requests;
        self.requests = request.next();
        request
    }

    /// The token of a request is its number.
    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn subscribe_with(
        &mut self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Option<Message>, Refusal> {
        let request = self.request();
        let names = (self.token(), SubscriptionId(self.tokens));
        let subscribe = Subscribe { request, options, topic: topic.into() };
        self.pubsub.on_subscribe(&subscribe, &self.rules, names, &mut self.actions)
    }

    fn subscribe(&mut self, policy: MatchPolicy, topic: &str) -> Result<Option<Message>, Refusal> {
        let match_policy = Some(Choice::Known(policy));
        self.subscribe_with(topic, SubscribeOptions { match_policy, ..Default::default() })
    }

    fn unsubscribe(&mut self, subscription: Id) -> Result<Option<Message>, Refusal> {
        let request = self.request();
        let token = self.token();
        let unsubscribe = Unsubscribe { request, subscription };
        self.pubsub.on_unsubscribe(&unsubscribe, token, &mut self.actions)
    }

    fn publish(&mut self, topic: &str, options: PublishOptions) -> Result<(), Refusal> {
        self.publish_args(topic, options, "[]")
    }

    /// Publishes arguments that are written in JSON here, and in the client's serializer there.
    fn publish_args(
        &mut self,
        topic: &str,
        options: PublishOptions,
        args: &str,
    ) -> Result<(), Refusal> {
        let request = self.request();
        let token = self.token();
        let names = ([token, Token(DECLARATION + self.tokens)], 1000 + self.tokens);
        let json = Payload {
            serializer: Serializer::Json,
            args: Some(Bytes::copy_from_slice(args.as_bytes())),
            kwargs: None,
        };
        let payload = json.transcoded(self.serializer, &Limits::DEFAULT).unwrap();
        let publish = Publish { request, options, topic: topic.into(), payload };
        self.pubsub.on_publish(&publish, &self.rules, names, &mut self.actions)
    }

    fn on(&mut self, event: &Event) -> Vec<Message> {
        self.pubsub.on_event(event).expect("it was asked for")
    }

    /// The join that was asked for last.
    fn joined(&mut self) -> (Token, SubscriptionId, Text, Arc<dyn DeliveryEncoder>) {
        match self.actions.shared.pop() {
            Some(Shared::Join { token, subscription, topic, encoder }) => {
                (token, subscription, topic, encoder)
            }
            other => panic!("a join, not {other:?}"),
        }
    }

    /// What a subscription to this gets its frames from.
    fn encoder(&mut self, policy: MatchPolicy, topic: &str) -> Arc<dyn DeliveryEncoder> {
        assert_eq!(self.subscribe(policy, topic), Ok(None));
        let (token, _, _, encoder) = self.joined();
        self.on(&Event::Subscribed { token });
        encoder
    }

    /// What was published last, as the broker delivers it.
    fn published(&mut self) -> Publication {
        let Some(Command::Publish { to, message, .. }) = self.actions.commands.pop() else {
            panic!("a publish")
        };
        let (exchange, routing_key) = match to {
            Address::Topic(key) => ("amq.topic".into(), key),
            Address::Exchange { name, key } => (name, key),
            other => panic!("a topic, not {other:?}"),
        };
        Publication { exchange, routing_key, message }
    }
}

/// A message of somebody who is no gateway.
fn foreign(routing_key: &str, message: Body) -> Publication {
    Publication { exchange: "amq.topic".into(), routing_key: routing_key.into(), message }
}

fn encode(
    encoder: &dyn DeliveryEncoder,
    publication: &Publication,
) -> Result<(FrameKind, Bytes), String> {
    let delivery = SharedDelivery { inbox: "i", sequence: 1, redelivered: false, publication };
    encoder.encode(&delivery).map_err(|error| error.to_string())
}

/// The frame of a message that is for everybody in JSON.
fn json_of(encoder: &dyn DeliveryEncoder, publication: &Publication) -> String {
    assert!(encoder.fits(publication) && encoder.accepts(publication));
    let (kind, bytes) = encode(encoder, publication).unwrap();
    assert_eq!(kind, FrameKind::Text);
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn in_json(message: &Message) -> String {
    let bytes = message.encode(Serializer::Json, &Limits::DEFAULT).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, reason: Reason) {
    assert_eq!(outcome.unwrap_err().reason, reason);
}
