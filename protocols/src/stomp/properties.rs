//! Headers to AMQP basic properties (SEND), and back (MESSAGE).
//!
//! | header | property |
//! |---|---|
//! | `content-type`, `content-encoding`, `correlation-id`, `expiration`, `type`, `user-id`, `app-id` | of the same name |
//! | `reply-to` | of the same name; on MESSAGE as a destination, `/reply-queue/…` if it is none |
//! | `priority`, `timestamp` | of the same name; numbers |
//! | `amqp-message-id` | message-id |
//! | `persistent:true` | delivery mode 2 |
//! | `wamp-…` | not taken from a client: gateways tell each other by them |
//! | any other | an application header: text on SEND, on MESSAGE of any type (`typed.rs`) |
//!
//! *Spec.* STOMP 1.2 §SEND: other headers travel with the message; §MESSAGE. A header that the
//! server sets on MESSAGE is never taken from a publisher.

use std::io::Write;

use crate::broker::{Properties, Value, is_of_gateways};
use crate::stomp::client_frame::{ClientFrame, flag};
use crate::stomp::encode::Encoder;
use crate::stomp::{destination, typed};
use crate::text::Text;
use crate::violation::Violation;

/// The properties of a SEND.
///
/// *Order.* Of repeated headers the first counts. *Errors.* [`Violation::ForbiddenHeader`] for
/// `message-id`, which is the server's; [`Violation::BadHeader`] for a number that is none.
pub(super) fn read(frame: &ClientFrame<'_>) -> Result<Properties, Violation> {
    let mut properties = Properties::default();
    let mut persistent = None;
    for (name, value) in frame.headers() {
        let property = match name {
            "destination" | "receipt" | "transaction" | "content-length" | "mandatory" => continue,
            "message-id" => return Err(frame.forbidden("message-id")),
            "content-type" => &mut properties.content_type,
            "content-encoding" => &mut properties.content_encoding,
            "correlation-id" => &mut properties.correlation_id,
            "reply-to" => &mut properties.reply_to,
            "expiration" => &mut properties.expiration,
            "amqp-message-id" => &mut properties.message_id,
            "type" => &mut properties.kind,
            "user-id" => &mut properties.user_id,
            "app-id" => &mut properties.app_id,
            "persistent" => {
                persistent.get_or_insert_with(|| flag(value) == Some(true));
                continue;
            }
            "priority" => {
                let number = frame.number("priority", "a number from 0 to 255", value)?;
                properties.priority.get_or_insert(number);
                continue;
            }
            "timestamp" => {
                let number = frame.number("timestamp", "a number of seconds since 1970", value)?;
                properties.timestamp.get_or_insert(number);
                continue;
            }
            _ if is_of_gateways(name) => continue,
            _ => {
                if properties.headers.iter().all(|(known, _)| *known != *name) {
                    let value = Value::Text(frame.share(value));
                    properties.headers.push((frame.share(name), value));
                }
                continue;
            }
        };
        property.get_or_insert_with(|| frame.share(value));
    }
    properties.persistent = persistent.unwrap_or(false);
    Ok(properties)
}

/// Adds the properties to a MESSAGE.
pub(super) fn write(properties: &Properties, frame: &mut Encoder) {
    let texts: [(&str, &Option<Text>); 8] = [
        ("content-type", &properties.content_type),
        ("content-encoding", &properties.content_encoding),
        ("correlation-id", &properties.correlation_id),
        ("expiration", &properties.expiration),
        ("amqp-message-id", &properties.message_id),
        ("type", &properties.kind),
        ("user-id", &properties.user_id),
        ("app-id", &properties.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            frame.header(name, text);
        }
    }
    if let Some(reply_to) = &properties.reply_to {
        let prefix = destination::reply_prefix(reply_to);
        frame.composed("reply-to", |value| {
            // Writing to a frame never fails.
            let _ = value.write_all(prefix.as_bytes());
            let _ = value.write_all(reply_to.as_bytes());
        });
    }
    if properties.persistent {
        frame.header("persistent", "true");
    }
    if let Some(priority) = properties.priority {
        frame.number("priority", priority.into());
    }
    if let Some(timestamp) = properties.timestamp {
        frame.number("timestamp", timestamp);
    }
    for (name, value) in &properties.headers {
        if !is_set_by_server(name) {
            typed::write(name, value, frame);
        }
    }
}

/// Whether an application header of this name would pass for one of the server's.
///
/// Some receivers trim names, others lose the bytes that the encoder replaced by a blank: what both
/// might take off does not make another name.
fn is_set_by_server(name: &str) -> bool {
    let is_lost =
        |it: char| it.is_whitespace() || it.is_control() || matches!(it, ':' | BYTE_ORDER_MARK);
    matches!(
        name.trim_matches(is_lost),
        "subscription"
            | "message-id"
            | "destination"
            | "redelivered"
            | "ack"
            | "content-length"
            | "receipt-id"
            | "content-type"
            | "content-encoding"
            | "correlation-id"
            | "reply-to"
            | "expiration"
            | "amqp-message-id"
            | "type"
            | "user-id"
            | "app-id"
            | "persistent"
            | "priority"
            | "timestamp"
            | "x-dropped"
            | "x-gap"
    )
}

/// JavaScript trims it as well.
const BYTE_ORDER_MARK: char = '\u{feff}';
