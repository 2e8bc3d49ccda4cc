//! Headers of SUBSCRIBE and SEND that say how a queue is declared, bound and consumed.
//!
//! | header | is |
//! |---|---|
//! | `durable`, `exclusive`, `auto-delete` | flags of the queue; `persistent` on SUBSCRIBE is `durable` |
//! | `x-queue-name` | the name of the queue behind a topic or an exchange |
//! | `x-message-ttl`, `x-max-length`, … ([`ARGUMENTS`]) | an argument of the queue |
//! | `x-bind-<name>` | the argument `<name>` of the binding: what a headers exchange matches |
//! | `x-priority`, `x-stream-offset`, … ([`CONSUMER_ARGUMENTS`]) | an argument of the consumer |
//!
//! *Spec.* STOMP leaves them to the server: these are RabbitMQ's, and those that its plugin passes
//! over though the broker knows them. A queue that is not durable belongs to whoever declared it, as
//! with the plugin, unless the client says otherwise.

use data_encoding::BASE64URL_NOPAD;
use md5::{Digest, Md5};

use crate::broker::{Address, QueueOptions, Value};
use crate::stomp::client_frame::{ClientFrame, flag};
use crate::stomp::compat::{Compat, Switch};
use crate::text::Text;
use crate::violation::Violation;

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Flag,
}

/// Arguments of `queue.declare` that RabbitMQ knows.
const ARGUMENTS: [(&str, Kind); 22] = [
    ("x-consumer-timeout", Kind::Number),
    ("x-dead-letter-exchange", Kind::Text),
    ("x-dead-letter-routing-key", Kind::Text),
    ("x-dead-letter-strategy", Kind::Text),
    ("x-delivery-limit", Kind::Number),
    ("x-expires", Kind::Number),
    ("x-initial-cluster-size", Kind::Number),
    ("x-max-age", Kind::Text),
    ("x-max-in-memory-bytes", Kind::Number),
    ("x-max-in-memory-length", Kind::Number),
    ("x-max-length", Kind::Number),
    ("x-max-length-bytes", Kind::Number),
    ("x-max-priority", Kind::Number),
    ("x-message-ttl", Kind::Number),
    ("x-overflow", Kind::Text),
    ("x-queue-leader-locator", Kind::Text),
    ("x-queue-mode", Kind::Text),
    ("x-queue-type", Kind::Text),
    ("x-quorum-initial-group-size", Kind::Number),
    ("x-single-active-consumer", Kind::Flag),
    ("x-stream-filter-size-bytes", Kind::Number),
    ("x-stream-max-segment-size-bytes", Kind::Number),
];

/// Those that RabbitMQ's plugin takes.
const FEWER: [(&str, Kind); 8] = [
    ("x-dead-letter-exchange", Kind::Text),
    ("x-dead-letter-routing-key", Kind::Text),
    ("x-expires", Kind::Number),
    ("x-max-length", Kind::Number),
    ("x-max-length-bytes", Kind::Number),
    ("x-max-priority", Kind::Number),
    ("x-message-ttl", Kind::Number),
    ("x-queue-type", Kind::Text),
];

/// Arguments of `basic.consume` that RabbitMQ knows, but for `x-stream-offset`.
const CONSUMER_ARGUMENTS: [(&str, Kind); 3] = [
    ("x-priority", Kind::Number),
    ("x-stream-filter", Kind::Text),
    ("x-stream-match-unfiltered", Kind::Flag),
];

/// Where a consumer of a stream begins.
const STREAM_OFFSET: &str = "x-stream-offset";

/// Names the queue behind a topic or an exchange.
pub(super) const QUEUE_NAME: &str = "x-queue-name";

/// Begins the name of a header for an argument of the binding.
const BINDING: &str = "x-bind-";

/// How the queue of a SUBSCRIBE is declared and bound; it has no name yet.
///
/// *Errors.* [`Violation::BadHeader`] for an argument of the wrong kind.
pub(super) fn of_subscribe(
    frame: ClientFrame<'_>,
    from: &Address,
    compat: Compat,
) -> Result<QueueOptions, Violation> {
    let durable = durable(frame);
    let mut options = declared(frame, durable, from, compat)?;
    for (name, value) in frame.headers() {
        if let Some(argument) = name.strip_prefix(BINDING) {
            add(&mut options.binding, argument, || Ok(Value::Text(Text::from(value))))?;
        }
    }
    Ok(options)
}

