//! The hub in front of the embedded broker, in virtual time: who gets what, when topics are bound, and
//! what happens to those who are slow.

mod restricted;
mod wamp;

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

use broker_adapters::Link;
use broker_adapters::embedded::{self, Embedded, User};
use bytes::Bytes;
use protocols::auth::{Credentials, Secret};
use protocols::broker::{
    Address, Command, Event, Message, Outcome, Properties, Publication, SubscriptionId, Token,
    Value,
};
use protocols::delivery::{DeliveryEncoder, FormatKey, SharedDelivery, Unwritable};
use protocols::session::{FrameKind, Shared};
use tokio::time::advance;

use super::outbox::Overflow;
use super::share::{Pending, Received, Share};
use super::topics::LINGER;
use super::*;

/// Frames are the key of the message and its body.
#[derive(Debug)]
struct Plain(FormatKey);

impl DeliveryEncoder for Plain {
    fn key(&self) -> &FormatKey {
        &self.0
    }

    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        let publication = delivery.publication;
        let body = text(publication);
        let frame = format!("{} {}", publication.routing_key, body);
        Ok((FrameKind::Text, Bytes::from(frame)))
    }
}

/// As plain ones, but nobody gets a body that begins with `-`, a member gets none that begins with its
/// own name, and what begins with `?` cannot be written.
#[derive(Debug)]
struct Choosy {
    plain: Plain,
    name: &'static str,
    /// How often something was written, by all of them.
    written: Arc<AtomicU64>,
}

impl DeliveryEncoder for Choosy {
    fn key(&self) -> &FormatKey {
        self.plain.key()
    }

    fn fits(&self, publication: &Publication) -> bool {
        !text(publication).starts_with('-')
    }

    fn is_choosy(&self) -> bool {
        true
    }

    fn accepts(&self, publication: &Publication) -> bool {
        !text(publication).starts_with(self.name)
    }

    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        if text(delivery.publication).starts_with('?') {
            return Err(Unwritable("nobody knows what to say".to_owned()));
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        self.plain.encode(delivery)
    }
}

fn text(publication: &Publication) -> Cow<'_, str> {
    String::from_utf8_lossy(&publication.message.body)
}

struct World {
    broker: Arc<Embedded>,
    hub: Arc<Hub>,
}

/// A session, and what it has been told.
struct Session {
    share: Share,
    next: u64,
}

impl World {
    fn new() -> Self {
        Self::with(embedded::Settings::default())
    }

    fn with(settings: embedded::Settings) -> Self {
        let user = |login: &str| User {
            login: login.into(),
            passcode: Secret::new("right"),
            vhosts: None,
        };
        let users = vec![user("ann"), user("bob")];
        let vhosts = vec!["/".into(), "/other".into()];
        let broker = Arc::new(Embedded::new(embedded::Settings { users, vhosts, ..settings }));
        let dynamic: Arc<dyn Broker> = broker.clone();
        Self { hub: Hub::new(dynamic, Settings::FOR_TESTS), broker }
    }

    fn session(&self) -> Session {
        self.session_of("ann", 1 << 20, Overflow::Disconnect)
    }

    fn session_of(&self, login: &str, bytes: usize, overflow: Overflow) -> Session {
        let place = Place { vhost: "/".into(), identity: identity(login) };
        let pending = Pending { bytes, overflow };
        Session { share: Share::new(Arc::clone(&self.hub), place, &pending), next: 0 }
    }

    async fn link(&self) -> Publisher {
        let opened = self.broker.open("/".into(), identity("ann")).await;
        Publisher(opened.unwrap_or_else(|denial| panic!("{denial:?}")), 0)
    }

    fn inboxes(&self) -> usize {
        self.hub.lock().0.values().map(Vec::len).sum()
    }
}

fn identity(login: &str) -> Identity {
    Credentials { login: login.into(), passcode: Secret::new("right") }.into()
}

/// Publishes, and says whether anybody wanted it.
struct Publisher(Box<dyn Link>, u64);

impl Publisher {
    async fn publish(&mut self, topic: &str, body: &str) -> bool {
        self.publish_with(topic, body, None).await
    }

    async fn publish_keyed(&mut self, topic: &str, body: &str, key: &str) -> bool {
        self.publish_with(topic, body, Some(("x-key", Value::Text(key.into())))).await
    }

