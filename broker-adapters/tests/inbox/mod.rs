//! Clauses about inboxes: one queue and one consumer for many topics.

use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Outcome, SubscriptionId, Token, Verdict,
};
use protocols::text::Text;

use crate::support::{Client, Fixture, message, topic};

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
        let token = self.token();
        self.link.submit(Command::Bind { token, inbox, topic: Text::from(topic) });
        self.done(token).await
    }

    pub(crate) async fn bind(&mut self, inbox: SubscriptionId, topics: &[&str]) {
        for topic in topics {
            self.try_bind(inbox, topic).await.unwrap();
        }
    }

    pub(crate) async fn unbind(&mut self, inbox: SubscriptionId, topic: &str) {
        let token = self.token();
        self.link.submit(Command::Unbind { token, inbox, topic: Text::from(topic) });
        self.done(token).await.unwrap();
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