/// How a SEND declares the queue it goes to; `None` for the defaults. Here, `persistent` is about
/// the message alone, but for [`Switch::PersistentQueues`].
///
/// *Errors.* As [`of_subscribe`].
pub(super) fn of_send(
    frame: ClientFrame<'_>,
    to: &Address,
    compat: Compat,
) -> Result<Option<Box<QueueOptions>>, Violation> {
    let by_persistent = compat.has(Switch::PersistentQueues);
    let says = |(name, value): (&str, &str)| match name {
        "durable" | "exclusive" | "auto-delete" => true,
        // Otherwise it says what is the default.
        "persistent" => by_persistent && flag(value) == Some(false),
        _ => kind(&ARGUMENTS, name).is_some(),
    };
    if !matches!(to, Address::Queue(_)) || !frame.headers().any(says) {
        return Ok(None);
    }
    let durable = if by_persistent { durable(frame) } else { frame.flag("durable") };
    declared(frame, durable, to, compat).map(|options| Some(Box::new(options)))
}

fn declared(
    frame: ClientFrame<'_>,
    durable: Option<bool>,
    address: &Address,
    compat: Compat,
) -> Result<QueueOptions, Violation> {
    let known: &[_] = if compat.has(Switch::FewerArguments) { &FEWER } else { &ARGUMENTS };
    // As with the plugin: what does not last is not left behind either.
    let is_fleeting = durable == Some(false) && matches!(address, Address::Queue(_));
    let or_fleeting = |flag: Option<bool>| flag.or_else(|| is_fleeting.then_some(true));
    Ok(QueueOptions {
        durable,
        exclusive: or_fleeting(frame.flag("exclusive")),
        auto_delete: or_fleeting(frame.flag("auto-delete")),
        arguments: arguments(frame, known)?,
        ..QueueOptions::default()
    })
}

/// The arguments of the consumer that a SUBSCRIBE starts.
///
/// *Errors.* [`Violation::BadHeader`] for an argument of the wrong kind.
pub(super) fn of_consumer(frame: ClientFrame<'_>) -> Result<Vec<(Text, Value)>, Violation> {
    let mut all = arguments(frame, &CONSUMER_ARGUMENTS)?;
    if let Some(value) = frame.get(STREAM_OFFSET) {
        let offset = stream_offset(value).ok_or_else(|| {
            frame.bad(
                STREAM_OFFSET,
                "first, last, next, offset=N, timestamp=N or an interval such as 1h",
                value,
            )
        })?;
        all.push((Text::from_static(STREAM_OFFSET), offset));
    }
    Ok(all)
}

fn stream_offset(value: &str) -> Option<Value> {
    let value = value.trim();
    Some(match value.split_once('=') {
        Some(("offset", number)) => Value::Integer(number.parse().ok()?),
        Some(("timestamp", seconds)) => Value::Timestamp(seconds.parse().ok()?),
        Some(_) => return None,
        None if matches!(value, "first" | "last" | "next") || is_interval(value) => {
            Value::Text(Text::from(value))
        }
        None => return None,
    })
}

/// `1h`, `7D` and the like (RabbitMQ: `x-stream-offset` and `x-max-age` as an interval).
fn is_interval(value: &str) -> bool {
    let digits = value.trim_end_matches(['Y', 'M', 'D', 'h', 'm', 's']);
    digits.len() + 1 == value.len() && digits.parse::<u32>().is_ok()
}

/// The name of the queue of a SUBSCRIBE, if it is one that others can name too: `x-queue-name`, or
/// one made of `parts` for a durable subscription.
///
/// *Errors.* [`Violation::BadHeader`] for a name that is none, [`Violation::MissingHeader`] for a
/// durable subscription without `id`.
pub(super) fn name(
    frame: ClientFrame<'_>,
    from: &Address,
    user: &str,
    compat: Compat,
) -> Result<Option<Text>, Violation> {
    let key = match from {
        Address::Topic(key) => key,
        Address::Exchange { key, .. } => key,
        Address::Queue(_) | Address::ExistingQueue(_) | Address::Private(_) => return Ok(None),
    };
    if let Some(name) = frame.get(QUEUE_NAME) {
        return match frame.name(QUEUE_NAME, name)? {
            "" => Err(frame.bad(QUEUE_NAME, "the name of a queue", name)),
            name => Ok(Some(Text::from(name))),
        };
    }
    if !is_durable(frame) {
        return Ok(None);
    }
    let id = frame.require("id")?;
    if compat.has(Switch::DurableNames) {
        return Ok(Some(plugin_name(key, id)));
    }
    let exchange = if let Address::Exchange { name, .. } = from { name.as_str() } else { "" };
    Ok(Some(durable_name(user, exchange, key, id)))
}

/// Whether a SUBSCRIBE or UNSUBSCRIBE is about a subscription that lasts.
pub(super) fn is_durable(frame: ClientFrame<'_>) -> bool {
    durable(frame) == Some(true)
}

/// What a frame says about lasting. If `durable` contradicts it, `persistent` counts, as with the
/// plugin.
fn durable(frame: ClientFrame<'_>) -> Option<bool> {
    frame.flag("persistent").or_else(|| frame.flag("durable"))
}

