//! The gateway in front of RabbitMQ, and what happens when things go wrong there: who is told what,
//! what comes again, what is never lost.
//!
//! Tests that stop, kill or alarm a node have a node of their own; all others share one.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::Duration;

use gateway::config::units::Millis;
use gateway::config::{Broker, Config, Endpoint, Rabbitmq};
use integration_tests::{
    Closing, HttpReply, Incoming, RawWs, Request, StompClient, StompFrame, TestGateway,
    http_exchange,
};
use rabbitmq_node::{Cut, Direction, Node, Options, Permissions, Proxy, Vhost, eventually};

const QUEUE: &str = "/queue/orders";

/// A gateway for a virtual host of its own on the shared node.
async fn shared() -> (Vhost, TestGateway) {
    let vhost = Node::shared().await.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    (vhost, gateway)
}

/// A gateway that reaches its virtual host by this address.
fn by_way_of(vhost: &Vhost, address: SocketAddr) -> integration_tests::Settings {
    TestGateway::rabbitmq(vhost).config(|config| rabbitmq(config).url = vec![endpoint(address)])
}

fn endpoint(address: SocketAddr) -> Endpoint {
    format!("amqp://{address}").parse().unwrap()
}

fn rabbitmq(config: &mut Config) -> &mut Rabbitmq {
    match config.broker.get_mut("main") {
        Some(Broker::Rabbitmq(rabbitmq)) => rabbitmq,
        other => panic!("the broker is {other:?}"),
    }
}

/// A client that has sent CONNECT, and the answer.
async fn knock(
    gateway: &TestGateway,
    vhost: &str,
    (login, passcode): (&str, &str),
) -> (StompClient, StompFrame) {
    let mut client =
        StompClient::over(RawWs::open(gateway.ws_addr(), &Request::upgrade("/ws")).await);
    let headers =
        [("accept-version", "1.2"), ("host", vhost), ("login", login), ("passcode", passcode)];
    client.send("CONNECT", &headers, "").await;
    let answer = client.recv().await;
    (client, answer)
}

async fn log_in(gateway: &TestGateway, vhost: &Vhost) -> StompClient {
    let (client, answer) = knock(gateway, vhost.name(), (vhost.user(), vhost.passcode())).await;
    assert_eq!(answer.verb, "CONNECTED", "{answer:?} {:?}", answer.text());
    client
}

async fn publish(client: &mut StompClient, destination: &str, body: &str) {
    let headers = [("destination", destination), ("persistent", "true")];
    client.send_confirmed("SEND", &headers, body).await;
}

/// Without a receipt: deliveries would come between.
async fn ack(client: &mut StompClient, message: &StompFrame) {
    client.send("ACK", &[("id", message.expect_header("ack"))], "").await;
}

/// The ERROR that is next, and the end of the connection after it.
async fn refusal(client: &mut StompClient) -> (StompFrame, Closing) {
    let error = client.expect("ERROR").await;
    let closing = client.closing().await;
    (error, closing)
}

async fn readiness(gateway: &TestGateway) -> HttpReply {
    let request = Request::plain("GET", "/readyz").bytes();
    http_exchange(gateway.admin_addr(), &request).await.expect("an answer")
}

/// Waits until the queue holds so many messages, waiting or unacknowledged.
async fn holds(vhost: &Vhost, queue: &str, messages: u64) {
    eventually(&format!("{messages} messages in {queue}"), async || {
        let found = vhost.queue(queue).await?;
        (found.messages == Some(messages)).then_some(())
    })
    .await;
}

// Logins

#[tokio::test]
async fn the_clients_login_is_the_brokers_login() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    publish(&mut client, QUEUE, "hello").await;
    client.subscribe("0", QUEUE, "auto").await;
    client.expect_message("hello").await;
    let users = eventually("the connections of the gateway", async || {
        let users: Vec<_> = vhost.connections().await.into_iter().map(|it| it.user).collect();
        (users.len() == 2).then_some(users)
    })
    .await;
    assert_eq!(users, [vhost.user(), vhost.user()]);
}

