//! Two gateways in front of one RabbitMQ: for their clients they are one router.

use integration_tests::{REALM, Serializer, TestGateway, WampClient, World, serve_wamp};
use serde_json::{Value, json};

use crate::Behind;

/// A client that speaks this.
async fn join_at(gateway: &TestGateway, serializer: Serializer) -> WampClient {
    WampClient::connect(gateway.ws_addr(), serializer, REALM).await
}

/// Two gateways with these keys of the realm besides.
async fn two(changes: Value) -> (World, TestGateway) {
    let world = Behind::RabbitMq.realm(changes.clone()).await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let other = TestGateway::rabbitmq(vhost).config(|config| serve_wamp(config, changes));
    let other = other.start().await;
    (world, other)
}

#[tokio::test]
async fn a_publisher_is_excluded_and_everybody_else_is_not() {
    let (world, other) = two(json!({})).await;
    let mut publisher = join_at(&world.gateway, Serializer::Json).await;
    let mut near = join_at(&world.gateway, Serializer::MsgPack).await;
    let mut far = join_at(&other, Serializer::Cbor).await;
    for client in [&mut publisher, &mut near, &mut far] {
        client.subscribe("com.example.shared").await;
        client.subscribe_match("com..shared", "wildcard").await;
    }
    publisher.say("com.example.shared", "to others").await;
    far.say("com.example.shared", "from afar").await;
    let included = json!({ "exclude_me": false });
    let args = json!(["to all"]);
    publisher.publish_confirmed("com.example.shared", included, args, json!({})).await.unwrap();
    for (client, texts) in [
        (&mut publisher, &["from afar", "to all"][..]),
        (&mut near, &["to others", "from afar", "to all"]),
        (&mut far, &["to others", "to all"]),
    ] {
        for text in texts {
            // By either subscription.
            client.expect_text(text).await;
            client.expect_text(text).await;
        }
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn ids_of_subscriptions_and_publications_are_the_same() {
    let (world, other) = two(json!({})).await;
    let mut near = join_at(&world.gateway, Serializer::Json).await;
    let mut far = join_at(&other, Serializer::MsgPack).await;
    for (topic, policy) in [("com.a", "exact"), ("com.a", "prefix"), ("com.", "wildcard")] {
        let ids =
            [near.subscribe_match(topic, policy).await, far.subscribe_match(topic, policy).await];
        assert_eq!(ids[0], ids[1], "{policy}");
    }
    let mut publisher = join_at(&other, Serializer::Cbor).await;
    let published = publisher.say("com.a", "both").await;
    let mut stomp = world.client().await;
    let headers = [("destination", "/topic/com.a"), ("content-type", "text/plain")];
    stomp.send_confirmed("SEND", &headers, "of stomp").await;
    let mut seen = Vec::new();
    for client in [&mut near, &mut far] {
        for _ in 0..3 {
            assert_eq!(client.expect_text("both").await.publication, published);
        }
        let mut foreign = Vec::new();
        for _ in 0..3 {
            foreign.push(client.expect_text("of stomp").await.publication);
        }
        seen.push(foreign);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].iter().all(|id| *id == seen[0][0]), "{seen:?}");
}

#[tokio::test]
async fn events_of_one_publisher_keep_their_order_at_the_other_gateway() {
    const EVENTS: usize = 1_000;
    let (world, other) = two(json!({})).await;
    let mut publisher = join_at(&world.gateway, Serializer::MsgPack).await;
    let mut far = join_at(&other, Serializer::Json).await;
    let topics = ["com.example.a", "com.example.b", "org.example.c"];
    far.subscribe_match("com.example.", "prefix").await;
    far.subscribe("org.example.c").await;
    for number in 0..EVENTS {
        let topic = topics[number % topics.len()];
        publisher.publish(topic, json!({}), json!([number]), json!({})).await;
    }
    for number in 0..EVENTS {
        assert_eq!(far.event().await.args, json!([number]));
    }
}
