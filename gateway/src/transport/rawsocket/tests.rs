//! The transport against bytes made here by hand.

use std::future::poll_fn;
use std::task::Waker;

use protocols::session::{CloseCause, CloseCode};
use protocols::text::Text;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// JSON, at most 1 KiB either way, 64 bytes before the login.
const AGREED: Agreement = Agreement {
    kind: FrameKind::Text,
    input: MaxLength::at_most(1 << 10),
    output: MaxLength::at_most(1 << 10),
    before_login: 64,
    pings: true,
};

fn pair(room: usize) -> (RawSocket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (RawSocket::new(ours, AGREED), theirs)
}

/// A frame as it is on the wire.
fn frame(frame_type: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [&[frame_type, high, middle, low], payload].concat()
}

fn message(payload: impl Into<Bytes>) -> OutFrame {
    OutFrame::new(FrameKind::Text, payload.into())
}

async fn recv(socket: &mut RawSocket<DuplexStream>) -> Option<Result<Unit, String>> {
    let received = poll_fn(|cx| socket.poll_recv(cx)).await;
    received.map(|it| it.map_err(|error| error.to_string()))
}

async fn recv_text(socket: &mut RawSocket<DuplexStream>) -> String {
    let unit = recv(socket).await.unwrap().unwrap();
    assert_eq!(unit.kind, FrameKind::Text);
    String::from_utf8(unit.bytes.to_vec()).unwrap()
}

fn is_waiting(socket: &mut RawSocket<DuplexStream>) -> bool {
    socket.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut() {
    let stream = [frame(0, "one"), frame(1, "?"), frame(0, ""), frame(2, "!"), frame(0, "two")];
    let stream = stream.concat();
    for size in 1..=stream.len() {
        let (mut socket, mut peer) = pair(64 << 10);
        let mut got = Vec::new();
        for part in stream.chunks(size) {
            peer.write_all(part).await.unwrap();
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(unit)) = socket.poll_recv(&mut cx) {
                got.push(String::from_utf8(unit.unwrap().bytes.to_vec()).unwrap());
            }
        }
        assert_eq!(got, ["one", "", "two"], "in parts of {size}");
        assert!(socket.take_heard() && !socket.take_heard());
        drop(peer);
        assert!(recv(&mut socket).await.is_none());
    }
}

