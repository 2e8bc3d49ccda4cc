//! Topics of exchanges that links declare: which way messages go there, and what becomes of those that
//! RabbitMQ does not take.

use broker_adapters::rabbitmq::RabbitMq;
use broker_adapters::{Broker, Identity};
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Outcome, SubscriptionId, Verdict,
};
use rabbitmq_node::{Cut, Permissions, Proxy, Vhost};

use super::{broker, client, client_of, direct};
use crate::support::{Client, credentials, exchange, message, topic};

/// A client under a service login that may do this.
async fn limited(broker: &RabbitMq, vhost: &Vhost, permissions: Permissions<'_>) -> Client {
    let ann = format!("{}-ann", vhost.user());
    vhost.set_passcode(&ann, "secret").await;
    vhost.permit(&ann, permissions).await;
    let identity = Identity { credentials: credentials((&ann, "secret")), is_service: true };
    Client::new(broker.open(vhost.name().into(), identity).await.unwrap())
}

/// An inbox that takes everything of both exchanges.
async fn open_inbox(client: &mut Client) -> SubscriptionId {
    let inbox = client.open_inbox(1_000).await;
    let declared = client.ask_for_topics("side");
    assert_eq!(client.answer(declared).await, Event::Declared { token: declared });
    client.try_bind_to(Some("side"), inbox, "#").await.unwrap();
    client.bind(inbox, &["#"]).await;
    inbox
}

