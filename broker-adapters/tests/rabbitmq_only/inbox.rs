//! Inboxes: what they outlive, what they tell, what they need, and what they leave behind.

use std::net::SocketAddr;
use std::time::Duration;

use broker_adapters::Broker;
use broker_adapters::rabbitmq::{RabbitMq, Settings};
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Message, Outcome, Properties, SubscriptionId,
    Value, Verdict,
};
use rabbitmq_node::{Cut, Node, Options, Permissions, Proxy, Queue, Vhost, eventually};

use super::{broker, broker_with, client, direct};
use crate::support::{Client, credentials, message, queue, topic, with};

/// The queue of the only inbox there is.
async fn inbox_queue(vhost: &Vhost) -> Queue {
    let is_inbox = |it: &Queue| it.name.contains("inbox-") && !it.name.ends_with("-gap");
    eventually("the inbox", async || vhost.queues().await.into_iter().find(is_inbox)).await
}

async fn until_inbox_holds(vhost: &Vhost, messages: u64) {
    let holds = async || (inbox_queue(vhost).await.messages == Some(messages)).then_some(());
    eventually("messages in the inbox", holds).await;
}

async fn until_nothing_is_left(vhost: &Vhost) {
    let is_empty = async || {
        let (queues, exchanges) = (vhost.queues().await, vhost.exchanges().await);
        (queues.is_empty() && exchanges.is_empty()).then_some(())
    };
    eventually("the end of queues and exchanges", is_empty).await;
}

/// A proxy, and a broker behind it.
async fn through_proxy(vhost: &Vhost) -> (Proxy, RabbitMq) {
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let broker = broker(proxy.addr());
    (proxy, broker)
}

async fn cut_off(proxy: &Proxy) {
    proxy.refuse().await;
    proxy.cut(Cut::Reset).await;
}

/// Why the inbox ended; what was delivered before does not matter.
async fn canceled(client: &mut Client, inbox: SubscriptionId) -> BrokerError {
    loop {
        match client.event().await {
            Event::Canceled { subscription, error } => {
                assert_eq!(subscription, inbox);
                assert!(error.text.contains("messages may have been missed"), "{error}");
                assert!(!error.text.contains("inbox-"), "{error}");
                return error;
            }
            Event::Delivery { .. } => {}
            other => panic!("the end of the inbox was expected, not {other:?}"),
        }
    }
}

/// The inbox is not there any more.
async fn expect_no_inbox(client: &mut Client, inbox: SubscriptionId) {
    let error = client.try_bind(inbox, "more").await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::NotFound);
}

fn lasting(milliseconds: &str) -> Message {
    let expiration = Some(milliseconds.into());
    Message { properties: Properties { expiration, ..Properties::default() }, ..message("brief") }
}

fn persistent(body: &str) -> Message {
    let properties = Properties { persistent: true, ..Properties::default() };
    Message { properties, ..message(body) }
}

