//! Messages of the broker as events, whoever published them: WAMP, STOMP or AMQP.
//!
//! *Spec.* WAMP §Event: `Arguments|list`, `ArgumentsKw|dict`, and an ID of global scope. What a message
//! of other protocols is as such, WAMP leaves open:
//!
//! | `content-type` | arguments |
//! |---|---|
//! | `application/vnd.wamp+json`, `+msgpack`, `+cbor` | the body is a list of both kinds of them |
//! | `application/json` | one, the value |
//! | `text/…` | one, the text |
//! | another or none; or there is a `content-encoding` that is no charset | one, binary data |
//!
//! A text that is no UTF-8 is binary data.

use sha2::{Digest, Sha256};

use crate::broker::{Properties, Publication};
use crate::delivery::Unwritable;
use crate::wamp::id::Id;
use crate::wamp::payload::{BodyError, Payload};
use crate::wamp::serializer::{Limits, Serializer};

/// The `content-type` of a list of arguments.
pub(in crate::wamp) const fn content_type(serializer: Serializer) -> &'static str {
    match serializer {
        Serializer::Json => "application/vnd.wamp+json",
        Serializer::MsgPack => "application/vnd.wamp+msgpack",
        Serializer::Cbor => "application/vnd.wamp+cbor",
    }
}

/// The arguments that a message stands for, in whatever serializer.
///
/// *Errors.* It is not what its `content-type` says. *Cost.* What is a list of arguments is checked and
/// not copied.
pub(in crate::wamp) fn payload(
    publication: &Publication,
    limits: &Limits,
) -> Result<Payload, Unwritable> {
    let body = &publication.message.body;
    let unfit = |error: BodyError| Unwritable(error.to_string());
    let Some(content_type) = media_type(&publication.message.properties) else {
        return Ok(Payload::of_binary(body));
    };
    let is = |name: &str| content_type.eq_ignore_ascii_case(name);
    if let Some(serializer) = Serializer::ALL.into_iter().find(|it| is(self::content_type(*it))) {
        return Payload::of_body(serializer, body, limits).map_err(unfit);
    }
    if is("application/json") {
        return Payload::of_value(Serializer::Json, body, limits).map_err(unfit);
    }
    let is_text = content_type.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
    match std::str::from_utf8(body) {
        // Not in JSON, in which a text that starts with NUL would be binary data.
        Ok(text) if is_text => Ok(Payload::of_text(Serializer::Cbor, text)),
        _ => Ok(Payload::of_binary(body)),
    }
}

/// The type of the body without its parameters; `None` if it has none that says what its bytes are.
fn media_type(properties: &Properties) -> Option<&str> {
    let is_charset = |encoding: &str| {
        ["", "identity", "utf-8", "utf8"].iter().any(|it| it.eq_ignore_ascii_case(encoding))
    };
    if !properties.content_encoding.as_deref().is_none_or(is_charset) {
        return None;
    }
    let content_type = properties.content_type.as_deref()?;
    content_type.split(';').next().map(str::trim)
}

/// The ID of the event. That of a gateway's is in its `message-id`; others have none, and get one of what
/// tells them apart, so that all nodes say the same.
pub(super) fn publication_id(publication: &Publication, is_trusted: bool) -> Id {
    let properties = &publication.message.properties;
    let given = properties.message_id.as_deref();
    let own = given.filter(|_| is_trusted).and_then(|id| id.parse().ok()).and_then(Id::new);
    own.unwrap_or_else(|| match given {
        Some(id) => hash([b"id", id.as_bytes()]),
        None => hash([
            b"message",
            publication.exchange.as_bytes(),
            publication.routing_key.as_bytes(),
            &properties.timestamp.unwrap_or_default().to_be_bytes(),
            &publication.message.body,
        ]),
    })
}

/// An ID of parts of which none can be taken for another.
fn hash<const N: usize>(parts: [&[u8]; N]) -> Id {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    id_of(&hash.finalize())
}

/// The ID that the low bits of a hash make.
pub(super) fn id_of(digest: &[u8]) -> Id {
    let low = digest.iter().rev().take(8).rev();
    Id::from_bits(low.fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}
