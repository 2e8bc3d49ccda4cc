//! Calls of clients to each other, at one gateway and across two.

use integration_tests::{TestGateway, serve_wamp};
use serde_json::json;

use crate::clients::{Stage, all_leave};
use crate::{arguments, on_embedded, on_rabbitmq};

/// Each client calls what each has registered.
///
/// *Shape.* `callers_at` is where the callers are.
async fn each_calls_each(stage: Stage, callers_at: &str) {
    let (callers, callees) =
        (stage.clients_at(callers_at, "caller").await, stage.clients("callee").await);
    let (args, kwargs) = arguments();
    let refused = json!({ "refused_as": "com.example.refused", "größe": [1] });
    for (number, callee) in callees.iter().enumerate() {
        let procedure = format!("interop.echo.a{number}");
        callee.register(&procedure).await;
        for caller in &callers {
            let pair = format!("{} to {}", caller.name, callee.name);
            let result = caller.call(&procedure, &args, &kwargs).await;
            let expected = json!({ "args": args, "kwargs": kwargs, "error": null });
            assert_eq!(result, expected, "{pair}");
            let result = caller.call(&procedure, &json!(["why"]), &refused).await;
            let expected =
                json!({ "args": ["why"], "kwargs": refused, "error": "com.example.refused" });
            assert_eq!(result, expected, "{pair}");
        }
    }
    for caller in &callers {
        let result = caller.call("interop.nobody", &json!([]), &json!({})).await;
        assert_eq!(result["error"], "wamp.error.no_such_procedure", "{}", caller.name);
    }
    all_leave(callees).await;
    for (number, caller) in callers.iter().enumerate() {
        let result = caller.call(&format!("interop.echo.a{number}"), &args, &kwargs).await;
        assert_eq!(result["error"], "wamp.error.no_such_procedure", "{}", caller.name);
    }
    all_leave(callers).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_calls_each_on_the_embedded_broker() {
    let stage = on_embedded().await;
    let url = stage.url();
    each_calls_each(stage, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_calls_each_on_rabbitmq() {
    let stage = on_rabbitmq().await;
    let url = stage.url();
    each_calls_each(stage, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_calls_each_across_two_gateways() {
    let stage = on_rabbitmq().await;
    let vhost = stage.world.rabbitmq.as_ref().unwrap();
    let other = TestGateway::rabbitmq(vhost).config(|config| serve_wamp(config, json!({})));
    let other = other.start().await;
    each_calls_each(stage, &format!("ws://{}/ws", other.ws_addr())).await;
    assert_eq!(other.stop().await.cut, 0, "every client had said goodbye");
}
