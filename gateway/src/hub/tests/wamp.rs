//! Sessions of WAMP on the hub: what is joined as a pattern of AMQP is narrowed to what was subscribed to,
//! and an event comes to those it is for, and after SUBSCRIBED.

use protocols::session::Actions;
use protocols::wamp::access::{Action, Disclosure};
use protocols::wamp::id::Id;
use protocols::wamp::message::{
    Choice, MatchPolicy, Message, Publish, PublishOptions, Subscribe, SubscribeOptions,
};
use protocols::wamp::payload::Payload;
use protocols::wamp::pubsub::{Access, Most, PubSub, Realm, Trust};
use protocols::wamp::realm::Principal;
use protocols::wamp::serializer::{Limits, Serializer};
use protocols::wamp::uri::Pattern;

use super::*;

struct Anything;

impl Access for Anything {
    fn may(&self, _: Action, _: &Pattern) -> bool {
        true
    }

    fn disclosure(&self, _: &str) -> Disclosure {
        Disclosure::Allow
    }
}

/// A session, on the hub and with a link of its own.
struct Peer {
    pubsub: PubSub,
    session: Session,
    link: Box<dyn Link>,
    serializer: Serializer,
    actions: Actions,
    requests: u64,
}

impl Peer {
    async fn new(world: &World, serializer: Serializer, session: u64, authid: &str) -> Self {
        let trust = Trust { own: "ann".into(), others: Vec::new() };
        let realm = Realm::new("realm1", trust);
        let principal = Principal {
            session: id(session),
            authid: authid.into(),
            authrole: "any".into(),
            authmethod: "anonymous",
            authprovider: "static",
        };
        let most = Most { subscriptions: 10, unanswered: 10 };
        Self {
            pubsub: PubSub::new(Arc::new(realm), Arc::new(principal), serializer, most),
            session: world.session(),
            link: world.link().await.0,
            serializer,
            actions: Actions::default(),
            requests: 0,
        }
    }

    fn request(&mut self) -> Id {
        self.requests += 1;
        id(self.requests)
    }

    /// Asks for a subscription, and does not wait for it.
    fn ask(&mut self, policy: MatchPolicy, topic: &str) {
        let match_policy = Some(Choice::Known(policy));
        let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
        let subscribe = Subscribe { request: self.request(), options, topic: topic.into() };
        let names = (Token(self.requests), SubscriptionId(self.requests));
        let asked = self.pubsub.on_subscribe(&subscribe, &Anything, names, &mut self.actions);
        assert_eq!(asked, Ok(None));
        for shared in self.actions.shared.drain(..) {
            self.session.share.apply(shared);
        }
    }

    async fn subscribe(&mut self, policy: MatchPolicy, topic: &str) {
        self.ask(policy, topic);
        assert!(matches!(self.next().await, Message::Subscribed(_)));
    }

    /// Publishes, and waits until the broker has it.
    async fn publish(&mut self, topic: &str, options: PublishOptions) {
        let options = PublishOptions { acknowledge: Some(true), ..options };
        let payload = Payload::of_text(self.serializer, topic);
        let publish = Publish { request: self.request(), options, topic: topic.into(), payload };
        let names = ([Token(self.requests), Token(1_000 + self.requests)], self.requests);
        self.pubsub.on_publish(&publish, &Anything, names, &mut self.actions).unwrap();
        for command in self.actions.commands.drain(..) {
            self.link.submit(command);
        }
        loop {
            let event = poll_fn(|cx| self.link.poll_event(cx)).await;
            let answers = self.pubsub.on_event(&event).unwrap();
            match &answers[..] {
                [Message::Published(_)] => return,
                // That the exchange is there is not told.
                [] => assert!(matches!(event, Event::Declared { .. }), "{event:?}"),
                _ => panic!("{answers:?}"),
            }
        }
    }

    /// What comes to the peer next.
    async fn next(&mut self) -> Message {
        match self.session.received().await {
            Received::Event(event) => self.pubsub.on_event(&event).unwrap().remove(0),
            Received::Frame(frame, _) => {
                Message::decode(self.serializer, &frame.bytes, &Limits::DEFAULT).unwrap()
            }
        }
    }

    /// The topics of the next events, which their arguments say.
    async fn events(&mut self, count: usize) -> Vec<String> {
        let mut topics = Vec::new();
        for _ in 0..count {
            let Message::Event(event) = self.next().await else { panic!("an event") };
            let payload = event.payload.transcoded(Serializer::Json, &Limits::DEFAULT).unwrap();
            topics.push(String::from_utf8(payload.args.unwrap().to_vec()).unwrap());
        }
        topics
    }
}

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_wamp_subscribes_to_is_narrower_than_what_is_joined_for_it() {
    let world = World::new();
    let mut json = Peer::new(&world, Serializer::Json, 1, "one").await;
    json.subscribe(MatchPolicy::Prefix, "com.app.emer").await;
    let mut cbor = Peer::new(&world, Serializer::Cbor, 2, "two").await;
    cbor.subscribe(MatchPolicy::Prefix, "com.app.").await;
    let mut publisher = Peer::new(&world, Serializer::MsgPack, 3, "three").await;
    for topic in ["com.app.emergency", "com.app.news", "com.app", "com.app.emer.low"] {
        publisher.publish(topic, PublishOptions::default()).await;
    }
    let fitting = [r#"["com.app.emergency"]"#, r#"["com.app.emer.low"]"#];
    assert_eq!(json.events(2).await, fitting);
    json.session.nothing().await;
    let fitting = [fitting[0], r#"["com.app.news"]"#, fitting[1]];
    assert_eq!(cbor.events(3).await, fitting);
    cbor.session.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_comes_to_those_it_is_for() {
    let world = World::new();
    let mut peers = Vec::new();
    for (session, authid) in [(1, "one"), (2, "two"), (3, "two")] {
        let mut peer = Peer::new(&world, Serializer::Json, session, authid).await;
        peer.subscribe(MatchPolicy::Exact, "a").await;
        peers.push(peer);
    }
    let none = PublishOptions::default;
    let users = |user: &str| Some(vec![user.into()]);
    for (options, expected) in [
        (none(), [0, 1, 1]),
        (PublishOptions { exclude_me: Some(false), ..none() }, [1, 1, 1]),
        (PublishOptions { exclude: Some(vec![id(2)]), ..none() }, [0, 0, 1]),
        (PublishOptions { eligible_authid: users("one"), ..none() }, [0, 0, 0]),
        (PublishOptions { eligible_authid: users("two"), ..none() }, [0, 1, 1]),
    ] {
        peers[0].publish("a", options).await;
        for (peer, count) in peers.iter_mut().zip(expected) {
            assert_eq!(peer.events(count).await, vec![r#"["a"]"#; count]);
            peer.session.nothing().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn subscribed_comes_before_the_first_event() {
    let world = World::new();
    let mut publisher = Peer::new(&world, Serializer::Json, 1, "one").await;
    let mut first = Peer::new(&world, Serializer::Json, 2, "two").await;
    first.subscribe(MatchPolicy::Exact, "a").await;
    for session in 3..20 {
        let mut peer = Peer::new(&world, Serializer::Cbor, session, "three").await;
        publisher.publish("a", PublishOptions::default()).await;
        peer.ask(MatchPolicy::Exact, "a");
        publisher.publish("a", PublishOptions::default()).await;
        settled().await;
        assert!(matches!(peer.next().await, Message::Subscribed(_)));
        publisher.publish("a", PublishOptions::default()).await;
        assert!(matches!(peer.next().await, Message::Event(_)));
    }
}
