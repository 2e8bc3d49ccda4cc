//! Golden vectors: streams in the form that clients in use send them, byte by byte as files in
//! `vectors/`, and the frames they hold. Each file is decoded in one unit and in single bytes.
#![allow(missing_docs)]

use bytes::Bytes;
use protocols::stomp::Version;
use protocols::stomp::encode::Escaping;
use protocols::stomp::frame::{Frame, Verb};
use protocols::stomp::parse::{Decoder, DecoderLimits};

const LIMITS: DecoderLimits =
    DecoderLimits { frame_size: 64 << 10, header_count: 100, header_size: 4 << 10 };

/// Decodes a stream that starts with a login, as a session that speaks `version` does.
fn decode(stream: &'static [u8], unit: usize, version: Version) -> Vec<Frame> {
    let mut decoder = Decoder::new(LIMITS);
    let mut frames = Vec::new();
    for unit in stream.chunks(unit) {
        decoder.push(Bytes::from_static(unit));
        while let Some(frame) = decoder.next_frame().expect("the stream is valid") {
            frames.push(frame);
            decoder.set_escaping(Escaping::of(version));
        }
    }
    assert_eq!(decoder.buffered(), 0, "nothing may be left over");
    frames
}

/// Verb, headers and body of a frame that must come out.
struct Expected(Verb, &'static [(&'static str, &'static str)], &'static [u8]);

#[track_caller]
fn assert_frames(stream: &'static [u8], version: Version, expected: &[Expected]) {
    for unit in [stream.len(), 1] {
        let frames = decode(stream, unit, version);
        for (frame, Expected(verb, headers, body)) in frames.iter().zip(expected) {
            assert_eq!(frame.verb, *verb);
            assert_eq!(frame.headers.iter().collect::<Vec<_>>(), *headers);
            assert_eq!(frame.body, *body);
        }
        assert_eq!(frames.len(), expected.len());
    }
}

#[test]
fn stompjs_line_feeds_version_list_escapes_and_heart_beats() {
    assert_frames(
        include_bytes!("vectors/stompjs_session.bin"),
        Version::V12,
        &[
            Expected(
                Verb::Connect,
                &[
                    ("login", "guest"),
                    ("passcode", r"p\ss:w\nord"),
                    ("accept-version", "1.2,1.1,1.0"),
                    ("heart-beat", "10000,10000"),
                ],
                b"",
            ),
            Expected(
                Verb::Subscribe,
                &[
                    ("ack", "client-individual"),
                    ("prefetch-count", "10"),
                    ("id", "sub-0"),
                    ("destination", "/topic/prices.*"),
                ],
                b"",
            ),
            Expected(
                Verb::Send,
                &[
                    ("destination", "/topic/prices.eu"),
                    ("content-type", "application/json"),
                    ("note", "a:b\\c\nd"),
                    ("content-length", "21"),
                ],
                r#"{"price":"12,50 €"}"#.as_bytes(),
            ),
            Expected(Verb::Ack, &[("subscription", "sub-0"), ("id", "T_sub-0@@session-1@@1")], b""),
        ],
    );
}

#[test]
fn stomp_py_carriage_returns_and_a_body_that_ends_in_a_line_end() {
    assert_frames(
        include_bytes!("vectors/stomp_py_crlf.bin"),
        Version::V12,
        &[
            Expected(
                Verb::Stomp,
                &[
                    ("accept-version", "1.2"),
                    ("heart-beat", "0,0"),
                    ("host", "/"),
                    ("login", "guest"),
                    ("passcode", "guest"),
                ],
                b"",
            ),
            Expected(
                Verb::Send,
                &[
                    ("content-length", "7"),
                    ("content-type", "text/plain"),
                    ("destination", "/queue/tasks"),
                    ("receipt", "4f1c"),
                ],
                b"line1\r\n",
            ),
            Expected(Verb::Disconnect, &[("receipt", "bye")], b""),
        ],
    );
}

#[test]
fn webstomp_at_version_1_1() {
    assert_frames(
        include_bytes!("vectors/webstomp_session.bin"),
        Version::V11,
        &[
            Expected(
                Verb::Connect,
                &[
                    ("login", "guest"),
                    ("passcode", "guest"),
                    ("host", "/"),
                    ("accept-version", "1.1,1.0"),
                    ("heart-beat", "10000,10000"),
                ],
                b"",
            ),
            Expected(Verb::Send, &[("destination", "/queue/a"), ("content-length", "5")], b"hello"),
            Expected(Verb::Unsubscribe, &[("id", "sub-1675170000000-12")], b""),
        ],
    );
}

#[test]
fn a_1_0_client_by_hand_colons_backslashes_blanks_and_no_content_length() {
    assert_frames(
        include_bytes!("vectors/stomp_10_telnet.bin"),
        Version::V10,
        &[
            Expected(Verb::Connect, &[("login", " guest"), ("passcode", " guest")], b""),
            Expected(
                Verb::Send,
                &[("destination", "/queue/a"), ("transaction", "tx1"), ("url", r"http://a:80/\n")],
                b"no content-length",
            ),
            Expected(Verb::Ack, &[("message-id", "007")], b""),
        ],
    );
}

#[test]
fn a_binary_body_that_looks_like_frames_and_a_repeated_content_length() {
    assert_frames(
        include_bytes!("vectors/binary_body.bin"),
        Version::V12,
        &[
            Expected(
                Verb::Send,
                &[
                    ("destination", "/queue/blobs"),
                    ("content-type", "application/octet-stream"),
                    ("content-length", "15"),
                    ("content-length", "3"),
                ],
                b"\0\n\0\nSEND\n\n\0\xff\xfe\0\0",
            ),
            Expected(Verb::Begin, &[("transaction", "tx")], b""),
        ],
    );
}
