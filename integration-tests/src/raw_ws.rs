//! A WebSocket client that does what it is told, right or wrong (RFC 6455 §5).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{self, HttpReply, Request};
use crate::wait::within;

/// Opcodes (RFC 6455 §5.2).
pub mod opcode {
    /// Goes on with a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// UTF-8 text.
    pub const TEXT: u8 = 0x1;
    /// Anything.
    pub const BINARY: u8 = 0x2;
    /// Ends the connection.
    pub const CLOSE: u8 = 0x8;
    /// Asks for a pong.
    pub const PING: u8 = 0x9;
    /// Answers a ping.
    pub const PONG: u8 = 0xA;
}

/// How the payload length of a frame is written (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// In as few bytes as possible, as it must be.
    Shortest,
    /// Not what it really is.
    Declared(u64),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether the message ends with it.
    pub fin: bool,
    /// The three reserved bits, as a number from 0 to 7.
    pub rsv: u8,
    /// One of [`opcode`], or another number below 16.
    pub opcode: u8,
    /// The masking key: clients must use one, servers must not.
    pub mask: Option<[u8; 4]>,
    /// How the length is written.
    pub length: Length,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message or control frame, as a client must send it.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: Some([0x37, 0xFA, 0x21, 0x3D]),
            length: Length::Shortest,
            payload: payload.into(),
        }
    }

    /// A text message.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// A binary message.
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    /// A close frame with a code (RFC 6455 §5.5.1).
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// With more frames of the same message to follow.
    #[must_use]
    pub const fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// As on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let declared = match self.length {
            Length::Shortest => self.payload.len() as u64,
            Length::Declared(length) => length,
        };
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        let masked = u8::from(self.mask.is_some()) << 7;
        if let Some(length) = u8::try_from(declared).ok().filter(|length| *length < 126) {
            bytes.push(masked | length);
        } else if let Ok(length) = u16::try_from(declared) {
            bytes.push(masked | 126);
            bytes.extend(length.to_be_bytes());
        } else {
            bytes.push(masked | 127);
            bytes.extend(declared.to_be_bytes());
        }
        let mask = self.mask.unwrap_or_default();
        bytes.extend(self.mask.into_iter().flatten());
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    /// The first frame in `buffer`, and how many bytes it takes there; `None` while it is not whole.
    fn parse(buffer: &[u8]) -> Option<(Self, usize)> {
        let [first, second, rest @ ..] = buffer else {
            return None;
        };
        assert_eq!(second & 0x80, 0, "a server must not mask its frames");
        let (length, head) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let end = head + usize::try_from(length).expect("a frame fits into memory");
        let payload = buffer.get(head..end)?.to_vec();
        let frame = Self {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 0x7,
            opcode: first & 0xF,
            mask: None,
            length: Length::Shortest,
            payload,
        };
        Some((frame, end))
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The code of the server's close frame; `None` if it hung up without one, or sent one
    /// without a code.
    pub code: Option<u16>,
    /// Its reason.
    pub reason: String,
}

/// A connection after its opening handshake.
#[derive(Debug)]
pub struct RawWs {
    stream: TcpStream,
    /// Received and not yet taken.
    buffer: Vec<u8>,
    /// The answer to the opening handshake.
    reply: HttpReply,
}

impl RawWs {
    /// Opens a WebSocket; panics if that is refused.
    pub async fn open(address: SocketAddr, request: &Request) -> Self {
        Self::open_with(address, request, &[]).await
    }

    /// As [`open`](Self::open), with these bytes right behind the request.
    pub async fn open_with(address: SocketAddr, request: &Request, more: &[u8]) -> Self {
        let mut stream = http::connect(address).await;
        let bytes = [&request.bytes(), more].concat();
        within("the server to take a request", stream.write_all(&bytes))
            .await
            .expect("a new connection takes a request");
        let mut buffer = Vec::new();
        let reply = http::read_reply(&mut stream, &mut buffer).await;
        let reply = reply.expect("the server hung up on the opening handshake");
        reply.assert_switched();
        Self { stream, buffer, reply }
    }

    /// The sub-protocol that the server has chosen.
    pub fn protocol(&self) -> Option<&str> {
        self.reply.header("sec-websocket-protocol")
    }

    /// Sends one frame. A connection that the server has ended takes it silently: what matters is
    /// what was answered.
    pub async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes()).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = within("the server to take bytes", self.stream.write_all(bytes)).await;
    }

    /// The next frame, control frames included; `None` once the server has hung up.
    pub async fn recv(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, end)) = Frame::parse(&self.buffer) {
                self.buffer.drain(..end);
                assert_eq!(frame.rsv, 0, "no extension was negotiated");
                return Some(frame);
            }
            match within("a WebSocket frame", self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame, which must have this opcode.
    pub async fn expect(&mut self, opcode: u8) -> Frame {
        let frame = self.recv().await;
        match frame {
            Some(frame) if frame.opcode == opcode => frame,
            other => panic!("expected a frame with opcode {opcode}, got {other:?}"),
        }
    }

    /// Reads until the server closes, answers its close frame, and waits until it hangs up.
    /// Whatever it sends before is dropped; nothing may come after the close frame.
    pub async fn closing(&mut self) -> Closing {
        loop {
            match self.recv().await {
                Some(frame) if frame.opcode == opcode::CLOSE => {
                    return self.closed_by(&frame).await;
                }
                Some(_) => {}
                None => {
                    return Closing { code: None, reason: String::new() };
                }
            }
        }
    }

    /// As [`closing`](Self::closing), after the server's close frame was read.
    pub async fn closed_by(&mut self, frame: &Frame) -> Closing {
        self.send(&Frame::new(opcode::CLOSE, frame.payload.clone())).await;
        let after = self.recv().await;
        assert_eq!(after, None, "nothing may follow a close frame (RFC 6455 section 5.5.1)");
        let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
        let reason = frame.payload.get(2..).unwrap_or_default();
        let reason = String::from_utf8(reason.to_vec()).expect("a close reason is UTF-8");
        Closing { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6455 §5.7.
    #[test]
    fn frames_are_written_as_in_the_specification() {
        let masked = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        assert_eq!(Frame::text("Hello").bytes(), masked);
        let mut long = Frame::binary(vec![0; 256]);
        long.mask = None;
        assert_eq!(long.bytes()[..4], [0x82, 0x7E, 0x01, 0x00]);
        long.payload = vec![0; 65536];
        assert_eq!(long.bytes()[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn frames_are_read_as_in_the_specification() {
        let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F];
        let (frame, end) = Frame::parse(&unmasked).unwrap();
        assert_eq!(
            (frame.fin, frame.opcode, frame.payload.as_slice(), end),
            (true, 1, &b"Hello"[..], 7)
        );
        for cut in 0..unmasked.len() {
            assert_eq!(Frame::parse(&unmasked[..cut]), None, "{cut}");
        }
        for length in [0, 125, 126, 65535, 65536] {
            let mut frame = Frame::binary(vec![7; length]);
            frame.mask = None;
            let bytes = frame.bytes();
            assert_eq!(Frame::parse(&bytes), Some((frame, bytes.len())));
        }
    }
}
