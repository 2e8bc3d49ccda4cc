//! Events for some subscribers only: who gets them, at whatever gateway, and who does not.

use std::net::SocketAddr;

use integration_tests::{
    Login, REALM, Serializer, StompClient, TestGateway, WampClient, World, serve_wamp,
};
use rabbitmq_node::Permissions;
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

const TOPIC: &str = "com.example.some";

/// Users of two roles, beside anonymous clients.
fn users() -> Value {
    let everything = json!({
        "uri": "", "match": "prefix", "allow": ["publish", "subscribe"],
    });
    let role = json!({ "rule": { "everything": everything } });
    json!({
        "role": { "anonymous": role, "staff": role, "guest": role },
        "user": {
            "ann": { "role": "staff", "ticket": "t" },
            "bob": { "role": "staff", "ticket": "t" },
            "cyd": { "role": "guest", "ticket": "t" },
        },
    })
}

async fn join_as(address: SocketAddr, serializer: Serializer, authid: &str) -> WampClient {
    let mut client = WampClient::open(address, serializer).await;
    client.join(REALM, Login::Ticket { authid, ticket: "t" }).await;
    client
}

/// What is published with these lists, and which of ann, ann again, bob and cyd get it.
fn lists(sessions: [u64; 4]) -> Vec<(Value, [bool; 4])> {
    let [ann, again, bob, cyd] = sessions;
    vec![
        (json!({ "eligible": [ann, cyd] }), [true, false, false, true]),
        (json!({ "eligible": [] }), [false; 4]),
        (json!({ "eligible_authid": ["ann", "nobody"] }), [true, true, false, false]),
        (json!({ "eligible_authrole": ["guest"] }), [false, false, false, true]),
        (json!({ "exclude": [again] }), [true, false, true, true]),
        (json!({ "exclude_authid": ["ann", "cyd"] }), [false, false, true, false]),
        (json!({ "exclude_authrole": ["staff", "x"] }), [false, false, false, true]),
        (json!({ "exclude": [], "exclude_authid": [] }), [true; 4]),
        (
            json!({
                "eligible": [ann, again, bob], "eligible_authrole": ["staff"],
                "exclude": [bob], "exclude_authrole": ["guest"],
            }),
            [true, true, false, false],
        ),
        (
            json!({ "eligible_authid": ["ann", "cyd"], "exclude_authrole": ["staff"] }),
            [false, false, false, true],
        ),
    ]
}

/// Publishes at the first of these gateways; the subscribers are at either.
async fn expect_each_list_to_hold(gateways: [SocketAddr; 2]) {
    let [near, far] = gateways;
    let mut publisher = WampClient::connect(near, Serializer::Json, REALM).await;
    let mut subscribers = [
        join_as(near, Serializer::Json, "ann").await,
        join_as(far, Serializer::MsgPack, "ann").await,
        join_as(far, Serializer::Cbor, "bob").await,
        join_as(far, Serializer::Json, "cyd").await,
    ];
    for client in &mut subscribers {
        client.subscribe(TOPIC).await;
        client.subscribe_match("com..some", "wildcard").await;
    }
    let cases = lists([0, 1, 2, 3].map(|at| subscribers[at].session()));
    for (number, (options, _)) in cases.iter().enumerate() {
        let args = json!([number.to_string()]);
        publisher.publish_confirmed(TOPIC, options.clone(), args, json!({})).await.unwrap();
        publisher.say(TOPIC, "for all").await;
    }
    for (at, client) in subscribers.iter_mut().enumerate() {
        for (number, (options, gets)) in cases.iter().enumerate() {
            // By either subscription.
            for _ in 0..2 * usize::from(gets[at]) {
                let event = client.event().await;
                assert_eq!(event.args, json!([number.to_string()]), "{at}: {options}");
            }
            client.expect_text("for all").await;
            client.expect_text("for all").await;
        }
        client.expect_nothing().await;
    }
}

async fn each_list_lets_in_whom_it_says(behind: Behind) {
    let world = behind.realm(users()).await;
    expect_each_list_to_hold([world.ws_addr(); 2]).await;
}

async fn publishers_get_their_own_only_if_they_want_them_and_the_lists_let_them_in(behind: Behind) {
    let world = behind.world().await;
    let mut client = join(&world).await;
    client.subscribe(TOPIC).await;
    let own = client.session();
    for (options, text) in [
        (json!({ "eligible": [own] }), None),
        (json!({ "eligible": [own], "exclude_me": false }), Some("mine")),
        (json!({ "exclude": [own], "exclude_me": false }), None),
        (json!({ "eligible_authrole": ["anonymous"], "exclude_me": false }), Some("my role's")),
    ] {
        let args = json!([text.unwrap_or("never")]);
        client.publish_confirmed(TOPIC, options, args, json!({})).await.unwrap();
        if let Some(text) = text {
            client.expect_text(text).await;
        }
        client.expect_nothing().await;
    }
}

