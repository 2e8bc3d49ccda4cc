//! What the contract does not say, and RabbitMQ's ways make easy to get wrong.

mod inbox;
mod resume;
mod topics;

use broker_adapters::rabbitmq::{RabbitMq, Settings};
use broker_adapters::{Broker, Identity};
use protocols::broker::{
    BrokerErrorKind, Command, Event, ExchangeKind, Message, Outcome, Properties, QueueOptions,
    SettleMode, SubscriptionId, Token,
};
use rabbitmq_node::{Cut, Node, Permissions, Proxy, Vhost, eventually};

use crate::support::{Client, credentials, exchange, exclusive, existing, message, queue, topic};

/// A broker with one shared channel, reached by `address`.
fn broker(address: std::net::SocketAddr) -> RabbitMq {
    broker_with(address, Settings { shared_channels: 1, ..Settings::default() })
}

fn broker_with(address: std::net::SocketAddr, settings: Settings) -> RabbitMq {
    let endpoints = vec![format!("amqp://{address}").parse().unwrap()];
    RabbitMq::start(Settings { endpoints, ..settings })
}

/// A virtual host of its own, and a broker that reaches it.
async fn direct() -> (Vhost, RabbitMq) {
    let vhost = Node::shared().await.vhost().await;
    let broker = broker(vhost.amqp_addr());
    (vhost, broker)
}

async fn client_of(broker: &RabbitMq, vhost: &Vhost, is_service: bool) -> Client {
    let credentials = credentials((vhost.user(), vhost.passcode()));
    let opened = broker.open(vhost.name().into(), Identity { credentials, is_service }).await;
    Client::new(opened.unwrap_or_else(|denial| panic!("{denial:?}")))
}

async fn client(broker: &RabbitMq, vhost: &Vhost) -> Client {
    client_of(broker, vhost, false).await
}

#[tokio::test]
async fn a_link_that_only_consumes_recovers_without_being_asked() {
    let (vhost, direct) = direct().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let through = broker(proxy.addr());
    let mut consumer = client(&through, &vhost).await;
    consumer.subscribe(queue("orders"), 10).await;
    // Nothing but its own wakes polls it.
    let consumer = tokio::spawn(async move { consumer.delivery().await.body().to_owned() });
    let mut publisher = client(&direct, &vhost).await;
    proxy.cut(Cut::Reset).await;
    publisher.publish(queue("orders"), "m").await;
    assert_eq!(consumer.await.unwrap(), "m");
}

#[tokio::test]
async fn a_queue_that_was_lost_with_the_connection_is_declared_again() {
    let (vhost, _) = direct().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let through = broker(proxy.addr());
    let mut client = client(&through, &vhost).await;
    client.publish(queue("orders"), "m").await;
    proxy.refuse().await;
    proxy.cut(Cut::Reset).await;
    assert!(vhost.delete_queue("orders").await);
    proxy.accept().await;
    client.publish(queue("orders"), "m").await;
}

#[tokio::test]
async fn who_asks_for_anothers_queue_as_exclusive_does_not_delete_it() {
    let (vhost, broker) = direct().await;
    let mut owner = client(&broker, &vhost).await;
    owner.publish(queue("orders"), "kept").await;
    let mut refused = client(&broker, &vhost).await;
    refused.subscribe(queue("orders"), 1).await;
    refused.try_subscribe(queue("orders"), &exclusive(), 1).await.unwrap_err();
    // Nor does it keep others from it.
    owner.subscribe(queue("orders"), 1).await;
    let mut hasty = client(&broker, &vhost).await;
    let token = hasty.token();
    hasty.link.submit(Command::Subscribe {
        token,
        subscription: SubscriptionId(999),
        from: queue("orders"),
        queue: Box::new(exclusive()),
        arguments: Vec::new(),
        prefetch: 1,
        settle: SettleMode::Manual,
    });
    drop((owner, refused, hasty));
    broker.close().await;
    assert!(vhost.queue("orders").await.is_some());
}

