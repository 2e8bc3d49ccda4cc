//! STOMP over WebSocket end to end: real sockets, and behind them the embedded broker or RabbitMQ.
//!
//! Each scenario is a function that takes a [`World`]; [`scenarios!`] runs all of them in front of
//! one broker.
//!
//! Whether something does *not* arrive is told by what arrives in its place: a queue keeps its
//! order.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use integration_tests::{Incoming, RawWs, Request, StompClient, StompFrame, World, http_exchange};
use serde_json::json;

const QUEUE: &str = "/queue/end-to-end";

async fn publish(client: &mut StompClient, destination: &str, body: impl AsRef<[u8]>) {
    let length = body.as_ref().len().to_string();
    let headers = [("destination", destination), ("content-length", length.as_str())];
    client.send("SEND", &headers, body).await;
}

async fn ack(client: &mut StompClient, message: &StompFrame) {
    client.send_confirmed("ACK", &[("id", message.expect_header("ack"))], "").await;
}

async fn the_subprotocol_is_chosen_from_what_is_offered(world: World) {
    let offers: [(&[&str], Option<&str>); 8] = [
        (&[], None),
        (&["stomp"], Some("stomp")),
        (&["v10.stomp"], Some("v10.stomp")),
        (&["v11.stomp"], Some("v11.stomp")),
        (&["v12.stomp"], Some("v12.stomp")),
        (&["v10.stomp, v11.stomp, v12.stomp"], Some("v12.stomp")),
        (&["v10.stomp", "v12.stomp", "v11.stomp"], Some("v12.stomp")),
        (&["mqtt,soap", "v10.stomp ,\tv11.stomp"], Some("v11.stomp")),
    ];
    for (lines, chosen) in offers {
        let upgrade = Request::upgrade("/ws");
        let request = lines
            .iter()
            .fold(upgrade, |request, line| request.header("Sec-WebSocket-Protocol", line));
        let versions = [("accept-version", "1.0,1.1,1.2")];
        let (mut client, _) = world.log_in(&request, &versions).await;
        assert_eq!(client.ws().protocol(), chosen, "{lines:?}");
    }
}

async fn a_client_that_sends_no_login_is_the_default_user(world: World) {
    let ws = RawWs::open(world.ws_addr(), &Request::upgrade("/ws")).await;
    let mut client = StompClient::over(ws);
    client.send("CONNECT", &[("accept-version", "1.2"), ("host", &world.vhost)], "").await;
    client.expect("CONNECTED").await;
    client.subscribe("sub", QUEUE, "auto").await;
}

async fn the_highest_common_version_is_chosen(world: World) {
    for (accepted, version) in [
        ("1.0", "1.0"),
        ("1.1", "1.1"),
        ("1.2", "1.2"),
        ("1.0,1.1,1.2", "1.2"),
        ("1.1,1.0", "1.1"),
        ("1.2,9.9", "1.2"),
    ] {
        let versions = [("accept-version", accepted)];
        let (_, connected) = world.log_in(&Request::upgrade("/ws"), &versions).await;
        assert_eq!(connected.header("version"), Some(version), "accept-version:{accepted}");
    }
}

async fn without_accept_version_it_is_stomp_1_0(world: World) {
    let (mut client, _) = world.log_in(&Request::upgrade("/ws"), &[]).await;
    client.send("SUBSCRIBE", &[("destination", QUEUE)], "").await;
    publish(&mut client, QUEUE, "plain").await;
    let message = client.expect_message("plain").await;
    assert_eq!(message.header("subscription"), None, "none was named");
}

async fn a_subscription_without_id_is_served_in_every_version(world: World) {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = world.client_of(version).await;
        client.send_confirmed("SUBSCRIBE", &[("destination", QUEUE)], "").await;
        publish(&mut client, QUEUE, version).await;
        let message = client.expect_message(version).await;
        assert_eq!(message.header("subscription"), None, "none was named");
        client.send_confirmed("UNSUBSCRIBE", &[("destination", QUEUE)], "").await;
    }
}

