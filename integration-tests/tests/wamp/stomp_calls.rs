//! STOMP clients and WAMP sessions call each other, and only one of them has a procedure; at one gateway
//! and across two.

use integration_tests::{Request, StompClient, StompFrame, TestGateway, WampClient, World, code};
use serde_json::{Value, json};

use crate::elsewhere::{two, unregister};
use crate::{Behind, join, scenarios};

/// Asks to offer a procedure; the ERROR if that is refused. The client goes on after errors.
async fn offer(client: &mut StompClient, procedure: &str) -> Result<(), StompFrame> {
    let destination = format!("/rpc/{procedure}");
    let headers = [("id", procedure), ("destination", &*destination)];
    client.request("SUBSCRIBE", &headers, "").await;
    let frame = client.recv().await;
    if frame.verb == "RECEIPT" { Ok(()) } else { Err(frame) }
}

async fn soft(world: &World) -> StompClient {
    world.client_with(&[("accept-version", "1.2"), ("soft-errors", "true")]).await.0
}

async fn a_stomp_client_and_a_session_call_each_other(behind: Behind) {
    let world = behind.world().await;
    call_each_other(&mut soft(&world).await, &mut join(&world).await).await;
}

/// Each offers what the other calls; with an answer, with an error, and when nobody has it any more.
async fn call_each_other(stomp: &mut StompClient, wamp: &mut WampClient) {
    let registration = wamp.register("com.example.wamp", json!({})).await.unwrap();
    let call = |id: &'static str| {
        [
            ("destination", "/rpc/com.example.wamp"),
            ("content-type", "application/json"),
            ("reply-to", "/temp-queue/answers"),
            ("correlation-id", id),
        ]
    };
    stomp.send("SEND", &call("one"), "[1,\"ü\"]").await;
    let invocation = wamp.invocation().await;
    assert_eq!(
        (invocation.args.clone(), invocation.kwargs.clone()),
        (json!([[1, "ü"]]), json!({}))
    );
    wamp.yields(&invocation, json!([{ "x": [2.5] }]), json!({})).await;
    let answer = stomp.expect_message("{\"x\":[2.5]}").await;
    assert_eq!(answer.expect_header("correlation-id"), "one");
    assert_eq!(answer.expect_header("content-type"), "application/json");
    assert_eq!(answer.expect_header("subscription"), "/temp-queue/answers");

    stomp.send("SEND", &call("two"), "7").await;
    let invocation = wamp.invocation().await;
    wamp.fails(&invocation, "com.example.refused", json!(["why"])).await;
    let answer = stomp.expect("MESSAGE").await;
    assert_eq!(answer.expect_header("correlation-id"), "two");
    assert_eq!(answer.expect_header("wamp-error"), "com.example.refused");
    let expected = json!({ "error": "com.example.refused", "args": ["why"], "kwargs": {} });
    assert_eq!(serde_json::from_str::<Value>(answer.text()).unwrap(), expected);

    unregister(wamp, registration).await;
    stomp.send("SEND", &call("three"), "7").await;
    let error = stomp.expect("MESSAGE").await;
    assert_eq!(error.expect_header("code"), "unroutable");

    offer(stomp, "com.example.stomp").await.unwrap();
    let rest = json!([{}, "com.example.stomp", [1], { "ü": null }]);
    let called = wamp.request(code::CALL, rest).await;
    let message = stomp.expect("MESSAGE").await;
    assert_eq!(message.expect_header("content-type"), "application/vnd.wamp+json");
    assert_eq!(serde_json::from_str::<Value>(message.text()).unwrap(), json!([[1], { "ü": null }]));
    let correlation = message.expect_header("correlation-id").to_owned();
    let to = message.expect_header("reply-to").to_owned();
    let headers =
        [("destination", &*to), ("correlation-id", &*correlation), ("content-type", "text/plain")];
    stomp.send("SEND", &headers, "grüße").await;
    assert_eq!(wamp.result(called).await.unwrap().args, json!(["grüße"]));
    // It is answered once.
    stomp.send("SEND", &headers, "again").await;

    let called = wamp.request(code::CALL, json!([{}, "com.example.stomp"])).await;
    let message = stomp.expect("MESSAGE").await;
    let correlation = message.expect_header("correlation-id").to_owned();
    let headers = [
        ("destination", &*to),
        ("correlation-id", &*correlation),
        ("content-type", "text/plain"),
        ("x-error", "com.example.refused"),
    ];
    stomp.send("SEND", &headers, "why").await;
    let error = wamp.result(called).await.unwrap_err();
    assert_eq!((error.uri.as_str(), error.args), ("com.example.refused", json!(["why"])));

    stomp.send_confirmed("UNSUBSCRIBE", &[("id", "com.example.stomp")], "").await;
    let error = wamp.call("com.example.stomp", json!([]), json!({})).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.no_such_procedure");
    wamp.expect_nothing().await;
}

/// Whichever is first has it; the other has it once it was given back.
async fn a_procedure_is_of_stomp_or_of_wamp(behind: Behind) {
    let world = behind.world().await;
    let (mut stomp, mut wamp) = (soft(&world).await, join(&world).await);
    is_of_one(&mut stomp, &mut wamp).await;
}

async fn is_of_one(stomp: &mut StompClient, wamp: &mut WampClient) {
    for invoke in ["single", "roundrobin"] {
        let procedure = format!("com.example.{invoke}");
        let options = || json!({ "invoke": invoke });
        offer(stomp, &procedure).await.unwrap();
        let refused = wamp.register(&procedure, options()).await.unwrap_err();
        assert_eq!(refused.uri, "wamp.error.procedure_already_exists", "{invoke}");
        stomp.send_confirmed("UNSUBSCRIBE", &[("id", procedure.as_str())], "").await;

        let registration = wamp.register(&procedure, options()).await.unwrap();
        let refused = offer(stomp, &procedure).await.unwrap_err();
        assert_eq!(refused.expect_header("code"), "resource_locked", "{invoke}: {refused:?}");
        assert!(refused.text().contains("registered already"), "{invoke}: {refused:?}");
        unregister(wamp, registration).await;
        offer(stomp, &procedure).await.unwrap_or_else(|error| panic!("{invoke}: {error:?}"));
    }
}

/// A STOMP client of the other gateway that goes on after errors.
async fn stomp_at(world: &World, other: &TestGateway) -> StompClient {
    let headers = [("accept-version", "1.2"), ("soft-errors", "true")];
    world.log_in_at(other.ws_addr(), &Request::upgrade("/ws"), &headers).await.0
}

#[tokio::test]
async fn a_stomp_client_and_a_session_at_the_other_gateway_call_each_other() {
    let (world, other) = two().await;
    let mut stomp = stomp_at(&world, &other).await;
    call_each_other(&mut stomp, &mut join(&world).await).await;
}

#[tokio::test]
async fn a_procedure_is_of_stomp_or_of_wamp_at_the_other_gateway() {
    let (world, other) = two().await;
    let mut stomp = stomp_at(&world, &other).await;
    is_of_one(&mut stomp, &mut join(&world).await).await;
}

scenarios!(
    stomp_calls,
    [a_stomp_client_and_a_session_call_each_other, a_procedure_is_of_stomp_or_of_wamp]
);