#[tokio::test]
async fn a_message_larger_than_what_is_read_at_a_time_comes_whole() {
    let (ours, mut peer) = duplex(64 << 10);
    let agreed = Agreement { input: MaxLength::at_most(1 << 20), before_login: 1 << 20, ..AGREED };
    let mut socket = RawSocket::new(ours, agreed);
    let sent = "x".repeat(500_000);
    let bytes = [frame(0, &sent), frame(0, "after")].concat();
    let sending = tokio::spawn(async move { peer.write_all(&bytes).await.map(|()| peer) });
    assert!(recv_text(&mut socket).await == sent);
    assert_eq!(recv_text(&mut socket).await, "after");
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_small_message_does_not_keep_what_was_read_with_it() {
    let (mut socket, mut peer) = pair(64 << 10);
    peer.write_all(&[frame(0, "ab"), frame(0, "cd")].concat()).await.unwrap();
    let first = recv(&mut socket).await.unwrap().unwrap().bytes;
    assert!(first.is_unique(), "it has memory of its own");
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_by_its_header_alone() {
    for (header, told) in [
        ([0, 0, 4, 1], "a message may have 1024 bytes, this one has at least 1025"),
        ([1, 0xff, 0, 0], "a message may have 1024 bytes, this one has at least 16711680"),
        ([0, 0, 0, 61], "64 bytes before it has logged in, this one sends at least 65"),
        ([3, 0, 0, 0], "RawSocket protocol error: a frame has the type 0"),
        ([0x40, 0, 0, 0], "RawSocket protocol error: the upper four bits"),
    ] {
        let (mut socket, mut peer) = pair(64);
        peer.write_all(&header).await.unwrap();
        let error = recv(&mut socket).await.unwrap().unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn after_the_login_only_the_length_of_each_message_is_bounded() {
    let (mut socket, mut peer) = pair(64 << 10);
    socket.establish();
    for _ in 0..3 {
        peer.write_all(&frame(0, [b'x'; 1024])).await.unwrap();
        assert_eq!(recv_text(&mut socket).await.len(), 1024);
    }
}

#[tokio::test]
async fn messages_of_json_are_utf8_and_others_need_not_be() {
    let (mut socket, mut peer) = pair(64);
    peer.write_all(&frame(0, b"\xff")).await.unwrap();
    assert!(recv(&mut socket).await.unwrap().unwrap_err().contains("must be UTF-8"));
    let (ours, mut peer) = duplex(64);
    let mut socket = RawSocket::new(ours, Agreement { kind: FrameKind::Binary, ..AGREED });
    peer.write_all(&frame(0, b"\xff")).await.unwrap();
    let unit = recv(&mut socket).await.unwrap().unwrap();
    assert_eq!(unit, Unit { kind: FrameKind::Binary, bytes: Bytes::from_static(b"\xff") });
}

#[tokio::test]
async fn frames_go_out_in_order_however_little_the_socket_takes() {
    for room in [1, 3, 7, 64 << 10] {
        let (mut socket, mut peer) = pair(room);
        let sent: Vec<_> = (0..100_u8).map(|n| vec![n; usize::from(n) % 5]).collect();
        let expected: Vec<u8> = sent.iter().flat_map(|payload| frame(0, payload)).collect();
        sent.into_iter().for_each(|payload| socket.queue(message(payload)));
        assert_eq!(socket.buffered(), expected.len());
        let length = expected.len();
        let reading = tokio::spawn(async move {
            let mut got = vec![0; length];
            peer.read_exact(&mut got).await.unwrap();
            got
        });
        poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
        assert_eq!((socket.buffered(), socket.written()), (0, length as u64));
        assert!(reading.await.unwrap() == expected, "{room} bytes at a time");
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_what_it_carried_behind_what_was_queued() {
    let (mut socket, mut peer) = pair(64 << 10);
    socket.queue(message("first"));
    peer.write_all(&[frame(1, "are you there?"), frame(1, "")].concat()).await.unwrap();
    assert!(is_waiting(&mut socket));
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    drop(socket);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, [frame(0, "first"), frame(2, "are you there?"), frame(2, "")].concat());
}

#[tokio::test]
async fn while_pongs_wait_no_more_pings_are_read() {
    let (ours, mut peer) = duplex(1 << 20);
    let mut socket = RawSocket::new(ours, Agreement { before_login: 1 << 20, ..AGREED });
    let pings = frame(1, [b'x'; 1000]).repeat(40);
    peer.write_all(&[pings, frame(0, "behind")].concat()).await.unwrap();
    while !socket.is_held {
        assert!(is_waiting(&mut socket));
    }
    assert!(socket.buffered() < PONG_ROOM + 1004, "{}", socket.buffered());
    assert!(is_waiting(&mut socket));
    // Whoever writes has the reading go on.
    let received = poll_fn(|cx| {
        let _ = socket.poll_flush(cx);
        socket.poll_recv(cx)
    });
    assert_eq!(received.await.unwrap().unwrap().bytes, "behind");
}

#[tokio::test]
async fn a_ping_that_its_sender_would_not_take_back_is_no_ping() {
    let (ours, mut peer) = duplex(64 << 10);
    let agreed = Agreement { output: MaxLength::MIN, before_login: 1 << 20, ..AGREED };
    let mut socket = RawSocket::new(ours, agreed);
    peer.write_all(&frame(1, [b'x'; 513])).await.unwrap();
    let error = recv(&mut socket).await.unwrap().unwrap_err();
    assert!(error.contains("a ping of 513 bytes"), "{error}");
}

#[tokio::test]
async fn the_peer_is_asked_by_pings_and_only_the_answer_to_the_last_question_confirms() {
    let (mut socket, mut peer) = pair(64 << 10);
    assert!(socket.can_probe());
    socket.probe();
    assert!(socket.ask());
    socket.probe();
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    let expected = [frame(1, ""), frame(1, [0, 0, 0, 1]), frame(1, [0, 0, 0, 1])].concat();
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(got, expected);
    for (pong, confirms) in [(frame(2, ""), false), (frame(2, [0, 0, 0, 1]), true)] {
        peer.write_all(&pong).await.unwrap();
        assert!(is_waiting(&mut socket));
        assert!(socket.take_heard());
        assert_eq!(socket.take_confirmed(), confirms);
    }
}

#[tokio::test]
async fn who_is_not_to_be_pinged_gets_none() {
    let mut socket = RawSocket::new(duplex(64).0, Agreement { pings: false, ..AGREED });
    assert!(!socket.can_probe() && !socket.ask());
    socket.probe();
    assert_eq!(socket.buffered(), 0);
}

#[tokio::test]
async fn a_frame_of_the_longest_kind_is_never_sent() {
    let agreed = Agreement { output: MaxLength::MAX, ..AGREED };
    assert_eq!(RawSocket::new(duplex(64).0, agreed).most_output(), (16 << 20) - 1);
    assert_eq!(pair(64).0.most_output(), 1024);
}

#[tokio::test]
async fn the_last_words_arrive_though_the_peer_is_still_sending() {
    let (mut socket, mut peer) = pair(16);
    socket.queue(message("the last words, longer than the room"));
    let (code, reason, cause) = (CloseCode::Normal, Text::EMPTY, CloseCause::Peer);
    let close = Close { code, reason, cause };
    let closing = tokio::spawn(async move {
        poll_fn(|cx| socket.poll_close(cx, &close)).await;
    });
    let mut words = Vec::new();
    peer.read_to_end(&mut words).await.unwrap();
    assert_eq!(words, frame(0, "the last words, longer than the room"));
    peer.write_all(&[b'x'; 1000]).await.unwrap();
    assert!(!closing.is_finished());
    drop(peer);
    closing.await.unwrap();
}