#[tokio::test]
async fn an_exclusive_queue_stays_its_links_own_when_a_second_subscription_is_refused() {
    let (vhost, broker) = direct().await;
    let mut owner = client(&broker, &vhost).await;
    let first = owner.try_subscribe(queue("mine"), &exclusive(), 1).await.unwrap();
    owner.unsubscribe(first).await;
    let otherwise = QueueOptions { auto_delete: Some(true), ..exclusive() };
    owner.try_subscribe(queue("mine"), &otherwise, 1).await.unwrap_err();
    let mut other = client(&broker, &vhost).await;
    let refused = other.try_subscribe(existing("mine"), &QueueOptions::default(), 1).await;
    assert_eq!(refused.unwrap_err().kind, BrokerErrorKind::ResourceLocked);
    drop(owner);
    eventually("its end", async || vhost.queue("mine").await.is_none().then_some(())).await;
}

#[tokio::test]
async fn who_may_not_configure_an_exchange_is_told_so_and_uses_it_all_the_same() {
    let (vhost, broker) = direct().await;
    let mut owner = client(&broker, &vhost).await;
    let (token, kind) = (owner.token(), ExchangeKind::Direct);
    owner.link.submit(Command::DeclareExchange { token, name: "calls".into(), kind });
    assert_eq!(owner.answer(token).await, Event::Declared { token });
    owner.subscribe(exchange("calls", "k"), 10).await;

    let ann = format!("{}-ann", vhost.user());
    vhost.set_passcode(&ann, "secret").await;
    vhost.permit(&ann, Permissions { configure: "^$", ..Permissions::ALL }).await;
    let opened = broker.open(vhost.name().into(), credentials((&ann, "secret")).into()).await;
    let mut limited = Client::new(opened.unwrap_or_else(|denial| panic!("{denial:?}")));
    let token = limited.token();
    limited.link.submit(Command::DeclareExchange { token, name: "calls".into(), kind });
    limited.publish(exchange("calls", "k"), "m").await;
    let Event::Failed { token: of, error } = limited.event().await else { panic!("a refusal") };
    assert_eq!((of, error.kind), (token, BrokerErrorKind::AccessRefused));
    let expected = format!(
        "ACCESS_REFUSED - access to exchange 'calls' in vhost '{}' refused for user '{ann}'",
        vhost.name()
    );
    assert_eq!(error.text, expected.as_str());
    assert_eq!(owner.delivery().await.body(), "m");
}

#[tokio::test]
async fn direct_reply_to_hurts_nobody_on_the_same_connections() {
    let (vhost, broker) = direct().await;
    let mut bystander = client_of(&broker, &vhost, true).await;
    bystander.subscribe(topic("all"), 10).await;
    let mut culprit = client_of(&broker, &vhost, true).await;
    for name in ["amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.AAAA.x"] {
        let refused = culprit.try_publish(queue(name), message("m")).await;
        assert_eq!(refused.unwrap_err().kind, BrokerErrorKind::PreconditionFailed);
    }
    let reply_to = Some("amq.rabbitmq.reply-to".into());
    let asking =
        Message { properties: Properties { reply_to, ..Properties::default() }, ..message("m") };
    for _ in 0..20 {
        let (token, asked) = (bystander.token(), culprit.token());
        let publish = |token, message| Command::Publish {
            token,
            to: topic("other"),
            message,
            queue: None,
            confirm: true,
            mandatory: false,
        };
        bystander.link.submit(publish(token, message("m")));
        culprit.link.submit(publish(asked, asking.clone()));
        let accepted = Event::Confirmed { token, outcome: Outcome::Accepted };
        assert_eq!(bystander.answer(token).await, accepted);
        let answer = culprit.answer(asked).await;
        assert!(matches!(answer, Event::Failed { .. }), "{answer:?}");
    }
    bystander.expect_nothing().await;
}

