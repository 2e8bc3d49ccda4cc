//! Two gateways in front of one RabbitMQ: a procedure that is registered at one is called at the other,
//! and is registered once.

use integration_tests::{REALM, Serializer, TestGateway, WampClient, World, code, serve_wamp};
use rabbitmq_node::{Node, Options, Vhost, eventually};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::Behind;
use crate::calls::{orphan, take_back};

/// How often two gateways are asked for one procedure at the same time.
const RACES: usize = 1_000;

pub(crate) async fn join_at(gateway: &TestGateway, serializer: Serializer) -> WampClient {
    WampClient::connect(gateway.ws_addr(), serializer, REALM).await
}

/// Two gateways before one RabbitMQ.
pub(crate) async fn two() -> (World, TestGateway) {
    let world = Behind::RabbitMq.world().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let other = TestGateway::rabbitmq(vhost).config(|config| serve_wamp(config, json!({})));
    let other = other.start().await;
    (world, other)
}

pub(crate) async fn unregister(client: &mut WampClient, registration: u64) {
    let request = client.request(code::UNREGISTER, json!([registration])).await;
    client.answer((code::UNREGISTER, request), code::UNREGISTERED).await.unwrap();
}

async fn register(client: &mut WampClient, procedure: &str) -> u64 {
    client.register(procedure, json!({})).await.unwrap()
}

#[tokio::test]
async fn a_procedure_is_called_at_the_other_gateway() {
    let (world, other) = two().await;
    for (near, far) in [
        (Serializer::Json, Serializer::Json),
        (Serializer::MsgPack, Serializer::Json),
        (Serializer::Json, Serializer::Cbor),
    ] {
        let mut callee = join_at(&world.gateway, near).await;
        let mut caller = join_at(&other, far).await;
        let registration = register(&mut callee, "com.example.add").await;
        let options = json!({ "disclose_me": true });
        let args = json!([1, "ü"]);
        let call = json!([options, "com.example.add", args, { "x": { "y": [2] } }]);
        let call = caller.request(code::CALL, call).await;
        let invocation = callee.invocation().await;
        assert_eq!(invocation.registration, registration);
        assert_eq!(invocation.args, json!([1, "ü"]));
        assert_eq!(invocation.kwargs, json!({ "x": { "y": [2] } }));
        assert_eq!(invocation.details["caller"], json!(caller.session()));
        callee.yields(&invocation, json!([3]), json!({ "z": null })).await;
        let result = caller.result(call).await.unwrap();
        assert_eq!((result.args, result.kwargs), (json!([3]), json!({ "z": null })));

        let call = json!([{}, "com.example.add"]);
        let call = caller.request(code::CALL, call).await;
        let invocation = callee.invocation().await;
        assert_eq!(invocation.details.get("caller"), None, "not disclosed");
        callee.fails(&invocation, "com.example.failed", json!(["why"])).await;
        let error = caller.result(call).await.unwrap_err();
        assert_eq!((error.uri.as_str(), error.args), ("com.example.failed", json!(["why"])));
        unregister(&mut callee, registration).await;
        let error = caller.call("com.example.add", json!([]), json!({})).await.unwrap_err();
        assert_eq!(error.uri, "wamp.error.no_such_procedure");
    }
}

#[tokio::test]
async fn results_in_parts_come_in_order_from_the_other_gateway() {
    let (world, other) = two().await;
    let mut callee = join_at(&world.gateway, Serializer::MsgPack).await;
    let mut caller = join_at(&other, Serializer::Json).await;
    register(&mut callee, "com.example.count").await;
    let options = json!({ "receive_progress": true });
    let call = caller.request(code::CALL, json!([options, "com.example.count"])).await;
    let invocation = callee.invocation().await;
    assert_eq!(invocation.details["receive_progress"], json!(true));
    for part in 0..10 {
        let options = json!({ "progress": true });
        callee.send(json!([code::YIELD, invocation.request, options, [part]])).await;
    }
    callee.yields(&invocation, json!(["done"]), json!({})).await;
    for part in 0..10 {
        let result = caller.expect(code::RESULT).await;
        assert_eq!((result.id(1), result.at(2)["progress"].clone()), (call, json!(true)));
        assert_eq!(result.result().args, json!([part]));
    }
    assert_eq!(caller.result(call).await.unwrap().args, json!(["done"]));
}

