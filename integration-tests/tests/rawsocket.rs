//! WAMP over RawSocket, end to end (WAMP §RawSocket Transport).

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use gateway::config::units::{ByteSize, Millis};
use gateway::config::{Config, Listener, Route};
use integration_tests::{
    REALM, RawSocketClient, Settings, StompClient, TestGateway, frame_type, raw_frame,
    serve_rawsocket,
};
use serde_json::{Value, json};

/// 2^(9 + 15) bytes.
const LONGEST: u8 = 15;

/// 2^(9 + 1) bytes.
const SHORTEST: u8 = 1;

fn settings() -> Settings {
    TestGateway::embedded().config(serve_rawsocket)
}

fn listener(config: &mut Config) -> &mut Listener {
    config.listener.get_mut("raw").unwrap()
}

fn route(config: &mut Config) -> &mut Route {
    config.route.get_mut("raw").unwrap()
}

async fn join(gateway: &TestGateway, length: u8) -> RawSocketClient {
    RawSocketClient::join(gateway.addr("raw"), length, REALM).await
}

/// Subscribes with the request ID 1.
async fn subscribe(client: &mut RawSocketClient, topic: &str) -> Value {
    client.send(&json!([32, 1, {}, topic])).await;
    let subscribed = client.recv().await;
    assert_eq!((&subscribed[0], &subscribed[1]), (&json!(33), &json!(1)), "{subscribed}");
    subscribed[2].clone()
}

/// Registers with the request ID 1.
async fn register(client: &mut RawSocketClient, procedure: &str) {
    client.send(&json!([64, 1, {}, procedure])).await;
    assert_eq!(client.recv().await[0], 65);
}

