//! Callees that are lost while they have calls.

use std::collections::BTreeSet;

use integration_tests::{REALM, Serializer, WampClient, code};
use rabbitmq_node::eventually;
use serde_json::{Value, json};

use crate::elsewhere::{join_at, two};
use crate::many::before;
use crate::{Behind, join, scenarios};

/// Calls that a callee has when it is lost.
const LOST: usize = 100;

async fn a_callee_that_is_cut_off_ends_each_of_its_calls_once(behind: Behind) {
    let world = behind.world().await;
    let (callee, mut caller) = (join(&world).await, join(&world).await);
    lose_with_calls(callee, &mut caller, WampClient::cut, "wamp.error.canceled", json!({})).await;
}

/// A callee is lost with [`LOST`] calls: each ends with one error, and none is missing.
async fn lose_with_calls(
    mut callee: WampClient,
    caller: &mut WampClient,
    lose: impl FnOnce(WampClient),
    uri: &str,
    options: Value,
) {
    callee.register("com.example.slow", json!({})).await.unwrap();
    let mut calls = BTreeSet::new();
    for number in 0..LOST {
        let rest = json!([options, "com.example.slow", [number]]);
        calls.insert(caller.request(code::CALL, rest).await);
    }
    for number in 0..LOST {
        assert_eq!(callee.invocation().await.args, json!([number]));
    }
    lose(callee);
    for _ in 0..LOST {
        let error = caller.expect(code::ERROR).await;
        assert!(calls.remove(&error.id(2)), "twice, or to no call: {error:?}");
        assert_eq!((error.id(1), error.error().uri.as_str()), (code::CALL, uri));
    }
    caller.expect_nothing().await;
}

#[tokio::test]
async fn a_callee_that_is_cut_off_ends_its_calls_from_the_other_gateway() {
    let (world, other) = two().await;
    let callee = join_at(&world.gateway, Serializer::Json).await;
    let mut caller = join_at(&other, Serializer::Json).await;
    lose_with_calls(callee, &mut caller, WampClient::cut, "wamp.error.canceled", json!({})).await;
    is_free(&mut join_at(&other, Serializer::Json).await).await;
}

/// Registers what a callee had that is lost: the broker may not know yet that it is free.
async fn is_free(next: &mut WampClient) {
    eventually("the end of a registration", async || {
        next.register("com.example.slow", json!({})).await.ok()
    })
    .await;
}

/// Nobody is left who could tell: the callers' own timeouts end the calls, and the broker frees the procedure.
#[tokio::test]
async fn a_gateway_that_is_killed_leaves_each_of_its_calls_to_the_callers_timeout() {
    let world = Behind::RabbitMq.world().await;
    let mut gateway = before(world.rabbitmq.as_ref().unwrap()).await;
    let callee = WampClient::connect(gateway.ws_addr(), Serializer::Json, REALM).await;
    let mut caller = join(&world).await;
    let lose = |callee: WampClient| {
        gateway.start_kill();
        callee.cut();
    };
    let options = json!({ "timeout": 5_000 });
    lose_with_calls(callee, &mut caller, lose, "wamp.error.timeout", options).await;
    is_free(&mut join(&world).await).await;
}

scenarios!(lost, [a_callee_that_is_cut_off_ends_each_of_its_calls_once]);