#[tokio::test]
async fn a_refusal_on_the_links_own_channel_spares_what_went_by_a_shared_one() {
    let (vhost, broker) = direct().await;
    let mut client = client_of(&broker, &vhost, true).await;
    for _ in 0..10 {
        let publish = |token, to, confirm| Command::Publish {
            token,
            to,
            message: message("m"),
            queue: None,
            confirm,
            mandatory: false,
        };
        let lost = client.token();
        client.link.submit(publish(lost, exchange("missing", "k"), false));
        let tokens: Vec<_> = (0..5).map(|_| client.token()).collect();
        for &token in &tokens {
            client.link.submit(publish(token, topic("news"), true));
        }
        for token in tokens {
            let accepted = Event::Confirmed { token, outcome: Outcome::Accepted };
            assert_eq!(client.answer(token).await, accepted);
        }
        match client.event().await {
            Event::Failed { token, error } if token == lost => {
                assert_eq!(error.kind, BrokerErrorKind::NotFound, "{error}");
            }
            other => panic!("the refusal was expected, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn confirms_are_asked_for_behind_what_goes_without() {
    let (vhost, broker) = direct().await;
    let mut consumer = client(&broker, &vhost).await;
    consumer.subscribe(queue("orders"), 10).await;
    for _ in 0..20 {
        let mut client = client(&broker, &vhost).await;
        let tokens = [(); 2].map(|()| client.token());
        // The first takes a while to be written.
        for (token, body) in tokens.into_iter().zip([vec![b'x'; 1 << 20], b"last".to_vec()]) {
            let confirm = token == tokens[1];
            let (message, to) = (message(body), queue("orders"));
            let (queue, mandatory) = (None, false);
            client.link.submit(Command::Publish { token, to, message, queue, confirm, mandatory });
        }
        let accepted = Event::Confirmed { token: tokens[1], outcome: Outcome::Accepted };
        assert_eq!(client.event().await, accepted);
        for length in [1 << 20, 4] {
            let delivery = consumer.delivery().await;
            assert_eq!(delivery.body().len(), length);
            consumer.accept(&delivery);
        }
    }
}

#[tokio::test]
async fn a_queue_of_a_subscription_that_was_refused_does_not_stay() {
    let (vhost, broker) = direct().await;
    let mut client = client(&broker, &vhost).await;
    let refused = client.try_subscribe(exchange("missing", "k"), &QueueOptions::default(), 1).await;
    assert_eq!(refused.unwrap_err().kind, BrokerErrorKind::NotFound);
    assert_eq!(vhost.queues().await, Vec::new());
}

/// Publishes `bodies` to the queue `orders`; every `n`-th one wants to know its outcome.
fn publish_all(client: &mut Client, bodies: std::ops::Range<usize>, n: usize) -> Vec<Token> {
    let mut confirmed = Vec::new();
    for body in bodies {
        let (token, confirm) = (client.token(), body % n == 0);
        confirmed.extend(confirm.then_some(token));
        let (message, to) = (message(body.to_string()), queue("orders"));
        let (queue, mandatory) = (None, false);
        client.link.submit(Command::Publish { token, to, message, queue, confirm, mandatory });
    }
    confirmed
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again_and_nothing_is_lost() {
    // Without confirms, with some, and with all of them; on a channel of one's own, and on a shared one.
    for (is_service, n) in [(false, usize::MAX), (false, 3), (false, 1), (true, 3), (true, 1)] {
        let (vhost, broker) = direct().await;
        let mut publisher = client_of(&broker, &vhost, is_service).await;
        let mut consumer = client(&broker, &vhost).await;
        let before = consumer.subscribe(queue("orders"), 10).await;
        publish_all(&mut publisher, 1..2, usize::MAX);
        publisher.taken().await;
        let delivery = consumer.delivery().await;
        consumer.accept(&delivery);
        consumer.unsubscribe(before).await;
        assert!(vhost.delete_queue("orders").await);
        let tokens = publish_all(&mut publisher, 100..150, n);
        for token in tokens {
            let accepted = Event::Confirmed { token, outcome: Outcome::Accepted };
            assert_eq!(publisher.answer(token).await, accepted);
        }
        let again = async || {
            assert_eq!(publisher.events_now(), []);
            vhost.queue("orders").await
        };
        eventually("the queue again", again).await;
        publisher.taken().await;
        consumer.subscribe(queue("orders"), 100).await;
        let expected: Vec<_> = (100..150).map(|body| body.to_string()).collect();
        assert_eq!(consumer.bodies(50).await, expected, "{is_service} {n}");
        consumer.expect_nothing().await;
    }
}
