//! Clauses about inboxes: one queue and one consumer for many topics.

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, Event, ExchangeKind, Outcome, SubscriptionId,
    Token, Verdict,
};
use protocols::text::Text;

use crate::support::{Client, Fixture, exchange, message, topic};

impl Client {
    pub(crate) async fn open_inbox(&mut self, prefetch: u16) -> SubscriptionId {
        let (token, subscription) = (self.token(), SubscriptionId(self.id()));
        self.link.submit(Command::OpenInbox { token, subscription, prefetch });
        let answer = self.answer(token).await;
        assert_eq!(answer, Event::Subscribed { token });
        subscription
    }

    pub(crate) async fn try_bind(
        &mut self,
        inbox: SubscriptionId,
        topic: &str,
    ) -> Result<(), BrokerError> {
        self.try_bind_to(None, inbox, topic).await
    }

    /// Binds to an exchange, or to that of topics.
    pub(crate) async fn try_bind_to(
        &mut self,
        exchange: Option<&str>,
        inbox: SubscriptionId,
        topic: &str,
    ) -> Result<(), BrokerError> {
        let (token, exchange) = (self.token(), exchange.map(Text::from));
        self.link.submit(Command::Bind { token, inbox, exchange, topic: Text::from(topic) });
        self.done(token).await
    }

    pub(crate) async fn bind(&mut self, inbox: SubscriptionId, topics: &[&str]) {
        for topic in topics {
            self.try_bind(inbox, topic).await.unwrap();
        }
    }

    pub(crate) async fn unbind(&mut self, inbox: SubscriptionId, topic: &str) {
        self.unbind_from(None, inbox, topic).await;
    }

    pub(crate) async fn unbind_from(
        &mut self,
        exchange: Option<&str>,
        inbox: SubscriptionId,
        topic: &str,
    ) {
        let (token, exchange) = (self.token(), exchange.map(Text::from));
        self.link.submit(Command::Unbind { token, inbox, exchange, topic: Text::from(topic) });
        self.done(token).await.unwrap();
    }

    /// Asks for a topic exchange, and does not wait for it.
    pub(crate) fn ask_for_topics(&mut self, name: &str) -> Token {
        let (token, kind) = (self.token(), ExchangeKind::Topic);
        self.link.submit(Command::DeclareExchange { token, name: name.into(), kind });
        token
    }

    /// Publishes, and does not ask what becomes of it.
    pub(crate) async fn send(&mut self, to: Address, body: &str) {
        self.ready().await;
        let (token, message) = (self.token(), message(body));
        let (queue, confirm, mandatory) = (None, false, false);
        self.link.submit(Command::Publish { token, to, message, queue, confirm, mandatory });
    }

    async fn done(&mut self, token: Token) -> Result<(), BrokerError> {
        match self.answer(token).await {
            Event::Subscribed { .. } | Event::Unsubscribed { .. } => Ok(()),
            Event::Failed { error, .. } => Err(error),
            other => panic!("an answer was expected, not {other:?}"),
        }
    }
}