    async fn publish_with(
        &mut self,
        topic: &str,
        body: &str,
        header: Option<(&str, Value)>,
    ) -> bool {
        self.publish_to(Address::Topic(topic.into()), body, header).await
    }

    async fn publish_to(&mut self, to: Address, body: &str, header: Option<(&str, Value)>) -> bool {
        self.1 += 1;
        let headers = header.map(|(name, value)| (Text::from(name), value));
        let properties =
            Properties { headers: headers.into_iter().collect(), ..Properties::default() };
        let message = Message { body: Bytes::copy_from_slice(body.as_bytes()), properties };
        self.0.submit(Command::Publish {
            token: Token(self.1),
            to,
            message,
            queue: None,
            confirm: true,
            mandatory: true,
        });
        match poll_fn(|cx| self.0.poll_event(cx)).await {
            Event::Confirmed { outcome, .. } => outcome == Outcome::Accepted,
            other => panic!("{other:?}"),
        }
    }
}

impl Session {
    fn ask(&mut self, topic: &str, format: &'static str) -> (Token, SubscriptionId) {
        self.ask_with(topic, Arc::new(Plain(FormatKey(format.as_bytes().into()))))
    }

    fn ask_with(
        &mut self,
        topic: &str,
        encoder: Arc<dyn DeliveryEncoder>,
    ) -> (Token, SubscriptionId) {
        self.next += 1;
        let (token, subscription) = (Token(self.next), SubscriptionId(self.next));
        self.share.apply(Shared::Join { token, subscription, topic: topic.into(), encoder });
        (token, subscription)
    }

    async fn join(&mut self, topic: &str) -> SubscriptionId {
        let (token, subscription) = self.ask(topic, "plain");
        assert!(self.share.is_joining());
        assert_eq!(self.event().await, Event::Subscribed { token });
        subscription
    }

    async fn leave(&mut self, subscription: SubscriptionId) {
        self.next += 1;
        let token = Token(self.next);
        self.share.apply(Shared::Leave { token, subscription });
        assert_eq!(self.event().await, Event::Unsubscribed { token });
    }

    async fn received(&mut self) -> Received {
        poll_fn(|cx| self.share.poll_next(cx)).await
    }

    async fn event(&mut self) -> Event {
        match self.received().await {
            Received::Event(event) => event,
            other @ Received::Frame(..) => panic!("an event, not {other:?}"),
        }
    }

    /// The next frame, and how many before it were dropped.
    async fn frame(&mut self) -> (String, u64) {
        match self.received().await {
            Received::Frame(frame, dropped) => {
                (String::from_utf8(frame.bytes.to_vec()).unwrap(), dropped)
            }
            Received::Event(event) => panic!("a frame, not {event:?}"),
        }
    }

    async fn frames(&mut self, count: usize) -> Vec<String> {
        let mut frames = Vec::new();
        for _ in 0..count {
            frames.push(self.frame().await.0);
        }
        frames
    }

    async fn nothing(&mut self) {
        settled().await;
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(self.share.poll_next(&mut cx).is_pending());
    }
}

/// Lets every task do what it can.
async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_identity_share_one_inbox_and_each_gets_each_message_once() {
    let world = World::new();
    let mut sessions: Vec<_> = (0..20).map(|_| world.session()).collect();
    for session in &mut sessions {
        session.join("news.*").await;
    }
    assert_eq!(world.inboxes(), 1);
    let mut publisher = world.link().await;
    for n in 0..100 {
        assert!(
            publisher.publish(if n % 2 == 0 { "news.a" } else { "news.b" }, &n.to_string()).await
        );
    }
    for session in &mut sessions {
        for n in 0..100 {
            let key = if n % 2 == 0 { "news.a" } else { "news.b" };
            assert_eq!(session.frame().await, (format!("{key} {n}"), 0));
        }
        session.nothing().await;
    }
    let mut other = world.session_of("bob", 1 << 20, Overflow::Disconnect);
    other.join("news.*").await;
    assert_eq!(world.inboxes(), 2, "identities do not share");
}

