//! RFC 6455 at byte level: what a correct client may do, and how a connection ends.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use integration_tests::{
    Frame, Incoming, RawWs, Request, StompClient, TestGateway, frame_bytes, opcode,
};

const QUEUE: &str = "/queue/rfc6455";

/// A gateway, and a client that is subscribed to [`QUEUE`].
async fn subscribed() -> (TestGateway, StompClient) {
    let gateway = TestGateway::embedded().start().await;
    let mut client = StompClient::connect(gateway.ws_addr()).await;
    client.subscribe("sub", QUEUE, "auto").await;
    (gateway, client)
}

fn send_frame(body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len().to_string();
    frame_bytes("SEND", &[("destination", QUEUE), ("content-length", &length)], body)
}

/// A SEND frame of exactly this many bytes, and its body.
fn send_frame_of(size: usize) -> (Vec<u8>, Vec<u8>) {
    let rest = frame_bytes("SEND", &[("destination", QUEUE)], "").len();
    let body = vec![b'x'; size - rest];
    let frame = frame_bytes("SEND", &[("destination", QUEUE)], &body);
    assert_eq!(frame.len(), size);
    (frame, body)
}

/// RFC 6455 §5.4.
#[tokio::test]
async fn a_message_may_be_fragmented_at_any_byte() {
    let (_gateway, mut client) = subscribed().await;
    let frame = send_frame("grüße");
    for at in 0..=frame.len() {
        client.ws().send(&Frame::text(&frame[..at]).unfinished()).await;
        client.ws().send(&Frame::new(opcode::CONTINUATION, &frame[at..])).await;
        client.expect_message("grüße").await;
    }
}

/// RFC 6455 §5.4: control frames may be injected in the middle of a fragmented message, and §5.5.3:
/// a pong has the application data of its ping.
#[tokio::test]
async fn control_frames_between_fragments_are_answered_at_once() {
    let (_gateway, mut client) = subscribed().await;
    let frame = send_frame("a fragment for each byte");
    client.ws().send(&Frame::text("").unfinished()).await;
    for (at, byte) in frame.iter().enumerate() {
        let ping = format!("ping {at}");
        client.ws().send(&Frame::new(opcode::PING, ping.as_str())).await;
        client.ws().send(&Frame::new(opcode::CONTINUATION, [*byte]).unfinished()).await;
        assert_eq!(client.ws().expect(opcode::PONG).await.payload, ping.as_bytes());
    }
    client.ws().send(&Frame::new(opcode::CONTINUATION, "")).await;
    client.expect_message("a fragment for each byte").await;
}

/// RFC 6455 §5.6: it is the whole message that must be UTF-8.
#[tokio::test]
async fn a_character_may_be_split_over_fragments() {
    let (_gateway, mut client) = subscribed().await;
    let frame = send_frame("世🦀");
    let start = frame.len() - 1 - "世🦀".len();
    for at in start..frame.len() {
        client.ws().send(&Frame::text(&frame[..at]).unfinished()).await;
        client.ws().send(&Frame::new(opcode::CONTINUATION, &frame[at..at + 1]).unfinished()).await;
        client.ws().send(&Frame::new(opcode::CONTINUATION, &frame[at + 1..])).await;
        client.expect_message("世🦀").await;
    }
}

/// RFC 6455 §5.2: 7, 16 and 64 bits of length, both ways.
#[tokio::test]
async fn lengths_are_read_in_all_three_sizes() {
    let (_gateway, mut client) = subscribed().await;
    for size in [50, 125, 126, 127, 128, 65_535, 65_536, 65_537, 200_000] {
        let (frame, body) = send_frame_of(size);
        client.ws().send(&Frame::text(frame)).await;
        client.expect_message(body).await;
    }
}

/// RFC 6455 §5.3.
#[tokio::test]
async fn any_masking_key_will_do() {
    let (_gateway, mut client) = subscribed().await;
    for mask in [[0; 4], [0xFF; 4], [1, 2, 3, 4], [0, 0, 0, 0x80]] {
        let frame = Frame { mask: Some(mask), ..Frame::text(send_frame("masked")) };
        client.ws().send(&frame).await;
        client.expect_message("masked").await;
    }
}