/// Publishes events for some, and for all, in turns and in runs, to two topics; and they come in order to
/// whoever gets both, by one subscription or by several.
async fn expect_order(gateways: [SocketAddr; 2]) {
    const EVENTS: usize = 3_000;
    let [near, far] = gateways;
    let mut publisher = WampClient::connect(near, Serializer::MsgPack, REALM).await;
    let mut exact = WampClient::connect(far, Serializer::Json, REALM).await;
    let mut pattern = WampClient::connect(far, Serializer::Cbor, REALM).await;
    let topics = ["com.example.a", "com.example.b"];
    for topic in topics {
        exact.subscribe(topic).await;
    }
    pattern.subscribe_match("com.example.", "prefix").await;
    let eligible = json!({ "eligible": [exact.session(), pattern.session()] });
    for number in 0..EVENTS {
        // The second half goes by the topics of all but for one in a hundred.
        let is_restricted = if number < EVENTS / 2 { number % 2 == 0 } else { number % 100 == 99 };
        let options = if is_restricted { eligible.clone() } else { json!({}) };
        let topic = topics[number / 2 % 2];
        publisher.publish(topic, options, json!([number]), json!({})).await;
    }
    for client in [&mut exact, &mut pattern] {
        for number in 0..EVENTS {
            assert_eq!(client.event().await.args, json!([number]));
        }
        client.expect_nothing().await;
    }
}

async fn events_for_some_and_for_all_come_in_one_order(behind: Behind) {
    let world = behind.world().await;
    expect_order([world.ws_addr(); 2]).await;
}

async fn whoever_else_is_at_the_broker_sees_what_is_for_all_and_nothing_else(behind: Behind) {
    let world = behind.world().await;
    let mut stomp = world.client().await;
    // Shared with WAMP's, of its own, by name, and from a named exchange.
    stomp.subscribe("shared", "/topic/#", "auto").await;
    stomp.subscribe("own", "/topic/#", "client").await;
    let named = [("destination", "/topic/com.#"), ("x-queue-name", "named"), ("id", "named")];
    stomp.send_confirmed("SUBSCRIBE", &named, "").await;
    stomp.subscribe("exchange", &format!("/exchange/amq.topic/{TOPIC}"), "auto").await;
    if let Some(vhost) = &world.rabbitmq {
        vhost.declare_queue("native", json!({})).await;
        vhost.bind_queue("native", "amq.topic", "#").await;
    }
    let (mut publisher, mut subscriber) =
        (join(&world).await, join_by(&world, Serializer::Cbor).await);
    subscriber.subscribe_match("com.example.", "prefix").await;
    let events = [
        ("com.example.some", json!({ "eligible": [subscriber.session()] })),
        ("com.example.all.1", json!({})),
        ("com.example.some", json!({ "exclude_authid": ["nobody"] })),
        ("com.example.some.more", json!({ "eligible_authrole": ["anonymous"] })),
        ("com.example.all.2", json!({ "exclude_me": true })),
        ("com.example.some", json!({ "exclude": [] })),
        (TOPIC, json!({})),
    ];
    for (topic, options) in &events {
        let args = json!([topic]);
        publisher.publish_confirmed(topic, options.clone(), args, json!({})).await.unwrap();
    }
    for (topic, _) in &events {
        subscriber.expect_text(topic).await;
    }
    let open = ["com.example.all.1", "com.example.all.2", TOPIC];
    expect_only(&mut stomp, &open).await;
    if let Some(vhost) = &world.rabbitmq {
        assert_eq!(vhost.take("native", 100).await, open);
    }
}

/// Each of four subscriptions gets each of these topics that it is for, and nothing else.
async fn expect_only(stomp: &mut StompClient, open: &[&str]) {
    let mut got: Vec<(String, String)> = Vec::new();
    for _ in 0..3 * open.len() + 1 {
        let message = stomp.expect("MESSAGE").await;
        let header = |name| message.expect_header(name).to_owned();
        got.push((header("subscription"), header("destination")));
    }
    for subscription in ["shared", "own", "named", "exchange"] {
        let of = got.iter().filter(|(of, _)| of == subscription);
        let topics: Vec<_> = of.map(|(_, topic)| topic.as_str()).collect();
        let open = if subscription == "exchange" { &open[2..] } else { open };
        let expected: Vec<_> = open.iter().map(|topic| format!("/topic/{topic}")).collect();
        assert_eq!(topics, expected, "{subscription}");
    }
    // What came before is answered before this is.
    stomp.send_confirmed_alone("SEND", &[("destination", "/queue/elsewhere")], "").await;
}

