//! What many clients share, end to end, in front of either broker: one queue for all who have
//! subscribed to topics alike, slow clients, what became of each publish, and destinations of users.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use gateway::config::units::{ByteSize, Millis};
use gateway::config::{Broker, Config, SlowClients, User};
use integration_tests::{
    Incoming, Request, StompClient, StompFrame, TestGateway, World, frame_bytes,
};
use rabbitmq_node::{Vhost, eventually};

type Change = fn(&mut Config);

/// A frame that is refused, and the code it is refused with.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Clients of one topic in [`each_of_many_gets_each_message_once_and_in_order`].
const MANY: usize = 200;

fn route(config: &mut Config) -> &mut gateway::config::Route {
    config.route.get_mut("stomp").unwrap()
}

async fn publish(client: &mut StompClient, destination: &str, body: &str) {
    client.send_confirmed("SEND", &[("destination", destination)], body).await;
}

async fn bodies(client: &mut StompClient, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(client.expect("MESSAGE").await.text().to_owned());
    }
    bodies
}

/// Nothing comes before the answer to a frame.
async fn expect_nothing(client: &mut StompClient) {
    let nowhere = [("destination", "/exchange/amq.fanout/nobody")];
    client.send_confirmed_alone("SEND", &nowhere, "").await;
}

const AS_IT_IS: Change = |_| {};

async fn each_of_many_gets_each_message_once_and_in_order(world: World) {
    const MESSAGES: usize = 50;
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let mut client = world.client().await;
        client.subscribe("sub-0", "/topic/prices.*", "auto").await;
        clients.push(client);
    }
    if let Some(rabbitmq) = &world.rabbitmq {
        eventually("one consumer for all", async || {
            (rabbitmq.consumers().await == 1).then_some(())
        })
        .await;
    }
    let mut publisher = world.client().await;
    for n in 0..MESSAGES {
        let destination = ["/topic/prices.a", "/topic/prices.b"][n % 2];
        publish(&mut publisher, destination, &n.to_string()).await;
    }
    let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    for client in &mut clients {
        assert_eq!(bodies(client, MESSAGES).await, expected);
    }
    expect_nothing(&mut clients[0]).await;
}

async fn overlapping_subscriptions_get_a_copy_each(world: World) {
    let mut client = world.client().await;
    for (id, destination) in
        [("a", "/topic/news.#"), ("b", "/topic/news.*"), ("c", "/topic/news.x"), ("d", "/topic/x")]
    {
        client.subscribe(id, destination, "auto").await;
    }
    // What is sent right behind a SUBSCRIBE reaches it.
    client.send("SUBSCRIBE", &[("id", "e"), ("destination", "/topic/*.x")], "").await;
    client.send("SEND", &[("destination", "/topic/news.x")], "1").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let message = client.expect("MESSAGE").await;
        assert_eq!(message.expect_header("destination"), "/topic/news.x");
        ids.push(message.expect_header("subscription").to_owned());
    }
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "e"]);
    client.send_confirmed("UNSUBSCRIBE", &[("id", "b")], "").await;
    publish(&mut world.client().await, "/topic/x", "2").await;
    assert_eq!(client.expect("MESSAGE").await.expect_header("subscription"), "d");
}

async fn what_is_sent_at_once_is_answered_in_order(world: World) {
    let subscribe = frame_bytes(
        "SUBSCRIBE",
        &[("id", "0"), ("destination", "/topic/new"), ("receipt", "1")],
        "",
    );
    let send = |receipt| {
        let headers = [("destination", "/topic/new"), ("receipt", receipt)];
        frame_bytes("SEND", &headers, "")
    };
    let mut client = world.client().await;
    let unsubscribe = frame_bytes("UNSUBSCRIBE", &[("id", "0"), ("receipt", "2")], "");
    client.send_unit([subscribe.clone(), unsubscribe, send("3")].concat(), false).await;
    for receipt in ["1", "2", "3"] {
        assert_eq!(client.expect("RECEIPT").await.expect_header("receipt-id"), receipt);
    }
    let mut client = world.client().await;
    let disconnect = frame_bytes("DISCONNECT", &[("receipt", "3")], "");
    client.send_unit([subscribe, send("2"), disconnect].concat(), false).await;
    for receipt in ["1", "2", "3"] {
        assert_eq!(client.expect("RECEIPT").await.expect_header("receipt-id"), receipt);
    }
}

