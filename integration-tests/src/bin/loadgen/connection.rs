//! One client: a socket, and what is known of the two streams in it.
//!
//! It talks in two ways. [`converse`](Connection::converse) asks and waits, before and after the
//! measurement. In between the socket does not block, and [`receive`](Connection::receive) and
//! [`flush`](Connection::flush) do what can be done at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use integration_tests::{Serializer, code};
use serde_json::Value;

use crate::fault::Fault;
use crate::flags::Server;
use crate::speech::{Answer, Incoming, Speech};
use crate::stomp;
use crate::wamp;
use crate::websocket::{self, Piece};

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
    speech: Speech,
    /// The begin of a WebSocket frame that is not whole yet.
    unframed: Vec<u8>,
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
        let serializer = server.serializer();
        let subprotocol = serializer.map_or("v12.stomp", Serializer::subprotocol);
        let mut connection = Self {
            stream,
            speech: match serializer {
                None => Speech::Stomp(server.frames, Vec::new()),
                Some(serializer) => Speech::Wamp(serializer, Vec::new()),
            },
            unframed: Vec::new(),
            output: websocket::opening(address, &server.url.path, subprotocol),
            written: 0,
        };
        connection.upgrade()?;
        let answer = if serializer.is_some() {
            connection.queue_message(&wamp::hello(&server.realm));
            Answer::Message(code::WELCOME, "WELCOME")
        } else {
            connection.queue_frame(&format!(
                "CONNECT\naccept-version:1.2\nhost:{}\nlogin:{}\npasscode:{}\nheart-beat:0,0",
                server.vhost, server.login, server.passcode
            ));
            Answer::Frame("CONNECTED")
        };
        connection.converse(answer, scratch, |_| {})?;
        Ok(connection)
    }

    /// What WAMP is spoken in, unless STOMP is.
    pub(crate) const fn serializer(&self) -> Option<Serializer> {
        match self.speech {
            Speech::Stomp(..) => None,
            Speech::Wamp(serializer, _) => Some(serializer),
        }
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

    /// Sends what is queued and waits for the answer to it; returns the IDs that it has. Whatever else
    /// comes until then, or right behind it, goes to `stray`.
    ///
    /// *Errors.* An ERROR; an end; silence.
    pub(crate) fn converse(
        &mut self,
        answer: Answer,
        scratch: &mut Scratch,
        mut stray: impl FnMut(&Incoming<'_>),
    ) -> Result<[u64; 2], Fault> {
        self.flush()?;
        let mut ids = None;
        loop {
            let received = self.receive(scratch, |incoming| {
                match incoming {
                    Incoming::Wamp(message) if ids.is_none() && answer.is(incoming) => {
                        ids = Some(message.ids);
                    }
                    Incoming::Stomp(_) if ids.is_none() && answer.is(incoming) => {
                        ids = Some([0; 2]);
                    }
                    _ => stray(incoming),
                }
                Ok(())
            });
            let received = match (received, ids) {
                // A server may hang up right behind the answer to a goodbye.
                (Err(Fault::Ended(_)), Some(ids)) => return Ok(ids),
                (received, _) => received?,
            };
            if received.is_none() {
                return Err(Fault::Silent(answer.name()));
            }
            self.flush()?;
            if let Some(ids) = ids {
                return Ok(ids);
            }
        }
    }

    /// Ends the session. With STOMP nothing is waited for: RabbitMQ's Web-STOMP hangs up without sending
    /// the receipt of a DISCONNECT.
    ///
    /// *Errors.* As [`converse`](Self::converse).
    pub(crate) fn goodbye(
        &mut self,
        scratch: &mut Scratch,
        stray: impl FnMut(&Incoming<'_>),
    ) -> Result<(), Fault> {
        if self.serializer().is_none() {
            self.queue_frame("DISCONNECT");
            return self.flush();
        }
        self.queue_message(&wamp::goodbye());
        self.converse(Answer::Message(code::GOODBYE, "GOODBYE"), scratch, stray).map(drop)
    }

    /// Queues a frame of STOMP without a body.
    pub(crate) fn queue_frame(&mut self, head: &str) {
        if let Speech::Stomp(kind, _) = self.speech {
            self.output.extend(websocket::message(kind, &stomp::frame(head, b"")));
        }
    }

    /// Queues a message of WAMP.
    pub(crate) fn queue_message(&mut self, message: &Value) {
        if let Speech::Wamp(serializer, _) = self.speech {
            let bytes = serializer.encode(message);
            self.output.extend(websocket::message(wamp::kind(serializer), &bytes));
        }
    }

    /// Where what is encoded already is queued.
    pub(crate) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Reads once, and hands over each frame or message that is whole. Answers pings. `Some(true)` if there
    /// may be more to read, `None` if there was nothing.
    ///
    /// *Errors.* An ERROR, an end, a broken specification, or what `take` says.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut Scratch,
        mut take: impl FnMut(&Incoming<'_>) -> Result<(), Fault>,
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
                Piece::Data(data, is_last) => self.speech.understand(data, is_last, &mut take)?,
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
    fn a_close_frame_says_why() {
        assert_eq!(close_reason(&[3, 0xE8, b'o', b'k']), " with 1000 ok");
    }
}