async fn a_message_goes_through_a_queue_from_one_client_to_another(world: World) {
    let mut sender = world.client().await;
    let mut receiver = world.client().await;
    receiver.subscribe("mine", QUEUE, "auto").await;

    let headers = [
        ("destination", QUEUE),
        ("content-type", "application/json"),
        ("correlation-id", "7"),
        ("persistent", "true"),
        ("x-mine", "a\\cb"),
    ];
    sender.send_confirmed("SEND", &headers, "{}").await;

    let message = receiver.expect_message("{}").await;
    for (name, value) in [
        ("destination", QUEUE),
        ("subscription", "mine"),
        ("redelivered", "false"),
        ("content-length", "2"),
        ("content-type", "application/json"),
        ("correlation-id", "7"),
        ("persistent", "true"),
        ("x-mine", "a\\cb"),
    ] {
        assert_eq!(message.header(name), Some(value), "{message:?}");
    }
    assert!(!message.expect_header("message-id").is_empty());
    assert_eq!(message.header("ack"), None, "nothing is to be acknowledged in mode auto");
}

async fn a_queue_shares_its_messages_among_its_subscribers(world: World) {
    let mut one = world.client().await;
    let mut other = world.client().await;
    let headers = |id| {
        [("id", id), ("destination", QUEUE), ("ack", "client-individual"), ("prefetch-count", "1")]
    };
    one.send_confirmed("SUBSCRIBE", &headers("one"), "").await;
    other.send_confirmed("SUBSCRIBE", &headers("other"), "").await;
    let mut sender = world.client().await;
    for body in ["first", "second"] {
        sender.send_confirmed("SEND", &[("destination", QUEUE)], body).await;
    }
    let bodies = [one.expect("MESSAGE").await.body, other.expect("MESSAGE").await.body];
    assert!(
        bodies.contains(&b"first".to_vec()) && bodies.contains(&b"second".to_vec()),
        "{bodies:?}"
    );
}

async fn topics_are_matched_word_by_word(world: World) {
    let mut publisher = world.client().await;
    let mut client = world.client().await;
    client.subscribe("end", "/topic/the.end", "auto").await;
    let keys = ["a", "a.b", "a.b.c", "b.a", "b.c.a"];
    for (pattern, matched) in [
        ("a.b", &["a.b"][..]),
        ("a.*", &["a.b"]),
        ("*.a", &["b.a"]),
        ("a.#", &["a", "a.b", "a.b.c"]),
        ("#.a", &["a", "b.a", "b.c.a"]),
        ("*.*", &["a.b", "b.a", "the.end"]),
        ("b.#.a", &["b.a", "b.c.a"]),
        ("#", &["a", "a.b", "a.b.c", "b.a", "b.c.a", "the.end"]),
    ] {
        client.subscribe(pattern, &format!("/topic/{pattern}"), "auto").await;
        for key in keys.into_iter().chain(["the.end"]) {
            publish(&mut publisher, &format!("/topic/{key}"), key).await;
        }
        let mut got = Vec::new();
        let mut ended = false;
        while !ended || got.len() < matched.len() {
            let message = client.expect("MESSAGE").await;
            match message.expect_header("subscription") {
                "end" => ended = true,
                id => {
                    assert_eq!(id, pattern);
                    got.push(message.text().to_owned());
                }
            }
        }
        assert_eq!(got, matched, "/topic/{pattern}");
        client.send_confirmed("UNSUBSCRIBE", &[("id", pattern)], "").await;
    }
}

async fn every_subscriber_of_a_topic_gets_the_message(world: World) {
    let mut publisher = world.client().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.client().await;
        client.subscribe("sub", "/topic/news.*", "auto").await;
        clients.push(client);
    }
    publish(&mut publisher, "/topic/news.today", "extra").await;
    for client in &mut clients {
        let message = client.expect_message("extra").await;
        assert_eq!(message.header("destination"), Some("/topic/news.today"));
    }
}

async fn every_frame_that_may_ask_for_a_receipt_gets_it(world: World) {
    let mut client = world.client().await;
    let subscription = [("id", "sub"), ("destination", QUEUE), ("ack", "client-individual")];
    client.send_confirmed("SUBSCRIBE", &subscription, "").await;
    // None of this is for the subscription.
    client.send_confirmed_alone("SEND", &[("destination", "/queue/other")], "x").await;
    for end in ["COMMIT", "ABORT"] {
        client.send_confirmed("BEGIN", &[("transaction", "t")], "").await;
        client.send_confirmed_alone(end, &[("transaction", "t")], "").await;
    }
    for verdict in ["NACK", "ACK"] {
        publish(&mut client, QUEUE, verdict).await;
        let message = client.expect("MESSAGE").await;
        let headers = [("id", message.expect_header("ack")), ("requeue", "false")];
        client.send_confirmed(verdict, &headers[..if verdict == "ACK" { 1 } else { 2 }], "").await;
    }
    client.send_confirmed("UNSUBSCRIBE", &[("id", "sub")], "").await;
    client.send_confirmed("DISCONNECT", &[], "").await;
}