#[tokio::test]
async fn bytes_may_arrive_one_by_one() {
    let (_gateway, mut client) = subscribed().await;
    for byte in Frame::text(send_frame("drop by drop")).bytes() {
        client.ws().send_bytes(&[byte]).await;
    }
    client.expect_message("drop by drop").await;
}

#[tokio::test]
async fn data_may_follow_the_opening_handshake_at_once() {
    let gateway = TestGateway::embedded().start().await;
    let login =
        [("accept-version", "1.2"), ("host", "/"), ("login", "guest"), ("passcode", "guest")];
    let connect = Frame::text(frame_bytes("CONNECT", &login, "")).bytes();
    let ws = RawWs::open_with(gateway.ws_addr(), &Request::upgrade("/ws"), &connect).await;
    StompClient::over(ws).expect("CONNECTED").await;
}

/// RFC 6455 §5.5.2 and §5.5.3.
#[tokio::test]
async fn a_ping_is_answered_and_a_pong_is_not() {
    let (_gateway, mut client) = subscribed().await;
    for payload in [&b""[..], b"hello", &[0xFF; 125]] {
        client.ws().send(&Frame::new(opcode::PONG, "nobody asked")).await;
        client.ws().send(&Frame::new(opcode::PING, payload)).await;
        assert_eq!(client.ws().expect(opcode::PONG).await.payload, payload);
    }
}

#[tokio::test]
async fn a_ping_is_answered_before_the_login() {
    let gateway = TestGateway::embedded().start().await;
    let mut ws = RawWs::open(gateway.ws_addr(), &Request::upgrade("/ws")).await;
    ws.send(&Frame::new(opcode::PING, "early")).await;
    assert_eq!(ws.expect(opcode::PONG).await.payload, b"early");
}

#[tokio::test]
async fn messages_without_content_mean_nothing() {
    let (_gateway, mut client) = subscribed().await;
    let frame = send_frame("after nothing");
    let (first, second) = frame.split_at(10);
    for part in [&b""[..], first, b"", second] {
        client.ws().send(&Frame::text("")).await;
        client.ws().send(&Frame::binary("")).await;
        client.ws().send(&Frame::text(part)).await;
    }
    client.expect_message("after nothing").await;
}

#[tokio::test]
async fn one_message_may_hold_several_frames_with_lines_between() {
    let (_gateway, mut client) = subscribed().await;
    let frames =
        ["\n".into(), send_frame("one"), "\r\n\n".into(), send_frame("two"), send_frame("three")];
    client.ws().send(&Frame::text(frames.concat())).await;
    for body in ["one", "two", "three"] {
        client.expect_message(body).await;
    }
}

#[tokio::test]
async fn one_frame_may_span_many_messages() {
    let (_gateway, mut client) = subscribed().await;
    for byte in send_frame("a message for each byte") {
        client.ws().send(&Frame::text([byte])).await;
    }
    client.expect_message("a message for each byte").await;
}

#[tokio::test]
async fn text_and_binary_messages_mean_the_same() {
    let (_gateway, mut client) = subscribed().await;
    let frame = send_frame("half and half");
    client.ws().send(&Frame::binary(&frame[..20])).await;
    client.ws().send(&Frame::text(&frame[20..])).await;
    client.expect_message("half and half").await;
}