impl Client {
    /// Publishes as sessions do that want to know the outcome.
    async fn publish_confirmed(&mut self, exchange: &str, key: &str) -> Result<(), BrokerError> {
        let to = if exchange == "amq.topic" { topic(key) } else { super::exchange(exchange, key) };
        let (token, message) = (self.token(), message(key));
        let (queue, confirm, mandatory) = (None, true, false);
        self.link.submit(Command::Publish { token, to, message, queue, confirm, mandatory });
        match self.answer(token).await {
            Event::Confirmed { outcome: Outcome::Accepted, .. } => Ok(()),
            Event::Failed { error, .. } => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes many times to topics, which takes RabbitMQ long, and then to another exchange; and all of it
/// comes in this order.
async fn expect_order(reader: &mut Client, publisher: &mut Client) {
    const BURST: usize = 200;
    for burst in 0..5 {
        for number in 0..BURST {
            let to = if number + 1 < BURST { topic("busy") } else { exchange("side", "a") };
            publisher.send(to, &number.to_string()).await;
        }
        publisher.taken().await;
        for number in 0..BURST {
            let delivery = reader.delivery().await;
            assert_eq!(delivery.body(), number.to_string(), "{burst}");
            reader.settle(&delivery, Verdict::Accept, true);
        }
    }
}

/// Whoever has a topic that takes RabbitMQ long.
async fn crowd(broker: &RabbitMq, vhost: &Vhost) -> Client {
    let mut crowd = client(broker, vhost).await;
    for _ in 0..50 {
        crowd.subscribe(topic("busy"), 1).await;
    }
    crowd
}

#[tokio::test]
async fn what_goes_to_a_declared_exchange_does_not_overtake_what_goes_to_topics() {
    let (vhost, broker) = direct().await;
    let _crowd = crowd(&broker, &vhost).await;
    let mut reader = client(&broker, &vhost).await;
    open_inbox(&mut reader).await;
    for is_service in [false, true] {
        let mut publisher = client_of(&broker, &vhost, is_service).await;
        publisher.ask_for_topics("side");
        expect_order(&mut reader, &mut publisher).await;
    }
}

#[tokio::test]
async fn the_order_is_kept_for_who_may_not_declare_an_exchange_that_is_there() {
    let (vhost, broker) = direct().await;
    let _crowd = crowd(&broker, &vhost).await;
    let mut reader = client(&broker, &vhost).await;
    open_inbox(&mut reader).await;
    let rights = Permissions { configure: "^$", ..Permissions::ALL };
    let mut publisher = limited(&broker, &vhost, rights).await;
    let declared = publisher.ask_for_topics("side");
    expect_order(&mut reader, &mut publisher).await;
    match publisher.event().await {
        Event::Failed { token, error } => {
            assert_eq!((token, error.kind), (declared, BrokerErrorKind::AccessRefused));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_may_not_publish_to_a_declared_exchange_is_told_so_and_others_go_on() {
    let (vhost, broker) = direct().await;
    let mut reader = client(&broker, &vhost).await;
    open_inbox(&mut reader).await;
    let rights = Permissions { write: r"^amq\.topic$", ..Permissions::ALL };
    let mut publisher = limited(&broker, &vhost, rights).await;
    let declared = publisher.ask_for_topics("side");
    assert_eq!(publisher.answer(declared).await, Event::Declared { token: declared });
    for number in 0..5 {
        publisher.publish_confirmed("amq.topic", &format!("a{number}")).await.unwrap();
        let error = publisher.publish_confirmed("side", "b").await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::AccessRefused, "{error}");
        assert!(error.text.contains("access to exchange 'side'"), "{error}");
    }
    // After the first time nobody else is hurt.
    let mut bystander = limited(&broker, &vhost, rights).await;
    for number in 0..10 {
        publisher.send(exchange("side", "b"), "lost").await;
        bystander.publish_confirmed("amq.topic", &format!("b{number}")).await.unwrap();
    }
    for expected in ["a0", "a1", "a2", "a3", "a4", "b0", "b1"] {
        assert_eq!(reader.delivery().await.body(), expected);
    }
}

#[tokio::test]
async fn an_exchange_that_was_deleted_is_missed_and_can_be_declared_again() {
    let (vhost, broker) = direct().await;
    let mut publisher = client_of(&broker, &vhost, true).await;
    for confirm in [true, false] {
        let declared = publisher.ask_for_topics("side");
        assert_eq!(publisher.answer(declared).await, Event::Declared { token: declared });
        publisher.publish_confirmed("side", "a").await.unwrap();
        assert!(vhost.delete_exchange("side").await);
        if !confirm {
            publisher.send(exchange("side", "a"), "lost").await;
        }
        let missing = async |publisher: &mut Client| {
            publisher.publish_confirmed("side", "a").await.unwrap_err()
        };
        let mut error = missing(&mut publisher).await;
        if error.kind == BrokerErrorKind::OutcomeUnknown {
            // What went before it was the guilty one.
            error = missing(&mut publisher).await;
        }
        assert_eq!(error.kind, BrokerErrorKind::NotFound, "{error}");
        publisher.publish_confirmed("amq.topic", "a").await.unwrap();
    }
}

#[tokio::test]
async fn topics_of_both_exchanges_outlive_a_lost_connection() {
    let (vhost, direct) = direct().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let through = broker(proxy.addr());
    let mut reader = client(&through, &vhost).await;
    let mut publisher = client(&direct, &vhost).await;
    let inbox = open_inbox(&mut reader).await;
    let all = [("amq.topic", "1"), ("side", "2"), ("amq.topic", "3"), ("side", "4")];
    proxy.refuse().await;
    proxy.cut(Cut::Reset).await;
    for (at, key) in all {
        publisher.publish_confirmed(at, key).await.unwrap();
    }
    // What is asked for meanwhile waits.
    let (again, exchange, topic) = (reader.token(), Some("side".into()), "2".into());
    reader.link.submit(Command::Bind { token: again, inbox, exchange, topic });
    proxy.accept().await;
    assert_eq!(reader.answer(again).await, Event::Subscribed { token: again });
    for (at, key) in all {
        let delivery = reader.delivery().await;
        assert_eq!((&*delivery.publication.exchange, delivery.body()), (at, key));
    }
    reader.unsubscribe(inbox).await;
    assert_eq!(vhost.queues().await, Vec::new());
}
