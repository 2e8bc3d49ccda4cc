//! Calls between clients of WAMP and their neighbours at the same broker: stomp.py behind the gateway, by
//! `/rpc/…`, and pika at RabbitMQ, by the exchange `wamp.rpc`.

use integration_tests::Serializer;
use rabbitmq_node::eventually;
use serde_json::{Value, json};
use tokio::join;

use crate::clients::{Client, Stage, all_leave};
use crate::neighbours::{Arrived, Neighbour, as_values, message};
use crate::program::binary;
use crate::{arguments, on_embedded, on_rabbitmq};

pub(crate) const JSON: Option<&str> = Some("application/json");
pub(crate) const TEXT: Option<&str> = Some("text/plain");
const BYTES: Option<&str> = Some("application/octet-stream");
const REFUSED: &str = "com.example.refused";

/// A body in JSON.
pub(crate) fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// `content-type` and body of a call, and those of its answer.
type Exchange = (Option<&'static str>, Vec<u8>, &'static str, Vec<u8>);

/// What a neighbour calls an echo with.
fn echoed() -> Vec<Exchange> {
    let value = body(&json!({ "größe": [1, -7, 2.5, null, { "x": "世界 🦀" }] }));
    let (text, bytes) = ("grüße, 世界 🦀".as_bytes(), b"\0\xff\n".as_slice());
    let one = json!(["one"]);
    let both = json!([["one", 2, [null]], { "größe": { "x": true } }]);
    let named = body(&json!({ "args": both[0], "kwargs": both[1] }));
    let mut cases = vec![
        (JSON, value.clone(), "application/json", value),
        (JSON, b"[1,2]".into(), "application/json", b"[1,2]".into()),
        (TEXT, text.into(), "text/plain", text.into()),
        (BYTES, bytes.into(), "application/octet-stream", bytes.into()),
        (None, bytes.into(), "application/octet-stream", bytes.into()),
    ];
    for serializer in Serializer::ALL {
        let called = Some(serializer.content_type());
        // One argument alone is the body, more are an object.
        let alone = serializer.encode(&json!([one]));
        cases.push((called, alone, "application/json", body(&one[0])));
        cases.push((called, serializer.encode(&both), "application/json", named.clone()));
    }
    cases
}

/// The neighbour calls what each client has registered.
async fn calls_them(stage: Stage, mut neighbour: Neighbour) {
    let clients = stage.clients("callee").await;
    for (number, client) in clients.iter().enumerate() {
        let procedure = format!("interop.own.a{number}");
        let name = &client.name;
        assert!(neighbour.is_unroutable(&procedure).await, "{name}");
        client.register(&procedure).await;
        for (turn, (content_type, body, answered, expected)) in echoed().into_iter().enumerate() {
            let id = format!("call {turn}");
            neighbour.call(&procedure, &id, message(content_type, &body, json!({}))).await;
            let Arrived { content_type, body, headers } = neighbour.next().await;
            assert_eq!(
                (&content_type, headers["type"].as_str()),
                (&json!(answered), Some("wamp.result"))
            );
            let is_equal = body == expected || is_same_json(&body, &expected);
            assert!(is_equal, "{turn} of {name}: {:?}", String::from_utf8_lossy(&body));
            assert_eq!(headers["correlation-id"], id, "{name}");
        }
        let refused = json!([["why"], { "refused_as": REFUSED, "größe": [1] }]);
        let serializer = client.serializer;
        let call =
            message(Some(serializer.content_type()), &serializer.encode(&refused), json!({}));
        neighbour.call(&procedure, "refused", call).await;
        let Arrived { content_type, body, headers } = neighbour.next().await;
        let expected = json!({ "error": REFUSED, "args": refused[0], "kwargs": refused[1] });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected, "{name}");
        assert_eq!(content_type, "application/json", "{name}");
        assert_eq!(headers["type"], "wamp.error", "{name}");
        assert_eq!(headers["wamp-error"], REFUSED, "{name}");
        assert_eq!(headers["correlation-id"], "refused", "{name}");
    }
    all_leave(clients).await;
    // The broker is told after them.
    eventually("the end of the last registration", async || {
        neighbour.is_unroutable("interop.own.a0").await.then_some(())
    })
    .await;
    neighbour.leave().await;
    stage.end().await;
}