async fn shared_and_dedicated_subscriptions_get_the_same(world: World) {
    let mut client = world.client().await;
    client.subscribe("shared", "/topic/t", "auto").await;
    client.subscribe("own", "/topic/t", "client").await;
    let binary = [0_u8, 255, 10, 0];
    let headers = [
        ("destination", "/topic/t"),
        ("content-length", "4"),
        ("x-mine", "a"),
        ("persistent", "true"),
        ("correlation-id", "c"),
    ];
    world.client().await.send_confirmed("SEND", &headers, binary).await;
    let mut both = Vec::new();
    for _ in 0..2 {
        let StompFrame { headers, body, .. } = client.expect("MESSAGE").await;
        assert_eq!(body, binary);
        let own = ["subscription", "message-id", "ack"];
        let headers: Vec<_> =
            headers.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
        both.push(headers);
    }
    assert_eq!(both[0], both[1]);
}

const SMALL: Change = |config| route(config).limits.pending_bytes = ByteSize(64 << 10);

/// More than the socket and everything in between takes for a client that does not read.
const FLOOD: usize = 400;

async fn flood(publisher: &mut StompClient, good: &mut StompClient, count: usize) {
    let body = "x".repeat(64 << 10);
    for n in 0..count {
        let key = (n % 2).to_string();
        let headers = [("destination", "/topic/flood"), ("x-key", &key), ("n", &n.to_string())];
        publisher.send_confirmed("SEND", &headers, &body).await;
        // It has got what came before it.
        assert_eq!(good.expect("MESSAGE").await.expect_header("n"), n.to_string());
    }
}

async fn who_does_not_read_is_told_and_ended_and_the_others_miss_nothing(world: World) {
    let mut slow = world.client().await;
    slow.subscribe("sub-0", "/topic/flood", "auto").await;
    let mut good = world.client().await;
    good.subscribe("sub-0", "/topic/flood", "auto").await;
    let mut publisher = world.client().await;
    flood(&mut publisher, &mut good, FLOOD).await;
    let mut next = 0;
    let error = loop {
        match slow.incoming().await {
            Incoming::Frame(frame, _) if frame.verb == "MESSAGE" => {
                assert_eq!(frame.expect_header("n"), next.to_string(), "no hole before the end");
                next += 1;
            }
            Incoming::Frame(frame, _) => break frame,
            Incoming::HeartBeat => {}
            Incoming::Closed(closing) => panic!("{closing:?}"),
        }
    };
    assert_eq!(error.verb, "ERROR");
    assert_eq!(error.expect_header("code"), "resource_error");
    assert_eq!(error.expect_header("subscription"), "sub-0");
    assert!(error.text().contains("too slowly"), "{}", error.text());
}

const DROPPING: Change = |config| {
    SMALL(config);
    route(config).slow_clients = SlowClients::DropOldest;
};

const CONFLATING: Change = |config| {
    SMALL(config);
    route(config).slow_clients = SlowClients::Conflate;
};

/// One that has read nothing while another has read everything.
async fn flooded(world: &World) -> StompClient {
    let mut slow = world.client().await;
    slow.subscribe("sub-0", "/topic/flood", "auto").await;
    let mut good = world.client().await;
    good.subscribe("sub-0", "/topic/flood", "auto").await;
    let mut publisher = world.client().await;
    flood(&mut publisher, &mut good, FLOOD).await;
    slow
}

async fn who_may_lose_messages_is_told_how_many(world: World) {
    let mut slow = flooded(&world).await;
    let (mut got, mut dropped) = (0, 0);
    loop {
        let message = slow.expect("MESSAGE").await;
        let n: u64 = message.expect_header("n").parse().unwrap();
        dropped += message.header("x-dropped").map_or(0, |count| count.parse::<u64>().unwrap());
        got += 1;
        assert_eq!(n + 1, got + dropped, "what is missing was counted");
        if n + 1 == FLOOD as u64 {
            break;
        }
    }
    assert!(dropped > 0);
}