async fn stomp_clients_of_the_gateways_own_login_cannot_name_where_they_go(behind: Behind) {
    let world = behind.world().await;
    let mut subscriber = join(&world).await;
    subscriber.subscribe(TOPIC).await;
    let place = format!("/exchange/wamp.restricted/{TOPIC}");
    let dead_letters = [("x-dead-letter-exchange", "wamp.restricted"), ("x-message-ttl", "1")];
    let mut cases = vec![
        ("SUBSCRIBE", vec![("destination", "/exchange/wamp.restricted/#")]),
        ("SUBSCRIBE", vec![("destination", &place), ("ack", "client")]),
        ("SEND", vec![("destination", &place)]),
    ];
    for verb in ["SEND", "SUBSCRIBE"] {
        cases.push((verb, [&[("destination", "/queue/q")], &dead_letters[..]].concat()));
    }
    for (verb, headers) in cases {
        let mut stomp = world.client().await;
        stomp.request(verb, &[&headers[..], &[("id", "0")]].concat(), "").await;
        let error = stomp.expect("ERROR").await;
        assert_eq!(error.header("message"), Some("access_refused"), "{headers:?}");
        assert!(error.text().contains("is the gateways' own"), "{}", error.text());
    }
    subscriber.expect_nothing().await;
}

async fn who_subscribes_again_gets_them_again(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber, mut other) =
        (join(&world).await, join(&world).await, join(&world).await);
    other.subscribe(TOPIC).await;
    for round in 0..3 {
        let subscription = subscriber.subscribe(TOPIC).await;
        for (options, text) in [
            (json!({ "eligible": [subscriber.session()] }), "for one"),
            (json!({ "exclude": [subscriber.session()] }), "for the other"),
        ] {
            let args = json!([text]);
            publisher.publish_confirmed(TOPIC, options, args, json!({})).await.unwrap();
        }
        other.expect_text("for the other").await;
        other.expect_nothing().await;
        assert_eq!(subscriber.event().await.args, json!(["for one"]), "{round}");
        subscriber.unsubscribe(subscription).await;
        subscriber.expect_nothing().await;
    }
}

scenarios!(
    restricted,
    [
        each_list_lets_in_whom_it_says,
        publishers_get_their_own_only_if_they_want_them_and_the_lists_let_them_in,
        events_for_some_and_for_all_come_in_one_order,
        whoever_else_is_at_the_broker_sees_what_is_for_all_and_nothing_else,
        stomp_clients_of_the_gateways_own_login_cannot_name_where_they_go,
        who_subscribes_again_gets_them_again,
    ]
);

/// Another gateway in front of the same RabbitMQ, with these keys of the realm besides.
async fn another(world: &World, changes: Value) -> TestGateway {
    let vhost = world.rabbitmq.as_ref().unwrap();
    TestGateway::rabbitmq(vhost).config(|config| serve_wamp(config, changes)).start().await
}

#[tokio::test]
async fn each_list_lets_in_whom_it_says_at_another_gateway() {
    let world = Behind::RabbitMq.realm(users()).await;
    let other = another(&world, users()).await;
    expect_each_list_to_hold([world.ws_addr(), other.ws_addr()]).await;
}

#[tokio::test]
async fn events_for_some_and_for_all_come_in_one_order_at_another_gateway() {
    let world = Behind::RabbitMq.world().await;
    let other = another(&world, json!({})).await;
    expect_order([world.ws_addr(), other.ws_addr()]).await;
}

#[tokio::test]
async fn of_a_gateway_that_is_not_trusted_they_are_for_nobody() {
    let world = Behind::RabbitMq.world().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let stranger = format!("{}-stranger", vhost.user());
    vhost.set_passcode(&stranger, "secret").await;
    vhost.permit(&stranger, Permissions::ALL).await;
    let login = json!({ "login": stranger, "passcode": "secret" });
    let other = another(&world, login.clone()).await;
    let mut publisher = WampClient::connect(other.ws_addr(), Serializer::Json, REALM).await;
    let mut trusting = login;
    trusting["trusted_logins"] = json!([world.user]);
    let third = another(&world, trusting).await;
    let (mut here, mut there) =
        (join(&world).await, WampClient::connect(third.ws_addr(), Serializer::Json, REALM).await);
    for client in [&mut here, &mut there] {
        client.subscribe(TOPIC).await;
    }
    let nobody = json!({ "eligible": [publisher.session()] });
    publisher.publish_confirmed(TOPIC, nobody, json!(["secret"]), json!({})).await.unwrap();
    let others = json!({ "exclude": [publisher.session()] });
    publisher.publish_confirmed(TOPIC, others, json!(["for others"]), json!({})).await.unwrap();
    publisher.say(TOPIC, "for all").await;
    here.expect_text("for all").await;
    here.expect_nothing().await;
    there.expect_text("for others").await;
    there.expect_text("for all").await;
    there.expect_nothing().await;
}