#[tokio::test]
async fn an_inbox_outlives_a_lost_connection_and_gets_what_came_meanwhile() {
    let (vhost, direct) = direct().await;
    let (proxy, through) = through_proxy(&vhost).await;
    let mut consumer = client(&through, &vhost).await;
    let mut publisher = client(&direct, &vhost).await;
    let inbox = consumer.open_inbox(100).await;
    consumer.bind(inbox, &["a", "b"]).await;
    let key = |n: u32| topic(if n.is_multiple_of(2) { "a" } else { "b" });
    for n in 0..10 {
        publisher.publish(key(n), n.to_string()).await;
    }
    for n in 0..10 {
        let delivery = consumer.delivery().await;
        assert_eq!(delivery.body(), n.to_string());
        if n == 3 {
            consumer.settle(&delivery, Verdict::Accept, true);
        }
    }
    consumer.link.flush();
    until_inbox_holds(&vhost, 6).await;
    // What keeps the order where RabbitMQ sees the loss later than the gateway.
    assert_eq!(inbox_queue(&vhost).await.arguments["x-single-active-consumer"], true);
    cut_off(&proxy).await;
    // Both are asked for again until they are answered.
    let [bound, unbound] = [(); 2].map(|()| consumer.token());
    consumer.link.submit(Command::Bind { token: bound, inbox, exchange: None, topic: "c".into() });
    consumer.link.submit(Command::Unbind {
        token: unbound,
        inbox,
        exchange: None,
        topic: "never".into(),
    });
    for n in 10..20 {
        publisher.publish(key(n), n.to_string()).await;
    }
    proxy.accept().await;
    for n in 4..20 {
        let delivery = loop {
            match consumer.event().await {
                Event::Delivery { redelivered, publication, .. } => {
                    break (redelivered, publication);
                }
                Event::Subscribed { token } => assert_eq!(token, bound),
                Event::Unsubscribed { token } => assert_eq!(token, unbound),
                other => panic!("a delivery was expected, not {other:?}"),
            }
        };
        let (redelivered, publication) = delivery;
        assert_eq!(publication.message.body, n.to_string());
        // What came right after the cut may have been sent to who was gone.
        assert!(redelivered || n >= 10, "{n}");
    }
    consumer.bind(inbox, &["c"]).await;
    for key in ["a", "b", "c"] {
        publisher.publish(topic(key), key).await;
    }
    let mut events = Vec::new();
    while events.len() < 3 {
        match consumer.event().await {
            Event::Delivery { publication, .. } => events.push(publication.routing_key.to_string()),
            Event::Subscribed { .. } | Event::Unsubscribed { .. } => {}
            other => panic!("a delivery was expected, not {other:?}"),
        }
    }
    assert_eq!(events, ["a", "b", "c"]);
    assert_eq!(vhost.queues().await.len(), 2);
}

#[tokio::test]
async fn an_inbox_tells_of_a_restart_of_the_broker() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let direct = broker(vhost.amqp_addr());
    let mut publisher = client(&direct, &vhost).await;
    for in_order in [true, false] {
        let mut consumer = client(&direct, &vhost).await;
        let inbox = consumer.open_inbox(1).await;
        consumer.bind(inbox, &["news"]).await;
        for message in [message("transient"), persistent("kept"), message("transient")] {
            let outcome = publisher.try_publish(topic("news"), message).await;
            assert_eq!(outcome, Ok(Outcome::Accepted));
        }
        assert_eq!(consumer.delivery().await.body(), "transient");
        if in_order {
            node.stop().await;
        } else {
            node.kill().await;
        }
        node.start_again().await;
        let error = canceled(&mut consumer, inbox).await;
        assert_eq!(error.kind, BrokerErrorKind::Unavailable, "{error}");
        expect_no_inbox(&mut consumer, inbox).await;
        until_nothing_is_left(&vhost).await;
    }
}

#[tokio::test]
async fn an_inbox_whose_queue_was_deleted_is_canceled() {
    for suffix in ["", "-gap"] {
        for is_attached in [true, false] {
            let (vhost, _) = direct().await;
            let (proxy, through) = through_proxy(&vhost).await;
            let mut consumer = client(&through, &vhost).await;
            let inbox = consumer.open_inbox(10).await;
            consumer.bind(inbox, &["news"]).await;
            let name = format!("{}{suffix}", inbox_queue(&vhost).await.name);
            if is_attached {
                assert!(vhost.delete_queue(&name).await);
            } else {
                cut_off(&proxy).await;
                assert!(vhost.delete_queue(&name).await);
                proxy.accept().await;
            }
            canceled(&mut consumer, inbox).await;
            expect_no_inbox(&mut consumer, inbox).await;
            until_nothing_is_left(&vhost).await;
        }
    }
}

/// A broker whose inboxes hold three messages.
fn small(address: SocketAddr) -> RabbitMq {
    // At rest it is asked for losses three times in this time.
    let inbox_expires = Duration::from_secs(15);
    broker_with(address, Settings { inbox_messages: 3, inbox_expires, ..Settings::default() })
}

