//! Queues as STOMP headers declare them, on a real RabbitMQ: what it is told, and what comes of it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use integration_tests::{RawWs, Request, StompClient, StompFrame, TestGateway};
use rabbitmq_node::{Node, Vhost};
use serde_json::json;

async fn shared() -> (Vhost, TestGateway) {
    let vhost = Node::shared().await.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    (vhost, gateway)
}

async fn log_in(gateway: &TestGateway, vhost: &Vhost) -> StompClient {
    let ws = RawWs::open(gateway.ws_addr(), &Request::upgrade("/ws")).await;
    let mut client = StompClient::over(ws);
    let login = [
        ("accept-version", "1.2"),
        ("host", vhost.name()),
        ("login", vhost.user()),
        ("passcode", vhost.passcode()),
    ];
    client.send("CONNECT", &login, "").await;
    client.expect("CONNECTED").await;
    client
}

async fn subscribe(client: &mut StompClient, destination: &str, headers: &[(&str, &str)]) {
    let all = [&[("id", destination), ("destination", destination)], headers].concat();
    client.send_confirmed("SUBSCRIBE", &all, "").await;
}

async fn publish(
    client: &mut StompClient,
    destination: &str,
    headers: &[(&str, &str)],
    body: &str,
) {
    let all = [&[("destination", destination)], headers].concat();
    client.send_confirmed("SEND", &all, body).await;
}

/// The message that comes next for this subscription.
async fn message(client: &mut StompClient, subscription: &str) -> StompFrame {
    let message = client.expect("MESSAGE").await;
    assert_eq!(message.expect_header("subscription"), subscription);
    message
}

#[tokio::test]
async fn flags_and_arguments_reach_rabbitmq() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    let arguments = [
        ("x-message-ttl", "60000"),
        ("x-max-length", "10"),
        ("x-overflow", "reject-publish"),
        ("x-single-active-consumer", "true"),
        ("x-dead-letter-exchange", "amq.fanout"),
    ];
    let declared = json!({
        "x-message-ttl": 60_000,
        "x-max-length": 10,
        "x-overflow": "reject-publish",
        "x-single-active-consumer": true,
        "x-dead-letter-exchange": "amq.fanout",
    });
    subscribe(&mut client, "/queue/subscribed", &arguments).await;
    publish(&mut client, "/queue/sent", &arguments, "m").await;
    let named = [&arguments[..], &[("x-queue-name", "topical"), ("durable", "true")]].concat();
    subscribe(&mut client, "/topic/a", &named).await;
    for (name, auto_delete) in [("subscribed", false), ("sent", false), ("topical", true)] {
        let queue = vhost.queue(name).await.unwrap();
        assert_eq!(queue.arguments, declared, "{name}");
        let flags = (queue.durable, queue.exclusive, queue.auto_delete);
        assert_eq!(flags, (true, false, auto_delete), "{name}");
    }
    subscribe(&mut client, "/queue/fleeting", &[("durable", "false")]).await;
    let queue = vhost.queue("fleeting").await.unwrap();
    assert_eq!((queue.durable, queue.exclusive, queue.auto_delete), (false, true, true));
}

#[tokio::test]
async fn a_stream_is_read_from_where_the_client_says() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    let stream = ("x-queue-type", "stream");
    for body in ["0", "1", "2"] {
        publish(&mut client, "/queue/log", &[stream], body).await;
    }
    for (offset, bodies) in [("first", vec!["0", "1", "2"]), ("offset=2", vec!["2"])] {
        let mut reader = log_in(&gateway, &vhost).await;
        let headers =
            [stream, ("x-stream-offset", offset), ("ack", "client"), ("prefetch-count", "10")];
        subscribe(&mut reader, "/queue/log", &headers).await;
        for body in bodies {
            let got = message(&mut reader, "/queue/log").await;
            assert_eq!((got.text(), got.expect_header("x-stream-offset")), (body, body));
            let id = got.expect_header("ack");
            reader.send("ACK", &[("id", id)], "").await;
        }
    }
}

#[tokio::test]
async fn a_quorum_queue_dead_letters_what_comes_back_too_often() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    subscribe(&mut client, "/queue/dead", &[]).await;
    let quorum = [
        ("x-queue-type", "quorum"),
        ("x-delivery-limit", "1"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "dead"),
        ("ack", "client-individual"),
    ];
    subscribe(&mut client, "/queue/quorum", &quorum).await;
    let mut publisher = log_in(&gateway, &vhost).await;
    publish(&mut publisher, "/queue/quorum", &quorum[..4], "again and again").await;
    for _ in 0..2 {
        let got = message(&mut client, "/queue/quorum").await;
        client.send("NACK", &[("id", got.expect_header("ack"))], "").await;
    }
    let dead = message(&mut client, "/queue/dead").await;
    assert_eq!(dead.text(), "again and again");
    let deaths = dead.expect_header("x-death").replace("\\c", ":");
    let deaths: serde_json::Value = serde_json::from_str(&deaths).unwrap();
    assert_eq!(
        (&deaths[0]["queue"], &deaths[0]["reason"]),
        (&json!("quorum"), &json!("delivery_limit"))
    );
}

#[tokio::test]
async fn replies_belong_to_who_asked() {
    let (vhost, gateway) = shared().await;
    let mut client = log_in(&gateway, &vhost).await;
    let mut service = log_in(&gateway, &vhost).await;
    subscribe(&mut service, "/queue/service", &[]).await;
    publish(&mut client, "/queue/service", &[("reply-to", "/temp-queue/r")], "?").await;
    let request = message(&mut service, "/queue/service").await;
    let reply_to = request.expect_header("reply-to").to_owned();
    let queue = vhost.queue(reply_to.strip_prefix("/reply-queue/").unwrap()).await.unwrap();
    assert_eq!((queue.durable, queue.exclusive, queue.auto_delete), (false, true, true));
    // The same user, and so perhaps the same connection to RabbitMQ.
    service.send("SUBSCRIBE", &[("id", "spy"), ("destination", &reply_to)], "").await;
    let error = service.expect("ERROR").await;
    assert!(error.text().starts_with("RESOURCE_LOCKED"), "{error:?}");
    let mut service = log_in(&gateway, &vhost).await;
    publish(&mut service, &reply_to, &[], "!").await;
    assert_eq!(message(&mut client, "/temp-queue/r").await.text(), "!");
}