async fn who_wants_the_newest_gets_it(world: World) {
    let mut slow = flooded(&world).await;
    let (mut got, mut dropped) = (0, 0);
    while got + dropped < FLOOD as u64 {
        let message = slow.expect("MESSAGE").await;
        dropped += message.header("x-dropped").map_or(0, |count| count.parse::<u64>().unwrap());
        got += 1;
    }
    assert_eq!(got + dropped, FLOOD as u64);
    assert!(dropped > 0);
}

async fn a_client_goes_on_after_errors_if_it_wants_to(world: World) {
    let (mut client, connected) =
        world.client_with(&[("accept-version", "1.2"), ("soft-errors", "true")]).await;
    assert_eq!(connected.header("soft-errors"), Some("true"));
    client.subscribe("0", "/queue/mine", "auto").await;
    let full =
        [("destination", "/queue/full"), ("x-max-length", "1"), ("x-overflow", "reject-publish")];
    // An error would be a message here.
    client.send_confirmed_alone("SEND", &full, "taken").await;
    let cases: [Case<'_>; 5] = [
        ("SEND", &[("destination", "/exchange/none/k")], "not_found"),
        ("SEND", &full, "rejected"),
        ("SEND", &[("destination", "/topic/nobody"), ("mandatory", "true")], "unroutable"),
        ("SUBSCRIBE", &[("id", "1"), ("destination", "/amq/queue/none")], "not_found"),
        ("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/amq.mine")], "access_refused"),
    ];
    for (verb, headers, code) in cases {
        client.send(verb, &[headers, &[("receipt", code)]].concat(), "").await;
        let told = client.expect("MESSAGE").await;
        assert_eq!(told.expect_header("destination"), "/gateway/errors");
        assert_eq!((told.expect_header("code"), told.expect_header("receipt-id")), (code, code));
    }
    client.send("SEND", &[("destination", "/queue/mine")], "still here").await;
    client.expect_message("still here").await;
}

async fn a_message_that_reaches_no_queue_is_an_error_if_it_is_mandatory(world: World) {
    for receipt in [None, Some("r")] {
        let mut client = world.client().await;
        let mut headers = vec![("destination", "/topic/nobody"), ("mandatory", "true")];
        headers.extend(receipt.map(|receipt| ("receipt", receipt)));
        client.send("SEND", &headers, "").await;
        let error = client.expect("ERROR").await;
        assert_eq!(error.expect_header("code"), "unroutable");
        assert_eq!(error.header("receipt-id"), receipt);
    }
}

/// Everybody is a user whose passcode is the same, and `backend` may send to users; on a RabbitMQ, the
/// user of the virtual host.
const WITH_USERS: Change = |config| {
    let own = route(config).default_login.clone();
    route(config).stomp.send_to_users = ["backend".to_owned()].into_iter().chain(own).collect();
    if let Some(Broker::Embedded(broker)) = config.broker.get_mut("main") {
        for login in ["ann", "bob", "backend"] {
            let passcode = gateway::config::Secret::new("guest");
            broker.user.insert(login.to_owned(), User { passcode, vhosts: None });
        }
    }
};

/// The logins of two users, and that of one who may send to them.
async fn users(world: &World) -> ([String; 2], String) {
    if let Some(rabbitmq) = &world.rabbitmq {
        let names = ["ann", "bob"].map(|name| format!("{name}-{}", world.vhost));
        for login in &names {
            rabbitmq.set_passcode(login, rabbitmq.passcode()).await;
            rabbitmq.permit(login, rabbitmq_node::Permissions::ALL).await;
        }
        (names, world.user.clone())
    } else {
        (["ann", "bob"].map(str::to_owned), "backend".to_owned())
    }
}