#[tokio::test]
async fn an_inbox_that_was_full_is_canceled() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    let inbox = consumer.open_inbox(2).await;
    consumer.bind(inbox, &["news"]).await;
    for n in 0..5 {
        publisher.publish(topic("news"), n.to_string()).await;
    }
    assert_eq!(consumer.bodies(2).await, ["0", "1"]);
    until_inbox_holds(&vhost, 5).await;
    consumer.expect_nothing().await;
    publisher.publish(topic("news"), "one too many").await;
    let error = canceled(&mut consumer, inbox).await;
    assert!(error.text.contains("more than 3 messages"), "{error}");
    expect_no_inbox(&mut consumer, inbox).await;
    until_nothing_is_left(&vhost).await;
}

#[tokio::test]
async fn an_inbox_is_one_consumer_and_what_it_needs_does_not_expire() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let inbox_expires = Duration::from_secs(4);
    let settings = Settings { inbox_messages: 3, inbox_expires, ..Settings::default() };
    let broker = broker_with(vhost.amqp_addr(), settings);
    let mut consumer = client(&broker, &vhost).await;
    let inbox = consumer.open_inbox(2).await;
    consumer.bind(inbox, &["news"]).await;
    eventually("one consumer", async || (vhost.consumers().await == 1).then_some(())).await;
    // Nothing comes, and several times the time passes in which an unused queue goes.
    let nothing = tokio::time::timeout(2 * inbox_expires, consumer.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    assert_eq!(vhost.queues_at_once().await.len(), 2);
    for n in 0..6 {
        publisher.publish(topic("news"), n.to_string()).await;
    }
    assert!(canceled(&mut consumer, inbox).await.text.contains("more than 3 messages"));
}

