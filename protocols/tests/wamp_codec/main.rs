//! The WAMP codec from outside: messages of every type in every serializer, against vectors and
//! against other decoders and encoders of the three formats.
#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod oracle;
mod properties;
mod refusals;
mod specification;
mod vectors;

use bytes::Bytes;
use protocols::wamp::error::MessageError;
use protocols::wamp::message::Message;
use protocols::wamp::serializer::{Limits, Serializer};

const LIMITS: Limits = Limits::DEFAULT;

fn decode(serializer: Serializer, bytes: &[u8]) -> Result<Message, MessageError> {
    Message::decode(serializer, &Bytes::copy_from_slice(bytes), &LIMITS)
}

fn encode(message: &Message, serializer: Serializer) -> Vec<u8> {
    message.encode(serializer, &LIMITS).unwrap().to_vec()
}
