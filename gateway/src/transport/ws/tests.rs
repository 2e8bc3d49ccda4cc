//! The transport against bytes on the wire, made here by hand.

use std::task::Waker;
use std::time::Duration;

use protocols::session::{CloseCause, CloseCode};
use protocols::text::Text;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::share::SMALL_SIZE;
use super::*;

const LIMITS: InputLimits = InputLimits { before_login: 1 << 10, message_size: 2 << 10 };

/// RFC 6455 §5.2: FIN and opcode in `first`, masked with a key of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..=125), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn close(code: CloseCode, reason: &str) -> Close {
    Close { code, reason: Text::from(reason), cause: CloseCause::Drain }
}

fn text(bytes: &'static [u8]) -> OutFrame {
    OutFrame::new(FrameKind::Text, Bytes::from_static(bytes))
}

/// For messages of any size.
const NO_LIMITS: InputLimits = InputLimits { before_login: usize::MAX, message_size: usize::MAX };

/// A connection whose peer can be `buffer` bytes behind.
async fn pair(buffer: usize) -> (Ws<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(buffer);
    (Ws::new(server, Bytes::new(), LIMITS).await, client)
}

async fn tcp_pair() -> (Ws<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = listener.accept().await.unwrap().0;
    (Ws::new(server, Bytes::new(), LIMITS).await, client)
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Ws<S> {
    async fn recv(&mut self) -> Option<Result<Unit, TransportError>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    async fn unit(&mut self) -> (FrameKind, Bytes) {
        let unit = self.recv().await.unwrap().unwrap();
        (unit.kind, unit.bytes)
    }

    async fn violation(&mut self) -> Violation {
        match self.recv().await {
            Some(Err(TransportError::Violation(violation))) => violation,
            other => panic!("{other:?}"),
        }
    }

    async fn flush(&mut self) {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await.unwrap();
    }

    async fn close(&mut self, close: &Close) {
        std::future::poll_fn(|cx| self.poll_close(cx, close)).await;
    }

    fn is_idle(&mut self) -> bool {
        self.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

async fn expect<R: AsyncRead + Unpin>(client: &mut R, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn messages_come_whole_with_control_frames_between_their_fragments() {
    let (mut ws, mut client) = pair(1 << 10).await;
    for part in [
        frame(0x81, "grün".as_bytes()),
        frame(0x02, b"one "),
        frame(0x89, b"ping"),
        frame(0x00, b"two "),
        frame(0x80, b"three"),
        frame(0x82, b""),
    ] {
        client.write_all(&part).await.unwrap();
    }
    assert_eq!(ws.unit().await, (FrameKind::Text, "grün".as_bytes().into()));
    assert_eq!(ws.unit().await, (FrameKind::Binary, b"one two three"[..].into()));
    assert_eq!(ws.unit().await, (FrameKind::Binary, Bytes::new()));
    ws.flush().await;
    expect(&mut client, b"\x8a\x04ping").await;
}

/// Sends messages, each once the one before is received, and asserts that nobody has a share of
/// their memory in the end but who has received them.
async fn assert_not_kept(sizes: &[usize]) {
    let (server, mut client) = duplex(8 << 20);
    let mut ws = Ws::new(server, Bytes::new(), NO_LIMITS).await;
    let mut units = Vec::new();
    for &size in sizes {
        client.write_all(&frame(0x82, &vec![b'x'; size])).await.unwrap();
        let unit = ws.unit().await.1;
        assert_eq!(unit, vec![b'x'; size]);
        assert!(ws.is_idle());
        units.push(unit);
    }
    assert!(units.iter().all(Bytes::is_unique), "a buffer of {sizes:?} is kept");
}

#[tokio::test]
async fn an_idle_connection_keeps_the_buffer_of_no_message_however_large() {
    for size in [1, 125, SMALL_SIZE, SMALL_SIZE + 1, 64 << 10, (4 << 20) + 1] {
        assert_not_kept(&[size]).await;
        assert_not_kept(&[100, size, 100, size]).await;
    }
    assert_not_kept(&[20_000, 30_000, 50_000, 90_000, 170_000, 330_000, 100, 650_000]).await;
}

#[tokio::test]
async fn the_buffer_of_a_large_message_is_not_used_again() {
    let (server, mut client) = duplex(8 << 20);
    let mut ws = Ws::new(server, Bytes::new(), NO_LIMITS).await;
    for size in [100, 4 << 20, 100, 4 << 20] {
        client.write_all(&frame(0x82, &vec![b'x'; size])).await.unwrap();
        assert_eq!(ws.unit().await.1.len(), size);
    }
    client.write_all(&frame(0x82, &[b'x'; 20_000])).await.unwrap();
    let unit = ws.unit().await.1;
    assert!(ws.is_idle());
    let buffer = unit.try_into_mut().expect("nobody else has a share");
    assert_eq!(buffer.capacity(), 20_000);
}

#[tokio::test]
async fn messages_that_come_together_do_not_keep_each_other() {
    let (server, mut client) = duplex(8 << 20);
    let mut ws = Ws::new(server, Bytes::new(), NO_LIMITS).await;
    let sizes = [10, 3000, 1 << 20, 5, 17_000, 40_000, 2 << 20, SMALL_SIZE, 70_000, 1];
    let frames: Vec<_> = sizes.iter().flat_map(|&size| frame(0x82, &vec![b'x'; size])).collect();
    client.write_all(&frames).await.unwrap();
    let mut units = Vec::new();
    for size in sizes {
        units.push(ws.unit().await.1);
        assert_eq!(units.last().map(Bytes::len), Some(size));
    }
    assert!(ws.is_idle());
    for unit in units {
        assert!(unit.is_unique(), "the buffer of {} bytes is kept", unit.len());
    }
}

#[tokio::test]
async fn a_ping_is_answered_though_there_is_nothing_else_to_write() {
    let (mut ws, mut client) = pair(1 << 10).await;
    assert!(ws.is_idle());
    assert!(!ws.take_heard());
    client.write_all(&frame(0x89, b"are you there?")).await.unwrap();
    assert!(ws.is_idle());
    assert!(ws.take_heard());
    assert_eq!(ws.buffered(), 16, "so that it is flushed");
    ws.flush().await;
    expect(&mut client, b"\x8a\x0eare you there?").await;
    assert_eq!(ws.buffered(), 0);
}

#[tokio::test]
async fn an_answer_to_a_ping_counts_as_output_even_if_a_message_follows() {
    let (mut ws, mut client) = pair(1 << 10).await;
    let both = [frame(0x89, b""), frame(0x81, b"x")].concat();
    client.write_all(&both).await.unwrap();
    assert_eq!(ws.unit().await.1, "x");
    assert_eq!(ws.buffered(), 2);
    ws.flush().await;
    expect(&mut client, b"\x8a\0").await;
}

#[tokio::test]
async fn a_probe_is_a_ping_and_its_answer_is_heard() {
    let (mut ws, mut client) = pair(1 << 10).await;
    ws.probe();
    assert_eq!(ws.buffered(), 2);
    ws.flush().await;
    expect(&mut client, b"\x89\0").await;
    client.write_all(&frame(0x8a, b"")).await.unwrap();
    assert!(ws.is_idle());
    assert!(ws.take_heard());
}

#[tokio::test]
async fn a_question_is_confirmed_by_its_own_answer() {
    let (mut ws, mut client) = pair(1 << 10).await;
    assert!(ws.ask());
    ws.flush().await;
    expect(&mut client, b"\x89\x04\0\0\0\x01").await;
    for other in [&b""[..], b"\0\0\0\0", b"\0\0\0\x02", b"\0\0\0\x01more"] {
        client.write_all(&frame(0x8a, other)).await.unwrap();
        assert!(ws.is_idle() && !ws.take_confirmed(), "{other:?}");
    }
    client.write_all(&frame(0x8a, b"\0\0\0\x01")).await.unwrap();
    assert!(ws.is_idle() && ws.take_confirmed() && !ws.take_confirmed());
    // What was asked before says nothing of what was sent since.
    assert!(ws.ask());
    client.write_all(&frame(0x8a, b"\0\0\0\x01")).await.unwrap();
    assert!(ws.is_idle() && !ws.take_confirmed());
}

#[tokio::test]
async fn a_probe_repeats_the_question_that_is_open() {
    let (mut ws, mut client) = pair(1 << 10).await;
    assert!(ws.ask());
    ws.probe();
    ws.flush().await;
    // RFC 6455 §5.5.3: the last of several pings may be the only one that is answered.
    expect(&mut client, b"\x89\x04\0\0\0\x01\x89\x04\0\0\0\x01").await;
    client.write_all(&frame(0x8a, b"\0\0\0\x01")).await.unwrap();
    assert!(ws.is_idle() && ws.take_confirmed());
    ws.probe();
    ws.flush().await;
    expect(&mut client, b"\x89\0").await;
}

#[tokio::test]
async fn pings_of_a_peer_that_reads_nothing_take_bounded_memory() {
    let (mut ws, mut client) = pair(64 << 10).await;
    ws.establish();
    ws.queue(OutFrame::new(FrameKind::Binary, vec![0; 128 << 10].into()));
    let pings = frame(0x89, &[7; 125]).repeat(4000);
    let sender = tokio::spawn(async move {
        client.write_all(&pings).await.unwrap();
        client
    });
    while !sender.is_finished() {
        assert!(ws.is_idle());
        let _ = ws.poll_flush(&mut Context::from_waker(Waker::noop()));
        assert!(ws.buffered() <= (128 << 10) + (16 << 10), "{}", ws.buffered());
        tokio::task::yield_now().await;
    }
    let mut client = sender.await.unwrap();
    let reader = tokio::spawn(async move {
        let mut last = vec![0; 127];
        loop {
            client.read_exact(&mut last[..1]).await.unwrap();
            if last[0] == 0x8a {
                client.read_exact(&mut last[1..]).await.unwrap();
                return last;
            }
        }
    });
    ws.flush().await;
    assert_eq!(reader.await.unwrap()[2..], [7; 125]);
}

#[tokio::test]
async fn a_large_frame_passes_through_a_narrow_socket() {
    let (mut ws, mut client) = pair(1 << 10).await;
    let payload = Bytes::from_iter((0..1 << 20).map(|at: u32| at.to_le_bytes()[at as usize % 4]));
    ws.queue(text(b"before"));
    ws.queue(OutFrame::new(FrameKind::Binary, payload.clone()));
    ws.queue(text(b"after"));
    assert_eq!(ws.buffered(), payload.len() + 11);
    let expected =
        [b"\x81\x06before\x82\x7f\0\0\0\0\0\x10\0\0", &payload[..], b"\x81\x05after"].concat();
    let length = u64::try_from(expected.len()).unwrap();
    let reader = tokio::spawn(async move { expect(&mut client, &expected).await });
    ws.flush().await;
    assert_eq!(ws.buffered(), 0);
    assert_eq!(ws.written(), length);
    reader.await.unwrap();
}

/// Input that breaks a rule, and how it is named.
fn faults() -> Vec<(Vec<u8>, Violation)> {
    let web_socket = |text: &str| Violation::WebSocket(text.to_owned());
    let mut unmasked = frame(0x81, b"x");
    unmasked[1] = 1;
    unmasked.drain(2..6);
    vec![
        (frame(0x81, b"\xff"), Violation::TextNotUtf8),
        ([frame(0x01, b"\xc3"), frame(0x80, b"x")].concat(), Violation::TextNotUtf8),
        (
            b"\x82\xfe\x08\x01\0\0\0\0".to_vec(),
            Violation::MessageTooLarge { limit: 2048, got: 2049 },
        ),
        (
            [frame(0x02, &[0; 2000]), frame(0x80, &[0; 49])].concat(),
            Violation::MessageTooLarge { limit: 2048, got: 2049 },
        ),
        (unmasked, web_socket("Received an unmasked frame from client")),
        (frame(0xc1, b"x"), web_socket("Reserved bits are non-zero")),
        (frame(0x83, b"x"), web_socket("Encountered invalid opcode: 3")),
        (frame(0x80, b"x"), web_socket("Continue frame but nothing to continue")),
        (frame(0x09, b"x"), web_socket("Fragmented control frame")),
    ]
}

#[tokio::test]
async fn a_peer_at_fault_is_told_though_it_goes_on_sending() {
    let over_budget = (
        b"\x82\xfe\x04\x01\0\0\0\0".to_vec(),
        Violation::TooMuchBeforeLogin { limit: 1024, got: 1025 },
    );
    let cases = faults().into_iter().map(|(input, it)| (input, it, true));
    for (input, expected, logged_in) in cases.chain([(over_budget.0, over_budget.1, false)]) {
        let (mut ws, client) = tcp_pair().await;
        if logged_in {
            ws.establish();
        }
        let (mut from_server, mut to_server) = client.into_split();
        // More than all buffers on the way hold: the server must take it, or reset the connection.
        let sender = tokio::spawn(async move {
            to_server.write_all(&input).await.unwrap();
            to_server.write_all(&vec![0; 8 << 20]).await.unwrap();
        });
        assert_eq!(ws.violation().await, expected);
        let server = tokio::spawn(async move {
            ws.queue(text(b"ERROR"));
            ws.close(&close(CloseCode::Protocol, "why")).await;
        });
        let expected = [b"\x81\x05ERROR\x88\x05", &close_frame(1002, "why")[..]].concat();
        let mut received = Vec::new();
        from_server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, expected);
        sender.await.unwrap();
        server.await.unwrap();
    }
}

#[tokio::test]
async fn the_limit_before_a_login_is_for_all_frames_together_and_for_the_declared_length() {
    let (mut ws, mut client) = pair(4 << 10).await;
    client.write_all(&frame(0x81, &[b'x'; 1000])).await.unwrap();
    client.write_all(b"\x82\xff\0\0\0\x01\0\0\0\0\0\0\0\0").await.unwrap();
    assert_eq!(ws.unit().await.1.len(), 1000);
    let expected = Violation::TooMuchBeforeLogin { limit: 1024, got: 1000 + (1 << 32) };
    assert_eq!(ws.violation().await, expected);
}

#[tokio::test]
async fn a_login_lifts_the_limit_for_what_has_come_already() {
    let (mut ws, mut client) = pair(4 << 10).await;
    client.write_all(&frame(0x81, &[b'x'; 1000])).await.unwrap();
    client.write_all(&frame(0x82, &[b'y'; 1500])).await.unwrap();
    assert_eq!(ws.unit().await.1.len(), 1000);
    ws.establish();
    assert_eq!(ws.unit().await.1, vec![b'y'; 1500]);
}

#[tokio::test]
async fn a_close_frame_is_answered_after_what_was_queued() {
    let (mut ws, mut client) = pair(1 << 10).await;
    ws.queue(text(b"RECEIPT"));
    client.write_all(&frame(0x88, &close_frame(1000, "bye"))).await.unwrap();
    assert!(ws.is_idle(), "the receipt is for the driver to flush");
    assert_eq!(ws.buffered(), 7);
    ws.flush().await;
    assert!(ws.recv().await.is_none());
    drop(ws);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    let expected = [b"\x81\x07RECEIPT\x88\x05", &close_frame(1000, "bye")[..]].concat();
    assert_eq!(received, expected);
}

#[tokio::test]
async fn what_is_queued_after_the_answer_to_a_close_frame_never_counts_as_flushed() {
    let (mut ws, mut client) = pair(7).await;
    ws.queue(text(b"1234"));
    client.write_all(&frame(0x88, b"")).await.unwrap();
    assert!(ws.is_idle());
    ws.flush().await;
    assert!(ws.is_idle(), "half of the answer is written");
    ws.queue(text(b"too late"));
    assert_eq!(ws.buffered(), 1);
    expect(&mut client, b"\x81\x041234\x88").await;
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ws.poll_flush(&mut cx).is_pending());
    assert_eq!(ws.buffered(), 0);
    assert!(ws.recv().await.is_none());
    drop(ws);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\0");
}

#[tokio::test]
async fn our_close_frame_waits_for_its_answer_and_passes_over_what_comes_before() {
    let (mut ws, mut client) = pair(1 << 10).await;
    ws.queue(text(b"ERROR"));
    let closing = tokio::spawn(async move { ws.close(&close(CloseCode::GoingAway, "late")).await });
    let expected = [b"\x81\x05ERROR\x88\x06", &close_frame(1001, "late")[..]].concat();
    expect(&mut client, &expected).await;
    client.write_all(&frame(0x81, b"crossing")).await.unwrap();
    client.write_all(&frame(0x89, b"")).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    client.write_all(&frame(0x88, &close_frame(1001, ""))).await.unwrap();
    closing.await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "neither a pong nor a second close frame");
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_after_our_close_frame_is_waited_for_all_the_same() {
    let (mut ws, mut client) = pair(1 << 10).await;
    let closing = tokio::spawn(async move { ws.close(&close(CloseCode::Normal, "")).await });
    expect(&mut client, b"\x88\x02\x03\xe8").await;
    client.write_all(&frame(0x83, b"")).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    assert!(!closing.is_finished());
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn a_long_reason_is_cut_between_characters() {
    let (mut ws, mut client) = pair(1 << 10).await;
    let reason = format!("{}ü", "r".repeat(REASON_SIZE - 1));
    let closing = tokio::spawn(async move { ws.close(&close(CloseCode::Policy, &reason)).await });
    let expected = [b"\x88\x7c", &close_frame(1008, &"r".repeat(REASON_SIZE - 1))[..]].concat();
    expect(&mut client, &expected).await;
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_an_error_of_the_connection() {
    let (mut ws, client) = pair(1 << 10).await;
    drop(client);
    match ws.recv().await {
        Some(Err(TransportError::Io(error))) => {
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_goodbye_to_a_peer_that_is_gone_ends() {
    let (mut ws, client) = pair(1 << 10).await;
    drop(client);
    ws.queue(text(b"nobody reads this"));
    let close = close(CloseCode::Normal, "");
    tokio::time::timeout(Duration::from_secs(60), ws.close(&close)).await.unwrap();
}

#[tokio::test]
async fn a_flush_wakes_whoever_waits_to_answer_a_close_frame() {
    let (mut ws, mut client) = pair(8).await;
    ws.queue(text(b"12345678"));
    client.write_all(&frame(0x88, b"")).await.unwrap();
    let server = tokio::spawn(std::future::poll_fn(move |cx| {
        let received = ws.poll_recv(cx);
        if received.is_pending() && ws.buffered() > 0 {
            let _ = ws.poll_flush(cx);
        }
        received
    }));
    expect(&mut client, b"\x81\x0812345678").await;
    let ended = tokio::time::timeout(Duration::from_secs(60), server);
    assert!(ended.await.unwrap().unwrap().is_none());
    expect(&mut client, b"\x88\0").await;
}