async fn the_receipt_of_disconnect_comes_before_the_close(world: World) {
    let mut client = world.client().await;
    client.send_confirmed("DISCONNECT", &[], "").await;
    assert_eq!(client.closing().await.code, Some(1000));
}

async fn disconnect_without_a_receipt_ends_the_connection_too(world: World) {
    let mut client = world.client().await;
    client.send("DISCONNECT", &[], "").await;
    assert_eq!(client.closing().await.code, Some(1000));
}

/// STOMP 1.2 §SUBSCRIBE ack header: `client` is cumulative, within the subscription.
async fn an_ack_in_mode_client_covers_what_came_before_it(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client").await;
    client.subscribe("bystander", "/queue/other", "client").await;
    publish(&mut client, "/queue/other", "not meant").await;
    client.expect_message("not meant").await;
    let mut messages = Vec::new();
    for body in ["one", "two", "three"] {
        publish(&mut client, QUEUE, body).await;
        messages.push(client.expect_message(body).await);
    }
    ack(&mut client, &messages[1]).await;
    client.cut();

    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "auto").await;
    assert_eq!(again.expect_message("three").await.header("redelivered"), Some("true"));
    again.subscribe("bystander", "/queue/other", "auto").await;
    assert_eq!(again.expect_message("not meant").await.header("redelivered"), Some("true"));
}

async fn an_ack_in_mode_client_individual_covers_one_message(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client-individual").await;
    let mut messages = Vec::new();
    for body in ["one", "two", "three"] {
        publish(&mut client, QUEUE, body).await;
        messages.push(client.expect_message(body).await);
    }
    ack(&mut client, &messages[1]).await;
    client.cut();

    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "auto").await;
    for body in ["one", "three"] {
        assert_eq!(again.expect_message(body).await.header("redelivered"), Some("true"));
    }
}

async fn a_nacked_message_comes_again_at_its_old_place(world: World) {
    let mut client = world.client().await;
    let headers = [
        ("id", "sub"),
        ("destination", QUEUE),
        ("ack", "client-individual"),
        ("prefetch-count", "1"),
    ];
    client.send_confirmed("SUBSCRIBE", &headers, "").await;
    publish(&mut client, QUEUE, "first").await;
    let first = client.expect_message("first").await;
    // It has to wait for the first.
    client.send_confirmed_alone("SEND", &[("destination", QUEUE)], "second").await;
    client.send("NACK", &[("id", first.expect_header("ack"))], "").await;
    let first = client.expect_message("first").await;
    assert_eq!(first.header("redelivered"), Some("true"));
    client.send("ACK", &[("id", first.expect_header("ack"))], "").await;
    assert_eq!(client.expect_message("second").await.header("redelivered"), Some("false"));
}

async fn older_versions_acknowledge_by_message_id(world: World) {
    for version in ["1.0", "1.1"] {
        let mut client = world.client_of(version).await;
        client.subscribe("sub", QUEUE, "client").await;
        publish(&mut client, QUEUE, version).await;
        let message = client.expect_message(version).await;
        let id = message.expect_header("message-id");
        client.send_confirmed("ACK", &[("message-id", id), ("subscription", "sub")], "").await;
        client.cut();
    }
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "auto").await;
    publish(&mut client, QUEUE, "nothing was left").await;
    client.expect_message("nothing was left").await;
}

async fn a_committed_transaction_takes_effect_as_a_whole(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client-individual").await;
    publish(&mut client, QUEUE, "taken").await;
    let taken = client.expect_message("taken").await;

    client.send("BEGIN", &[("transaction", "t")], "").await;
    let headers = [("destination", QUEUE), ("transaction", "t")];
    client.send("SEND", &headers, "inside one").await;
    client.send("SEND", &headers, "inside two").await;
    client.send("ACK", &[("id", taken.expect_header("ack")), ("transaction", "t")], "").await;
    publish(&mut client, QUEUE, "outside").await;
    client.expect_message("outside").await;
    client.send("COMMIT", &[("transaction", "t")], "").await;
    client.expect_message("inside one").await;
    client.expect_message("inside two").await;
    client.cut();

    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "auto").await;
    for body in ["outside", "inside one", "inside two"] {
        again.expect_message(body).await;
    }
    publish(&mut again, QUEUE, "nothing else was left").await;
    again.expect_message("nothing else was left").await;
}

