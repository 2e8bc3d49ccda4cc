//! Publishing: what is acknowledged, who gets it, in which order, and who may.

use integration_tests::{Login, REALM, Serializer, WampClient, code};
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

async fn published_names_the_event_that_subscribers_get(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut one, mut two) =
        (join(&world).await, join(&world).await, join_by(&world, Serializer::Cbor).await);
    one.subscribe("com.example.told").await;
    two.subscribe("com.example.told").await;
    two.subscribe_match("com.example.", "prefix").await;
    let first = publisher.say("com.example.told", "first").await;
    let second = publisher.say("com.example.told", "second").await;
    assert_ne!(first, second);
    for (publication, text) in [(first, "first"), (second, "second")] {
        assert_eq!(one.expect_text(text).await.publication, publication);
        // For each subscription one, of the same publication.
        let events = [two.expect_text(text).await, two.expect_text(text).await];
        assert!(events.iter().all(|event| event.publication == publication), "{events:?}");
        assert_ne!(events[0].subscription, events[1].subscription);
    }
    one.expect_nothing().await;
    two.expect_nothing().await;
}

async fn without_acknowledge_nothing_is_answered(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) = (join(&world).await, join(&world).await);
    subscriber.subscribe("com.example.quiet").await;
    publisher.publish("com.example.quiet", json!({}), json!(["one"]), json!({})).await;
    // Refused, and nobody wants to know.
    publisher.publish("com..example", json!({}), json!([]), json!({})).await;
    let options = json!({ "acknowledge": false });
    publisher.publish("com.example.quiet", options, json!(["two"]), json!({})).await;
    publisher.expect_nothing().await;
    subscriber.expect_text("one").await;
    subscriber.expect_text("two").await;
    subscriber.expect_nothing().await;
}

async fn an_event_may_have_no_arguments_or_only_some(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) =
        (join_by(&world, Serializer::MsgPack).await, join_by(&world, Serializer::Json).await);
    subscriber.subscribe("com.example.bare").await;
    for (rest, args, kwargs) in [
        (json!([{}, "com.example.bare"]), json!([]), json!({})),
        (json!([{}, "com.example.bare", []]), json!([]), json!({})),
        (json!([{}, "com.example.bare", [1]]), json!([1]), json!({})),
        (json!([{}, "com.example.bare", [], { "a": 1 }]), json!([]), json!({ "a": 1 })),
    ] {
        publisher.request(code::PUBLISH, rest).await;
        let event = subscriber.event().await;
        assert_eq!((event.args, event.kwargs), (args, kwargs));
    }
}

async fn a_publisher_gets_its_own_events_if_it_wants_them(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut other) = (join(&world).await, join(&world).await);
    for client in [&mut publisher, &mut other] {
        client.subscribe("com.example.own").await;
        client.subscribe_match("com..own", "wildcard").await;
    }
    for (exclude_me, text) in [(json!({}), "no"), (json!({ "exclude_me": true }), "never")] {
        let args = json!([text]);
        publisher.publish_confirmed("com.example.own", exclude_me, args, json!({})).await.unwrap();
    }
    let included = json!({ "exclude_me": false });
    let args = json!(["yes"]);
    publisher.publish_confirmed("com.example.own", included, args, json!({})).await.unwrap();
    publisher.expect_text("yes").await;
    publisher.expect_text("yes").await;
    publisher.expect_nothing().await;
    for text in ["no", "no", "never", "never", "yes", "yes"] {
        other.expect_text(text).await;
    }
}

async fn a_publisher_is_named_if_it_asks_for_it(behind: Behind) {
    let world = behind.world().await;
    let mut publisher = WampClient::open(world.ws_addr(), Serializer::Cbor).await;
    let welcome = publisher.join(REALM, Login::Anonymous).await;
    let mut subscriber = join(&world).await;
    subscriber.subscribe("com.example.named").await;
    let disclosed = json!({ "disclose_me": true });
    let (topic, none) = ("com.example.named", json!({}));
    publisher.publish_confirmed(topic, disclosed, json!(["I"]), none.clone()).await.unwrap();
    let expected = json!({
        "publisher": publisher.session(),
        "publisher_authid": welcome["authid"],
        "publisher_authrole": "anonymous",
    });
    assert_eq!(subscriber.expect_text("I").await.details, expected);
    publisher.say(topic, "somebody").await;
    assert_eq!(subscriber.expect_text("somebody").await.details, none);
}

async fn events_of_one_publisher_keep_their_order_across_topics(behind: Behind) {
    const EVENTS: usize = 1_000;
    let world = behind.world().await;
    let topics = ["com.example.a", "com.example.b", "org.example.c"];
    let (mut publisher, mut exact) =
        (join(&world).await, join_by(&world, Serializer::MsgPack).await);
    let mut patterns = join_by(&world, Serializer::Cbor).await;
    for topic in topics {
        exact.subscribe(topic).await;
    }
    patterns.subscribe_match("com.example", "prefix").await;
    patterns.subscribe_match("org..c", "wildcard").await;
    for number in 0..EVENTS {
        let topic = topics[number % topics.len()];
        publisher.publish(topic, json!({}), json!([number]), json!({})).await;
    }
    for subscriber in [&mut exact, &mut patterns] {
        for number in 0..EVENTS {
            assert_eq!(subscriber.event().await.args, json!([number]));
        }
        subscriber.expect_nothing().await;
    }
}

/// A role that may publish below `open.` and to a topic of its own, and subscribe below `open.` but for
/// one topic.
fn rules() -> Value {
    let rule = |uri: &str, policy: &str, allow: Value, deny: Value| json!({ "uri": uri, "match": policy, "allow": allow, "deny": deny });
    json!({ "role": { "anonymous": { "rule": {
        "open": rule("open.", "prefix", json!(["publish", "subscribe"]), json!([])),
        "own": rule("of.{authrole}.x", "exact", json!(["publish"]), json!([])),
        "secret": rule("open.secret", "exact", json!([]), json!(["subscribe"])),
    } } } })
}

async fn only_what_the_rules_allow_is_done(behind: Behind) {
    let world = behind.realm(rules()).await;
    let mut client = join(&world).await;
    for topic in ["open.news", "of.anonymous.x", "open.secret"] {
        client.say(topic, "allowed").await;
    }
    for topic in ["closed.news", "open", "of.user.x", "of.anonymous.x.y"] {
        let refused = client.publish_confirmed(topic, json!({}), json!([]), json!({})).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.not_authorized", "{topic}");
    }
    for (topic, policy) in
        [("open.news", "exact"), ("open.news.", "prefix"), ("open.news.", "wildcard")]
    {
        client.subscribe_match(topic, policy).await;
    }
    for (topic, policy) in [
        ("closed.news", "exact"),
        ("open.secret", "exact"),
        // It would be for what is denied, too.
        ("open.", "prefix"),
        ("open.", "wildcard"),
        ("closed.", "prefix"),
        (".news", "wildcard"),
    ] {
        let refused = client.subscribe_with(topic, json!({ "match": policy })).await;
        let uri = refused.unwrap_err().uri;
        assert_eq!(uri, "wamp.error.not_authorized", "{policy} {topic}");
    }
}

scenarios!(
    pubsub,
    [
        published_names_the_event_that_subscribers_get,
        without_acknowledge_nothing_is_answered,
        an_event_may_have_no_arguments_or_only_some,
        a_publisher_gets_its_own_events_if_it_wants_them,
        a_publisher_is_named_if_it_asks_for_it,
        events_of_one_publisher_keep_their_order_across_topics,
        only_what_the_rules_allow_is_done,
    ]
);
