//! The client against a server that has said everything before it is asked.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::raw_ws::Frame;

const HANDSHAKE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    upgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    sec-websocket-protocol: wamp.2.json\r\n\r\n";

/// A client, and a server that has said all of this.
async fn told(messages: &[Value]) -> (WampClient, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let opening = tokio::spawn(WampClient::open(listener.local_addr().unwrap(), Serializer::Json));
    let (mut server, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        server.read_buf(&mut request).await.unwrap();
    }
    server.write_all(HANDSHAKE).await.unwrap();
    for message in messages {
        let frame = Frame { mask: None, ..Frame::text(message.to_string()) };
        server.write_all(&frame.bytes()).await.unwrap();
    }
    (opening.await.unwrap(), server)
}

fn subscribed() -> Value {
    json!([code::SUBSCRIBED, 1, 70])
}

fn event(text: &str) -> Value {
    json!([code::EVENT, 70, 5, {}, [text]])
}

fn published() -> Value {
    json!([code::PUBLISHED, 2, 5])
}

#[tokio::test]
async fn events_before_an_answer_come_next_and_in_order() {
    let frames = [subscribed(), event("a"), event("b"), published(), event("c"), event("d")];
    let (mut client, server) = told(&frames).await;
    assert_eq!(client.subscribe("t").await, 70);
    assert_eq!(client.say("t", "").await, 5);
    client.expect_text("a").await;
    let next = client.incoming().await.unwrap();
    assert_eq!(next.event().args, json!(["b"]));
    client.expect_text("c").await;
    client.expect_text("d").await;
    drop(server);
    client.closing().await;
}

#[tokio::test]
async fn events_before_one_answer_stay_before_those_of_the_next() {
    let again = json!([code::PUBLISHED, 3, 6]);
    let frames = [subscribed(), event("a"), published(), event("b"), again];
    let (mut client, _server) = told(&frames).await;
    client.subscribe("t").await;
    client.say("t", "").await;
    client.say("t", "").await;
    client.expect_text("a").await;
    client.expect_text("b").await;
}

#[tokio::test]
#[should_panic(expected = "of no subscription")]
async fn an_event_before_subscribed_fails() {
    let (mut client, _server) = told(&[event("a"), subscribed()]).await;
    client.subscribe("t").await;
}

#[tokio::test]
#[should_panic(expected = "of no subscription")]
async fn an_event_after_unsubscribed_fails() {
    let unsubscribed = json!([code::UNSUBSCRIBED, 2]);
    let (mut client, _server) = told(&[subscribed(), unsubscribed, event("a")]).await;
    let subscription = client.subscribe("t").await;
    client.unsubscribe(subscription).await;
    client.recv().await;
}

#[tokio::test]
#[should_panic(expected = "of no registration")]
async fn an_invocation_before_registered_fails() {
    let (mut client, _server) = told(&[json!([code::INVOCATION, 1, 9, {}])]).await;
    client.recv().await;
}

#[tokio::test]
#[should_panic(expected = "Number(3)")]
async fn the_answer_to_another_request_fails() {
    let (mut client, _server) = told(&[subscribed(), json!([code::PUBLISHED, 3, 5])]).await;
    client.subscribe("t").await;
    client.say("t", "").await;
}

#[tokio::test]
async fn an_error_is_the_answer_to_its_request() {
    let error = json!([code::ERROR, code::SUBSCRIBE, 1, {}, "a.b", ["why"]]);
    let (mut client, _server) = told(&[error]).await;
    let error = client.subscribe_with("t", json!({})).await.unwrap_err();
    assert_eq!((error.uri.as_str(), error.args), ("a.b", json!(["why"])));
}

#[tokio::test]
async fn a_callee_may_call_itself() {
    let invocation = json!([code::INVOCATION, 31, 9, {}, [1], { "a": 2 }]);
    let result = json!([code::RESULT, 2, {}, [3]]);
    let failure = json!([code::ERROR, code::CALL, 3, {}, "a.b", [], { "why": 4 }]);
    let frames = [json!([code::REGISTERED, 1, 9]), invocation, result, failure];
    let (mut client, _server) = told(&frames).await;
    assert_eq!(client.register("p", json!({})).await, Ok(9));
    let payload = Payload { args: json!([3]), kwargs: json!({}) };
    assert_eq!(client.call("p", json!([1]), json!({ "a": 2 })).await, Ok(payload));
    let invocation = client.invocation().await;
    assert_eq!((invocation.request, invocation.registration), (31, 9));
    assert_eq!((invocation.args, invocation.kwargs), (json!([1]), json!({ "a": 2 })));
    let error = client.call("p", json!([]), json!({})).await.unwrap_err();
    assert_eq!((error.uri.as_str(), error.kwargs), ("a.b", json!({ "why": 4 })));
}

#[tokio::test]
#[should_panic(expected = "nobody took it")]
async fn an_event_that_was_kept_fails_where_nothing_may_have_come() {
    let error = json!([code::ERROR, code::UNSUBSCRIBE, 2, {}, "wamp.error.no_such_subscription"]);
    let (mut client, _server) = told(&[subscribed(), event("a"), error]).await;
    client.subscribe("t").await;
    client.expect_nothing().await;
}

#[tokio::test]
#[should_panic(expected = "nobody took it")]
async fn an_event_that_was_kept_is_missed_at_the_end_of_the_test() {
    let (mut client, _server) = told(&[subscribed(), event("a"), published()]).await;
    client.subscribe("t").await;
    client.say("t", "").await;
}

#[tokio::test]
#[should_panic(expected = "opcode 2")]
async fn a_binary_message_with_json_fails() {
    let (mut client, mut server) = told(&[]).await;
    let frame = Frame { mask: None, ..Frame::binary("[2,1,{}]") };
    server.write_all(&frame.bytes()).await.unwrap();
    client.recv().await;
}

#[tokio::test]
async fn a_message_in_parts_is_one_message() {
    let (mut client, mut server) = told(&[]).await;
    let first = Frame { mask: None, ..Frame::text("[2,7,").unfinished() };
    let rest = Frame { mask: None, ..Frame::new(crate::opcode::CONTINUATION, "{}]") };
    server.write_all(&[first.bytes(), rest.bytes()].concat()).await.unwrap();
    assert_eq!(client.expect(code::WELCOME).await.0, [json!(2), json!(7), json!({})]);
    assert_eq!(client.session(), 7);
}