/// A subscription to all topics. Its first message is outstanding; the others expire, and go on to this
/// exchange under another key.
fn all_but_the_first_go_on_to(exchange: &str) -> [(&'static str, &str); 7] {
    [
        ("id", "first"),
        ("destination", "/topic/#"),
        ("ack", "client"),
        ("prefetch-count", "1"),
        ("x-message-ttl", "1"),
        ("x-dead-letter-exchange", exchange),
        ("x-dead-letter-routing-key", "evil"),
    ]
}

async fn what_is_for_a_user_reaches_nobody_by_a_queue(world: World) {
    let (names, sender) = users(&world).await;
    let login =
        async |name: &str| world.client_with(&[("accept-version", "1.2"), ("login", name)]).await.0;
    let mut bob = login(&names[1]).await;
    let lasting = [
        ("id", "named"),
        ("destination", "/topic/#"),
        ("x-queue-name", "bobs"),
        ("durable", "true"),
        ("auto-delete", "false"),
        ("exclusive", "false"),
        ("ack", "client"),
    ];
    bob.send_confirmed("SUBSCRIBE", &lasting, "").await;
    bob.send_confirmed("UNSUBSCRIBE", &[("id", "named")], "").await;
    bob.subscribe("named", "/amq/queue/bobs", "auto").await;
    bob.subscribe("evil", "/queue/evil", "auto").await;
    bob.send_confirmed("SUBSCRIBE", &all_but_the_first_go_on_to(""), "").await;
    let mut backend = login(&sender).await;
    publish(&mut backend, "/topic/news", "first").await;
    let mut got = bodies(&mut bob, 2).await;
    assert_eq!(got, ["first", "first"]);
    publish(&mut backend, &format!("/user/{}/queue/news", names[0]), "for ann").await;
    publish(&mut backend, "/topic/news", "for all").await;
    got = bodies(&mut bob, 2).await;
    assert_eq!(got, ["for all", "for all"]);
    let forged = format!("gw.user.{}.news", names[0]);
    let headers = [
        ("destination", "/queue/forged"),
        ("x-message-ttl", "1"),
        ("x-dead-letter-exchange", "amq.topic"),
        ("x-dead-letter-routing-key", &forged),
    ];
    bob.send("SEND", &headers, "").await;
    assert_eq!(bob.expect("ERROR").await.expect_header("code"), "access_refused");
}

async fn what_is_for_a_user_reaches_no_topic_by_a_queue(world: World) {
    let (names, sender) = users(&world).await;
    let login =
        async |name: &str| world.client_with(&[("accept-version", "1.2"), ("login", name)]).await.0;
    let mut bob = login(&names[1]).await;
    bob.send_confirmed("SUBSCRIBE", &all_but_the_first_go_on_to("amq.topic"), "").await;
    let mut backend = login(&sender).await;
    publish(&mut backend, "/topic/news", "first").await;
    assert_eq!(bodies(&mut bob, 1).await, ["first"]);
    bob.subscribe("shared", "/topic/evil", "auto").await;
    publish(&mut backend, &format!("/user/{}/queue/news", names[0]), "for ann").await;
    publish(&mut backend, "/topic/news", "for all").await;
    assert_eq!(bodies(&mut bob, 1).await, ["for all"]);
}

async fn what_is_for_a_user_reaches_nobody_else(world: World) {
    let (names, sender) = users(&world).await;
    let login =
        async |name: &str| world.client_with(&[("accept-version", "1.2"), ("login", name)]).await.0;
    let mut ann = login(&names[0]).await;
    ann.subscribe("own", "/user/queue/news", "auto").await;
    let mut second = login(&names[0]).await;
    second.subscribe("own", "/user/queue/news", "client").await;
    let mut bob = login(&names[1]).await;
    bob.subscribe("own", "/user/queue/news", "auto").await;
    bob.subscribe("all", "/topic/#", "auto").await;
    bob.subscribe("dedicated", "/topic/gw.*.*.news", "client").await;
    // An exchange delivers as the topic does.
    bob.subscribe("exchange", "/exchange/amq.topic/#", "client").await;
    let mut backend = login(&sender).await;
    let to_ann = format!("/user/{}/queue/news", names[0]);
    publish(&mut backend, &to_ann, "for ann").await;
    for client in [&mut ann, &mut second] {
        let message = client.expect("MESSAGE").await;
        assert_eq!(message.text(), "for ann");
        assert_eq!(message.expect_header("destination"), "/user/queue/news");
    }
    publish(&mut backend, "/topic/news", "for all").await;
    let mut got: Vec<String> = Vec::new();
    for _ in 0..2 {
        let message = bob.expect("MESSAGE").await;
        assert_eq!(message.text(), "for all");
        got.push(message.expect_header("subscription").to_owned());
    }
    got.sort();
    assert_eq!(got, ["all", "exchange"]);
    ann.send("SEND", &[("destination", &to_ann)], "").await;
    assert_eq!(ann.expect("ERROR").await.expect_header("code"), "access_refused");
}

/// Runs every scenario in a fresh world of one kind.
macro_rules! scenarios {
    ($broker:ident, $world:path, [$($scenario:ident: $change:expr),* $(,)?]) => {
        mod $broker {
            use super::*;
            $(
                #[tokio::test]
                async fn $scenario() {
                    let change: Change = $change;
                    super::$scenario($world(change).await).await;
                }
            )*
        }
    };
    ($broker:ident, $world:path) => {
        scenarios!($broker, $world, [
            each_of_many_gets_each_message_once_and_in_order: AS_IT_IS,
            overlapping_subscriptions_get_a_copy_each: AS_IT_IS,
            what_is_sent_at_once_is_answered_in_order: AS_IT_IS,
            shared_and_dedicated_subscriptions_get_the_same: AS_IT_IS,
            who_does_not_read_is_told_and_ended_and_the_others_miss_nothing: SMALL,
            who_may_lose_messages_is_told_how_many: DROPPING,
            who_wants_the_newest_gets_it: CONFLATING,
            a_client_goes_on_after_errors_if_it_wants_to: AS_IT_IS,
            a_message_that_reaches_no_queue_is_an_error_if_it_is_mandatory: AS_IT_IS,
            what_is_for_a_user_reaches_nobody_else: WITH_USERS,
            what_is_for_a_user_reaches_nobody_by_a_queue: WITH_USERS,
            what_is_for_a_user_reaches_no_topic_by_a_queue: WITH_USERS,
        ]);
    };
}

scenarios!(embedded, World::embedded_with);
scenarios!(rabbitmq, World::rabbitmq_with);

// Behind a RabbitMQ only

/// Changes of rights are seen at once.
const DISTRUSTING: Change = |config| {
    if let Some(Broker::Rabbitmq(broker)) = config.broker.get_mut("main") {
        broker.login_cache = Millis(Duration::from_millis(1));
    }
};

async fn consumers(rabbitmq: &Vhost, count: usize) {
    eventually("consumers", async || (rabbitmq.consumers().await == count).then_some(())).await;
}

#[tokio::test]
async fn the_right_to_a_topic_is_looked_at_whoever_shares_it() {
    let world = World::rabbitmq_with(DISTRUSTING).await;
    let rabbitmq = world.rabbitmq.as_ref().unwrap();
    let permit = async |read: &str| {
        rabbitmq.permit_topics(&world.user, "amq.topic", ".*", read).await;
    };
    permit("^open\\.").await;
    let mut first = world.client().await;
    first.subscribe("0", "/topic/open.a", "auto").await;
    let mut publisher = world.client().await;
    let mut refused = world.client().await;
    let secret = [("id", "0"), ("destination", "/topic/secret.a"), ("receipt", "r")];
    refused.send("SUBSCRIBE", &secret, "").await;
    let error = refused.expect("ERROR").await;
    assert_eq!(error.expect_header("code"), "access_refused");
    assert_eq!(error.expect_header("receipt-id"), "r");
    // A pattern that fits more than what is allowed is refused as a whole.
    let mut greedy = world.client().await;
    greedy.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/#")], "").await;
    assert_eq!(greedy.expect("ERROR").await.expect_header("code"), "access_refused");
    publish(&mut publisher, "/topic/open.a", "1").await;
    assert_eq!(bodies(&mut first, 1).await, ["1"]);
    // Withdrawn: nobody joins any more, who is in stays, as a consumer of RabbitMQ's does.
    permit("^nothing$").await;
    let mut late = world.client().await;
    late.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/open.a")], "").await;
    assert_eq!(late.expect("ERROR").await.expect_header("code"), "access_refused");
    publish(&mut publisher, "/topic/open.a", "2").await;
    assert_eq!(bodies(&mut first, 1).await, ["2"]);
}

#[tokio::test]
async fn everybody_is_told_when_what_they_share_is_lost_and_can_come_back() {
    let world = World::rabbitmq().await;
    let rabbitmq = world.rabbitmq.as_ref().unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = world.client().await;
        client.subscribe("0", "/topic/news", "auto").await;
        clients.push(client);
    }
    let (mut soft, _) =
        world.client_with(&[("accept-version", "1.2"), ("soft-errors", "true")]).await;
    soft.subscribe("0", "/topic/news", "auto").await;
    let is_inbox = |name: &str| name.contains("inbox-") && !name.ends_with("-gap");
    let queues = rabbitmq.queues_at_once().await;
    let inbox = queues.iter().find(|queue| is_inbox(&queue.name)).unwrap();
    assert!(rabbitmq.delete_queue(&inbox.name).await);
    for client in &mut clients {
        let error = client.expect("ERROR").await;
        assert!(error.text().contains("messages may have been missed"), "{}", error.text());
        assert_eq!(error.expect_header("subscription"), "0");
        client.closing().await;
    }
    let told = soft.expect("MESSAGE").await;
    assert_eq!(told.expect_header("destination"), "/gateway/errors");
    assert_eq!(told.expect_header("failed-subscription"), "0");
    soft.subscribe("0", "/topic/news", "auto").await;
    let mut again = world.client().await;
    again.subscribe("0", "/topic/news", "auto").await;
    publish(&mut world.client().await, "/topic/news", "1").await;
    for client in [&mut soft, &mut again] {
        assert_eq!(bodies(client, 1).await, ["1"]);
    }
}

