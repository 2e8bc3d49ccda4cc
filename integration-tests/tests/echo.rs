//! The example of a sub-protocol of one's own, served and used as a stranger would.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use gateway::config::{Config, Listener, Route};
use gateway::{Gateway, Running};
use integration_tests::{Frame, Length, RawWs, Request, opcode, within};

#[path = "../../gateway/examples/echo.rs"]
#[allow(dead_code, reason = "its `main` serves at a fixed address, until a signal")]
mod echo;

async fn open() -> (Running, RawWs) {
    let listener = Listener::on("127.0.0.1:0".parse().unwrap());
    let mut config = Config {
        listener: [("web".into(), listener)].into(),
        route: [("echo".into(), Route::between("web", &["echo"], "main"))].into(),
        ..Config::builtin()
    };
    config.admin.bind = None;
    let gateway = Gateway::new(config).with_subprotocol(Arc::new(echo::Echo));
    let running = within("the start", gateway.start()).await.unwrap();
    let ws = RawWs::open(running.addr("web").unwrap(), &Request::upgrade("/ws")).await;
    (running, ws)
}

async fn assert_echoed(ws: &mut RawWs, opcode: u8, payload: &[u8]) {
    let echo = ws.expect(opcode).await;
    assert!(echo.fin);
    assert!(echo.payload == payload, "{} bytes for {}", echo.payload.len(), payload.len());
}

#[tokio::test]
async fn messages_come_back_as_they_were_sent() {
    let (_running, mut ws) = open().await;
    let large = vec![0x5A; 1 << 20];
    for frame in [
        Frame::text("grüße"),
        Frame::binary([0, 0xFF, 0x80]),
        Frame::text(""),
        Frame::binary(large.clone()),
        Frame::text(large),
        Frame::text("small again"),
    ] {
        ws.send(&frame).await;
        assert_echoed(&mut ws, frame.opcode, &frame.payload).await;
    }
}

#[tokio::test]
async fn a_fragmented_message_comes_back_whole() {
    let (_running, mut ws) = open().await;
    for size in [1, 1000, 300_000] {
        let part = "ü".repeat(size);
        ws.send(&Frame::text(part.as_str()).unfinished()).await;
        ws.send(&Frame::new(opcode::CONTINUATION, part.as_str()).unfinished()).await;
        ws.send(&Frame::new(opcode::CONTINUATION, part.as_str())).await;
        assert_echoed(&mut ws, opcode::TEXT, part.repeat(3).as_bytes()).await;
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_its_declared_length() {
    let (_running, mut ws) = open().await;
    ws.send(&Frame::text("established")).await;
    assert_echoed(&mut ws, opcode::TEXT, b"established").await;
    let limit = Route::between("web", &["echo"], "main").max_message_size();
    let length = Length::Declared(u64::try_from(limit + 1).unwrap());
    ws.send(&Frame { length, ..Frame::binary("") }).await;
    let closing = ws.closing().await;
    assert_eq!(closing.code, Some(1009));
    assert!(closing.reason.contains(&limit.to_string()), "{}", closing.reason);
}