#[tokio::test]
async fn an_inbox_that_was_full_while_nobody_was_there_is_canceled() {
    for (waiting, expected) in [(3, None), (4, Some("more than 3 messages"))] {
        let (vhost, direct) = direct().await;
        let mut publisher = client(&direct, &vhost).await;
        let proxy = Proxy::start(vhost.amqp_addr()).await;
        let broker = small(proxy.addr());
        let mut consumer = client(&broker, &vhost).await;
        let inbox = consumer.open_inbox(2).await;
        consumer.bind(inbox, &["news"]).await;
        cut_off(&proxy).await;
        // Not before: who is still there would take some.
        eventually("the loss", async || (vhost.consumers().await == 0).then_some(())).await;
        for n in 0..waiting {
            publisher.publish(topic("news"), n.to_string()).await;
        }
        proxy.accept().await;
        match expected {
            None => assert_eq!(consumer.bodies(2).await, ["0", "1"]),
            Some(text) => {
                let error = canceled(&mut consumer, inbox).await;
                assert!(error.text.contains(text), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn an_inbox_is_canceled_too_if_what_did_not_fit_had_died_before() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    let inbox = consumer.open_inbox(1).await;
    consumer.bind(inbox, &["delayed"]).await;
    let delaying = with(&[
        ("x-message-ttl", Value::Integer(1)),
        ("x-dead-letter-exchange", Value::Text("amq.topic".into())),
        ("x-dead-letter-routing-key", Value::Text("delayed".into())),
    ]);
    for _ in 0..5 {
        let published = publisher.publish_declaring(queue("delay"), message("m"), Some(&delaying));
        assert_eq!(published.await, Ok(Outcome::Accepted));
    }
    canceled(&mut consumer, inbox).await;
}

#[tokio::test]
async fn what_expires_in_an_inbox_by_its_publishers_wish_is_not_lost() {
    let (vhost, direct) = direct().await;
    let (proxy, through) = through_proxy(&vhost).await;
    let mut consumer = client(&through, &vhost).await;
    let mut publisher = client(&direct, &vhost).await;
    let inbox = consumer.open_inbox(1).await;
    consumer.bind(inbox, &["news"]).await;
    publisher.publish(topic("news"), "first").await;
    let first = consumer.delivery().await;
    for _ in 0..5 {
        publisher.try_publish(topic("news"), lasting("1")).await.unwrap();
    }
    until_inbox_holds(&vhost, 1).await;
    // Nor is what the owner of the inbox refuses.
    consumer.settle(&first, Verdict::Discard, false);
    consumer.link.flush();
    until_inbox_holds(&vhost, 0).await;
    cut_off(&proxy).await;
    eventually("the loss", async || (vhost.consumers().await == 0).then_some(())).await;
    for _ in 0..5 {
        publisher.try_publish(topic("news"), lasting("1")).await.unwrap();
    }
    until_inbox_holds(&vhost, 0).await;
    publisher.publish(topic("news"), "last").await;
    proxy.accept().await;
    let last = consumer.delivery().await;
    assert_eq!((last.body(), last.redelivered), ("last", false));
    consumer.expect_nothing().await;
}

#[tokio::test]
async fn a_bind_without_the_right_is_refused_alone() {
    let (vhost, broker) = direct().await;
    let user = format!("{}-reader", vhost.user());
    vhost.set_passcode(&user, "cherry").await;
    vhost.permit(&user, Permissions::ALL).await;
    vhost.permit_topics(&user, "amq.topic", ".*", r"^open\.").await;
    let identity = credentials((&user, "cherry")).into();
    let mut reader = Client::new(broker.open(vhost.name().into(), identity).await.unwrap());
    let inbox = reader.open_inbox(10).await;
    let asked: Vec<_> = ["open.a", "secret", "open.b", "#", "open.#"]
        .map(|topic| (reader.token(), topic))
        .into_iter()
        .collect();
    for &(token, topic) in &asked {
        reader.link.submit(Command::Bind { token, inbox, exchange: None, topic: topic.into() });
    }
    for (token, topic) in asked {
        match reader.event().await {
            Event::Subscribed { token: of } => {
                assert_eq!(of, token);
                assert!(topic.starts_with("open."), "{topic}");
            }
            Event::Failed { token: of, error } => {
                assert_eq!((of, error.kind), (token, BrokerErrorKind::AccessRefused), "{error}");
                assert!(!topic.starts_with("open."), "{topic}");
            }
            other => panic!("an answer was expected, not {other:?}"),
        }
    }
    // A right that is taken back is missed at the next bind, also of what is bound.
    vhost.permit_topics(&user, "amq.topic", ".*", "^$").await;
    let refused = async || {
        let refused = reader.try_bind(inbox, "open.a").await.err();
        refused.map(|error| assert_eq!(error.kind, BrokerErrorKind::AccessRefused))
    };
    eventually("the refusal", refused).await;
    let mut publisher = client(&broker, &vhost).await;
    for key in ["secret", "open.a", "open.b"] {
        publisher.try_publish(topic(key), message(key)).await.unwrap();
    }
    assert_eq!(reader.bodies(2).await, ["open.a", "open.b"]);
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    for how in ["unsubscribe", "drop", "unsubscribe and drop", "early unsubscribe", "early drop"] {
        let mut consumer = client(&broker, &vhost).await;
        if how.starts_with("early") {
            let [opened, bound, closed] = [(); 3].map(|()| consumer.token());
            let (subscription, inbox) = (SubscriptionId(7), SubscriptionId(7));
            let open = Command::OpenInbox { token: opened, subscription, prefetch: 1 };
            consumer.link.submit(open);
            consumer.link.submit(Command::Bind {
                token: bound,
                inbox,
                exchange: None,
                topic: "news".into(),
            });
            if how == "early unsubscribe" {
                let delete = false;
                consumer.link.submit(Command::Unsubscribe { token: closed, subscription, delete });
                match consumer.event().await {
                    Event::Failed { token, error } => {
                        assert_eq!((token, error.kind), (bound, BrokerErrorKind::NotFound));
                    }
                    other => panic!("the bind's refusal was expected, not {other:?}"),
                }
                assert_eq!(consumer.event().await, Event::Subscribed { token: opened });
                assert_eq!(consumer.event().await, Event::Unsubscribed { token: closed });
                assert_eq!((vhost.queues().await, vhost.exchanges().await), (vec![], vec![]));
            }
        } else {
            let inbox = consumer.open_inbox(2).await;
            consumer.bind(inbox, &["news", "#"]).await;
            for n in 0..5 {
                publisher.publish(topic("news"), n.to_string()).await;
            }
            // Some are outstanding, others wait.
            assert_eq!(consumer.bodies(2).await, ["0", "1"]);
            if how == "unsubscribe" {
                consumer.unsubscribe(inbox).await;
                assert_eq!((vhost.queues().await, vhost.exchanges().await), (vec![], vec![]));
            } else if how == "unsubscribe and drop" {
                let (token, delete) = (consumer.token(), false);
                let close = Command::Unsubscribe { token, subscription: inbox, delete };
                consumer.link.submit(close);
            }
        }
        drop(consumer);
        until_nothing_is_left(&vhost).await;
    }
    // Nor by one that could not be opened.
    let user = format!("{}-stranger", vhost.user());
    vhost.set_passcode(&user, "cherry").await;
    vhost.permit(&user, Permissions { write: "^$", ..Permissions::ALL }).await;
    let identity = credentials((&user, "cherry")).into();
    let mut stranger = Client::new(broker.open(vhost.name().into(), identity).await.unwrap());
    let (token, subscription) = (stranger.token(), SubscriptionId(7));
    stranger.link.submit(Command::OpenInbox { token, subscription, prefetch: 1 });
    match stranger.event().await {
        Event::Failed { error, .. } => assert_eq!(error.kind, BrokerErrorKind::AccessRefused),
        other => panic!("a refusal was expected, not {other:?}"),
    }
    until_nothing_is_left(&vhost).await;
}

#[tokio::test]
async fn an_inbox_goes_by_itself_when_nobody_comes_for_it() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let inbox_expires = Duration::from_millis(100);
    let through = broker_with(proxy.addr(), Settings { inbox_expires, ..Settings::default() });
    let mut consumer = client(&through, &vhost).await;
    let inbox = consumer.open_inbox(1).await;
    consumer.bind(inbox, &["news"]).await;
    cut_off(&proxy).await;
    until_nothing_is_left(&vhost).await;
    let outcome = publisher.try_publish(topic("news"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    proxy.accept().await;
    let error = canceled(&mut consumer, inbox).await;
    assert_eq!(error.kind, BrokerErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn permissions_of_plugin_users_are_enough() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let user = format!("{}-plugin", vhost.user());
    vhost.set_passcode(&user, "cherry").await;
    let own = "^stomp-subscription-.*";
    let read = r"^(stomp-subscription-.*|amq\.topic$)";
    vhost.permit(&user, Permissions { configure: own, write: own, read }).await;
    let (proxy, through) = through_proxy(&vhost).await;
    let identity = credentials((&user, "cherry")).into();
    let mut reader = Client::new(through.open(vhost.name().into(), identity).await.unwrap());
    let inbox = reader.open_inbox(10).await;
    reader.bind(inbox, &["a", "b"]).await;
    reader.unbind(inbox, "b").await;
    publisher.publish(topic("a"), "before").await;
    assert_eq!(reader.delivery().await.body(), "before");
    cut_off(&proxy).await;
    publisher.publish(topic("a"), "after").await;
    proxy.accept().await;
    assert_eq!(reader.bodies(2).await, ["before", "after"]);
    reader.unsubscribe(inbox).await;
    assert_eq!((vhost.queues().await, vhost.exchanges().await), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_published_after_a_topic_was_asked_for_reaches_the_inbox() {
    let (vhost, broker) = direct().await;
    for _ in 0..10 {
        let mut client = client(&broker, &vhost).await;
        let inbox = client.open_inbox(10).await;
        let bound = client.token();
        client.link.submit(Command::Bind {
            token: bound,
            inbox,
            exchange: None,
            topic: "news".into(),
        });
        assert!(!client.is_ready());
        client.ready().await;
        client.publish(topic("news"), "m").await;
        assert_eq!(client.event().await, Event::Subscribed { token: bound });
        assert_eq!(client.delivery().await.body(), "m");
    }
}
