//! STOMP and WAMP at one broker: what either publishes comes to the other as what it is.

use integration_tests::{REALM, Serializer, WampClient, World, binary, code};
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

type Headers = Vec<(&'static str, &'static str)>;

/// What STOMP publishes, by headers and body; and the arguments of the event, of both kinds.
fn foreign() -> Vec<(Headers, Vec<u8>, Value, Value)> {
    let typed = |kind: &'static str| vec![("content-type", kind)];
    let args = |args: Value| (args, json!({}));
    let plain = |headers, body: &[u8], (args, kwargs)| (headers, body.to_vec(), args, kwargs);
    let mut cases = vec![
        plain(typed("text/plain"), "grüße 🦀".as_bytes(), args(json!(["grüße 🦀"]))),
        plain(typed("Text/HTML; charset=utf-8"), b"<p>", args(json!(["<p>"]))),
        plain(typed("text/plain"), b"", args(json!([""]))),
        plain(typed("text/plain"), b"\xff\xfe", args(json!([binary(b"\xff\xfe")]))),
        plain(
            typed("application/json"),
            br#"{"a":[1,2.5,null]}"#,
            args(json!([{ "a": [1, 2.5, null] }])),
        ),
        plain(typed("application/json;charset=utf-8"), b" 7 ", args(json!([7]))),
        plain(typed("application/json"), br#"[[1],{"a":2}]"#, args(json!([[[1], { "a": 2 }]]))),
        plain(
            typed("application/octet-stream"),
            b"\0\x01\xff",
            args(json!([binary(b"\0\x01\xff")])),
        ),
        plain(typed("image/png"), b"text all the same", args(json!([binary("text all the same")]))),
        plain(vec![], b"no type", args(json!([binary("no type")]))),
        plain(
            vec![("content-type", "text/plain"), ("content-encoding", "gzip")],
            b"packed",
            args(json!([binary("packed")])),
        ),
    ];
    for serializer in Serializer::ALL {
        let (args, kwargs) = (json!([1, "ü", binary([0])]), json!({ "k": [null] }));
        let body = serializer.encode(&json!([args, kwargs]));
        cases.push((typed(serializer.content_type()), body, args, kwargs));
    }
    cases
}

async fn what_stomp_publishes_is_an_event_as_its_content_type_says(behind: Behind) {
    let world = behind.world().await;
    let mut publisher = world.client().await;
    let mut subscribers = Vec::new();
    for serializer in Serializer::ALL {
        let mut subscriber = join_by(&world, serializer).await;
        subscriber.subscribe("com.example.in").await;
        subscribers.push(subscriber);
    }
    for (headers, body, args, kwargs) in foreign() {
        let length = body.len().to_string();
        let place = [("destination", "/topic/com.example.in"), ("content-length", &length)];
        publisher.send_confirmed("SEND", &[&place[..], &headers].concat(), &body).await;
        let mut publications = Vec::new();
        for subscriber in &mut subscribers {
            let event = subscriber.event().await;
            assert_eq!((&event.args, &event.kwargs), (&args, &kwargs), "{headers:?}");
            assert_eq!(event.details, json!({}), "{headers:?}");
            publications.push(event.publication);
        }
        publications.dedup();
        assert_eq!(publications.len(), 1, "all say the same");
    }
}

async fn what_is_not_what_its_content_type_says_is_left_out(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) = (world.client().await, join(&world).await);
    subscriber.subscribe("com.example.in").await;
    for (content_type, body) in [
        ("application/json", &b"{"[..]),
        ("application/json", b""),
        ("application/json", b"1 2"),
        ("application/vnd.wamp+json", b"{}"),
        ("application/vnd.wamp+json", b"[1]"),
        ("application/vnd.wamp+cbor", b"[[]]"),
        ("application/vnd.wamp+msgpack", b"\x91"),
    ] {
        let headers = [("destination", "/topic/com.example.in"), ("content-type", content_type)];
        publisher.send_confirmed("SEND", &headers, body).await;
    }
    let headers = [("destination", "/topic/com.example.in"), ("content-type", "text/plain")];
    publisher.send_confirmed("SEND", &headers, "well-formed").await;
    subscriber.expect_text("well-formed").await;
}

async fn what_wamp_publishes_is_a_message_with_the_arguments_as_its_body(behind: Behind) {
    let world = behind.world().await;
    let mut stomp = world.client().await;
    stomp.subscribe("0", "/topic/com.example.*", "auto").await;
    let (args, kwargs) =
        (json!(["grüße", binary([0, 255]), [1, { "x": null }]]), json!({ "ä": 2.5 }));
    for serializer in Serializer::ALL {
        let mut publisher = join_by(&world, serializer).await;
        let published = publisher
            .publish_confirmed("com.example.out", json!({}), args.clone(), kwargs.clone())
            .await
            .unwrap();
        let message = stomp.expect("MESSAGE").await;
        let header = |name: &str| message.expect_header(name);
        assert_eq!(header("destination"), "/topic/com.example.out");
        assert_eq!(header("content-type"), serializer.content_type());
        assert_eq!(header("wamp-uri"), "com.example.out");
        assert_eq!(header("wamp-pub"), publisher.session().to_string());
        assert_eq!(header("amqp-message-id"), published.to_string());
        assert_eq!(header("type"), "wamp.event");
        assert_eq!(message.header("wamp-authid"), None, "it was not disclosed");
        assert_eq!(serializer.decode(&message.body), json!([args, kwargs]));

        publisher.request(code::PUBLISH, json!([{}, "com.example.bare"])).await;
        let message = stomp.expect("MESSAGE").await;
        assert_eq!(serializer.decode(&message.body), json!([]));
    }
}