#[tokio::test]
async fn a_refused_login_is_answered_with_the_brokers_words() {
    let (vhost, gateway) = shared().await;
    let mut right = log_in(&gateway, &vhost).await;
    for (login, passcode) in [(vhost.user(), "wrong"), (vhost.user(), ""), ("nobody", "x")] {
        let (mut client, answer) = knock(&gateway, vhost.name(), (login, passcode)).await;
        assert_eq!(
            (answer.verb.as_str(), answer.header("message")),
            ("ERROR", Some("Bad CONNECT"))
        );
        assert_eq!(answer.text(), format!("Access refused for user '{login}'"));
        client.closing().await;
    }
    let user = (vhost.user(), vhost.passcode());
    let (_, answer) = knock(&gateway, "no such vhost", user).await;
    assert_eq!(answer.text(), "Virtual host 'no such vhost' access denied");
    publish(&mut right, QUEUE, "still here").await;
}

#[tokio::test]
async fn a_passcode_that_rabbitmq_hangs_up_on_does_not_make_it_look_away() {
    let (vhost, gateway) = shared().await;
    eventually("readiness", async || (readiness(&gateway).await.status == 200).then_some(())).await;
    for (bytes, message) in [(5_000, "Broker unavailable"), (50_000, "Bad CONNECT")] {
        let user = (vhost.user(), "x".repeat(bytes));
        let (_, answer) = knock(&gateway, vhost.name(), (user.0, &user.1)).await;
        assert_eq!(answer.header("message"), Some(message), "{}", answer.text());
        assert_eq!(readiness(&gateway).await.status, 200);
    }
}

#[tokio::test]
async fn after_a_change_the_old_passcode_is_refused_once_the_cache_is_over() {
    let vhost = Node::shared().await.vhost().await;
    let change =
        |config: &mut Config| rabbitmq(config).login_cache = Millis(Duration::from_millis(1));
    let gateway = TestGateway::rabbitmq(&vhost).config(change).start().await;
    let mut old = log_in(&gateway, &vhost).await;
    publish(&mut old, QUEUE, "before").await;
    vhost.set_passcode(vhost.user(), "changed").await;
    let (_, answer) = knock(&gateway, vhost.name(), (vhost.user(), vhost.passcode())).await;
    assert_eq!(answer.text(), format!("Access refused for user '{}'", vhost.user()));
    let (_, answer) = knock(&gateway, vhost.name(), (vhost.user(), "changed")).await;
    assert_eq!(answer.verb, "CONNECTED");
    publish(&mut old, QUEUE, "an open session goes on, as it does at RabbitMQ").await;
}

// One client's mistakes

/// Twenty subscribers and publishers on one login; then `mistake` is made by one more.
async fn bystanders(mistake: impl AsyncFnOnce(&Vhost, &mut StompClient)) {
    let (vhost, gateway) = shared().await;
    let mut others = Vec::new();
    for n in 0..20 {
        let mut client = log_in(&gateway, &vhost).await;
        client.subscribe("0", &format!("/queue/own-{n}"), "client").await;
        client.subscribe("1", "/topic/all", "auto").await;
        others.push(client);
    }
    let mut culprit = log_in(&gateway, &vhost).await;
    mistake(&vhost, &mut culprit).await;
    for (n, client) in others.iter_mut().enumerate() {
        let destination = format!("/queue/own-{n}");
        client.send_confirmed("SEND", &[("destination", &destination)], "mine").await;
        let mine = client.expect_message("mine").await;
        ack(client, &mine).await;
    }
    let mut publisher = log_in(&gateway, &vhost).await;
    publish(&mut publisher, "/topic/all", "to all").await;
    for client in &mut others {
        client.expect_message("to all").await;
    }
}

#[tokio::test]
async fn a_missing_exchange_hurts_only_who_named_it() {
    bystanders(async |_, client| {
        client.request("SEND", &[("destination", "/exchange/missing/key")], "lost").await;
        let (error, _) = refusal(client).await;
        assert_eq!(error.header("receipt-id"), Some("receipt-1"));
        assert!(error.text().contains("NOT_FOUND - no exchange 'missing'"), "{}", error.text());
    })
    .await;
}

#[tokio::test]
async fn a_missing_exchange_is_reported_without_a_receipt_too() {
    bystanders(async |_, client| {
        client.send("SEND", &[("destination", "/exchange/missing/key")], "lost").await;
        let (error, _) = refusal(client).await;
        assert!(error.text().contains("NOT_FOUND - no exchange 'missing'"), "{}", error.text());
    })
    .await;
}

#[tokio::test]
async fn a_missing_queue_hurts_only_who_named_it() {
    bystanders(async |_, client| {
        let headers = [("id", "0"), ("destination", "/amq/queue/missing")];
        client.send("SUBSCRIBE", &headers, "").await;
        let (error, _) = refusal(client).await;
        assert!(error.text().contains("NOT_FOUND - no queue 'missing'"), "{}", error.text());
    })
    .await;
}

