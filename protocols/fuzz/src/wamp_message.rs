//! The decoders of WAMP messages: whatever the bytes.

use bytes::Bytes;
use protocols::wamp::error::MessageError;
use protocols::wamp::message::Message;
use protocols::wamp::serializer::{Limits, Serializer};

/// [`message`], in JSON.
pub fn wamp_json(data: &[u8]) {
    message(Serializer::Json, data);
}

/// [`message`], in MessagePack.
pub fn wamp_msgpack(data: &[u8]) {
    message(Serializer::MsgPack, data);
}

/// [`message`], in CBOR.
pub fn wamp_cbor(data: &[u8]) {
    message(Serializer::Cbor, data);
}

const GENEROUS: Limits = Limits { depth: 64, values: 10_000, transcoded: 1 << 20 };

const TIGHT: Limits = Limits { depth: 3, values: 12, transcoded: 64 };

/// Decodes a message. One that is refused must be so in few words; one that is taken must be the
/// same after it was encoded, and, in another serializer, be one that is taken.
///
/// *Shape.* All of `data` is the message.
fn message(serializer: Serializer, data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let tight = Message::decode(serializer, &bytes, &TIGHT);
    let message = match Message::decode(serializer, &bytes, &GENEROUS) {
        Ok(message) => message,
        Err(error) => {
            if let MessageError::Malformed { at, .. } = error {
                assert!(at <= data.len(), "a fault has a place in the message");
            }
            assert!(error.to_string().len() < 600, "{error}");
            assert!(tight.is_err(), "what is refused is so whatever the limits are");
            return;
        }
    };
    if let Ok(tight) = tight {
        assert_eq!(tight, message, "limits change nothing but what is refused");
    }
    let encoded = message.encode(serializer, &GENEROUS).expect("nothing is transcoded");
    assert_eq!(Message::decode(serializer, &encoded, &GENEROUS).as_ref(), Ok(&message));
    for to in Serializer::ALL {
        if let Ok(there) = message.encode(to, &GENEROUS) {
            assert_round_trip(to, &there, serializer);
        }
        if let Ok(there) = message.encode(to, &TIGHT) {
            let most = encoded.len() * 6 + 256 + 8 * TIGHT.transcoded;
            assert!(there.len() <= most, "transcoding keeps to its limit");
        }
    }
}

/// What was transcoded is well-formed, and the same after it went back and forth.
fn assert_round_trip(to: Serializer, there: &Bytes, from: Serializer) {
    let limits = Limits { values: 2 * GENEROUS.values, ..GENEROUS };
    let message = Message::decode(to, there, &limits).expect("what was written can be read");
    let Ok(back) = message.encode(from, &limits) else {
        return; // a text that starts with NUL, say
    };
    let back = Message::decode(from, &back, &limits).expect("what was written can be read");
    assert_eq!(back.message_type(), message.message_type());
    assert_eq!(&back.encode(to, &limits).expect("it was transcoded before"), there);
}
