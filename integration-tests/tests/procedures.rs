//! Procedures that STOMP clients call and offer, end to end, in front of either broker.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use integration_tests::{Request, StompClient, StompFrame, TestGateway, World};
use rabbitmq_node::eventually;

const ADD: &str = "/rpc/com.app.add";
const SOFT: (&str, &str) = ("soft-errors", "true");

/// A client that goes on after errors.
async fn soft(world: &World) -> StompClient {
    world.client_with(&[("accept-version", "1.2"), SOFT]).await.0
}

/// Calls, and has the answer come by `/temp-queue/answers`.
async fn call(client: &mut StompClient, destination: &str, id: &str, body: &str) {
    let headers =
        [("destination", destination), ("reply-to", "/temp-queue/answers"), ("correlation-id", id)];
    client.send("SEND", &headers, body).await;
}

/// Answers the call that comes next, which is this; its MESSAGE.
async fn answer(callee: &mut StompClient, expected: &str, body: &str) -> StompFrame {
    let call = callee.expect_message(expected).await;
    let (to, id) = (call.expect_header("reply-to"), call.expect_header("correlation-id"));
    callee.send("SEND", &[("destination", to), ("correlation-id", id)], body).await;
    call
}

/// The answer that comes next, which is this.
async fn answered(caller: &mut StompClient, id: &str, body: &str) {
    let answer = caller.expect_message(body).await;
    assert_eq!(answer.expect_header("subscription"), "/temp-queue/answers");
    assert_eq!(answer.expect_header("correlation-id"), id);
}

/// Asks to offer a procedure; the code of the refusal, if it is one. The client goes on after errors.
async fn try_offer(
    client: &mut StompClient,
    id: &str,
    destination: &str,
) -> Result<(), StompFrame> {
    let headers = [("id", id), ("destination", destination)];
    client.request("SUBSCRIBE", &headers, "").await;
    let frame = client.recv().await;
    match frame.verb.as_str() {
        "RECEIPT" => Ok(()),
        _ => {
            assert_eq!(frame.expect_header("failed-subscription"), id);
            Err(frame)
        }
    }
}

async fn assert_registered_already(client: &mut StompClient, destination: &str) {
    let refused = try_offer(client, "second", destination).await.unwrap_err();
    assert_eq!(refused.expect_header("code"), "resource_locked");
    assert!(refused.text().contains("registered already"), "{:?}", refused.text());
}

async fn a_call_is_answered(world: World) {
    let mut callee = world.client().await;
    callee.subscribe("0", ADD, "auto").await;
    let mut callers = [world.client().await, world.client().await];
    for (n, caller) in callers.iter_mut().enumerate() {
        for round in 0..3 {
            let (id, sum) = (format!("{n}-{round}"), format!("sum {n} {round}"));
            call(caller, ADD, &id, &id).await;
            let call = answer(&mut callee, &id, &sum).await;
            assert_eq!(call.expect_header("destination"), ADD);
            assert_eq!(call.expect_header("subscription"), "0");
            answered(caller, &id, &sum).await;
        }
    }
}

async fn every_character_of_a_name_counts(world: World) {
    let mut callee = world.client().await;
    let names = ["/rpc/a.*", "/rpc/a.b", "/rpc/50%25", "/rpc/a%2Fb.%C3%BC", "/rpc/%252A"];
    for name in names {
        callee.subscribe(name, name, "auto").await;
    }
    let mut caller = world.client().await;
    for name in names {
        call(&mut caller, name, name, "?").await;
        let call = answer(&mut callee, "?", "!").await;
        assert_eq!(call.expect_header("destination"), name);
        assert_eq!(call.expect_header("subscription"), name);
        answered(&mut caller, name, "!").await;
    }
}

async fn a_second_offer_is_refused(world: World) {
    let mut first = soft(&world).await;
    try_offer(&mut first, "0", ADD).await.unwrap();
    let mut second = soft(&world).await;
    for client in [&mut second, &mut first] {
        assert_registered_already(client, ADD).await;
    }
    // Without soft errors it ends the connection.
    let mut third = world.client().await;
    let receipt = third.request("SUBSCRIBE", &[("id", "0"), ("destination", ADD)], "").await;
    let error = third.expect("ERROR").await;
    assert_eq!(error.expect_header("receipt-id"), receipt);
    assert_eq!(error.expect_header("code"), "resource_locked");
    assert!(error.text().contains("registered already"), "{:?}", error.text());
    third.closing().await;
    // The first has lost nothing by it.
    call(&mut second, ADD, "c", "1").await;
    answer(&mut first, "1", "2").await;
    answered(&mut second, "c", "2").await;
}

async fn whoever_takes_an_offer_back_frees_the_name(world: World) {
    let mut first = soft(&world).await;
    try_offer(&mut first, "0", ADD).await.unwrap();
    let mut second = soft(&world).await;
    assert_registered_already(&mut second, ADD).await;
    first.send_confirmed("UNSUBSCRIBE", &[("id", "0")], "").await;
    try_offer(&mut second, "0", ADD).await.unwrap();
    assert_registered_already(&mut first, ADD).await;
    call(&mut first, ADD, "c", "1").await;
    answer(&mut second, "1", "2").await;
    answered(&mut first, "c", "2").await;
    // So does whoever leaves, as soon as the broker has seen it.
    second.cut();
    while try_offer(&mut first, "0", ADD).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut caller = world.client().await;
    call(&mut caller, ADD, "c", "3").await;
    answer(&mut first, "3", "4").await;
    answered(&mut caller, "c", "4").await;
}