async fn send_text(client: &mut StompClient, text: &str) {
    let headers = [("destination", "/topic/raw.events"), ("content-type", "text/plain")];
    client.send_confirmed("SEND", &headers, text).await;
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_refused_with_its_reason() {
    let gateway = settings().start().await;
    for (handshake, refusal) in
        [([0x7f, 0xf4, 0, 0], 0x10), ([0x7f, 0x01, 0, 0], 0x20), ([0x7f, 0xf1, 0, 1], 0x30)]
    {
        let mut client = RawSocketClient::open(gateway.addr("raw")).await;
        assert_eq!(client.shake_hands(handshake).await, [0x7f, refusal, 0, 0]);
        client.assert_ended().await;
    }
    // Nor does a browser that has come to the wrong port find out anything.
    let mut lost = RawSocketClient::open(gateway.addr("raw")).await;
    lost.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    lost.assert_ended().await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let settings = settings().config(|config| listener(config).max_connections = 1);
    let gateway = settings.start().await;
    let mut first = join(&gateway, LONGEST).await;
    let mut second = RawSocketClient::open(gateway.addr("raw")).await;
    assert_eq!(second.shake_hands([0x7f, 0xf1, 0, 0]).await, [0x7f, 0x40, 0, 0]);
    second.assert_ended().await;
    subscribe(&mut first, "raw.still.served").await;
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_hung_up_on() {
    let settings = settings().config(|config| {
        listener(config).handshake_timeout = Millis(Duration::from_millis(100));
    });
    let gateway = settings.start().await;
    let mut silent = RawSocketClient::open(gateway.addr("raw")).await;
    silent.send_bytes(&[0x7f, 0xf1]).await;
    silent.assert_ended().await;
}

#[tokio::test]
async fn who_does_not_join_in_time_is_told_so() {
    let settings = settings().config(|config| {
        route(config).limits.login_timeout = Millis(Duration::from_millis(100));
    });
    let gateway = settings.start().await;
    let mut silent = RawSocketClient::open(gateway.addr("raw")).await;
    silent.shake_hands([0x7f, 0xf1, 0, 0]).await;
    let abort = silent.recv().await;
    assert_eq!((&abort[0], &abort[2]), (&json!(3), &json!("wamp.error.timeout")), "{abort}");
    silent.assert_ended().await;
}

#[tokio::test]
async fn a_client_that_takes_little_is_welcome_and_one_that_takes_less_would_get_no_welcome() {
    let gateway = settings().start().await;
    let mut client = RawSocketClient::open(gateway.addr("raw")).await;
    // limits.frame_size is 4 MiB.
    assert_eq!(client.shake_hands([0x7f, SHORTEST << 4 | 1, 0, 0]).await, [0x7f, 0xd1, 0, 0]);
    client.send(&json!([1, REALM, { "roles": { "caller": {} } }])).await;
    let (_, welcome) = client.frame().await.unwrap();
    assert!(welcome.starts_with(b"[2,"), "{}", String::from_utf8_lossy(&welcome));
    assert!((513..=1024).contains(&welcome.len()), "{} bytes", welcome.len());
}

#[tokio::test]
async fn what_is_published_goes_to_stomp_and_back() {
    let gateway = settings().start().await;
    let mut device = join(&gateway, LONGEST).await;
    let mut page = StompClient::connect(gateway.ws_addr()).await;
    page.subscribe("events", "/topic/raw.readings", "auto").await;
    let subscription = subscribe(&mut device, "raw.events").await;
    let large = "x".repeat(300_000);
    for (request, text) in [(2, "reading"), (3, &large)] {
        let publish = json!([16, request, { "acknowledge": true }, "raw.readings", [text]]);
        device.send(&publish).await;
        page.expect_message(json!([[text]]).to_string()).await;
        assert_eq!(device.recv().await[0], 17);
        send_text(&mut page, text).await;
        let event = device.recv().await;
        assert_eq!((&event[0], &event[1]), (&json!(36), &subscription));
        assert_eq!(event[4], json!([text]));
    }
    device.send(&json!([6, {}, "wamp.close.normal"])).await;
    assert_eq!(device.recv().await[2], "wamp.close.goodbye_and_out");
    device.assert_ended().await;
}

#[tokio::test]
async fn frames_may_come_byte_by_byte_or_many_at_once() {
    let gateway = settings().start().await;
    let mut client = join(&gateway, LONGEST).await;
    for byte in raw_frame(frame_type::MESSAGE, "[32,1,{},\"raw.slow\"]") {
        client.send_bytes(&[byte]).await;
    }
    assert_eq!(client.recv().await[0], 33);
    let subscribe = |n: u64| json!([32, n, {}, format!("raw.many.{n}")]).to_string();
    let many: Vec<u8> =
        (2..300).flat_map(|n| raw_frame(frame_type::MESSAGE, subscribe(n))).collect();
    client.send_bytes(&many).await;
    for n in 2..300 {
        assert_eq!(client.recv().await[1], n);
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_session_by_its_header_alone() {
    let settings = settings().config(|config| {
        route(config).limits.frame_size_before_login = ByteSize(1 << 10);
        route(config).max_message_size = Some(ByteSize(5000));
    });
    let gateway = settings.start().await;
    let mut client = RawSocketClient::open(gateway.addr("raw")).await;
    // Rounded down to 4 KiB.
    assert_eq!(client.shake_hands([0x7f, 0xf1, 0, 0]).await, [0x7f, 0x31, 0, 0]);
    client.send_bytes(&[0, 0, 4, 0]).await;
    expect_too_long(&mut client, "1024 bytes before it has logged in").await;
    let mut client = join(&gateway, LONGEST).await;
    client.send_bytes(&[0, 0, 0x10, 1]).await;
    expect_too_long(&mut client, "4096 bytes, this one has at least 4097").await;
}

async fn expect_too_long(client: &mut RawSocketClient, told: &str) {
    let abort = client.recv().await;
    assert_eq!((&abort[0], &abort[2]), (&json!(3), &json!("wamp.error.payload_size_exceeded")));
    assert!(abort[1]["message"].as_str().unwrap().contains(told), "{abort}");
    client.assert_ended().await;
}

#[tokio::test]
async fn events_that_are_longer_than_a_client_takes_are_left_out_for_it_alone() {
    let gateway = settings().start().await;
    let mut narrow = join(&gateway, SHORTEST).await;
    let mut wide = join(&gateway, LONGEST).await;
    subscribe(&mut narrow, "raw.events").await;
    subscribe(&mut wide, "raw.events").await;
    let mut page = StompClient::connect(gateway.ws_addr()).await;
    let long = "x".repeat(1024);
    for text in [&long, "short"] {
        send_text(&mut page, text).await;
        assert_eq!(wide.recv().await[4], json!([text]));
    }
    assert_eq!(narrow.recv().await[4], json!(["short"]));
}

#[tokio::test]
async fn calls_whose_ends_take_too_little_fail_and_nothing_else_does() {
    let gateway = settings().start().await;
    let mut callee = join(&gateway, SHORTEST).await;
    let mut caller = join(&gateway, SHORTEST).await;
    register(&mut callee, "raw.echo").await;
    let long = "x".repeat(1024);
    caller.send(&json!([48, 1, {}, "raw.echo", [long]])).await;
    expect_refused(&mut caller, 1, "the arguments cannot be written for the callee").await;
    caller.send(&json!([48, 2, {}, "raw.echo", ["short"]])).await;
    let invocation = callee.recv().await;
    assert_eq!((&invocation[0], &invocation[4]), (&json!(68), &json!(["short"])));
    callee.send(&json!([70, invocation[1], {}, [long]])).await;
    expect_refused(&mut caller, 2, "the result cannot be written for the caller").await;
    caller.send(&json!([48, 3, {}, "raw.echo", ["again"]])).await;
    let invocation = callee.recv().await;
    callee.send(&json!([70, invocation[1], {}, ["done"]])).await;
    assert_eq!(caller.recv().await, json!([50, 3, {}, ["done"]]));
}

async fn expect_refused(caller: &mut RawSocketClient, request: u64, told: &str) {
    let error = caller.recv().await;
    let expected = json!([8, 48, request, {}, "wamp.error.payload_size_exceeded"]);
    assert_eq!(error.as_array().unwrap()[..5], expected.as_array().unwrap()[..]);
    assert!(error[5][0].as_str().unwrap().contains(told), "{error}");
}

#[tokio::test]
async fn a_ping_is_answered_with_what_it_carried() {
    let gateway = settings().start().await;
    let mut client = join(&gateway, LONGEST).await;
    for payload in ["", "are you there?"] {
        client.send_bytes(&raw_frame(frame_type::PING, payload)).await;
        let expected = Some((frame_type::PONG, payload.as_bytes().to_vec()));
        assert_eq!(client.frame().await, expected);
    }
}

#[tokio::test]
async fn silent_clients_are_asked_and_given_up_where_the_operator_wants_that() {
    let settings = settings().config(|config| {
        route(config).wamp.probe = Millis(Duration::from_millis(500));
        let asking = Listener { rawsocket_pings: true, ..listener(config).clone() };
        config.listener.insert("asking".to_owned(), asking);
        let route = Route { listener: "asking".to_owned(), ..route(config).clone() };
        config.route.insert("asking".to_owned(), route);
    });
    let gateway = settings.start().await;
    let mut quiet = join(&gateway, LONGEST).await;
    let mut asked = RawSocketClient::join(gateway.addr("asking"), LONGEST, REALM).await;
    // Three answers: longer than it takes to give up who gives none.
    for _ in 0..3 {
        assert_eq!(asked.frame().await, Some((frame_type::PING, Vec::new())));
        asked.send_bytes(&raw_frame(frame_type::PONG, "")).await;
    }
    assert_eq!(asked.frame().await, Some((frame_type::PING, Vec::new())));
    let abort = asked.recv().await;
    assert_eq!(abort[2], "wamp.error.network_failure", "{abort}");
    asked.assert_ended().await;
    // Who is not to be asked was silent for as long, and has got no ping.
    subscribe(&mut quiet, "raw.still.there").await;
}

#[tokio::test]
async fn a_draining_gateway_says_goodbye() {
    let gateway = settings().start().await;
    let mut client = join(&gateway, LONGEST).await;
    let mut early = RawSocketClient::open(gateway.addr("raw")).await;
    let stopping = tokio::spawn(gateway.stop());
    let goodbye = client.recv().await;
    assert_eq!((&goodbye[0], &goodbye[2]), (&json!(6), &json!("wamp.close.system_shutdown")));
    client.send(&json!([6, {}, "wamp.close.goodbye_and_out"])).await;
    client.assert_ended().await;
    early.assert_ended().await;
    drop((client, early));
    assert_eq!(stopping.await.unwrap().cut, 0);
}