async fn a_pattern_gets_what_stomp_publishes_if_it_is_a_topic_of_wamp(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) = (world.client().await, join(&world).await);
    subscriber.subscribe_match("com.example.", "prefix").await;
    // Empty components, blanks and what no URI is written as make no topic.
    for key in ["com.example.", "com.example..x", "com.example.a b", "com.example.50%25%"] {
        let destination = format!("/topic/{}", key.replace('%', "%25"));
        let headers = [("destination", destination.as_str()), ("content-type", "text/plain")];
        publisher.send_confirmed("SEND", &headers, "no topic").await;
    }
    for (destination, topic) in [
        ("/topic/com.example.a", "com.example.a"),
        ("/topic/com.example.ü", "com.example.ü"),
        ("/exchange/amq.topic/com.example.x.y", "com.example.x.y"),
    ] {
        let headers = [("destination", destination), ("content-type", "text/plain")];
        publisher.send_confirmed("SEND", &headers, topic).await;
        let event = subscriber.expect_text(topic).await;
        assert_eq!(event.details, json!({ "topic": topic }));
    }
}

/// Though the clients of STOMP have the very login here that the gateway has, and say so.
async fn headers_of_gateways_are_not_taken_from_stomp(behind: Behind) {
    let world = behind.world().await;
    let (mut forger, mut victim) = (world.client().await, join(&world).await);
    victim.subscribe("com.example.forged").await;
    victim.subscribe_match("wamp.session.", "prefix").await;
    victim.subscribe("wamp.session.on_join").await;
    victim.subscribe_match("..on_join", "wildcard").await;
    let mut reader = world.client().await;
    reader.subscribe("0", "/topic/com.example.forged", "auto").await;
    let session = victim.session().to_string();
    let forged = [
        ("wamp-pub", session.as_str()),
        ("wamp-uri", "com.example.other"),
        ("wamp-elig", "7"),
        ("wamp-excl", session.as_str()),
        ("wamp-excl-authrole", "anonymous"),
        ("wamp-disclose", "true"),
        ("wamp-authid", "root"),
        ("wamp-ppt", "x"),
        ("wamp-new", "x"),
        ("amqp-message-id", "7"),
    ];
    for user in [None, Some(("user-id", world.user.as_str()))] {
        let place = [("destination", "/topic/com.example.forged"), ("content-type", "text/plain")];
        let headers = [&place[..], &forged, user.as_slice()].concat();
        forger.send_confirmed("SEND", &headers, "forged").await;
        let event = victim.expect_text("forged").await;
        assert_eq!(event.details, json!({}), "{user:?}");
        assert_ne!(event.publication, 7, "{user:?}");
        let message = reader.expect_message("forged").await;
        let is_there = |(name, _): &(String, String)| name.starts_with("wamp-");
        assert!(!message.headers.iter().any(is_there), "{message:?}");
    }
    let reserved = [("destination", "/topic/wamp.session.on_join"), ("content-type", "text/plain")];
    for user in [None, Some(("user-id", world.user.as_str()))] {
        let headers = [&reserved[..], &forged, user.as_slice()].concat();
        forger.send_confirmed("SEND", &headers, "a session that is none").await;
    }
    let place = [("destination", "/topic/com.example.forged"), ("content-type", "text/plain")];
    forger.send_confirmed("SEND", &place, "next").await;
    victim.expect_text("next").await;
    victim.expect_nothing().await;
    reader.expect_message("next").await;
}

async fn order_is_kept_from_one_to_the_other(behind: Behind) {
    const MESSAGES: usize = 300;
    let world = behind.world().await;
    let (mut stomp, mut wamp) = (world.client().await, join(&world).await);
    wamp.subscribe_match("com.in.", "prefix").await;
    stomp.subscribe("0", "/topic/com.out.#", "auto").await;
    for number in 0..MESSAGES {
        let destination = format!("/topic/com.in.{}", number % 3);
        let headers = [("destination", destination.as_str()), ("content-type", "text/plain")];
        stomp.send("SEND", &headers, number.to_string()).await;
        let topic = format!("com.out.{}", number % 3);
        wamp.publish(&topic, json!({}), json!([number]), json!({})).await;
    }
    for number in 0..MESSAGES {
        wamp.expect_text(&number.to_string()).await;
        stomp.expect_message(json!([[number], {}]).to_string()).await;
    }
}

/// One of the built-in configuration, which serves both on one path.
#[tokio::test]
async fn both_are_served_without_any_configuration() {
    let world = World::embedded().await;
    let mut wamp = WampClient::connect(world.ws_addr(), Serializer::Json, REALM).await;
    wamp.subscribe("greetings.world").await;
    let mut stomp = world.client().await;
    let headers = [("destination", "/topic/greetings.world"), ("content-type", "text/plain")];
    stomp.send_confirmed("SEND", &headers, "hello").await;
    wamp.expect_text("hello").await;
    wamp.leave().await;
}

scenarios!(
    stomp,
    [
        what_stomp_publishes_is_an_event_as_its_content_type_says,
        what_is_not_what_its_content_type_says_is_left_out,
        what_wamp_publishes_is_a_message_with_the_arguments_as_its_body,
        a_pattern_gets_what_stomp_publishes_if_it_is_a_topic_of_wamp,
        headers_of_gateways_are_not_taken_from_stomp,
        order_is_kept_from_one_to_the_other,
    ]
);