#[tokio::test]
async fn over_large_headers_hurt_only_who_sent_them() {
    bystanders(async |_, client| {
        let large = "x".repeat(60_000);
        let headers = [("destination", QUEUE), ("big", large.as_str())];
        client.request("SEND", &headers, "too much").await;
        let (error, _) = refusal(client).await;
        assert_eq!(error.header("receipt-id"), Some("receipt-1"));
        assert!(error.text().contains("PRECONDITION_FAILED"), "{}", error.text());
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_permission_is_told_to_whom_it_concerns() {
    let (vhost, gateway) = shared().await;
    vhost.set_passcode("clerk", "clerk").await;
    vhost.permit("clerk", Permissions::ALL).await;
    let (mut clerk, answer) = knock(&gateway, vhost.name(), ("clerk", "clerk")).await;
    assert_eq!(answer.verb, "CONNECTED");
    let mut other = log_in(&gateway, &vhost).await;
    publish(&mut clerk, QUEUE, "allowed").await;
    vhost.permit("clerk", Permissions { write: "^$", ..Permissions::ALL }).await;
    let receipt = clerk.request("SEND", &[("destination", "/topic/news")], "forbidden").await;
    let (error, _) = refusal(&mut clerk).await;
    assert_eq!(error.header("receipt-id"), Some(receipt.as_str()));
    assert!(error.text().contains("ACCESS_REFUSED"), "{}", error.text());
    publish(&mut other, QUEUE, "still allowed").await;
}

// Nothing lost

#[tokio::test]
async fn what_was_sent_before_a_goodbye_arrives() {
    let (vhost, gateway) = shared().await;
    for n in 0..20 {
        let mut client = log_in(&gateway, &vhost).await;
        let destination = format!("/queue/new-{n}");
        client.send("SEND", &[("destination", destination.as_str())], "last words").await;
        client.send("DISCONNECT", &[], "").await;
        client.closing().await;
    }
    let mut reader = log_in(&gateway, &vhost).await;
    for n in 0..20 {
        let destination = format!("/queue/new-{n}");
        reader.subscribe(&n.to_string(), &destination, "auto").await;
        reader.expect_message("last words").await;
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let (vhost, gateway) = shared().await;
    let mut first = log_in(&gateway, &vhost).await;
    for body in ["a", "b", "c"] {
        publish(&mut first, QUEUE, body).await;
    }
    first.subscribe("0", QUEUE, "client-individual").await;
    first.expect_message("a").await;
    let b = first.expect_message("b").await;
    first.expect_message("c").await;
    ack(&mut first, &b).await;
    holds(&vhost, "orders", 2).await;
    first.cut();
    let mut second = log_in(&gateway, &vhost).await;
    second.subscribe("0", QUEUE, "auto").await;
    for body in ["a", "c"] {
        let message = second.expect_message(body).await;
        assert_eq!(message.header("redelivered"), Some("true"));
    }
    holds(&vhost, "orders", 0).await;
}

// The broker goes away

#[tokio::test]
async fn the_gateway_starts_without_its_broker_and_says_so() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    node.stop().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let reply = eventually("an answer that names the endpoint", async || {
        let reply = readiness(&gateway).await;
        reply.body.contains(&vhost.amqp_addr().to_string()).then_some(reply)
    })
    .await;
    assert_eq!(reply.status, 503, "{reply:?}");
    let user = (vhost.user(), vhost.passcode());
    let (mut client, answer) = knock(&gateway, vhost.name(), user).await;
    assert_eq!(answer.header("message"), Some("Broker unavailable"), "{answer:?}");
    assert_eq!(client.closing().await.code, Some(1013));
    node.start_again().await;
    eventually("readiness", async || (readiness(&gateway).await.status == 200).then_some(())).await;
    eventually("a login", async || {
        let (_, answer) = knock(&gateway, vhost.name(), user).await;
        (answer.verb == "CONNECTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn clients_of_durable_queues_stay_through_a_restart() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let mut consumer = log_in(&gateway, &vhost).await;
    consumer.subscribe("0", QUEUE, "client-individual").await;
    let mut publisher = log_in(&gateway, &vhost).await;
    publish(&mut publisher, QUEUE, "before").await;
    let before = consumer.expect_message("before").await;
    let mut listener = log_in(&gateway, &vhost).await;
    listener.subscribe("0", "/topic/news", "auto").await;
    node.stop().await;
    publisher.request("SEND", &[("destination", QUEUE), ("persistent", "true")], "held").await;
    node.start_again().await;
    // What is shared by those who listen may have lost something, and they are told.
    let (error, closing) = refusal(&mut listener).await;
    assert!(error.text().contains("messages may have been missed"), "{}", error.text());
    assert_eq!((error.header("subscription"), closing.code), (Some("0"), Some(1013)));
    publisher.expect("RECEIPT").await;
    let again = consumer.expect_message("before").await;
    assert_eq!(again.header("redelivered"), Some("true"));
    ack(&mut consumer, &before).await;
    let held = consumer.expect_message("held").await;
    ack(&mut consumer, &again).await;
    ack(&mut consumer, &held).await;
    holds(&vhost, "orders", 0).await;
}

#[tokio::test]
async fn a_killed_broker_leaves_no_receipt_unaccounted_for() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let mut publisher = log_in(&gateway, &vhost).await;
    publish(&mut publisher, QUEUE, "0").await;
    node.sync().await;
    let headers = [("destination", QUEUE), ("persistent", "true")];
    for n in 1..=500 {
        publisher.request("SEND", &headers, n.to_string()).await;
    }
    node.kill().await;
    let mut receipted = vec!["0".to_owned()];
    let told = loop {
        match publisher.incoming().await {
            Incoming::Frame(frame, _) if frame.verb == "RECEIPT" => {
                // The first publish took the first receipt.
                let number = frame.expect_header("receipt-id").trim_start_matches("receipt-");
                receipted.push((number.parse::<u32>().unwrap() - 1).to_string());
            }
            Incoming::Frame(frame, _) => break frame.verb == "ERROR",
            Incoming::HeartBeat => {}
            Incoming::Closed(_) => break false,
        }
        if receipted.len() == 501 {
            break true;
        }
    };
    assert!(told, "whoever has no receipt is told");
    node.start_again().await;
    let mut reader = eventually("a login", async || {
        let user = (vhost.user(), vhost.passcode());
        let (client, answer) = knock(&gateway, vhost.name(), user).await;
        (answer.verb == "CONNECTED").then_some(client)
    })
    .await;
    publish(&mut reader, QUEUE, "end").await;
    reader.subscribe("0", QUEUE, "auto").await;
    let mut found = Vec::new();
    while found.last().is_none_or(|last| last != "end") {
        found.push(reader.expect("MESSAGE").await.text().to_owned());
    }
    for body in receipted {
        assert!(found.contains(&body), "{body} had a receipt");
    }
}

#[tokio::test]
async fn after_a_cut_connection_everything_goes_on() {
    let vhost = Node::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let gateway = by_way_of(&vhost, proxy.addr()).start().await;
    let mut consumer = log_in(&gateway, &vhost).await;
    consumer.subscribe("0", QUEUE, "client").await;
    let mut publisher = log_in(&gateway, &vhost).await;
    for how in [Cut::Reset, Cut::Close] {
        publish(&mut publisher, QUEUE, "unsettled").await;
        consumer.expect_message("unsettled").await;
        proxy.cut(how).await;
        let again = consumer.expect_message("unsettled").await;
        assert_eq!(again.header("redelivered"), Some("true"));
        ack(&mut consumer, &again).await;
        publish(&mut publisher, QUEUE, "after").await;
        let after = consumer.expect_message("after").await;
        ack(&mut consumer, &after).await;
    }
    holds(&vhost, "orders", 0).await;
}

#[tokio::test]
async fn a_stalled_connection_holds_receipts_back_and_loses_none() {
    let vhost = Node::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let gateway = by_way_of(&vhost, proxy.addr()).start().await;
    let mut client = log_in(&gateway, &vhost).await;
    publish(&mut client, QUEUE, "0").await;
    for direction in [Direction::ToClient, Direction::ToServer] {
        proxy.stall(direction);
        for n in 0..50 {
            client.request("SEND", &[("destination", QUEUE)], n.to_string()).await;
        }
        proxy.resume(direction);
        for _ in 0..50 {
            client.expect("RECEIPT").await;
        }
    }
    holds(&vhost, "orders", 101).await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_given_up() {
    let vhost = Node::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let settings = by_way_of(&vhost, proxy.addr());
    let change = |config: &mut Config| rabbitmq(config).heartbeat = Millis::seconds(1);
    let gateway = settings.config(change).start().await;
    let mut client = log_in(&gateway, &vhost).await;
    publish(&mut client, QUEUE, "0").await;
    proxy.stall(Direction::ToClient);
    let receipt = client.request("SEND", &[("destination", QUEUE)], "1").await;
    let (error, _) = refusal(&mut client).await;
    assert_eq!(error.header("receipt-id"), Some(receipt.as_str()));
    assert!(error.text().contains("outcome is unknown"), "{}", error.text());
}

#[tokio::test]
async fn a_memory_alarm_holds_publishers_back_and_nobody_else() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let mut publisher = log_in(&gateway, &vhost).await;
    for n in 0..20 {
        publish(&mut publisher, QUEUE, &n.to_string()).await;
    }
    node.set_memory_alarm(true).await;
    for n in 20..40 {
        publisher.request("SEND", &[("destination", QUEUE)], n.to_string()).await;
    }
    // A new login, a new subscription and acknowledgements do not publish: they go on.
    let mut consumer = log_in(&gateway, &vhost).await;
    consumer.subscribe("0", QUEUE, "client").await;
    for n in 0..20 {
        let message = consumer.expect_message(n.to_string()).await;
        ack(&mut consumer, &message).await;
    }
    holds(&vhost, "orders", 0).await;
    node.set_memory_alarm(false).await;
    for n in 20..40 {
        publisher.expect("RECEIPT").await;
        let message = consumer.expect_message(n.to_string()).await;
        ack(&mut consumer, &message).await;
    }
}

#[tokio::test]
async fn a_goodbye_is_not_answered_before_rabbitmq_has_the_last_message() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let mut client = log_in(&gateway, &vhost).await;
    let mut bystander = log_in(&gateway, &vhost).await;
    node.set_memory_alarm(true).await;
    // RabbitMQ takes one more message of a connection before it holds it back.
    let mut first = log_in(&gateway, &vhost).await;
    first.send("SEND", &[("destination", "/queue/other-0")], "").await;
    for n in 0..5 {
        bystander.subscribe(&n.to_string(), &format!("/queue/other-{n}"), "client").await;
        if n == 0 {
            bystander.expect("MESSAGE").await;
        }
    }
    client.send("SEND", &[("destination", QUEUE), ("persistent", "true")], "last").await;
    client.request("DISCONNECT", &[], "").await;
    // Round trips through the gateway and the broker: an answer would have come by then.
    for n in 5..10 {
        bystander.subscribe(&n.to_string(), &format!("/queue/other-{n}"), "client").await;
    }
    let early = tokio::time::timeout(Duration::ZERO, client.incoming()).await;
    assert!(early.is_err(), "answered while RabbitMQ took nothing: {early:?}");
    node.set_memory_alarm(false).await;
    client.expect("RECEIPT").await;
    bystander.subscribe("last", QUEUE, "auto").await;
    bystander.expect_message("last").await;
}

#[tokio::test]
async fn who_acknowledges_too_late_is_told_and_the_message_comes_again() {
    let node = Node::start(Options::default()).await;
    // RabbitMQ's own are half an hour, and a look once a minute.
    node.evaluate("application:set_env(rabbit, consumer_timeout, 1000)");
    node.evaluate("application:set_env(rabbit, channel_tick_interval, 500)");
    let vhost = node.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let mut bystander = log_in(&gateway, &vhost).await;
    bystander.subscribe("0", "/queue/other", "client").await;
    let mut late = log_in(&gateway, &vhost).await;
    publish(&mut late, QUEUE, "work").await;
    late.subscribe("late", QUEUE, "client").await;
    late.expect_message("work").await;
    let (error, _) = refusal(&mut late).await;
    assert_eq!(error.header("subscription"), Some("late"));
    assert!(error.text().contains("PRECONDITION_FAILED"), "{}", error.text());
    assert!(error.text().contains("consumer_timeout"), "{}", error.text());
    let mut next = log_in(&gateway, &vhost).await;
    next.subscribe("next", QUEUE, "auto").await;
    let again = next.expect_message("work").await;
    assert_eq!(again.header("redelivered"), Some("true"));
    publish(&mut next, "/queue/other", "for another").await;
    bystander.expect_message("for another").await;
}

#[tokio::test]
async fn a_subscriber_is_told_that_its_queue_was_deleted() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    client.subscribe("mine", QUEUE, "auto").await;
    assert!(vhost.delete_queue("orders").await);
    let (error, _) = refusal(&mut client).await;
    assert_eq!(error.header("subscription"), Some("mine"));
    assert_eq!(error.header("message"), Some("Server cancelled subscription"));
    assert!(error.text().contains("queue 'orders' was deleted"), "{}", error.text());
}