pub(crate) async fn an_inbox_takes_the_topics_it_is_bound_to(fixture: Fixture) {
    let mut client = fixture.client().await;
    let mut publisher = fixture.client().await;
    let inbox = client.open_inbox(100).await;
    let outcome = publisher.try_publish(topic("news.a"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    client.bind(inbox, &["news.*", "stock.#"]).await;
    for key in ["news.a", "stock", "news.b", "stock.x.y"] {
        publisher.publish(topic(key), key).await;
    }
    assert_eq!(client.bodies(4).await, ["news.a", "stock", "news.b", "stock.x.y"]);
    client.expect_nothing().await;
}

pub(crate) async fn an_inbox_gets_a_message_once_however_many_topics_fit(fixture: Fixture) {
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(100).await;
    client.bind(inbox, &["#", "news.#", "news.*", "news.a", "news.a", "*.a"]).await;
    client.publish(topic("news.a"), "once").await;
    let delivery = client.delivery().await;
    assert_eq!((delivery.body(), delivery.subscription), ("once", inbox));
    assert_eq!(&*delivery.publication.routing_key, "news.a");
    client.expect_nothing().await;
}

pub(crate) async fn an_inbox_takes_a_topic_no_more_once_it_is_unbound(fixture: Fixture) {
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(100).await;
    client.bind(inbox, &["a", "b"]).await;
    client.unbind(inbox, "a").await;
    client.unbind(inbox, "never.bound").await;
    let outcome = client.try_publish(topic("a"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    client.publish(topic("b"), "b").await;
    client.bind(inbox, &["a"]).await;
    client.publish(topic("a"), "a").await;
    assert_eq!(client.bodies(2).await, ["b", "a"]);
}

pub(crate) async fn a_topic_that_cannot_be_bound_is_refused_and_the_inbox_goes_on(
    fixture: Fixture,
) {
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(100).await;
    client.bind(inbox, &["a"]).await;
    let error = client.try_bind(inbox, &"x".repeat(256)).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let error = client.try_bind(SubscriptionId(4_711), "a").await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::NotFound);
    client.bind(inbox, &["b"]).await;
    for key in ["a", "b"] {
        client.publish(topic(key), key).await;
    }
    assert_eq!(client.bodies(2).await, ["a", "b"]);
}

pub(crate) async fn an_inbox_keeps_to_its_prefetch_and_the_order_over_topics(fixture: Fixture) {
    let mut client = fixture.client().await;
    let mut publisher = fixture.client().await;
    let inbox = client.open_inbox(10).await;
    client.bind(inbox, &["a", "b"]).await;
    for n in 0..50 {
        publisher.publish(topic(if n % 2 == 0 { "a" } else { "b" }), n.to_string()).await;
    }
    for n in 0..50 {
        let delivery = client.delivery().await;
        assert_eq!(delivery.body(), n.to_string());
        if n % 10 == 9 {
            client.settle(&delivery, Verdict::Accept, true);
        }
    }
    client.expect_nothing().await;
}

pub(crate) async fn an_inbox_goes_with_its_subscription_or_its_link(fixture: Fixture) {
    let mut publisher = fixture.client().await;
    for by_link in [false, true] {
        let mut client = fixture.client().await;
        let inbox = client.open_inbox(10).await;
        client.bind(inbox, &["news"]).await;
        publisher.publish(topic("news"), "m").await;
        assert_eq!(client.delivery().await.body(), "m");
        if !by_link {
            client.unsubscribe(inbox).await;
            let error = client.try_bind(inbox, "more").await.unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::NotFound);
        } else {
            drop(client);
        }
        while publisher.try_publish(topic("news"), message("m")).await != Ok(Outcome::Unroutable) {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn an_inbox_takes_topics_of_several_exchanges(fixture: Fixture) {
    let (mut client, mut publisher) = (fixture.client().await, fixture.client().await);
    let inbox = client.open_inbox(100).await;
    // What is bound waits for the exchange.
    let declared = client.ask_for_topics("side");
    client.try_bind_to(Some("side"), inbox, "news.#").await.unwrap();
    assert_eq!(client.event().await, Event::Declared { token: declared });
    let outcome = publisher.try_publish(topic("news.a"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable), "it is not that of topics");
    client.bind(inbox, &["news.#", "other"]).await;
    for (to, body) in [
        (topic("news.a"), "1"),
        (exchange("side", "news.a"), "2"),
        (topic("other"), "3"),
        (exchange("side", "news"), "4"),
    ] {
        publisher.publish(to, body).await;
    }
    for (from, body) in [("amq.topic", "1"), ("side", "2"), ("amq.topic", "3"), ("side", "4")] {
        let delivery = client.delivery().await;
        assert_eq!((&*delivery.publication.exchange, delivery.body()), (from, body));
    }
    let outcome = publisher.try_publish(exchange("side", "other"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));

    client.unbind(inbox, "news.#").await;
    let outcome = publisher.try_publish(topic("news.a"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    publisher.publish(exchange("side", "news.b"), "5").await;
    client.unbind_from(Some("side"), inbox, "news.#").await;
    let outcome = publisher.try_publish(exchange("side", "news.b"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    publisher.publish(topic("other"), "6").await;
    assert_eq!(client.bodies(2).await, ["5", "6"]);
    client.expect_nothing().await;
}

pub(crate) async fn a_topic_of_an_exchange_that_is_not_there_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(100).await;
    client.bind(inbox, &["a"]).await;
    let error = client.try_bind_to(Some("nowhere"), inbox, "a").await.unwrap_err();
    let expected = format!("NOT_FOUND - no exchange 'nowhere' in vhost '{}'", fixture.vhost());
    assert_eq!((error.kind, &*error.text), (BrokerErrorKind::NotFound, &*expected));
    client.publish(topic("a"), "a").await;
    assert_eq!(client.bodies(1).await, ["a"]);
}

pub(crate) async fn messages_to_several_exchanges_keep_their_order_in_an_inbox(fixture: Fixture) {
    const MESSAGES: usize = 2_000;
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(1_000).await;
    client.ask_for_topics("side");
    client.try_bind_to(Some("side"), inbox, "#").await.unwrap();
    client.bind(inbox, &["#"]).await;
    client.events_now();
    for is_service in [false, true] {
        let mut publisher = fixture.client_as(is_service).await;
        publisher.send(topic("a"), "first").await;
        publisher.ask_for_topics("side");
        for number in 0..MESSAGES {
            // In turns, and one behind many, which it would overtake if it went another way.
            let to = match (number / 500 % 2, number % 100) {
                (0, n) if n % 2 == 0 => exchange("side", "a"),
                (1, 99) => exchange("side", "b"),
                (_, n) if n % 3 == 0 => topic("b"),
                _ => topic("a"),
            };
            publisher.send(to, &number.to_string()).await;
        }
        let (first, mut next) = (client.delivery().await, 0);
        assert_eq!(first.body(), "first");
        client.settle(&first, Verdict::Accept, true);
        while next < MESSAGES {
            tokio::select! {
                delivery = client.delivery() => {
                    assert_eq!(delivery.body(), next.to_string(), "{is_service}");
                    client.settle(&delivery, Verdict::Accept, true);
                    next += 1;
                }
                event = publisher.event() => {
                    assert!(matches!(event, Event::Declared { .. }), "{event:?}");
                }
            }
        }
    }
}