async fn an_aborted_transaction_leaves_nothing(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client-individual").await;
    publish(&mut client, QUEUE, "kept").await;
    let kept = client.expect_message("kept").await;
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.send("SEND", &[("destination", QUEUE), ("transaction", "t")], "dropped").await;
    client.send("ACK", &[("id", kept.expect_header("ack")), ("transaction", "t")], "").await;
    client.send_confirmed("ABORT", &[("transaction", "t")], "").await;
    client.cut();

    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "auto").await;
    again.expect_message("kept").await;
    publish(&mut again, QUEUE, "nothing else").await;
    again.expect_message("nothing else").await;
}

async fn an_open_transaction_is_gone_with_its_connection(world: World) {
    let mut client = world.client().await;
    client.send("BEGIN", &[("transaction", "t")], "").await;
    let headers = [("destination", QUEUE), ("transaction", "t")];
    client.send("SEND", &headers, "never committed").await;
    client.send_confirmed("DISCONNECT", &[], "").await;
    client.closing().await;

    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "auto").await;
    publish(&mut again, QUEUE, "first").await;
    again.expect_message("first").await;
}

async fn large_and_binary_bodies_arrive_as_they_were_sent(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "auto").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for body in
        [every_byte.clone(), every_byte.repeat(4096), vec![b'a'; 1 << 20], vec![0; 1 << 20], vec![]]
    {
        publish(&mut client, QUEUE, &body).await;
        client.expect_message(&body).await;
    }
}

async fn what_was_not_acknowledged_comes_back_after_a_reconnect(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client").await;
    for body in ["one", "two"] {
        publish(&mut client, QUEUE, body).await;
        client.expect_message(body).await;
    }
    client.cut();
    let mut again = world.client().await;
    again.subscribe("sub", QUEUE, "client").await;
    again.expect_message("one").await;
    let last = again.expect_message("two").await;
    assert_eq!(last.header("redelivered"), Some("true"));
    ack(&mut again, &last).await;
    publish(&mut again, QUEUE, "three").await;
    assert_eq!(again.expect_message("three").await.header("redelivered"), Some("false"));
}

async fn heart_beats_come_as_agreed(world: World) {
    let headers = [("accept-version", "1.2"), ("heart-beat", "0,1000")];
    let (mut client, connected) = world.log_in(&Request::upgrade("/ws"), &headers).await;
    let (sends, _) = connected.expect_header("heart-beat").split_once(',').unwrap();
    assert_eq!(sends, "1000", "{connected:?}");
    for _ in 0..2 {
        assert_eq!(client.incoming().await, Incoming::HeartBeat);
    }
}

async fn a_missing_heart_beat_ends_the_connection(world: World) {
    let headers = [("accept-version", "1.2"), ("heart-beat", "1000,0")];
    let (mut client, _) = world.log_in(&Request::upgrade("/ws"), &headers).await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("Heart-beat missed"));
    assert_eq!(client.closing().await.code, Some(1008));
}

async fn a_draining_gateway_says_goodbye(world: World) {
    let mut client = world.client().await;
    client.subscribe("sub", QUEUE, "client").await;
    let goodbye = tokio::spawn(async move {
        let error = client.expect("ERROR").await;
        let closing = client.closing().await;
        (error, closing)
    });
    let drained = world.gateway.stop().await;
    assert_eq!(drained.cut, 0, "the client answered the close");
    let (error, closing) = goodbye.await.unwrap();
    assert!(error.header("message").is_some(), "{error:?}");
    assert_eq!(closing.code, Some(1001));
}

