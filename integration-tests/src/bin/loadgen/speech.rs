//! [`Speech`]: what a connection speaks, and what it hears.

use integration_tests::Serializer;

use crate::connection::LARGEST_FRAME;
use crate::fault::Fault;
use crate::stomp::{self, Frame};
use crate::wamp::{self, Message};
use crate::websocket::Kind;

/// What comes from the server.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// A frame of STOMP.
    Stomp(Frame<'a>),
    /// A message of WAMP.
    Wamp(Message<'a>),
}

impl Incoming<'_> {
    /// The body of a MESSAGE; of a message of WAMP, its first argument.
    pub(crate) const fn body(&self) -> &[u8] {
        match self {
            Self::Stomp(frame) => frame.body,
            Self::Wamp(message) => message.text,
        }
    }

    /// What it is, for people.
    pub(crate) fn verb(&self) -> String {
        match self {
            Self::Stomp(frame) => String::from_utf8_lossy(frame.verb).into_owned(),
            Self::Wamp(message) => format!("a message with code {}", message.code),
        }
    }
}

/// What a question waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// A frame of STOMP with this verb.
    Frame(&'static str),
    /// A message of WAMP with this code, and its name.
    Message(u64, &'static str),
}

impl Answer {
    /// Whether this is it.
    pub(crate) fn is(self, incoming: &Incoming<'_>) -> bool {
        match (self, incoming) {
            (Self::Frame(verb), Incoming::Stomp(frame)) => frame.verb == verb.as_bytes(),
            (Self::Message(code, _), Incoming::Wamp(message)) => message.code == code,
            _ => false,
        }
    }

    /// As it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Frame(name) | Self::Message(_, name) => name,
        }
    }
}

/// What is spoken, and the begin of something that is not whole yet.
#[derive(Debug)]
pub(crate) enum Speech {
    /// Frames go out in messages of this kind. They come as one stream.
    Stomp(Kind, Vec<u8>),
    /// One message is one of the WebSocket's.
    Wamp(Serializer, Vec<u8>),
}

impl Speech {
    /// Goes on in the stream. What is whole in `data` is not copied.
    pub(crate) fn understand(
        &mut self,
        data: &[u8],
        is_last: bool,
        take: &mut impl FnMut(&Incoming<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let unread = match self {
            Self::Stomp(_, unread) => {
                if unread.is_empty() {
                    let used = frames(data, take)?;
                    unread.extend_from_slice(&data[used..]);
                } else {
                    unread.extend_from_slice(data);
                    let used = frames(unread, take)?;
                    unread.drain(..used);
                }
                unread
            }
            Self::Wamp(serializer, unread) => {
                if is_last && unread.is_empty() {
                    return message(*serializer, data, take);
                }
                unread.extend_from_slice(data);
                if is_last {
                    message(*serializer, unread, take)?;
                    unread.clear();
                }
                unread
            }
        };
        if unread.len() > LARGEST_FRAME {
            return Err(Fault::Violation("a frame, or a message, is too long"));
        }
        Ok(())
    }
}

/// Hands over a message of WAMP.
fn message(
    serializer: Serializer,
    bytes: &[u8],
    take: &mut impl FnMut(&Incoming<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let message = wamp::read(serializer, bytes)?;
    wamp::check(&message)?;
    take(&Incoming::Wamp(message))
}

/// Hands over each whole frame; returns how many bytes they take, and the heart-beats behind them.
fn frames(
    bytes: &[u8],
    take: &mut impl FnMut(&Incoming<'_>) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let mut used = 0;
    while let Some((frame, length)) = stomp::next_frame(&bytes[used..])? {
        used += length;
        if frame.verb == b"ERROR" {
            let body = String::from_utf8_lossy(frame.body);
            let text = format!("{}: {body}", frame.shown(b"message"));
            return Err(Fault::Refused { verb: "ERROR", text });
        }
        take(&Incoming::Stomp(frame))?;
    }
    Ok(used + bytes[used..].iter().take_while(|byte| **byte == b'\n').count())
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
            let mut speech = Speech::Stomp(Kind::Text, Vec::new());
            let mut bodies = Vec::new();
            for part in stream.chunks(size) {
                let mut take = |frame: &Incoming<'_>| {
                    bodies.push(frame.body().to_vec());
                    Ok(())
                };
                speech.understand(part, true, &mut take).unwrap();
            }
            assert_eq!(bodies, [&b"a\0b"[..], b"", b"last"], "in parts of {size}");
            assert!(matches!(speech, Speech::Stomp(_, unread) if unread.is_empty()));
        }
    }

    #[test]
    fn messages_are_the_same_in_however_many_frames() {
        for serializer in Serializer::ALL {
            let bytes = serializer.encode(&serde_json::json!([36, 1, 2, {}, ["body"]]));
            for size in 1..=bytes.len() {
                let mut speech = Speech::Wamp(serializer, Vec::new());
                let mut bodies = Vec::new();
                for _ in 0..2 {
                    let mut parts = bytes.chunks(size).peekable();
                    while let Some(part) = parts.next() {
                        let mut take = |message: &Incoming<'_>| {
                            bodies.push(message.body().to_vec());
                            Ok(())
                        };
                        speech.understand(part, parts.peek().is_none(), &mut take).unwrap();
                    }
                }
                assert_eq!(bodies, [b"body", b"body"], "{serializer:?} in parts of {size}");
            }
        }
    }

    #[test]
    fn an_error_message_ends_the_run_in_its_own_words() {
        let bytes = br#"[8,32,1,{},"wamp.error.not_authorized",["no"]]"#;
        let mut speech = Speech::Wamp(Serializer::Json, Vec::new());
        let fault = speech.understand(bytes, true, &mut |_| Ok(())).unwrap_err();
        assert_eq!(fault.to_string(), "ERROR from the server: wamp.error.not_authorized");
    }

    #[test]
    fn an_error_frame_ends_the_run_in_its_own_words() {
        let bytes = stomp::frame("ERROR\nmessage:Access refused", b"for 'x'");
        let mut speech = Speech::Stomp(Kind::Text, Vec::new());
        let fault = speech.understand(&bytes, true, &mut |_| Ok(())).unwrap_err();
        assert_eq!(fault.to_string(), "ERROR from the server: Access refused: for 'x'");
    }
}
