//! The handshake against bytes on the wire, made here by hand, in virtual time.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::handshake::tests::{route, state_of};

const PEER: ([u8; 4], u16) = ([192, 0, 2, 1], 4711);

/// A connection to a listener of one route that speaks these protocols.
fn connect(protocols: &[&str]) -> (DuplexStream, Arc<ListenerState>, JoinHandle<()>) {
    let state = state_of(vec![route("/", protocols)], 1);
    let (ours, theirs) = duplex(64 << 10);
    let serving = Arc::clone(&state);
    let served = tokio::spawn(async move { serve(ours, PEER.into(), &serving).await });
    (theirs, state, served)
}

async fn all(client: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn each_serializer_is_spoken_from_the_first_message_on() {
    let json = br#"[1,"nowhere",{"roles":{"caller":{}}}]"#;
    let msgpack = b"\x93\x01\xa7nowhere\x81\xa5roles\x81\xa6caller\x80";
    let cbor = b"\x83\x01\x67nowhere\xa1\x65roles\xa1\x66caller\xa0";
    let hellos: [(u8, &[u8], &[u8]); 3] =
        [(1, json, b"[3,"), (2, msgpack, b"\x93\x03"), (3, cbor, b"\x83\x03")];
    for (serializer, hello, abort) in hellos {
        let (mut client, _, served) = connect(&["wamp"]);
        let length = u8::try_from(hello.len()).unwrap();
        // The first message does not wait for the answer.
        let bytes = [&[0x7f, 0xf0 | serializer, 0, 0, 0, 0, 0, length], hello].concat();
        for byte in bytes {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = all(&mut client).await;
        // 1 MiB, as the route takes it.
        assert_eq!(answer[..4], [0x7f, 0xb0 | serializer, 0, 0]);
        assert!(answer[8..].starts_with(abort), "{:?}", String::from_utf8_lossy(&answer));
        assert!(String::from_utf8_lossy(&answer).contains("wamp.error.no_such_realm"));
        drop(client);
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_agreed_on_is_refused_with_its_reason() {
    for (asked, answered) in [
        ([0x7f, 0xf4, 0, 0], 0x10),
        ([0x7f, 0xf0, 0, 0], 0x10),
        ([0x7f, 0x01, 0, 0], 0x20),
        ([0x7f, 0xf1, 1, 0], 0x30),
        ([0x7f, 0xf1, 0, 1], 0x30),
    ] {
        let (mut client, _, served) = connect(&["wamp"]);
        client.write_all(&asked).await.unwrap();
        assert_eq!(all(&mut client).await, [0x7f, answered, 0, 0], "to {asked:x?}");
        drop(client);
        served.await.unwrap();
    }
    let (mut client, _, _) = connect(&["stomp"]);
    client.write_all(&[0x7f, 0xf1, 0, 0]).await.unwrap();
    assert_eq!(all(&mut client).await, [0x7f, 0x10, 0, 0], "a protocol without such a name");
}

#[tokio::test(start_paused = true)]
async fn the_longest_message_is_what_the_route_takes_rounded_down() {
    let length = |max_message_size, frame_size| {
        let mut route = Arc::into_inner(route("/", &["wamp"])).unwrap();
        route.max_message_size = max_message_size;
        Arc::get_mut(&mut route.policy).unwrap().limits.frame_size = frame_size;
        longest(&route).bytes()
    };
    assert_eq!(length(5 << 20, 3 << 20), 2 << 20);
    assert_eq!(length(1025, 4 << 20), 1024);
    assert_eq!(length(1 << 30, 1 << 30), 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_found_at_its_first_byte_and_not_answered() {
    let (mut client, _, served) = connect(&["wamp"]);
    client.write_all(b"G").await.unwrap();
    assert_eq!(all(&mut client).await, b"");
    drop(client);
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_in_time_is_hung_up_on() {
    let begun = tokio::time::Instant::now();
    let (mut client, state, _) = connect(&["wamp"]);
    client.write_all(&[0x7f, 0xf1, 0]).await.unwrap();
    assert_eq!(all(&mut client).await, b"");
    assert!(begun.elapsed() >= state.tuning.handshake_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_handshakes() {
    let begun = tokio::time::Instant::now();
    let (mut client, state, _) = connect(&["wamp"]);
    state.drain.begin();
    assert_eq!(all(&mut client).await, b"");
    assert!(begun.elapsed() < state.tuning.handshake_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_room_is_told_so() {
    let (ours, mut client) = duplex(64);
    let state = state_of(vec![route("/", &["wamp"])], 1);
    let refusing = tokio::spawn(async move { serve_no_room(ours, &state).await });
    client.write_all(&[0x7f, 0xf1, 0, 0]).await.unwrap();
    assert_eq!(all(&mut client).await, [0x7f, 0x40, 0, 0]);
    drop(client);
    refusing.await.unwrap();
}
