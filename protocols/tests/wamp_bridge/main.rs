//! A bridge between the sessions of a realm and the broker: what it claims, what leaves by it, and what
//! comes by it.

mod claims;
mod incoming;
mod outgoing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::broker::{
    Command, DeliveryTag, Event, Message, Properties, Publication, SubscriptionId, Token, Value,
};
use protocols::text::Text;
use protocols::wamp::bridge::{Bridge, Form, Output, Route, Settings};
use protocols::wamp::id::Id;
use protocols::wamp::message::{Feature, Features, InvokePolicy, MatchPolicy};
use protocols::wamp::peers::Realms;
use protocols::wamp::pubsub::Trust;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Callee, NodeId, Registry, SessionAt, Timestamp};
use protocols::wamp::rpc;
use protocols::wamp::serializer::Limits;
use protocols::wamp::uri::{Pattern, UriRules};

const NODE: NodeId = NodeId(1);

/// What is registered: `here.a`, by session 5.
#[derive(Debug)]
struct Realm(Arc<Registry>);

impl Realms for Realm {
    fn node(&self) -> NodeId {
        NODE
    }

    fn registry(&self, realm: &str) -> Option<Arc<Registry>> {
        (realm == "realm1").then(|| Arc::clone(&self.0))
    }
}

fn id(value: u64) -> Id {
    Id::new(value).expect("an ID")
}

fn at(session: u64) -> SessionAt {
    SessionAt { node: NODE, session: id(session) }
}

fn callee(session: u64) -> Callee {
    Callee {
        at: at(session),
        registered: Timestamp(1),
        wants_caller: true,
        keeps_timeouts: false,
        concurrency: None,
        features: Features::of(&[Feature::CallCanceling]),
    }
}

fn exact(uri: &str) -> Pattern {
    Pattern { policy: MatchPolicy::Exact, uri: uri.into() }
}

fn registry() -> Registry {
    let mut registry = Registry::new("realm1".into());
    registry.register(exact("here.a"), InvokePolicy::Single, callee(5), None).expect("free");
    registry.with_fallback(callee(9))
}

fn routes() -> Vec<Route> {
    let route = |uri: &'static str, exchange: &'static str, form| Route {
        uri: uri.into(),
        exchange: exchange.into(),
        key: "worker".into(),
        form,
        timeout: Duration::from_secs(5),
    };
    vec![
        route("route.envelope", "", Form::Envelope),
        route("route.json", "workers", Form::JsonFirstArg),
        route("route.raw", "", Form::RawFirstArg),
        route("route.kwargs", "", Form::KwargsObject),
    ]
}

/// A bridge, with a clock of its own and what has come out of it.
struct World {
    bridge: Bridge,
    now: Instant,
    output: Output,
    /// What the last message that was published is answered by.
    correlation: Option<Text>,
}

impl World {
    fn closed() -> Self {
        let settings = Settings {
            realm: "realm1".into(),
            at: at(9),
            trust: Trust { own: "gateway".into(), others: vec!["other".into()] },
            uris: UriRules::default(),
            limits: Limits::DEFAULT,
            rpc: rpc::Settings { most_calls: 3, ..rpc::Settings::default() },
            random: [7; 32],
        };
        let principal = Principal {
            session: id(9),
            authid: "gateway".into(),
            authrole: "gateway".into(),
            authmethod: "bridge",
            authprovider: "broker",
        };
        let realm = Arc::new(Realm(Arc::new(registry())));
        let bridge = Bridge::new(settings, Arc::new(principal), realm, routes());
        Self { bridge, now: epoch(), output: Output::default(), correlation: None }
    }

    /// With a link, on which everything has been answered.
    fn open() -> Self {
        let mut world = Self::closed();
        world.link();
        world
    }

    fn link(&mut self) {
        self.bridge.on_link(&mut self.output);
        let commands = self.commands();
        for command in &commands[..4] {
            match command {
                Command::DeclareExchange { token, .. } => {
                    self.event(Event::Declared { token: *token });
                }
                Command::Subscribe { token, .. } => self.event(Event::Subscribed { token: *token }),
                other => panic!("{other:?}"),
            }
        }
        assert!(self.bridge.is_open());
        // What is claimed anew.
        self.output.commands.extend(commands.into_iter().skip(4));
    }

    fn event(&mut self, event: Event) {
        self.bridge.on_event(self.now, event, &mut self.output);
    }

    /// What the broker is asked, but for settling.
    fn commands(&mut self) -> Vec<Command> {
        let is_asked = |command: &Command| !matches!(command, Command::Settle { .. });
        self.output.commands.drain(..).filter(is_asked).collect()
    }

    /// The one message that is published.
    fn published(&mut self) -> (Token, protocols::broker::Address, Message) {
        match self.commands().as_slice() {
            [Command::Publish { token, to, message, .. }] => {
                self.correlation = message.properties.correlation_id.clone();
                (*token, to.clone(), message.clone())
            }
            other => panic!("one message, not {other:?}"),
        }
    }

    /// A message comes.
    fn deliver(&mut self, subscription: SubscriptionId, message: Message, redelivered: bool) {
        let publication = Arc::new(Publication {
            exchange: "wamp.rpc".into(),
            routing_key: "here.a".into(),
            message,
        });
        let tag = DeliveryTag(1);
        let before = self.output.commands.len();
        self.event(Event::Delivery { subscription, tag, redelivered, publication });
        let settled = &self.output.commands[before];
        assert!(matches!(settled, Command::Settle { subscription: it, .. } if *it == subscription));
    }
}

fn epoch() -> Instant {
    use std::sync::OnceLock;
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "an instant to count from; nothing depends on which"
    )]
    *EPOCH.get_or_init(Instant::now)
}

fn message(content_type: Option<&'static str>, body: impl Into<Bytes>) -> Message {
    let content_type = content_type.map(Text::from_static);
    Message { body: body.into(), properties: Properties { content_type, ..Properties::default() } }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a Value> {
    message.properties.headers.iter().find(|(known, _)| *known == *name).map(|(_, value)| value)
}