#[tokio::test]
async fn a_message_comes_to_the_topics_of_its_copies_too() {
    let world = World::rabbitmq().await;
    let rabbitmq = world.rabbitmq.as_ref().unwrap();
    let mut clients = Vec::new();
    for topics in [["first", "none"], ["second", "*.deep"], ["#", "second"]] {
        let mut client = world.client().await;
        for topic in topics {
            client.subscribe(topic, &format!("/topic/{topic}"), "auto").await;
        }
        clients.push(client);
    }
    let copies = serde_json::json!({ "headers": { "CC": ["second", "third.deep"] } });
    rabbitmq.publish_to("amq.topic", "first", copies, "1").await;
    rabbitmq.publish_to("amq.topic", "first", serde_json::json!({}), "2").await;
    let got = async |client: &mut StompClient, count: usize| {
        let mut got = Vec::new();
        for _ in 0..count {
            let message = client.expect("MESSAGE").await;
            got.push(format!("{} {}", message.expect_header("subscription"), message.text()));
        }
        got.sort();
        got
    };
    assert_eq!(got(&mut clients[0], 2).await, ["first 1", "first 2"]);
    assert_eq!(got(&mut clients[1], 2).await, ["*.deep 1", "second 1"]);
    assert_eq!(got(&mut clients[2], 3).await, ["# 1", "# 2", "second 1"]);
    for client in &mut clients {
        expect_nothing(client).await;
    }
}