/// Keys of objects have no order.
pub(crate) fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    let [one, other] = [one, other].map(|it| serde_json::from_slice::<Value>(it).ok());
    one.is_some() && one == other
}

/// What a call brings that the neighbour answers with this message; with the call as it came to it.
pub(crate) async fn answered(
    client: &Client,
    (procedure, args, kwargs): (&str, &Value, &Value),
    neighbour: &mut Neighbour,
    message: Value,
) -> (Value, Arrived) {
    join!(client.call(procedure, args, kwargs), async {
        let call = neighbour.next().await;
        neighbour.answer(message).await;
        call
    })
}

/// What a neighbour answers with; and what of it comes to the caller: `args`, `kwargs` and `error`.
pub(crate) fn answers() -> Vec<(Value, Value)> {
    let value = json!({ "größe": [1, -7, 2.5, null, { "x": "世界 🦀" }] });
    let result =
        |args: Value, kwargs: Value| json!({ "args": args, "kwargs": kwargs, "error": null });
    let none = json!({});
    let plain = |content_type, body: &[u8]| message(content_type, body, json!({}));
    let mut cases = vec![
        (plain(JSON, &body(&value)), result(json!([value]), none.clone())),
        (plain(JSON, b"[1,2]"), result(json!([[1, 2]]), none.clone())),
        (plain(TEXT, "grüße 🦀".as_bytes()), result(json!(["grüße 🦀"]), none.clone())),
        (plain(BYTES, b"\0\xff\n"), result(json!([binary("AP8K")]), none.clone())),
        (plain(None, b"text?"), result(json!([binary("dGV4dD8=")]), none)),
    ];
    let (args, kwargs) = arguments();
    for serializer in Serializer::ALL {
        let both = serializer.encode(&as_values(&json!([args, kwargs])));
        cases.push((
            plain(Some(serializer.content_type()), &both),
            result(args.clone(), kwargs.clone()),
        ));
    }
    let why = json!({ "args": ["why"], "kwargs": {}, "error": REFUSED });
    let named = json!({ "error": REFUSED, "args": ["why", 2], "kwargs": { "größe": [1] } });
    cases.extend([
        (message(TEXT, b"why", json!({ "x-error": REFUSED })), why),
        (message(JSON, &body(&named), json!({ "type": "wamp.error" })), named),
    ]);
    cases
}

/// Each client calls what the neighbour offers.
async fn is_called_by_them(stage: Stage, mut neighbour: Neighbour) {
    let procedure = "interop.neighbours";
    let clients = stage.clients("caller").await;
    let (args, kwargs) = arguments();
    for client in &clients {
        let nobody = client.call(procedure, &args, &kwargs).await;
        assert_eq!(nobody["error"], "wamp.error.no_such_procedure", "{}", client.name);
    }
    neighbour.offer(procedure).await;
    for client in &clients {
        let (name, serializer) = (&client.name, client.serializer);
        for (message, expected) in answers() {
            let call = (procedure, &args, &kwargs);
            let (result, call) = answered(client, call, &mut neighbour, message).await;
            assert_eq!(result, expected, "{name}");
            assert_eq!(call.content_type, serializer.content_type(), "{name}");
            let called = as_values(&json!([args, kwargs]));
            assert_eq!(serializer.decode(&call.body), called, "{name}");
            assert_eq!(call.headers["type"], "wamp.call", "{name}");
            assert_eq!(call.headers["wamp-uri"], procedure, "{name}");
        }
    }
    all_leave(clients).await;
    neighbour.leave().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pika_calls_wamp() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::pika(&stage.world);
    calls_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_calls_wamp_on_the_embedded_broker() {
    let stage = on_embedded().await;
    let neighbour = Neighbour::stomp(&stage);
    calls_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_calls_wamp_on_rabbitmq() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::stomp(&stage);
    calls_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_calls_pika() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::pika(&stage.world);
    is_called_by_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_calls_stomp_py_on_the_embedded_broker() {
    let stage = on_embedded().await;
    let neighbour = Neighbour::stomp(&stage);
    is_called_by_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_calls_stomp_py_on_rabbitmq() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::stomp(&stage);
    is_called_by_them(stage, neighbour).await;
}
