//! One client: a socket, and what is known of the two streams in it.
//!
//! It talks in two ways. [`converse`](Connection::converse) asks and waits, before and after the
//! measurement. In between the socket does not block, and [`receive`](Connection::receive) and
//! [`flush`](Connection::flush) do what can be done at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::fault::Fault;
use crate::flags::Server;
use crate::stomp::{self, Frame};
use crate::websocket::{self, Kind, Piece};

/// Bytes of the longest frame from the server; also what one read can bring.
pub(crate) const LARGEST_FRAME: usize = 256 << 10;

/// Where reads go, whoever reads: the part that is no whole frame yet is kept by its connection.
#[derive(Debug)]
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self(vec![0; LARGEST_FRAME].into())
    }
}

/// A client that is logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    kind: Kind,
    /// The begin of a WebSocket frame that is not whole yet.
    unframed: Vec<u8>,
    /// The begin of a STOMP frame that is not whole yet.
    unread: Vec<u8>,
    /// Encoded and not yet written. Bounded by the window of messages, and by the prefetch of
    /// acknowledgements.
    output: Vec<u8>,
    /// How much of `output` has been written.
    written: usize,
}

impl Connection {
    /// Opens a WebSocket and logs in.
    ///
    /// *Errors.* What the server or the system refused; an answer that does not come in time.
    pub(crate) fn open(
        server: &Server,
        patience: Duration,
        scratch: &mut Scratch,
    ) -> Result<Self, Fault> {
        let address = server.url.authority.as_str();
        let stream = TcpStream::connect(address).map_err(Fault::system(address))?;
        let prepared =
            stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(patience)));
        prepared.map_err(Fault::system(address))?;
        let mut connection = Self {
            stream,
            kind: server.frames,
            unframed: Vec::new(),
            unread: Vec::new(),
            output: websocket::opening(address, &server.url.path),
            written: 0,
        };
        connection.upgrade()?;
        let head = format!(
            "CONNECT\naccept-version:1.2\nhost:{}\nlogin:{}\npasscode:{}\nheart-beat:0,0",
            server.vhost, server.login, server.passcode
        );
        connection.converse(&head, "CONNECTED", scratch, |_| {})?;
        Ok(connection)
    }

    /// The descriptor, to be polled.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Whether reads and writes wait.
    pub(crate) fn set_blocking(&self, blocking: bool) -> Result<(), Fault> {
        self.stream.set_nonblocking(!blocking).map_err(Fault::system("a socket's mode"))
    }

    fn upgrade(&mut self) -> Result<(), Fault> {
        self.flush()?;
        let mut answer = [0; 4096];
        let mut length = 0;
        loop {
            length += match self.stream.read(&mut answer[length..]) {
                Ok(0) => {
                    return Err(Fault::NotUpgraded("no answer, or a very long one".to_owned()));
                }
                Ok(read) => read,
                Err(error) => return Err(Fault::system("the answer to the upgrade")(error)),
            };
            if let Some(end) = websocket::accepted(&answer[..length])? {
                self.unframed.extend_from_slice(&answer[end..length]);
                return Ok(());
            }
        }
    }

    /// Sends a frame without a body and waits for the frame with the verb `answer`. Whatever else
    /// comes until then, or right behind it, goes to `stray`.
    ///
    /// *Errors.* An ERROR frame; an end; silence.
    pub(crate) fn converse(
        &mut self,
        head: &str,
        answer: &'static str,
        scratch: &mut Scratch,
        mut stray: impl FnMut(&Frame<'_>),
    ) -> Result<(), Fault> {
        self.queue_frame(head);
        self.flush()?;
        let mut answered = false;
        while !answered {
            let received = self.receive(scratch, |frame| {
                if !answered && frame.verb == answer.as_bytes() {
                    answered = true;
                } else {
                    stray(frame);
                }
                Ok(())
            })?;
            if received.is_none() {
                return Err(Fault::Silent(answer));
            }
            self.flush()?;
        }
        Ok(())
    }

    /// Queues a frame without a body.
    pub(crate) fn queue_frame(&mut self, head: &str) {
        self.output.extend(websocket::message(self.kind, &stomp::frame(head, b"")));
    }

    /// Where frames that are encoded already are queued.
    pub(crate) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Reads once, and hands over each frame that is whole. Answers pings. `Some(true)` if there
    /// may be more to read, `None` if there was nothing.
    ///
    /// *Errors.* An ERROR frame, an end, a broken specification, or what `take` says.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut Scratch,
        mut take: impl FnMut(&Frame<'_>) -> Result<(), Fault>,
    ) -> Result<Option<bool>, Fault> {
        let kept = self.unframed.len();
        let room = LARGEST_FRAME - kept;
        if room == 0 {
            return Err(Fault::Violation("a WebSocket frame is too long"));
        }
        scratch.0[..kept].copy_from_slice(&self.unframed);
        let read = match self.stream.read(&mut scratch.0[kept..]) {
            Ok(0) => return Err(Fault::Ended(String::new())),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Some(true)),
            Err(error) => return Err(Fault::system("a read")(error)),
        };
        let mut rest = &scratch.0[..kept + read];
        while let Some((piece, length)) = websocket::next_piece(rest)? {
            rest = &rest[length..];
            match piece {
                Piece::Data(data) => understand(&mut self.unread, data, &mut take)?,
                Piece::Ping(payload) => self.output.extend(websocket::pong(payload)),
                Piece::Pong => {}
                Piece::Close(payload) => return Err(Fault::Ended(close_reason(payload))),
            }
        }
        self.unframed.clear();
        self.unframed.extend_from_slice(rest);
        Ok(Some(read == room))
    }

    /// Writes what is queued, as far as the socket takes it.
    ///
    /// *Errors.* What the system says.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::system("a write")(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }
}

