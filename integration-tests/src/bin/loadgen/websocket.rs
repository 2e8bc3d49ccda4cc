//! WebSocket as far as a client needs it that sends whole messages (RFC 6455).
//!
//! Every frame is masked with the same key. The key is there against intermediaries that mistake
//! a WebSocket for HTTP; between a load generator and the server under test it only has to be there,
//! and a constant one lets frames be encoded before the clock runs.

use crate::fault::Fault;

/// The masking key of every frame.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The sample key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What the server must answer to it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The kind of message that a client puts its frames in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// What a frame from the server brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A message, or a part of one, and whether it is the last. For STOMP that does not matter: its
    /// frames have bounds of their own.
    Data(&'a [u8], bool),
    /// To be answered with the same bytes.
    Ping(&'a [u8]),
    /// Nothing to do.
    Pong,
    /// The end, with code and reason where there are any.
    Close(&'a [u8]),
}

/// The request that opens a WebSocket and offers this sub-protocol.
pub(crate) fn opening(host: &str, path: &str, subprotocol: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
    .into_bytes()
}

/// How many bytes of `answer` are the answer to [`opening`]; `None` while it is not whole.
///
/// *Errors.* Anything but an accepted WebSocket.
pub(crate) fn accepted(answer: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(Fault::NotUpgraded(status.to_owned()));
    }
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let accept = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
    if accept.is_none_or(|(_, value)| value.trim() != ACCEPT) {
        return Err(Fault::Violation("Sec-WebSocket-Accept does not answer the key"));
    }
    Ok(Some(end + 4))
}

/// A whole message as on the wire. Its payload takes the last `payload.len()` bytes, masked.
pub(crate) fn message(kind: Kind, payload: &[u8]) -> Vec<u8> {
    frame(if kind == Kind::Text { TEXT } else { BINARY }, payload)
}

/// Writes over a part of a message that was appended to `output`: its payload begins at `payload_at`,
/// the part at `place` in it.
pub(crate) fn overwrite(output: &mut [u8], payload_at: usize, place: usize, part: &[u8]) {
    let there = &mut output[payload_at + place..][..part.len()];
    for (index, (byte, new)) in there.iter_mut().zip(part).enumerate() {
        *byte = new ^ MASK[(place + index) % MASK.len()];
    }
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    if let Some(length) = u8::try_from(payload.len()).ok().filter(|length| *length < 126) {
        bytes.push(0x80 | length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        bytes.push(0x80 | 126);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(0x80 | 127);
        bytes.extend((payload.len() as u64).to_be_bytes());
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The first frame in `bytes`, and how many bytes it takes there; `None` while it is not whole.
///
/// *Errors.* What a server must not send.
pub(crate) fn next_piece(bytes: &[u8]) -> Result<Option<(Piece<'_>, usize)>, Fault> {
    let Some((payload_at, length)) = head(bytes)? else {
        return Ok(None);
    };
    let end = payload_at.saturating_add(length);
    let Some(payload) = bytes.get(payload_at..end) else {
        return Ok(None);
    };
    let piece = match bytes[0] & 0x0F {
        CONTINUATION | TEXT | BINARY => Piece::Data(payload, bytes[0] & 0x80 != 0),
        PING => Piece::Ping(payload),
        PONG => Piece::Pong,
        CLOSE => Piece::Close(payload),
        _ => return Err(Fault::Violation("a WebSocket frame has an unknown opcode")),
    };
    Ok(Some((piece, end)))
}

/// Where the payload of the first frame begins, and how long it is; `None` while that is not known.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(Fault::Violation("no WebSocket extension was negotiated"));
    }
    if second & 0x80 != 0 {
        return Err(Fault::Violation("a server must not mask its frames"));
    }
    Ok(match second & 0x7F {
        126 => rest.first_chunk().map(|length| (4, usize::from(u16::from_be_bytes(*length)))),
        127 => {
            match rest.first_chunk().map(|length| usize::try_from(u64::from_be_bytes(*length))) {
                Some(Ok(length)) => Some((10, length)),
                Some(Err(_)) => return Err(Fault::Violation("a WebSocket frame is too long")),
                None => None,
            }
        }
        short => Some((2, usize::from(short))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6455 §5.7.
    #[test]
    fn frames_are_written_and_read_as_in_the_specification() {
        let masked = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        assert_eq!(message(Kind::Text, b"Hello"), masked);
        assert_eq!(message(Kind::Binary, &[0; 256])[..4], [0x82, 0xFE, 1, 0]);
        assert_eq!(message(Kind::Binary, &[0; 65536])[..10], [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]);

        let unmasked = [0x01, 0x05, b'H', b'e', b'l', b'l', b'o'];
        let (piece, end) = next_piece(&unmasked).unwrap().unwrap();
        assert_eq!((piece, end), (Piece::Data(b"Hello", false), 7));
        for cut in 0..unmasked.len() {
            assert!(next_piece(&unmasked[..cut]).unwrap().is_none(), "{cut}");
        }
        for (head, length) in
            [(&[0x82, 126, 1, 0][..], 256), (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65536)]
        {
            let bytes = [head, &vec![7; length]].concat();
            let (piece, end) = next_piece(&bytes).unwrap().unwrap();
            assert_eq!((piece, end), (Piece::Data(&vec![7; length], true), bytes.len()));
            assert!(next_piece(&bytes[..head.len() - 1]).unwrap().is_none());
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for bytes in [[0x81, 0x80], [0xC1, 0], [0x83, 0]] {
            assert!(next_piece(&bytes).is_err(), "{bytes:?}");
        }
        assert!(
            next_piece(&[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn only_an_accepted_key_opens_a_websocket() {
        let answer = |status: &str, accept: &str| {
            format!(
                "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\nrest"
            )
        };
        let good = answer("101 Switching Protocols", ACCEPT);
        assert_eq!(accepted(good.as_bytes()).unwrap(), Some(good.len() - 4));
        assert_eq!(accepted(&good.as_bytes()[..good.len() - 5]).unwrap(), None);
        assert!(accepted(answer("101 Switching Protocols", KEY).as_bytes()).is_err());
        assert!(accepted(answer("404 Not Found", ACCEPT).as_bytes()).is_err());
    }
}
