//! What is for some receivers only: it comes to those who take it, by the inbox by which everything comes,
//! which is bound to it as long as one of them is there.

use broker_adapters::embedded::DeclaredExchange;
use protocols::broker::ExchangeKind;

use super::*;

/// As a plain one, but it takes from both.
#[derive(Debug)]
struct Wide(Plain);

impl DeliveryEncoder for Wide {
    fn key(&self) -> &FormatKey {
        self.0.key()
    }

    fn takes_restricted(&self) -> bool {
        true
    }

    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        self.0.encode(delivery)
    }
}

impl Session {
    fn ask_wide(&mut self, topic: &str) -> (Token, SubscriptionId) {
        self.ask_with(topic, Arc::new(Wide(Plain(FormatKey(b"wide"[..].into())))))
    }

    async fn join_wide(&mut self, topic: &str) -> SubscriptionId {
        let (token, subscription) = self.ask_wide(topic);
        assert_eq!(self.event().await, Event::Subscribed { token });
        subscription
    }
}

impl Publisher {
    /// Publishes to the exchange that is not everybody's, and says whether anybody is bound to it.
    async fn restrict(&mut self, topic: &str, body: &str) -> bool {
        let (name, key) = ("wamp.restricted".into(), topic.into());
        self.publish_to(Address::Exchange { name, key }, body, None).await
    }
}

#[tokio::test(start_paused = true)]
async fn it_comes_in_order_to_those_who_take_it_and_to_nobody_else() {
    let world = World::new();
    let (mut narrow, mut wide) = (world.session(), world.session());
    for topic in ["#", "a.*", "a.b"] {
        narrow.join(topic).await;
    }
    wide.join_wide("a.b").await;
    assert_eq!(world.inboxes(), 1, "they share");
    let mut publisher = world.link().await;
    for n in 0..100 {
        let body = n.to_string();
        assert!(if n % 3 == 0 {
            publisher.publish("a.b", &body).await
        } else {
            publisher.restrict("a.b", &body).await
        });
    }
    for n in 0..100 {
        assert_eq!(wide.frames(1).await, [format!("a.b {n}")]);
        if n % 3 == 0 {
            assert_eq!(narrow.frames(3).await, [(); 3].map(|()| format!("a.b {n}")));
        }
    }
    wide.nothing().await;
    narrow.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_bound_to_it_as_long_as_somebody_takes_it() {
    let world = World::new();
    let (mut narrow, mut wide) = (world.session(), world.session());
    let stays = narrow.join("a").await;
    let mut publisher = world.link().await;
    publisher.0.submit(Command::DeclareExchange {
        token: Token(0),
        name: "wamp.restricted".into(),
        kind: ExchangeKind::Topic,
    });
    let declared = poll_fn(|cx| publisher.0.poll_event(cx)).await;
    assert_eq!(declared, Event::Declared { token: Token(0) });
    assert!(!publisher.restrict("a", "nobody takes it").await);
    for round in 0..3 {
        let subscription = wide.join_wide("a").await;
        assert!(publisher.restrict("a", "1").await);
        assert_eq!(wide.frames(1).await, ["a 1"]);
        wide.leave(subscription).await;
        settled().await;
        assert!(publisher.restrict("a", "it lingers").await);
        advance(LINGER / 2).await;
        let subscription = wide.join_wide("a").await;
        wide.leave(subscription).await;
        advance(LINGER / 2 + Duration::from_millis(1)).await;
        settled().await;
        assert!(publisher.restrict("a", "it lingers from the last leave on").await);
        advance(LINGER).await;
        settled().await;
        assert!(!publisher.restrict("a", "it does not any more").await, "{round}");
        assert!(publisher.publish("a", "2").await);
        assert_eq!(narrow.frames(1).await, ["a 2"]);
    }
    // Nor does the one stay for the other.
    let subscription = wide.join_wide("a").await;
    narrow.leave(stays).await;
    advance(LINGER * 2).await;
    settled().await;
    assert!(publisher.publish("a", "3").await && publisher.restrict("a", "4").await);
    assert_eq!(wide.frames(2).await, ["a 3", "a 4"]);
    wide.leave(subscription).await;
    settled().await;
    advance(LINGER * 2).await;
    settled().await;
    assert!(!publisher.publish("a", "5").await && !publisher.restrict("a", "6").await);
    narrow.nothing().await;
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_of_both_kinds_in_any_order_lose_nobody() {
    let world = World::new();
    let mut publisher = world.link().await;
    let (mut narrow, mut wide) = (world.session(), world.session());
    narrow.join("a").await;
    wide.join_wide("a").await;
    for n in 0..300_u64 {
        let mut brief = world.session();
        let is_wide = n % 2 == 0;
        let (token, subscription) =
            if is_wide { brief.ask_wide("b") } else { brief.ask("b", "plain") };
        if n % 5 == 0 {
            // It leaves before it has an answer.
            drop(brief);
        } else {
            assert_eq!(brief.event().await, Event::Subscribed { token });
            assert!(publisher.publish("b", &n.to_string()).await);
            let is_bound = publisher.restrict("b", &n.to_string()).await;
            assert!(is_bound || !is_wide, "{n}");
            let count = if is_wide { 2 } else { 1 };
            assert_eq!(brief.frames(count).await, vec![format!("b {n}"); count]);
            brief.leave(subscription).await;
            brief.nothing().await;
        }
        if n % 7 == 0 {
            advance(LINGER + Duration::from_millis(1)).await;
        }
        assert!(publisher.publish("a", &n.to_string()).await);
        assert!(publisher.restrict("a", &n.to_string()).await);
        assert_eq!(wide.frames(2).await, vec![format!("a {n}"); 2]);
        assert_eq!(narrow.frames(1).await, [format!("a {n}")]);
    }
    advance(LINGER * 2).await;
    settled().await;
    assert!(!publisher.publish("b", "nobody is left").await);
    assert!(!publisher.restrict("b", "nobody is left").await);
}

#[tokio::test(start_paused = true)]
async fn who_takes_it_is_refused_where_it_cannot_be_had_and_others_are_not() {
    for kind in [ExchangeKind::Fanout, ExchangeKind::Direct, ExchangeKind::Headers] {
        let name = "wamp.restricted".into();
        let other = DeclaredExchange { name, kind, internal: false, vhosts: None };
        let exchanges = vec![other];
        let world = World::with(embedded::Settings { exchanges, ..Default::default() });
        let (mut narrow, mut wide) = (world.session(), world.session());
        let asked = [wide.ask_wide("a").0, wide.ask_wide("a").0, wide.ask_wide("b").0];
        narrow.join("a").await;
        for _ in asked {
            match wide.event().await {
                Event::Failed { token, error } => {
                    assert!(asked.contains(&token));
                    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
                    assert!(error.text.contains("for exchange 'wamp.restricted'"), "{error}");
                }
                other => panic!("{kind:?}: {other:?}"),
            }
        }
        let (token, _) = wide.ask_wide("a");
        let again = wide.event().await;
        assert!(matches!(&again, Event::Failed { token: of, .. } if *of == token), "{again:?}");
        let mut publisher = world.link().await;
        assert!(publisher.publish("a", "1").await);
        assert_eq!(narrow.frames(1).await, ["a 1"]);
        settled().await;
        assert!(!publisher.restrict("a", "2").await, "nothing is left bound to it");
        wide.nothing().await;
    }
}