/// Goes on in the STOMP stream. A frame that is whole in `data` is not copied.
fn understand(
    unread: &mut Vec<u8>,
    data: &[u8],
    take: &mut impl FnMut(&Frame<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if unread.is_empty() {
        let used = frames(data, take)?;
        unread.extend_from_slice(&data[used..]);
    } else {
        unread.extend_from_slice(data);
        let used = frames(unread, take)?;
        unread.drain(..used);
    }
    if unread.len() > LARGEST_FRAME {
        return Err(Fault::Violation("a STOMP frame is too long"));
    }
    Ok(())
}

/// Hands over each whole frame; returns how many bytes they take, and the heart-beats behind them.
fn frames(
    bytes: &[u8],
    take: &mut impl FnMut(&Frame<'_>) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let mut used = 0;
    while let Some((frame, length)) = stomp::next_frame(&bytes[used..])? {
        used += length;
        if frame.verb == b"ERROR" {
            let body = String::from_utf8_lossy(frame.body);
            return Err(Fault::Refused(format!("{}: {body}", frame.shown(b"message"))));
        }
        take(&frame)?;
    }
    Ok(used + bytes[used..].iter().take_while(|byte| **byte == b'\n').count())
}

/// Code and reason of a close frame, for people.
fn close_reason(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            format!(" with {code} {}", String::from_utf8_lossy(reason))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let stream = [
            stomp::frame("MESSAGE\ncontent-length:3", b"a\0b"),
            b"\n\n".to_vec(),
            stomp::frame("RECEIPT\nreceipt-id:1", b""),
            stomp::frame("MESSAGE", b"last"),
        ]
        .concat();
        for size in 1..=stream.len() {
            let mut unread = Vec::new();
            let mut bodies = Vec::new();
            for part in stream.chunks(size) {
                let mut take = |frame: &Frame<'_>| {
                    bodies.push(frame.body.to_vec());
                    Ok(())
                };
                understand(&mut unread, part, &mut take).unwrap();
            }
            assert_eq!(bodies, [&b"a\0b"[..], b"", b"last"], "in parts of {size}");
            assert!(unread.is_empty());
        }
    }

    #[test]
    fn an_error_frame_ends_the_run_in_its_own_words() {
        let bytes = stomp::frame("ERROR\nmessage:Access refused", b"for 'x'");
        let fault = understand(&mut Vec::new(), &bytes, &mut |_| Ok(())).unwrap_err();
        assert_eq!(fault.to_string(), "ERROR from the server: Access refused: for 'x'");
        assert_eq!(close_reason(&[3, 0xE8, b'o', b'k']), " with 1000 ok");
    }
}
