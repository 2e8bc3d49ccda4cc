//! pika at RabbitMQ as the worker that a route names, and as a caller of whom little can be believed.

use integration_tests::{REALM, Serializer, WampClient, World, code, serve_wamp};
use serde_json::json;

use crate::clients::{Stage, all_leave};
use crate::neighbours::{Neighbour, PASSCODE, gateways_have_a_login, message};
use crate::procedures::{JSON, TEXT, answered, answers, body, is_same_json};
use crate::program::binary;

/// What the worker of a route gets is what the route says, whatever the caller's serializer.
#[tokio::test(flavor = "multi_thread")]
async fn wamp_calls_a_pika_worker_of_routes() {
    let route =
        |uri: &str, payload: &str| json!({ "uri": uri, "key": "legacy", "payload": payload });
    let mut routes = json!({
        "a": route("legacy.envelope", "envelope"),
        "b": route("legacy.json", "json-first-arg"),
        "c": route("legacy.raw", "raw-first-arg"),
        "d": route("legacy.kwargs", "kwargs-object"),
    });
    // By an exchange, and with the payload that is taken if nothing is said.
    routes["e"] = json!({ "uri": "legacy.bound", "exchange": "amq.direct", "key": "legacy.key" });
    let realm = json!({ "rpc": routes });
    let world = World::rabbitmq_with(|config| serve_wamp(config, realm)).await;
    let stage = Stage::new(world);
    let mut worker = Neighbour::pika(&stage.world);
    worker.serve("legacy").await;
    worker.bind("amq.direct", "legacy.key").await;
    let clients = stage.clients("caller").await;

    let (args, kwargs) = (json!(["grüße", 2, [null]]), json!({ "größe": { "x": true } }));
    let bytes = json!([binary("AP8K")]);
    let envelope = body(&json!({ "args": args, "kwargs": kwargs }));
    let cases = [
        ("legacy.envelope", &args, "application/json", envelope.clone()),
        ("legacy.bound", &args, "application/json", envelope),
        ("legacy.json", &args, "application/json", body(&args[0])),
        ("legacy.raw", &args, "text/plain", "grüße".into()),
        ("legacy.raw", &bytes, "application/octet-stream", b"\0\xff\n".into()),
        ("legacy.kwargs", &args, "application/json", body(&kwargs)),
    ];
    for client in &clients {
        let name = &client.name;
        for (procedure, args, content_type, body) in &cases {
            let call = (*procedure, *args, &kwargs);
            let done = message(TEXT, b"done", json!({}));
            let (result, call) = answered(client, call, &mut worker, done).await;
            assert_eq!(result, json!({ "args": ["done"], "kwargs": {}, "error": null }), "{name}");
            assert_eq!(call.content_type, *content_type, "{procedure} of {name}");
            let is_equal = call.body == *body || is_same_json(&call.body, body);
            assert!(is_equal, "{name}: {:?}", String::from_utf8_lossy(&call.body));
            let is_envelope = call.headers["wamp-envelope"] == "True";
            assert_eq!(is_envelope, body.starts_with(b"{\"args\""), "{procedure} of {name}");
        }
        for (message, expected) in answers() {
            let call = ("legacy.json", &args, &kwargs);
            let (result, _) = answered(client, call, &mut worker, message).await;
            assert_eq!(result, expected, "{name}");
        }
    }
    // Without its worker it is a procedure that nobody has.
    worker.leave().await;
    for client in &clients {
        let nobody = client.call("legacy.json", &args, &kwargs).await;
        assert_eq!(nobody["error"], "wamp.error.no_such_procedure", "{}", client.name);
    }
    all_leave(clients).await;
    stage.end().await;
}