async fn the_admin_listener_answers_health_checks(world: World) {
    // Before anybody has logged in, RabbitMQ may not have been found yet.
    let _client = world.client().await;
    for path in ["/livez", "/readyz"] {
        let request = Request::plain("GET", path).header("Connection", "close").bytes();
        let reply = http_exchange(world.gateway.admin_addr(), &request).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    let request = Request::plain("GET", "/nothing").header("Connection", "close").bytes();
    assert_eq!(http_exchange(world.gateway.admin_addr(), &request).await.unwrap().status, 404);
}

async fn a_durable_subscription_collects_while_its_client_is_away(world: World) {
    let subscribe = [
        ("id", "sub"),
        ("destination", "/topic/durable.*"),
        ("durable", "true"),
        ("auto-delete", "false"),
    ];
    let mut client = world.client().await;
    client.send_confirmed("SUBSCRIBE", &subscribe, "").await;
    client.send_confirmed("DISCONNECT", &[], "").await;
    let mut publisher = world.client().await;
    let headers = [("destination", "/topic/durable.a")];
    publisher.send_confirmed("SEND", &headers, "missed").await;
    let mut client = world.client().await;
    client.send_confirmed("SUBSCRIBE", &subscribe, "").await;
    assert_eq!(client.expect("MESSAGE").await.body, b"missed");
    let end = [("id", "sub"), ("durable", "true")];
    client.send_confirmed("UNSUBSCRIBE", &end, "").await;
    publisher.send_confirmed("SEND", &headers, "to nobody").await;
    client.send_confirmed("SUBSCRIBE", &subscribe, "").await;
    publisher.send_confirmed("SEND", &headers, "anew").await;
    assert_eq!(client.expect("MESSAGE").await.body, b"anew", "the queue was deleted");
}

async fn a_reply_comes_back_without_a_subscription(world: World) {
    let mut service = world.client().await;
    service.subscribe("requests", "/queue/service", "auto").await;
    let mut client = world.client().await;
    for n in ["1", "2"] {
        let headers = [
            ("destination", "/queue/service"),
            ("reply-to", "/temp-queue/replies"),
            ("correlation-id", n),
        ];
        client.send("SEND", &headers, "question").await;
        let request = service.expect("MESSAGE").await;
        let reply = [
            ("destination", request.expect_header("reply-to")),
            ("correlation-id", request.expect_header("correlation-id")),
        ];
        service.send_confirmed_alone("SEND", &reply, "answer").await;
        let reply = client.expect("MESSAGE").await;
        assert_eq!(reply.expect_header("subscription"), "/temp-queue/replies");
        assert_eq!((reply.expect_header("correlation-id"), &reply.body[..]), (n, &b"answer"[..]));
    }
}

async fn what_has_expired_is_dead_lettered_and_says_so(world: World) {
    let mut client = world.client().await;
    client.subscribe("dead", "/queue/dead", "auto").await;
    let send = [
        ("destination", "/queue/brief"),
        ("x-message-ttl", "60000"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "dead"),
        ("expiration", "10"),
    ];
    client.send_confirmed("SEND", &send, "too late").await;
    let dead = client.expect("MESSAGE").await;
    assert_eq!(dead.body, b"too late");
    assert_eq!(dead.header("expiration"), None);
    assert_eq!(dead.expect_header("x-first-death-reason"), "expired");
    let deaths = dead.expect_header("x-death").replace("\\c", ":");
    let deaths: serde_json::Value = serde_json::from_str(&deaths).unwrap();
    let death = &deaths[0];
    for (field, expected) in [
        ("count", json!(1)),
        ("queue", json!("brief")),
        ("reason", json!("expired")),
        ("exchange", json!("")),
        ("routing-keys", json!(["brief"])),
        ("original-expiration", json!("10")),
    ] {
        assert_eq!(death[field], expected, "{field}");
    }
}

async fn a_discarded_message_is_dead_lettered(world: World) {
    let mut client = world.client().await;
    client.subscribe("dead", "/queue/dead", "auto").await;
    let work = [
        ("id", "work"),
        ("destination", "/queue/work"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "dead"),
        ("ack", "client"),
    ];
    client.send_confirmed("SUBSCRIBE", &work, "").await;
    // The message may come before its receipt would.
    client.send("SEND", &work[1..4], "bad").await;
    let message = client.expect("MESSAGE").await;
    let nack = [("id", message.expect_header("ack")), ("requeue", "false")];
    client.send("NACK", &nack, "").await;
    let dead = client.expect("MESSAGE").await;
    assert_eq!((dead.expect_header("subscription"), dead.text()), ("dead", "bad"));
}

async fn a_publisher_is_told_that_a_full_queue_did_not_take_its_message(world: World) {
    let mut client = world.client().await;
    let send =
        [("destination", "/queue/full"), ("x-max-length", "1"), ("x-overflow", "reject-publish")];
    client.send_confirmed("SEND", &send, "first").await;
    client.send("SEND", &[&send[..], &[("receipt", "second")]].concat(), "second").await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.expect_header("message"), "Message rejected");
    assert_eq!(error.expect_header("receipt-id"), "second");
    let mut reader = world.client().await;
    let all = [&[("id", "0")], &send[..]].concat();
    reader.send_confirmed("SUBSCRIBE", &all, "").await;
    assert_eq!(reader.expect("MESSAGE").await.text(), "first");
}