/// A name that is always the same for these, and another for all others.
fn durable_name(user: &str, exchange: &str, key: &str, id: &str) -> Text {
    let mut hash = Md5::new();
    for part in [user, exchange, key, id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    named_by(hash)
}

/// The name that RabbitMQ's plugin gives to the queue of a durable subscription: it hashes the pair
/// of key and `id` as Erlang writes it down (External Term Format: version 131, tuple 104 of two,
/// strings 107 with their length, 106 for an empty one).
fn plugin_name(key: &str, id: &str) -> Text {
    let mut hash = Md5::new();
    hash.update([131, 104, 2]);
    for part in [key, id] {
        if let (1.., Ok(length)) = (part.len(), u16::try_from(part.len())) {
            hash.update([107]);
            hash.update(length.to_be_bytes());
            hash.update(part);
        } else {
            hash.update([106]);
        }
    }
    named_by(hash)
}

fn named_by(hash: Md5) -> Text {
    Text::from(format!("stomp-subscription-{}", BASE64URL_NOPAD.encode(&hash.finalize())))
}

/// The first header of a SUBSCRIBE that says how its queue is declared, bound or consumed, but for the
/// prefetch; and what it says.
pub(super) fn said<'a>(frame: ClientFrame<'a>) -> Option<(&'static str, &'a str)> {
    const FLAGS: [&str; 5] = ["durable", "persistent", "exclusive", "auto-delete", QUEUE_NAME];
    frame.headers().find_map(|(name, value)| {
        let known = FLAGS.into_iter().find(|flag| *flag == name).or_else(|| header(name));
        let binding = || name.starts_with(BINDING).then_some(BINDING);
        Some((known.or_else(binding)?, value))
    })
}

/// The header that an argument of a queue or a consumer comes from.
pub(super) fn header(argument: &str) -> Option<&'static str> {
    let known = kind(&ARGUMENTS, argument).or_else(|| kind(&CONSUMER_ARGUMENTS, argument));
    known.map(|(name, _)| name).or_else(|| (argument == STREAM_OFFSET).then_some(STREAM_OFFSET))
}

fn kind(known: &[(&'static str, Kind)], name: &str) -> Option<(&'static str, Kind)> {
    if !name.starts_with("x-") {
        return None;
    }
    known.iter().find(|(known, _)| *known == name).copied()
}

fn arguments(
    frame: ClientFrame<'_>,
    known: &[(&'static str, Kind)],
) -> Result<Vec<(Text, Value)>, Violation> {
    let mut all = Vec::new();
    for (name, value) in frame.headers() {
        if let Some((name, kind)) = kind(known, name) {
            add(&mut all, name, || argument(frame, (name, kind), value.trim()))?;
        }
    }
    Ok(all)
}

/// Of repeated headers the first counts.
fn add(
    all: &mut Vec<(Text, Value)>,
    name: &str,
    value: impl FnOnce() -> Result<Value, Violation>,
) -> Result<(), Violation> {
    if all.iter().all(|(known, _)| known != name) {
        all.push((Text::from(name), value()?));
    }
    Ok(())
}

fn argument(
    frame: ClientFrame<'_>,
    (name, kind): (&'static str, Kind),
    value: &str,
) -> Result<Value, Violation> {
    Ok(match kind {
        Kind::Text => Value::Text(Text::from(value)),
        Kind::Number => Value::Integer(frame.number(name, "a whole number", value)?),
        Kind::Flag => {
            Value::Boolean(flag(value).ok_or_else(|| frame.bad(name, "true or false", value))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_name_belongs_to_user_exchange_key_and_id_together() {
        let name = |user, exchange, key, id| durable_name(user, exchange, key, id);
        let one = name("ann", "", "a.b", "0");
        assert_eq!(one, name("ann", "", "a.b", "0"));
        assert_eq!(one.len(), "stomp-subscription-".len() + 22);
        for other in [
            name("bob", "", "a.b", "0"),
            name("ann", "x", "a.b", "0"),
            name("ann", "", "a.c", "0"),
            name("ann", "", "a.b", "1"),
            name("an", "n", "a.b", "0"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_stream_offset_is_a_place_a_number_a_time_or_an_interval() {
        for (text, value) in [
            ("first", Some(Value::Text("first".into()))),
            ("next", Some(Value::Text("next".into()))),
            ("offset=40", Some(Value::Integer(40))),
            ("timestamp=1600000000", Some(Value::Timestamp(1_600_000_000))),
            ("7D", Some(Value::Text("7D".into()))),
            ("7", None),
            ("h", None),
            ("7hh", None),
            ("offset=x", None),
            ("second", None),
        ] {
            assert_eq!(stream_offset(text), value, "{text}");
        }
    }
}