#[tokio::test]
async fn a_call_is_taken_back_from_the_other_gateway() {
    let (world, other) = two().await;
    let callee = join_at(&world.gateway, Serializer::Json).await;
    take_back(callee, join_at(&other, Serializer::Cbor).await).await;
}

#[tokio::test]
async fn the_callee_of_a_caller_that_is_gone_from_the_other_gateway_is_interrupted() {
    let (world, other) = two().await;
    let callee = join_at(&world.gateway, Serializer::Json).await;
    let callers =
        [join_at(&other, Serializer::Json).await, join_at(&other, Serializer::MsgPack).await];
    orphan(callee, callers).await;
}

#[tokio::test]
async fn a_procedure_is_registered_at_one_gateway_and_is_free_once_it_is_unregistered() {
    let (world, other) = two().await;
    let mut near = join_at(&world.gateway, Serializer::Json).await;
    let mut far = join_at(&other, Serializer::Json).await;
    let registration = register(&mut near, "com.example.one").await;
    let refused = far.register("com.example.one", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.procedure_already_exists");
    let shared = far.register("com.example.one", json!({ "invoke": "roundrobin" })).await;
    assert_eq!(shared.unwrap_err().uri, "wamp.error.procedure_already_exists");

    unregister(&mut near, registration).await;
    register(&mut far, "com.example.one").await;
    let refused = near.register("com.example.one", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.procedure_already_exists");
}

#[tokio::test]
async fn callees_at_both_gateways_share_a_procedure() {
    let (world, other) = two().await;
    let mut near = join_at(&world.gateway, Serializer::Json).await;
    let mut far = join_at(&other, Serializer::Json).await;
    for callee in [&mut near, &mut far] {
        callee.register("com.example.both", json!({ "invoke": "roundrobin" })).await.unwrap();
    }
    let refused = far.register("com.example.both", json!({ "invoke": "random" })).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.procedure_already_exists");
    // Each gateway has callees of its own.
    for (gateway, callee) in [(&world.gateway, &mut near), (&other, &mut far)] {
        let mut caller = join_at(gateway, Serializer::Json).await;
        let call = caller.request(code::CALL, json!([{}, "com.example.both"])).await;
        let invocation = callee.invocation().await;
        callee.yields(&invocation, json!([1]), json!({})).await;
        caller.result(call).await.unwrap();
    }
}

/// The queue that they share goes with the last of them, maybe just when the other comes.
#[tokio::test]
async fn callees_at_both_gateways_come_and_go() {
    const ROUNDS: usize = 300;
    let (world, other) = two().await;
    let come_and_go = async |gateway: &TestGateway| {
        let mut callee = join_at(gateway, Serializer::Json).await;
        for round in 0..ROUNDS {
            let options = json!({ "invoke": "roundrobin" });
            let registered = callee.register("com.example.both", options).await;
            let registration = registered.unwrap_or_else(|error| panic!("{round}: {error:?}"));
            unregister(&mut callee, registration).await;
        }
        callee
    };
    let (mut near, mut far) = tokio::join!(come_and_go(&world.gateway), come_and_go(&other));
    // Nobody has it now.
    let error = near.call("com.example.both", json!([]), json!({})).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.no_such_procedure");
    register(&mut far, "com.example.both").await;
}

#[allow(clippy::print_stdout, reason = "the figures are what the test is for")]
#[tokio::test]
async fn of_two_gateways_that_are_asked_for_a_procedure_one_gets_it() {
    let (world, other) = two().await;
    let mut near = join_at(&world.gateway, Serializer::Json).await;
    let mut far = join_at(&other, Serializer::MsgPack).await;
    let mut won = [0; 2];
    for race in 0..RACES {
        let procedure = format!("com.example.race{}", race % 7);
        let (one, two) =
            tokio::join!(near.register(&procedure, json!({})), far.register(&procedure, json!({})));
        let (winner, registration, refused) = match (one, two) {
            (Ok(registration), Err(refused)) => (0, registration, refused),
            (Err(refused), Ok(registration)) => (1, registration, refused),
            other => panic!("race {race}: {other:?}"),
        };
        assert_eq!(refused.uri, "wamp.error.procedure_already_exists");
        won[winner] += 1;
        let winner = if winner == 0 { &mut near } else { &mut far };
        unregister(winner, registration).await;
    }
    println!("{RACES} races: {} and {} won, none was won by both or by nobody", won[0], won[1]);
}

#[tokio::test]
async fn what_a_gateway_had_is_free_once_it_has_stopped() {
    let (world, other) = two().await;
    let mut far = join_at(&other, Serializer::Json).await;
    register(&mut far, "com.example.moved").await;
    let mut near = join_at(&world.gateway, Serializer::Json).await;
    let refused = near.register("com.example.moved", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.procedure_already_exists");
    other.stop().await;
    assert_eq!(register(&mut near, "com.example.moved").await, registration_id(&mut near).await);
}

/// That of `com.example.moved`, the same wherever it is registered.
async fn registration_id(client: &mut WampClient) -> u64 {
    let call = client.request(code::CALL, json!([{}, "com.example.moved"])).await;
    let invocation = client.invocation().await;
    client.yields(&invocation, json!([]), json!({})).await;
    client.result(call).await.unwrap();
    invocation.registration
}

/// Ends the connections of the gateways to the broker, which are so many: each has one for what comes, and one
/// for what leaves as soon as something has.
pub(crate) async fn cut_connections(vhost: &Vhost, count: usize) {
    let connections = eventually("the connections", async || {
        let connections = vhost.connections().await;
        (connections.len() == count).then_some(connections)
    });
    for connection in connections.await {
        vhost.close_connection(&connection.name).await;
    }
}

/// A callee that has these procedures and answers every call. It is told nothing else: it has lost no
/// registration.
async fn serve(mut callee: WampClient, procedures: &[String]) -> JoinHandle<()> {
    for (number, procedure) in procedures.iter().enumerate() {
        let invoke = if number % 2 == 0 { "single" } else { "roundrobin" };
        callee.register(procedure, json!({ "invoke": invoke })).await.unwrap();
    }
    tokio::spawn(async move {
        loop {
            let invocation = callee.invocation().await;
            callee.yields(&invocation, json!([]), json!({})).await;
        }
    })
}

/// Each procedure can be called, sooner or later: until then nobody has it, or the broker is not there.
async fn is_served(serving: &JoinHandle<()>, caller: &mut WampClient, procedures: &[String]) {
    for procedure in procedures {
        eventually("the registration at the other gateway", async || {
            assert!(!serving.is_finished(), "the callee was told something else");
            caller.call(procedure, json!([]), json!({})).await.ok()
        })
        .await;
    }
}

fn kept() -> Vec<String> {
    (0..20).map(|number| format!("com.example.kept{number}")).collect()
}

/// Nobody else has come to have it by then.
#[tokio::test]
async fn what_is_registered_stays_so_over_a_lost_connection_to_the_broker() {
    let (world, other) = two().await;
    let procedures = kept();
    let serving = serve(join_at(&other, Serializer::Json).await, &procedures).await;
    let mut caller = join_at(&world.gateway, Serializer::Json).await;
    is_served(&serving, &mut caller, &procedures).await;
    cut_connections(world.rabbitmq.as_ref().unwrap(), 4).await;
    is_served(&serving, &mut caller, &procedures).await;
    serving.abort();
}

#[tokio::test]
async fn what_is_registered_stays_so_over_the_death_of_rabbitmq() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let start = async || {
        let settings = TestGateway::rabbitmq(&vhost);
        settings.config(|config| serve_wamp(config, json!({}))).start().await
    };
    let (near, far) = (start().await, start().await);
    let procedures = kept();
    let serving = serve(join_at(&far, Serializer::Json).await, &procedures).await;
    let mut caller = join_at(&near, Serializer::Json).await;
    is_served(&serving, &mut caller, &procedures).await;
    node.kill().await;
    // Said at once, and not when the call's time is over.
    eventually("the loss at the caller's gateway", async || {
        let options = json!({ "timeout": 60_000 });
        let call = caller.request(code::CALL, json!([options, procedures[0]])).await;
        let error = caller.result(call).await.unwrap_err();
        assert_ne!(error.uri, "wamp.error.timeout");
        (error.uri == "wamp.error.unavailable").then_some(())
    })
    .await;
    node.start_again().await;
    is_served(&serving, &mut caller, &procedures).await;
    serving.abort();
}