async fn a_headers_exchange_matches_the_arguments_of_the_binding(world: World) {
    let mut client = world.client().await;
    let destination = ("destination", "/exchange/amq.headers");
    let binding = [
        ("id", "mine"),
        destination,
        ("x-bind-x-match", "all"),
        ("x-bind-kind", "order"),
        ("x-bind-region", "eu"),
    ];
    client.send_confirmed("SUBSCRIBE", &binding, "").await;
    let mut publisher = world.client().await;
    for (region, body) in [("us", "other"), ("eu", "mine")] {
        let headers = [destination, ("kind", "order"), ("region", region)];
        publisher.send_confirmed("SEND", &headers, body).await;
    }
    let got = client.expect("MESSAGE").await;
    assert_eq!((got.text(), got.expect_header("region")), ("mine", "eu"));
}

async fn a_consumer_of_a_higher_priority_is_served_first(world: World) {
    let mut low = world.client().await;
    let mut high = world.client().await;
    let to = ("destination", "/queue/ranked");
    let subscribe = |prefetch| [("id", "0"), to, ("ack", "client"), ("prefetch-count", prefetch)];
    low.send_confirmed("SUBSCRIBE", &subscribe("1"), "").await;
    let ranked = [&subscribe("2")[..], &[("x-priority", "9")]].concat();
    high.send_confirmed("SUBSCRIBE", &ranked, "").await;
    let mut publisher = world.client().await;
    for body in ["1", "2", "3"] {
        publisher.send_confirmed("SEND", &[to], body).await;
    }
    for body in ["1", "2"] {
        assert_eq!(high.expect("MESSAGE").await.text(), body);
    }
    assert_eq!(low.expect("MESSAGE").await.text(), "3");
}

/// Runs every scenario in a fresh world of one kind.
macro_rules! scenarios {
    ($broker:ident, $world:expr, [$($scenario:ident),* $(,)?]) => {
        mod $broker {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario($world).await;
                }
            )*
        }
    };
    ($broker:ident, $world:expr) => {
        scenarios!($broker, $world, [
            the_subprotocol_is_chosen_from_what_is_offered,
            a_client_that_sends_no_login_is_the_default_user,
            the_highest_common_version_is_chosen,
            without_accept_version_it_is_stomp_1_0,
            a_subscription_without_id_is_served_in_every_version,
            a_message_goes_through_a_queue_from_one_client_to_another,
            a_queue_shares_its_messages_among_its_subscribers,
            topics_are_matched_word_by_word,
            every_subscriber_of_a_topic_gets_the_message,
            every_frame_that_may_ask_for_a_receipt_gets_it,
            the_receipt_of_disconnect_comes_before_the_close,
            disconnect_without_a_receipt_ends_the_connection_too,
            an_ack_in_mode_client_covers_what_came_before_it,
            an_ack_in_mode_client_individual_covers_one_message,
            a_nacked_message_comes_again_at_its_old_place,
            older_versions_acknowledge_by_message_id,
            a_committed_transaction_takes_effect_as_a_whole,
            an_aborted_transaction_leaves_nothing,
            an_open_transaction_is_gone_with_its_connection,
            large_and_binary_bodies_arrive_as_they_were_sent,
            what_was_not_acknowledged_comes_back_after_a_reconnect,
            heart_beats_come_as_agreed,
            a_missing_heart_beat_ends_the_connection,
            a_draining_gateway_says_goodbye,
            the_admin_listener_answers_health_checks,
            a_durable_subscription_collects_while_its_client_is_away,
            a_reply_comes_back_without_a_subscription,
            what_has_expired_is_dead_lettered_and_says_so,
            a_discarded_message_is_dead_lettered,
            a_publisher_is_told_that_a_full_queue_did_not_take_its_message,
            a_headers_exchange_matches_the_arguments_of_the_binding,
            a_consumer_of_a_higher_priority_is_served_first,
        ]);
    };
}

scenarios!(embedded, super::World::embedded().await);
scenarios!(rabbitmq, super::World::rabbitmq().await);