#[tokio::test]
async fn two_gateways_are_two_consumers_and_reach_each_others_clients_and_users() {
    let world = World::rabbitmq_with(WITH_USERS).await;
    let rabbitmq = world.rabbitmq.as_ref().unwrap();
    let other = TestGateway::rabbitmq(rabbitmq).config(WITH_USERS).start().await;
    let mut here = Vec::new();
    let mut there = Vec::new();
    for _ in 0..10 {
        here.push(world.client().await);
        let upgrade = Request::upgrade("/ws");
        let version = [("accept-version", "1.2")];
        there.push(world.log_in_at(other.ws_addr(), &upgrade, &version).await.0);
    }
    for client in here.iter_mut().chain(&mut there) {
        client.subscribe("0", "/topic/news", "auto").await;
        client.subscribe("1", "/user/queue/news", "auto").await;
    }
    consumers(rabbitmq, 2).await;
    let mut publisher = world.client().await;
    publish(&mut publisher, "/topic/news", "to all").await;
    let to_user = format!("/user/{}/queue/news", world.user);
    publish(&mut publisher, &to_user, "to the user").await;
    for client in here.iter_mut().chain(&mut there) {
        let mut got = bodies(client, 2).await;
        got.sort();
        assert_eq!(got, ["to all", "to the user"]);
    }
    drop(there);
    other.stop().await;
    consumers(rabbitmq, 1).await;
}
