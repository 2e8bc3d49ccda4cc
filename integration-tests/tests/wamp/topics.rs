//! Topics and patterns of them: what matches, what is none, and what is subscribed to more than once.

use integration_tests::{Serializer, code};
use serde_json::json;

use crate::{Behind, join, join_by, scenarios};

async fn a_prefix_ends_anywhere_and_a_wildcard_is_one_component(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) =
        (join(&world).await, join_by(&world, Serializer::Cbor).await);
    let prefix = subscriber.subscribe_match("com.app.emer", "prefix").await;
    let wildcard = subscriber.subscribe_match("com..low", "wildcard").await;
    let ends = subscriber.subscribe_match(".app.", "wildcard").await;
    let cases: [(&str, &[u64]); 11] = [
        ("com.app", &[]),
        ("com.app.eme", &[ends]),
        ("com.app.emer", &[prefix, ends]),
        ("com.app.emergency", &[prefix, ends]),
        ("com.app.emergency.low", &[prefix]),
        ("com.app.emer.x.y", &[prefix]),
        ("com.app.low", &[wildcard, ends]),
        ("com.ä.low", &[wildcard]),
        ("com.low", &[]),
        ("com.x.y.low", &[]),
        ("org.app.emer", &[ends]),
    ];
    for (topic, subscriptions) in cases {
        publisher.say(topic, topic).await;
        let mut got = Vec::new();
        for _ in subscriptions {
            let event = subscriber.expect_text(topic).await;
            assert_eq!(event.details, json!({ "topic": topic }));
            got.push(event.subscription);
        }
        let mut expected = subscriptions.to_vec();
        expected.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, expected, "{topic}");
    }
    subscriber.expect_nothing().await;
}

async fn the_wildcards_of_amqp_are_none(behind: Behind) {
    let world = behind.world().await;
    let (mut publisher, mut subscriber) = (join(&world).await, join(&world).await);
    let star = subscriber.subscribe("com.*").await;
    subscriber.subscribe("*.*.*").await;
    let percent = subscriber.subscribe("com.%2A").await;
    let prefix = subscriber.subscribe_match("com.*", "prefix").await;
    for topic in ["com.example", "com.a.b", "com.x.*"] {
        publisher.say(topic, "not for a star").await;
    }
    publisher.say("com.*", "star").await;
    let got = [subscriber.expect_text("star").await, subscriber.expect_text("star").await];
    let mut got = got.map(|event| event.subscription);
    got.sort_unstable();
    let mut expected = [star, prefix];
    expected.sort_unstable();
    assert_eq!(got, expected);
    publisher.say("com.%2A", "percent").await;
    assert_eq!(subscriber.expect_text("percent").await.subscription, percent);
    for topic in ["com.#", "#", "com.example.#"] {
        let refused = subscriber.subscribe_with(topic, json!({})).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_uri", "{topic}");
    }
}

async fn what_is_no_topic_is_refused(behind: Behind) {
    let world = behind.world().await;
    let mut client = join(&world).await;
    let long = "x".repeat(201);
    for topic in ["", ".", "com.", ".com", "com..x", "com x", "com.\u{a0}", "com.#", &long] {
        let refused = client.publish_confirmed(topic, json!({}), json!([]), json!({})).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_uri", "{topic:?}");
        let refused = client.subscribe_with(topic, json!({})).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_uri", "{topic:?}");
    }
    for topic in ["wamp", "wamp.session.on_join"] {
        let refused = client.publish_confirmed(topic, json!({}), json!([]), json!({})).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_uri", "{topic:?}");
    }
    // Almost one of the protocol's own.
    client.say("wampum.x", "fine").await;
    client.say(&long[..200], "fine").await;
    let refused = client.subscribe_with("com.x", json!({ "match": "regex" })).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.option_not_allowed");
}

async fn a_prefix_of_one_component_is_refused_unless_allowed(behind: Behind) {
    let world = behind.world().await;
    let mut client = join(&world).await;
    for prefix in ["", "com"] {
        let refused = client.subscribe_with(prefix, json!({ "match": "prefix" })).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.option_not_allowed", "{prefix:?}");
    }
    let world = behind.realm(json!({ "broad_prefixes": true })).await;
    let (mut client, mut publisher) = (join(&world).await, join(&world).await);
    let some = client.subscribe_match("com", "prefix").await;
    // Last: who subscribes is told to this one.
    let all = client.subscribe_match("", "prefix").await;
    publisher.say("org.x", "one").await;
    assert_eq!(client.expect_text("one").await.subscription, all);
    publisher.say("community", "two").await;
    let got = [client.expect_text("two").await, client.expect_text("two").await];
    assert!(got.iter().any(|event| event.subscription == some), "{got:?}");
}

async fn a_subscription_is_the_same_for_all_that_ask_alike(behind: Behind) {
    let world = behind.world().await;
    let (mut one, mut two) = (join(&world).await, join_by(&world, Serializer::MsgPack).await);
    let first = one.subscribe("com.example.same").await;
    let again = one.subscribe_match("com.example.same", "exact").await;
    let others = two.subscribe("com.example.same").await;
    assert_eq!((again, others), (first, first));
    let prefix = one.subscribe_match("com.example.same", "prefix").await;
    let wildcard = one.subscribe_match("com.example.same", "wildcard").await;
    assert!(prefix != first && wildcard != first && prefix != wildcard);

    // One copy for each subscription, and one UNSUBSCRIBE ends it.
    let mut publisher = join(&world).await;
    publisher.say("com.example.same", "three times").await;
    for _ in 0..3 {
        one.expect_text("three times").await;
    }
    for subscription in [first, prefix] {
        one.unsubscribe(subscription).await;
    }
    publisher.say("com.example.same", "once").await;
    assert_eq!(one.expect_text("once").await.subscription, wildcard);
    one.expect_nothing().await;
    two.expect_text("three times").await;
    two.expect_text("once").await;
    two.expect_nothing().await;
}

async fn a_subscription_that_is_not_ones_own_cannot_be_ended(behind: Behind) {
    let world = behind.world().await;
    let (mut one, mut two) = (join(&world).await, join(&world).await);
    let subscription = one.subscribe("com.example.mine").await;
    let request = two.request(code::UNSUBSCRIBE, json!([subscription])).await;
    let answered_by = code::UNSUBSCRIBED;
    let of = (code::UNSUBSCRIBE, request);
    let error = two.answer(of, answered_by).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.no_such_subscription");
    two.say("com.example.mine", "still").await;
    one.expect_text("still").await;
}

scenarios!(
    topics,
    [
        a_prefix_ends_anywhere_and_a_wildcard_is_one_component,
        the_wildcards_of_amqp_are_none,
        what_is_no_topic_is_refused,
        a_prefix_of_one_component_is_refused_unless_allowed,
        a_subscription_is_the_same_for_all_that_ask_alike,
        a_subscription_that_is_not_ones_own_cannot_be_ended,
    ]
);