/// RFC 6455 §5.6: text must be UTF-8; and a client that has sent binary only gets binary only.
#[tokio::test]
async fn answers_are_text_if_they_are_utf8_and_the_client_has_sent_text() {
    let gateway = TestGateway::embedded().start().await;
    let login =
        [("accept-version", "1.2"), ("host", "/"), ("login", "guest"), ("passcode", "guest")];
    let subscription = [("id", "sub"), ("destination", QUEUE)];
    for (kind, sends_text) in [(opcode::TEXT, true), (opcode::BINARY, false)] {
        let ws = RawWs::open(gateway.ws_addr(), &Request::upgrade("/ws")).await;
        let mut client = StompClient::over(ws);
        for frame in [
            frame_bytes("CONNECT", &login, ""),
            frame_bytes("SUBSCRIBE", &subscription, ""),
            send_frame("text"),
        ] {
            client.ws().send(&Frame::new(kind, frame)).await;
        }
        client.ws().send(&Frame::binary(send_frame([0xFF, 0xFE]))).await;
        for (verb, body, is_utf8) in [
            ("CONNECTED", &b""[..], true),
            ("MESSAGE", b"text", true),
            ("MESSAGE", &[0xFF, 0xFE], false),
        ] {
            let Incoming::Frame(frame, is_binary) = client.incoming().await else {
                panic!("expected {verb}");
            };
            assert_eq!((frame.verb.as_str(), frame.body.as_slice()), (verb, body));
            assert_ne!(frame.header("redelivered"), Some("true"));
            assert_eq!(!is_binary, is_utf8 && sends_text, "{frame:?}");
        }
        client.send_confirmed("UNSUBSCRIBE", &[("id", "sub")], "").await;
        client.cut();
    }
}

/// RFC 6455 §5.5.1 and §7.4: the answer to a close frame typically echoes its code.
#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let gateway = TestGateway::embedded().start().await;
    for code in [1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
    {
        let mut client = StompClient::connect(gateway.ws_addr()).await;
        client.ws().send(&Frame::close(code, "goodbye")).await;
        assert_eq!(client.closing().await.code, Some(code));
    }
}

/// RFC 6455 §7.1.5: a close frame may be empty.
#[tokio::test]
async fn a_close_without_a_code_is_answered() {
    let gateway = TestGateway::embedded().start().await;
    let mut client = StompClient::connect(gateway.ws_addr()).await;
    client.ws().send(&Frame::new(opcode::CLOSE, "")).await;
    let frame = client.ws().expect(opcode::CLOSE).await;
    assert!(matches!(frame.payload[..], [] | [0x03, 0xE8]), "{frame:?}");
    assert_eq!(client.ws().recv().await, None);
}

/// RFC 6455 §7.4.1 and §7.4.2: codes that must not be sent, that nobody has defined, or that are
/// half there.
#[tokio::test]
async fn a_close_with_an_impossible_payload_is_a_protocol_error() {
    let gateway = TestGateway::embedded().start().await;
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let mut closes: Vec<Frame> = codes.map(|code| Frame::close(code, "")).into();
    closes.push(Frame::new(opcode::CLOSE, [3]));
    for close in closes {
        let mut client = StompClient::connect(gateway.ws_addr()).await;
        client.ws().send(&close).await;
        assert_eq!(client.closing().await.code, Some(1002), "{close:?}");
    }
}

/// RFC 6455 §5.5.1: the reason is UTF-8.
#[tokio::test]
async fn a_close_reason_must_be_utf8() {
    let gateway = TestGateway::embedded().start().await;
    let mut client = StompClient::connect(gateway.ws_addr()).await;
    client.ws().send(&Frame::new(opcode::CLOSE, [0x03, 0xE8, 0xFF])).await;
    let code = client.closing().await.code;
    assert!(matches!(code, Some(1002 | 1007)), "{code:?}");
}

/// RFC 6455 §5.5.1: what comes after a close frame is not looked at.
#[tokio::test]
async fn nothing_counts_after_a_close() {
    let gateway = TestGateway::embedded().start().await;
    let mut client = StompClient::connect(gateway.ws_addr()).await;
    let late = Frame::text(send_frame("too late")).bytes();
    client.ws().send_bytes(&[Frame::close(1000, "").bytes(), late].concat()).await;
    assert_eq!(client.closing().await.code, Some(1000));

    let mut other = StompClient::connect(gateway.ws_addr()).await;
    other.send("SEND", &[("destination", QUEUE)], "in time").await;
    other.send("SUBSCRIBE", &[("id", "sub"), ("destination", QUEUE)], "").await;
    other.expect_message("in time").await;
}