async fn an_offer_can_be_made_again_at_once(world: World) {
    let mut callee = world.client().await;
    callee.subscribe("0", ADD, "client").await;
    let mut caller = world.client().await;
    for round in 0..5 {
        callee.send("UNSUBSCRIBE", &[("id", "0")], "").await;
        callee.subscribe("0", ADD, "auto").await;
        let id = round.to_string();
        call(&mut caller, ADD, &id, "?").await;
        answer(&mut callee, "?", &id).await;
        answered(&mut caller, &id, &id).await;
    }
}

async fn a_call_that_nobody_could_take_is_an_error(world: World) {
    let mut caller = soft(&world).await;
    for (n, uri) in ["com.app.none", "com.app.add"].into_iter().enumerate() {
        let destination = format!("/rpc/{uri}");
        let headers = [("destination", &*destination), ("correlation-id", "c")];
        let receipt = caller.request("SEND", &headers, "?").await;
        let error = caller.expect("MESSAGE").await;
        assert_eq!(error.expect_header("receipt-id"), receipt, "{n}");
        assert_eq!(error.expect_header("code"), "unroutable");
        assert_eq!(error.text(), format!("no procedure \"{uri}\" is registered"));
    }
    let mut hard = world.client().await;
    hard.send("SEND", &[("destination", ADD)], "?").await;
    let error = hard.expect("ERROR").await;
    assert_eq!(error.expect_header("code"), "unroutable");
    hard.closing().await;
    // Once somebody offers it, it can be called, answer or not.
    let mut callee = world.client().await;
    callee.subscribe("0", ADD, "auto").await;
    caller.send_confirmed("SEND", &[("destination", ADD)], "!").await;
    let call = callee.expect_message("!").await;
    assert_eq!(call.header("reply-to"), None);
}

/// Runs each scenario in front of one broker.
macro_rules! scenarios {
    ($broker:ident, $world:path, [$($scenario:ident),* $(,)?]) => {
        mod $broker {
            use super::*;
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario($world().await).await;
                }
            )*
        }
    };
    ($broker:ident, $world:path) => {
        scenarios!($broker, $world, [
            a_call_is_answered,
            every_character_of_a_name_counts,
            a_second_offer_is_refused,
            whoever_takes_an_offer_back_frees_the_name,
            an_offer_can_be_made_again_at_once,
            a_call_that_nobody_could_take_is_an_error,
        ]);
    };
}

scenarios!(embedded, World::embedded);
scenarios!(rabbitmq, World::rabbitmq);

#[tokio::test]
async fn procedures_are_the_same_on_all_gateways_of_a_broker() {
    let world = World::rabbitmq().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let other = TestGateway::rabbitmq(vhost).start().await;
    let headers = [("accept-version", "1.2"), SOFT];
    let request = Request::upgrade("/ws");
    let (mut there, _) = world.log_in_at(other.ws_addr(), &request, &headers).await;
    let mut here = soft(&world).await;
    try_offer(&mut there, "0", ADD).await.unwrap();
    assert_registered_already(&mut here, ADD).await;
    call(&mut here, ADD, "c", "1").await;
    answer(&mut there, "1", "2").await;
    answered(&mut here, "c", "2").await;
    there.send_confirmed("UNSUBSCRIBE", &[("id", "0")], "").await;
    try_offer(&mut here, "0", ADD).await.unwrap();
    assert_registered_already(&mut there, ADD).await;
    // One that is stopped takes its offers along.
    drop(there);
    let (mut there, _) = world.log_in_at(other.ws_addr(), &request, &headers).await;
    try_offer(&mut there, "0", "/rpc/com.app.there").await.unwrap();
    assert_registered_already(&mut here, "/rpc/com.app.there").await;
    let stopped = tokio::spawn(other.stop());
    there.closing().await;
    stopped.await.unwrap();
    let taken = async || vhost.queue("wamp.proc.e.com.app.there").await.is_none().then_some(());
    eventually("the end of its offer", taken).await;
    try_offer(&mut here, "1", "/rpc/com.app.there").await.unwrap();
}

#[tokio::test]
async fn the_queue_of_an_offer_is_the_connections_own_and_its_exchange_stays() {
    let world = World::rabbitmq().await;
    let vhost = world.rabbitmq.as_ref().unwrap();
    let mut callee = world.client().await;
    callee.subscribe("0", ADD, "auto").await;
    let queue = vhost.queue("wamp.proc.e.com.app.add").await.unwrap();
    assert_eq!((queue.durable, queue.exclusive, queue.auto_delete), (false, true, false));
    callee.send_confirmed("UNSUBSCRIBE", &[("id", "0")], "").await;
    assert!(vhost.queue("wamp.proc.e.com.app.add").await.is_none());
    assert!(vhost.exchanges().await.iter().any(|name| name == "wamp.rpc"));
}