#[tokio::test(start_paused = true)]
async fn overlapping_topics_give_each_subscription_its_one_copy() {
    let world = World::new();
    let mut session = world.session();
    let mut other = world.session();
    for topic in ["news.#", "news.*", "news.a", "stock"] {
        session.join(topic).await;
    }
    other.join("*.a").await;
    let mut publisher = world.link().await;
    publisher.publish("news.a", "1").await;
    assert_eq!(session.frames(3).await, ["news.a 1"; 3]);
    assert_eq!(other.frames(1).await, ["news.a 1"]);
    publisher.publish("stock", "2").await;
    assert_eq!(session.frames(1).await, ["stock 2"]);
    session.nothing().await;
    other.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_fits_by_the_keys_of_its_copies_too() {
    let world = World::new();
    let mut session = world.session();
    for topic in ["#", "news", "stock.*", "gw.user.ann.a", "gw.user.bob.a"] {
        session.join(topic).await;
    }
    let mut publisher = world.link().await;
    let copies = ["stock.a", "news", "gw.user.ann.a"].map(|key| Value::Text(key.into()));
    let copies = Value::Array([vec![Value::Integer(1)], copies.to_vec()].concat());
    publisher.publish_with("news", "1", Some(("CC", copies))).await;
    assert_eq!(session.frames(4).await, ["news 1"; 4]);
    // RabbitMQ takes no other kind.
    let no_copies = Value::Text("stock.a".into());
    publisher.publish_with("news", "2", Some(("CC", no_copies))).await;
    assert_eq!(session.frames(2).await, ["news 2"; 2]);
    session.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn members_are_left_out_one_by_one_and_the_rest_shares_one_frame() {
    let world = World::new();
    let written = Arc::new(AtomicU64::new(0));
    let mut sessions = Vec::new();
    for name in ["a", "b", "ab"] {
        let mut session = world.session();
        let plain = Plain(FormatKey(b"choosy"[..].into()));
        let encoder = Arc::new(Choosy { plain, name, written: Arc::clone(&written) });
        let (token, _) = session.ask_with("news", encoder);
        assert_eq!(session.event().await, Event::Subscribed { token });
        sessions.push(session);
    }
    let mut takes_all = world.session();
    takes_all.join("news").await;
    let mut publisher = world.link().await;
    for body in ["for all", "b", "abc", "-", "?", "last"] {
        assert!(publisher.publish("news", body).await);
    }
    let all = ["news for all", "news b", "news abc", "news -", "news ?", "news last"];
    assert_eq!(takes_all.frames(6).await, all);
    let [a, b, ab] = &mut sessions[..] else { panic!("three") };
    assert_eq!(a.frames(3).await, ["news for all", "news b", "news last"]);
    assert_eq!(b.frames(3).await, ["news for all", "news abc", "news last"]);
    assert_eq!(ab.frames(3).await, ["news for all", "news b", "news last"]);
    for session in [a, b, ab] {
        session.nothing().await;
    }
    assert_eq!(written.load(Ordering::Relaxed), 4, "once for all who share");
    assert_eq!(world.hub.counters.unwritable.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_not_written() {
    let world = World::new();
    let written = Arc::new(AtomicU64::new(0));
    let mut session = world.session();
    let plain = Plain(FormatKey(b"choosy"[..].into()));
    let encoder = Arc::new(Choosy { plain, name: "a", written: Arc::clone(&written) });
    let (token, _) = session.ask_with("news", encoder);
    assert_eq!(session.event().await, Event::Subscribed { token });
    let mut publisher = world.link().await;
    for body in ["a", "-"] {
        publisher.publish("news", body).await;
    }
    session.nothing().await;
    assert_eq!(written.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_has_left_does_not_come_any_more() {
    let world = World::new();
    let mut session = world.session();
    let first = session.join("a").await;
    session.join("a").await;
    let mut publisher = world.link().await;
    publisher.publish("a", "1").await;
    settled().await;
    // Two frames wait; one of them is of what is left now.
    session.leave(first).await;
    assert_eq!(session.frames(1).await, ["a 1"]);
    publisher.publish("a", "2").await;
    assert_eq!(session.frames(1).await, ["a 2"]);
    session.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_before_its_answer_is_answered_all_the_same_and_in_order() {
    let world = World::new();
    let mut session = world.session();
    let (join, subscription) = session.ask("a", "plain");
    session.share.apply(Shared::Leave { token: Token(100), subscription });
    assert_eq!(session.event().await, Event::Subscribed { token: join });
    assert_eq!(session.event().await, Event::Unsubscribed { token: Token(100) });
    assert!(!session.share.is_joining());
    world.link().await.publish("a", "1").await;
    session.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_everything_gets_its_answers_and_nothing_else() {
    let world = World::new();
    let mut session = world.session();
    session.join("a").await;
    world.link().await.publish("a", "1").await;
    settled().await;
    let (join, _) = session.ask("b", "plain");
    session.share.apply(Shared::LeaveAll);
    assert!(session.share.is_joining());
    assert_eq!(session.event().await, Event::Subscribed { token: join });
    assert!(!session.share.is_joining());
    world.link().await.publish("b", "2").await;
    session.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_of_one_session_do_not_pile_up() {
    let world = World::new();
    let mut session = world.session();
    let mut asked = 0;
    let mut answered = 0;
    for turn in 0..200 {
        for topic in 0..5 {
            let (_, subscription) = session.ask(&format!("{turn}.{topic}"), "plain");
            session.share.apply(Shared::Leave { token: Token(1 << 32), subscription });
            asked += 2;
        }
        settled().await;
        while let Poll::Ready(received) =
            poll_fn(|cx| Poll::Ready(session.share.poll_next(cx))).await
        {
            assert!(matches!(received, Received::Event(_)), "{received:?}");
            answered += 1;
        }
    }
    assert_eq!(answered, asked);
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_is_displaced_rarely_and_within_its_bound() {
    const CAPACITY: usize = 64 << 10;
    for overflow in [Overflow::DropOldest, Overflow::Conflate("x-key".into())] {
        let world = World::new();
        let mut session = world.session_of("ann", CAPACITY, overflow.clone());
        session.join("a").await;
        let mut publisher = world.link().await;
        publisher.publish("a", "first").await;
        // One is taken, and what waits grows beyond the bound beside it.
        assert_eq!(session.frames(1).await, ["a first"]);
        let body = "x".repeat(100);
        for _ in 0..2_000 {
            publisher.publish("a", &body).await;
        }
        publisher.publish("a", "last").await;
        settled().await;
        let (mut frames, mut bytes, mut dropped) = (0, 0, 0);
        let mut last = String::new();
        while let Poll::Ready(received) =
            poll_fn(|cx| Poll::Ready(session.share.poll_next(cx))).await
        {
            if let Received::Frame(frame, before) = received {
                frames += 1;
                bytes += frame.bytes.len();
                dropped += before;
                last = String::from_utf8_lossy(&frame.bytes).into_owned();
            }
        }
        assert_eq!(last, "a last", "{overflow:?}");
        assert_eq!(frames + dropped, 2_001, "{overflow:?}");
        assert!(bytes < CAPACITY && bytes > CAPACITY / 10, "{overflow:?}: {bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_stays_bound_for_a_while_after_the_last_one_has_left() {
    let world = World::new();
    let mut session = world.session();
    let subscription = session.join("a").await;
    session.join("b").await;
    let mut publisher = world.link().await;
    session.leave(subscription).await;
    settled().await;
    assert!(publisher.publish("a", "to nobody").await, "it lingers");
    advance(LINGER / 2).await;
    let subscription = session.join("a").await;
    session.leave(subscription).await;
    advance(LINGER / 2 + Duration::from_millis(1)).await;
    settled().await;
    assert!(publisher.publish("a", "to nobody").await, "it lingers from the last leave on");
    advance(LINGER).await;
    settled().await;
    assert!(!publisher.publish("a", "to nobody").await);
    session.join("a").await;
    assert!(publisher.publish("a", "1").await);
    assert_eq!(session.frames(1).await, ["a 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_nobody_needs_goes_and_another_takes_its_place() {
    let world = World::new();
    for round in 0..3 {
        let mut session = world.session();
        session.join("a").await;
        assert_eq!(world.inboxes(), 1, "round {round}");
        drop(session);
        settled().await;
        for _ in 0..3 {
            advance(INBOX_LINGER).await;
            settled().await;
        }
        assert_eq!(world.inboxes(), 0, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_in_any_order_lose_nobody() {
    let world = World::new();
    let mut publisher = world.link().await;
    let mut stays = world.session();
    stays.join("a").await;
    for n in 0..200_u64 {
        let mut brief = world.session();
        let (token, subscription) = brief.ask("b", "plain");
        if n % 3 == 0 {
            // It leaves before it has an answer.
            drop(brief);
        } else {
            assert_eq!(brief.event().await, Event::Subscribed { token });
            assert!(publisher.publish("b", &n.to_string()).await);
            assert_eq!(brief.frames(1).await, [format!("b {n}")]);
            brief.leave(subscription).await;
        }
        if n % 7 == 0 {
            advance(LINGER + Duration::from_millis(1)).await;
        }
        publisher.publish("a", &n.to_string()).await;
        assert_eq!(stays.frames(1).await, [format!("a {n}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_ended_and_the_others_miss_nothing() {
    const MESSAGES: usize = 500;
    let world = World::new();
    let mut slow = world.session_of("ann", 4 << 10, Overflow::Disconnect);
    let subscription = slow.join("a").await;
    let mut good = world.session();
    good.join("a").await;
    let mut publisher = world.link().await;
    for n in 0..MESSAGES {
        publisher.publish("a", &n.to_string()).await;
        assert_eq!(good.frames(1).await, [format!("a {n}")]);
    }
    let mut got = 0;
    let error = loop {
        match slow.received().await {
            Received::Frame(..) => got += 1,
            Received::Event(Event::Canceled { subscription: of, error }) if of == subscription => {
                break error;
            }
            other @ Received::Event(_) => panic!("{other:?}"),
        }
    };
    assert_eq!(error.kind, BrokerErrorKind::ResourceError);
    assert!((1..MESSAGES / 2).contains(&got), "{got}");
    assert_eq!(world.hub.counters.ended.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn who_may_lose_messages_is_told_how_many() {
    let world = World::new();
    let mut oldest = world.session_of("ann", 4 << 10, Overflow::DropOldest);
    oldest.join("a").await;
    let mut conflated = world.session_of("ann", 4 << 10, Overflow::Conflate("x-key".into()));
    conflated.join("a").await;
    let mut publisher = world.link().await;
    for n in 0..1_000 {
        publisher.publish_keyed("a", &n.to_string(), &(n % 3).to_string()).await;
        settled().await;
    }
    for session in [&mut oldest, &mut conflated] {
        let (mut got, mut dropped, mut last) = (0, 0, 0);
        while last != 999 {
            let (frame, before) = session.frame().await;
            let number: u64 = frame.strip_prefix("a ").unwrap().parse().unwrap();
            assert!(number >= last, "in order");
            last = number;
            got += 1;
            dropped += before;
        }
        assert_eq!(got + dropped, 1_000, "every message came, or was counted");
        assert!(dropped > 500);
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_an_inbox_is_told_when_it_is_lost() {
    let settings =
        embedded::Settings { private_queue_bytes: 2 << 10, link_buffer: 1, ..Default::default() };
    let world = World::with(settings);
    let mut sessions = [world.session(), world.session()];
    let mut subscriptions = Vec::new();
    for session in &mut sessions {
        subscriptions.push(session.join("a").await);
    }
    // More in one go than the inbox may hold: its task has no turn.
    let mut publisher = world.link().await;
    for n in 0..100 {
        publisher.publish("a", &n.to_string()).await;
    }
    for (session, subscription) in sessions.iter_mut().zip(subscriptions) {
        let error = loop {
            match session.received().await {
                Received::Frame(..) => {}
                Received::Event(Event::Canceled { subscription: of, error }) => {
                    assert_eq!(of, subscription);
                    break error;
                }
                other @ Received::Event(_) => panic!("{other:?}"),
            }
        };
        assert_eq!(error.kind, BrokerErrorKind::ResourceError);
        // Another inbox takes its place.
        session.join("a").await;
    }
    publisher.publish("a", "again").await;
    for session in &mut sessions {
        assert_eq!(session.frames(1).await, ["a again"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_refused_is_refused_to_whoever_asked() {
    let world = World::new();
    let mut session = world.session();
    session.join("a").await;
    let (token, _) = session.ask(&"x".repeat(256), "plain");
    match session.event().await {
        Event::Failed { token: of, error } => {
            assert_eq!((of, error.kind), (token, BrokerErrorKind::PreconditionFailed));
        }
        other => panic!("{other:?}"),
    }
    assert!(!session.share.is_joining());
    let mut publisher = world.link().await;
    publisher.publish("a", "1").await;
    assert_eq!(session.frames(1).await, ["a 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_closes_tells_everybody() {
    let world = World::new();
    let mut session = world.session();
    let subscription = session.join("a").await;
    world.hub.close().await;
    match session.event().await {
        Event::Canceled { subscription: of, .. } => assert_eq!(of, subscription),
        other => panic!("{other:?}"),
    }
}
