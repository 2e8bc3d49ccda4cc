//! The decoders of WAMP messages: whatever the bytes.

use bytes::Bytes;
use protocols::wamp::error::MessageError;
use protocols::wamp::message::Message;
use protocols::wamp::payload::{Dictionary, Payload};
use protocols::wamp::serializer::{Limits, Serializer};
use protocols::wamp::transcode::TranscodeError;

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

/// Reads the bytes as a [message](examine_message) and as [arguments](examine_body).
///
/// *Shape.* All of `data` is either.
fn message(serializer: Serializer, data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    examine_message(serializer, &bytes);
    examine_body(serializer, &bytes);
}

/// Decodes a message. One that is refused must be so in few words; one that is taken must be the
/// same after it was encoded, and, in another serializer, be one that is taken.
fn examine_message(serializer: Serializer, bytes: &Bytes) {
    let tight = Message::decode(serializer, bytes, &TIGHT);
    let message = match Message::decode(serializer, bytes, &GENEROUS) {
        Ok(message) => message,
        Err(error) => {
            if let MessageError::Malformed { at, .. } = error {
                assert!(at <= bytes.len(), "a fault has a place in the message");
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
    }
    let (payload, dictionary) = between_peers(&message);
    payload.into_iter().for_each(examine_payload);
    dictionary.into_iter().for_each(examine_dictionary);
}

/// Reads arguments that no message is around. What is taken must be the same after it was written.
fn examine_body(serializer: Serializer, bytes: &Bytes) {
    let Ok(payload) = Payload::of_body(serializer, bytes, &GENEROUS) else {
        return;
    };
    let again = Payload::of_body(serializer, &payload.to_body(), &GENEROUS);
    assert_eq!(again.as_ref(), Ok(&payload));
    examine_payload(&payload);
}

/// What of a message is transcoded, for a receiver that speaks something else.
fn between_peers(message: &Message) -> (Option<&Payload>, Option<&Dictionary>) {
    match message {
        Message::Hello(message) => (None, message.details.authextra.as_ref()),
        Message::Welcome(message) => (None, message.details.authextra.as_ref()),
        Message::Challenge(message) => (None, Some(&message.extra)),
        Message::Authenticate(message) => (None, Some(&message.extra)),
        Message::Abort(message) => (Some(&message.payload), None),
        Message::Error(message) => (Some(&message.payload), None),
        Message::Publish(message) => (Some(&message.payload), None),
        Message::Event(message) => (Some(&message.payload), None),
        Message::Call(message) => (Some(&message.payload), None),
        Message::CallResult(message) => (Some(&message.payload), None),
        Message::Invocation(message) => (Some(&message.payload), None),
        Message::Yield(message) => (Some(&message.payload), None),
        _ => (None, None),
    }
}

fn examine_payload(payload: &Payload) {
    for to in Serializer::ALL.into_iter().filter(|to| *to != payload.serializer) {
        let transcoded = [&TIGHT, &GENEROUS].map(|limits| payload.transcoded(to, limits));
        assert_limits(transcoded, |there| {
            [&there.args, &there.kwargs].into_iter().flatten().map(Bytes::len).max().unwrap_or(0)
        });
    }
}

fn examine_dictionary(dictionary: &Dictionary) {
    for to in Serializer::ALL {
        if to != dictionary.serializer() {
            let transcoded = [&TIGHT, &GENEROUS].map(|limits| dictionary.transcoded(to, limits));
            assert_limits(transcoded, |there| there.bytes().len());
        }
        for key in ["a", "nonce", "challenge", "iterations"] {
            let what = |it: &Dictionary| (it.bool(key), it.dictionary(key).is_some());
            if let Ok(there) = dictionary.transcoded(to, &GENEROUS) {
                assert_eq!(what(&there), what(dictionary), "{key}");
            }
            let (text, number) = (dictionary.text(key), dictionary.unsigned(key));
            assert!(text.is_none() || number.is_none(), "it is one of them");
        }
    }
}

/// Transcoding keeps to its limit, which changes nothing but what is refused. `size` is that of the
/// largest part.
fn assert_limits<T: PartialEq + std::fmt::Debug>(
    [tight, generous]: [Result<T, TranscodeError>; 2],
    size: impl Fn(&T) -> usize,
) {
    match tight {
        Ok(tight) => {
            assert!(size(&tight) <= TIGHT.transcoded, "transcoding keeps to its limit");
            assert_eq!(Ok(tight), generous);
        }
        Err(TranscodeError::TooLong { limit }) => {
            assert_eq!(limit, TIGHT.transcoded);
            let is_too_long = |there: &T| size(there) > limit;
            assert!(generous.as_ref().map_or(true, is_too_long), "it is not too long");
        }
        Err(_) => {}
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
