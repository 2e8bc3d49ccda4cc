//! Callees that are lost while they have calls.

use std::collections::BTreeSet;

use gateway::config::Broker;
use integration_tests::{REALM, Serializer, TestGateway, WampClient, code, serve_wamp};
use rabbitmq_node::{Cut, Proxy, eventually};
use serde_json::{Value, json};

use crate::elsewhere::{cut_connections, join_at, two};
use crate::many::before;
use crate::{Behind, join, scenarios};

/// Calls that a callee has when it is lost.
const LOST: usize = 100;

async fn a_callee_that_is_cut_off_ends_each_of_its_calls_once(behind: Behind) {
    let world = behind.world().await;
    let (callee, mut caller) = (join(&world).await, join(&world).await);
    lose_with_calls(
        callee,
        &mut caller,
        async |callee| callee.cut(),
        "wamp.error.canceled",
        json!({}),
    )
    .await;
}

/// A callee is lost with [`LOST`] calls: each ends with one error, and none is missing.
async fn lose_with_calls(
    mut callee: WampClient,
    caller: &mut WampClient,
    lose: impl AsyncFnOnce(WampClient),
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
    lose(callee).await;
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
    lose_with_calls(
        callee,
        &mut caller,
        async |callee| callee.cut(),
        "wamp.error.canceled",
        json!({}),
    )
    .await;
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
    let lose = async |callee: WampClient| {
        gateway.start_kill();
        callee.cut();
    };
    let options = json!({ "timeout": 5_000 });
    lose_with_calls(callee, &mut caller, lose, "wamp.error.timeout", options).await;
    is_free(&mut join(&world).await).await;
}

/// They may have been run or not, as their error says. What the callee answers comes too late.
#[tokio::test]
async fn a_lost_connection_to_the_broker_ends_each_call_over_it_once() {
    let (world, other) = two().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let callee = join_at(&other, Serializer::Json).await;
    let mut caller = join(&world).await;
    let mut kept = None;
    let lose = async |callee: WampClient| {
        // Nothing has left that of the callee.
        cut_connections(vhost, 3).await;
        kept = Some(callee);
    };
    lose_with_calls(callee, &mut caller, lose, "wamp.error.network_failure", json!({})).await;
    let mut callee = kept.unwrap();
    for request in 1..=LOST {
        callee.send(json!([code::YIELD, request, {}])).await;
    }
    // It goes on with what it has registered.
    let (called, ()) = tokio::join!(
        eventually("the registration at the other gateway", async || {
            caller.call("com.example.slow", json!(["next"]), json!({})).await.ok()
        }),
        async {
            let invocation = callee.invocation().await;
            assert_eq!(invocation.args, json!(["next"]));
            callee.yields(&invocation, json!(["of the next"]), json!({})).await;
        }
    );
    assert_eq!(called.args, json!(["of the next"]));
    caller.expect_nothing().await;
}

/// The broker may keep the queues for a connection that it does not know to be lost.
#[tokio::test]
async fn what_is_registered_outlasts_the_connection_to_the_broker() {
    let world = Behind::RabbitMq.world().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let other = TestGateway::rabbitmq(vhost).config(|config| {
        serve_wamp(config, json!({}));
        let Some(Broker::Rabbitmq(rabbitmq)) = config.broker.get_mut("main") else {
            panic!("a RabbitMQ")
        };
        rabbitmq.url = vec![format!("amqp://{}", proxy.addr()).parse().unwrap()];
    });
    let other = other.start().await;
    let mut callee = join_at(&other, Serializer::Json).await;
    let procedures: Vec<_> = (0..20).map(|number| format!("com.example.p{number}")).collect();
    for procedure in &procedures {
        callee.register(procedure, json!({})).await.unwrap();
    }
    let callee = tokio::spawn(async move {
        // Whatever else comes ends the test: that it is registered no more, above all.
        loop {
            let invocation = callee.invocation().await;
            callee.yields(&invocation, json!([]), json!({})).await;
        }
    });
    let mut caller = join_at(&world.gateway, Serializer::Json).await;
    for how in [Cut::Reset, Cut::Close, Cut::Reset] {
        proxy.cut(how).await;
        for procedure in &procedures {
            loop {
                let call = json!([{ "timeout": 500 }, procedure]);
                let call = caller.request(code::CALL, call).await;
                let Err(error) = caller.result(call).await else { break };
                // Its queue is there no more, or has gone with the call.
                let expected = ["wamp.error.no_such_procedure", "wamp.error.timeout"];
                assert!(expected.contains(&error.uri.as_str()), "{error:?}");
                assert!(!callee.is_finished());
            }
        }
    }
    assert!(!callee.is_finished());
    callee.abort();
}

/// At once, and not when their time is up.
#[tokio::test]
async fn a_gateway_that_stops_cancels_each_of_its_calls() {
    let (world, other) = two().await;
    let callee = join_at(&other, Serializer::Json).await;
    let mut caller = join(&world).await;
    let mut stopped = None;
    let lose = async |callee: WampClient| {
        stopped = Some((tokio::spawn(other.stop()), callee));
    };
    lose_with_calls(callee, &mut caller, lose, "wamp.error.canceled", json!({})).await;
    let (stopped, callee) = stopped.unwrap();
    drop(callee);
    stopped.await.unwrap();
    is_free(&mut join(&world).await).await;
}

scenarios!(lost, [a_callee_that_is_cut_off_ends_each_of_its_calls_once]);