/// Parts of a result come in order to a caller that takes them, and not at all to one that does not; and
/// whatever else a worker sends comes to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_pika_worker_answers_in_parts() {
    let world = World::rabbitmq_with(|config| serve_wamp(config, json!({}))).await;
    let mut caller = WampClient::connect(world.ws_addr(), Serializer::Json, REALM).await;
    let mut worker = Neighbour::pika(&world);
    worker.offer("interop.parts").await;
    for takes_parts in [true, false] {
        let options = json!({ "receive_progress": takes_parts });
        let call = caller.request(code::CALL, json!([options, "interop.parts"])).await;
        worker.next().await;
        for part in ["1", "2", "3"] {
            let headers = json!({ "type": "wamp.progress" });
            worker.answer(message(JSON, part.as_bytes(), headers)).await;
        }
        // After the last, nothing counts.
        for last in ["4", "5"] {
            worker.answer(message(JSON, last.as_bytes(), json!({}))).await;
        }
        for part in (1..=3).take_while(|_| takes_parts) {
            let result = caller.expect(code::RESULT).await;
            assert_eq!((result.id(1), &result.at(2)["progress"]), (call, &json!(true)));
            assert_eq!(result.result().args, json!([part]));
        }
        let result = caller.expect(code::RESULT).await;
        assert_eq!((result.id(1), result.at(2)), (call, &json!({})));
        assert_eq!(result.result().args, json!([4]));
    }
    // Another call's answers come after all of those.
    let call = caller.request(code::CALL, json!([{}, "interop.parts"])).await;
    worker.next().await;
    worker.answer(message(JSON, b"6", json!({}))).await;
    assert_eq!(caller.result(call).await.unwrap().args, json!([6]));
    caller.expect_nothing().await;
    worker.leave().await;
    caller.leave().await;
}

/// A call that cannot be read, one that takes too long, and one whose caller is gone.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_pika_that_come_to_nothing_cost_others_nothing() {
    let world = World::rabbitmq_with(|config| serve_wamp(config, json!({}))).await;
    let mut callee = WampClient::connect(world.ws_addr(), Serializer::Json, REALM).await;
    callee.register("interop.own", json!({})).await.unwrap();
    let mut pika = Neighbour::pika(&world);
    let call = |body: &[u8]| message(JSON, body, json!({}));

    pika.call("interop.own", "unreadable", call(b"{")).await;
    let error = pika.next().await;
    assert_eq!(error.headers["wamp-error"], "wamp.error.invalid_argument");
    assert_eq!(error.headers["correlation-id"], "unreadable");

    let mut short = call(b"1");
    short["expiration"] = json!("250");
    pika.call("interop.own", "too late", short).await;
    let invocation = callee.invocation().await;
    let error = pika.next().await;
    assert_eq!(error.headers["wamp-error"], "wamp.error.timeout");
    assert_eq!(error.headers["correlation-id"], "too late");
    assert_eq!(callee.expect(code::INTERRUPT).await.id(1), invocation.request);
    callee.yields(&invocation, json!(["too late"]), json!({})).await;

    let mut gone = call(b"2");
    gone["reply_to"] = json!("a queue that is not there");
    pika.call("interop.own", "gone", gone).await;
    let invocation = callee.invocation().await;
    callee.yields(&invocation, json!(["to nobody"]), json!({})).await;

    pika.call("interop.own", "next", call(b"3")).await;
    let invocation = callee.invocation().await;
    assert_eq!(invocation.args, json!([3]));
    callee.yields(&invocation, json!(["of the next"]), json!({})).await;
    let answer = pika.next().await;
    assert_eq!(answer.headers["correlation-id"], "next");
    assert_eq!(answer.body, b"\"of the next\"");
    pika.leave().await;
    callee.leave().await;
}

/// Headers that name the caller count only in what a gateway's login has published.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_believed_of_gateways_alone() {
    let (world, gateways) = gateways_have_a_login().await;
    let mut callee = WampClient::connect(world.ws_addr(), Serializer::Json, REALM).await;
    callee.register("interop.own", json!({})).await.unwrap();

    let named = json!({ "caller": 7, "caller_authid": "root", "caller_authrole": "admin" });
    let pika = Neighbour::pika(&world);
    let gateway = Neighbour::pika_as(&world, &gateways, PASSCODE);
    for (mut caller, user, details) in
        [(pika, world.user.as_str(), json!({})), (gateway, gateways.as_str(), named)]
    {
        let headers = json!({
            "user-id": user, "type": "wamp.call", "wamp-uri": "interop.own",
            "wamp-caller": 7, "wamp-authid": "root", "wamp-authrole": "admin",
        });
        caller.call("interop.own", "c", message(JSON, b"1", headers)).await;
        let invocation = callee.invocation().await;
        assert_eq!(invocation.details, details, "{user}");
        callee.yields(&invocation, json!([2]), json!({})).await;
        assert_eq!(caller.next().await.headers["correlation-id"], "c");
        caller.leave().await;
    }
    callee.leave().await;
}
