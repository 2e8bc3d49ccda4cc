//! [`Arguments`]: what the arguments of `queue.declare` ask of a queue.
//!
//! *Spec.* AMQP 0-9-1 leaves arguments to the server: these are RabbitMQ's for classic queues, with
//! its words for those that it refuses. What belongs to quorum queues and streams is refused by name,
//! as they are.

use std::time::Duration;

use protocols::broker::{BrokerError, Value};
use protocols::text::Text;

use super::refusals;
use crate::expiration::MAX_TTL;

/// There is one type of queue here.
const QUEUE_TYPE: &str = "x-queue-type";

/// Arguments that quorum queues and streams alone have.
const OF_OTHER_TYPES: [&str; 10] = [
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-queue-leader-locator",
    "x-quorum-initial-group-size",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

/// What a queue was asked to be, beyond its flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Arguments {
    /// `x-message-ttl`: how long a message may wait.
    pub(super) message_ttl: Option<Duration>,
    /// `x-expires`: how long the queue stays without a consumer.
    pub(super) expires: Option<Duration>,
    /// `x-max-length`: most messages that wait.
    pub(super) max_length: Option<usize>,
    /// `x-max-length-bytes`: most bytes of the bodies of messages that wait.
    pub(super) max_length_bytes: Option<usize>,
    /// `x-overflow`: what happens beyond these.
    pub(super) overflow: Overflow,
    /// `x-dead-letter-exchange` and its key.
    pub(super) dead_letter: Option<DeadLetter>,
    /// `x-single-active-consumer`: one consumer at a time.
    pub(super) single_active_consumer: bool,
    /// `x-max-priority`: the highest priority that means more than the one below.
    pub(super) max_priority: u8,
    /// As they were given.
    given: Vec<(Text, Value)>,
}

/// What happens to a message that finds a queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Overflow {
    /// The oldest makes room.
    #[default]
    DropHead,
    /// Its publisher is told that it was not taken.
    RejectPublish,
    /// The same, and it is dead-lettered.
    RejectPublishDlx,
}

/// Where a queue sends what it gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeadLetter {
    /// The exchange; empty for the default one. It need not exist.
    pub(super) exchange: Text,
    /// The key that takes the place of the message's own.
    pub(super) routing_key: Option<Text>,
}

impl Arguments {
    /// *Errors.* An argument that RabbitMQ refuses too, or one that is not offered here.
    pub(super) fn read(
        given: &[(Text, Value)],
        queue: &str,
        vhost: &str,
    ) -> Result<Self, BrokerError> {
        let mut read = Self::default();
        let (mut exchange, mut routing_key) = (None, None);
        for (name, value) in given {
            let refuse = |why: String| refusals::invalid_argument(name, queue, vhost, &why);
            match &**name {
                "x-message-ttl" => {
                    read.message_ttl = Some(milliseconds(value, 0).map_err(refuse)?);
                }
                "x-expires" => read.expires = Some(milliseconds(value, 1).map_err(refuse)?),
                "x-max-length" => read.max_length = Some(count(value).map_err(refuse)?),
                "x-max-length-bytes" => read.max_length_bytes = Some(count(value).map_err(refuse)?),
                "x-max-priority" => read.max_priority = priority(value).map_err(refuse)?,
                "x-overflow" => read.overflow = overflow(value).map_err(refuse)?,
                "x-dead-letter-exchange" => exchange = Some(name_or_key(value).map_err(refuse)?),
                "x-dead-letter-routing-key" => {
                    routing_key = Some(name_or_key(value).map_err(refuse)?)
                }
                "x-single-active-consumer" => {
                    read.single_active_consumer = flag(value).map_err(refuse)?;
                }
                QUEUE_TYPE => queue_type(value, refuse)?,
                // How much of it is on disk: it means nothing in memory.
                "x-queue-mode" => queue_mode(value).map_err(refuse)?,
                name if OF_OTHER_TYPES.contains(&name) => {
                    return Err(refusals::argument_of_other_type(name, queue, vhost));
                }
                _ => {
                    return Err(refusals::not_offered(format_args!("queue argument '{name}'")));
                }
            }
        }
        read.dead_letter = match (exchange, routing_key) {
            (Some(exchange), routing_key) => Some(DeadLetter { exchange, routing_key }),
            (None, None) => None,
            (None, Some(_)) => {
                let why = "routing_key_but_no_dlx_defined";
                let name = "x-dead-letter-routing-key";
                return Err(refusals::invalid_argument(name, queue, vhost, why));
            }
        };
        // The type there is by default: saying so makes no difference.
        let given = given.iter().filter(|(name, _)| *name != QUEUE_TYPE);
        read.given = given.map(|(name, value)| (name.detached(), value.detached())).collect();
        Ok(read)
    }

    /// Of the queue that stands for a resumable session.
    pub(super) fn of_session(lifetime: Duration) -> Self {
        Self { expires: Some(lifetime), ..Self::default() }
    }

    /// Of a lasting queue, which keeps so many messages, for so long without a consumer.
    pub(super) fn of_lasting(messages: usize, lifetime: Duration) -> Self {
        let (max_length, single_active_consumer) = (Some(messages), true);
        Self { max_length, single_active_consumer, ..Self::of_session(lifetime) }
    }

    /// AMQP 0-9-1 `queue.declare`, rule *equivalent*: what is asked for must be what is there.
    pub(super) fn check_equivalence(
        &self,
        asked: &[(Text, Value)],
        queue: &str,
        vhost: &str,
    ) -> Result<(), BrokerError> {
        let differs = |name, received: Option<&Value>, current: Option<&Value>| {
            let (received, current) = match (received, current) {
                (Some(received), Some(current)) => (shown(received), shown(current)),
                (received, current) => (described(received), described(current)),
            };
            Err(refusals::inequivalent(name, queue, vhost, &received, &current))
        };
        for (name, received) in asked {
            if *name == QUEUE_TYPE && is_classic(received) {
                continue;
            }
            let current = find(&self.given, name);
            if current != Some(received) {
                return differs(name, Some(received), current);
            }
        }
        match self.given.iter().find(|(name, _)| find(asked, name).is_none()) {
            Some((name, current)) => differs(name, None, Some(current)),
            None => Ok(()),
        }
    }
}

/// *Errors.* The value is something else, in RabbitMQ's words.
pub(super) fn integer(value: &Value) -> Result<i64, String> {
    match value {
        Value::Integer(number) => Ok(*number),
        other => Err(format!("\"expected integer, got {}\"", type_name(other))),
    }
}

fn find<'a>(arguments: &'a [(Text, Value)], name: &str) -> Option<&'a Value> {
    arguments.iter().find(|(own, _)| *own == *name).map(|(_, value)| value)
}

/// What RabbitMQ calls the type of a value.
pub(super) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "longstr",
        Value::Boolean(_) => "bool",
        Value::Integer(number) if *number as i32 as i64 == *number => "signedint",
        Value::Integer(_) => "long",
        Value::Double(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Timestamp(_) => "timestamp",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
        Value::Void => "void",
    }
}

/// Without its type.
pub(super) fn bare(value: &Value) -> String {
    match value {
        Value::Text(text) => text.as_str().to_owned(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn shown(value: &Value) -> String {
    format!("'{}'", bare(value))
}

fn described(value: Option<&Value>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| format!("the value '{}' of type '{}'", bare(value), type_name(value)),
    )
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", type_name(value))
}

fn count(value: &Value) -> Result<usize, String> {
    let number = integer(value)?;
    usize::try_from(number).map_err(|_| format!("{{value_negative,{number}}}"))
}

fn milliseconds(value: &Value, least: u64) -> Result<Duration, String> {
    let number = integer(value)?;
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}")),
        Ok(number) if number < least => Err(format!("{{value_zero,{number}}}")),
        Ok(number) if number > MAX_TTL => Err(format!("{{value_too_large,{number}}}")),
        Ok(number) => Ok(Duration::from_millis(number)),
    }
}

fn priority(value: &Value) -> Result<u8, String> {
    let number = count(value)?;
    u8::try_from(number).map_err(|_| format!("{{max_value_exceeded,{number}}}"))
}

fn text(value: &Value) -> Result<Text, String> {
    match value {
        Value::Text(text) => Ok(text.detached()),
        other => Err(unacceptable(other)),
    }
}

/// What fits AMQP's short strings: it becomes an exchange's name, or a routing key.
fn name_or_key(value: &Value) -> Result<Text, String> {
    let text = text(value)?;
    if text.len() > refusals::MAX_NAME {
        return Err(format!("{} bytes are more than {}", text.len(), refusals::MAX_NAME));
    }
    Ok(text)
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(flag) => Ok(*flag),
        other => Err(unacceptable(other)),
    }
}

fn overflow(value: &Value) -> Result<Overflow, String> {
    match &*text(value)? {
        "drop-head" => Ok(Overflow::DropHead),
        "reject-publish" => Ok(Overflow::RejectPublish),
        "reject-publish-dlx" => Ok(Overflow::RejectPublishDlx),
        _ => Err("invalid_overflow".to_owned()),
    }
}

fn is_classic(value: &Value) -> bool {
    matches!(value, Value::Text(kind) if *kind == "classic")
}

fn queue_type(
    value: &Value,
    refuse: impl FnOnce(String) -> BrokerError,
) -> Result<(), BrokerError> {
    match value {
        value if is_classic(value) => Ok(()),
        Value::Text(kind) if *kind == "quorum" || *kind == "stream" => {
            Err(refusals::not_offered(format_args!("queue type '{kind}'")))
        }
        Value::Text(kind) => Err(refuse(format!("\"unsupported queue type '{kind}'\""))),
        other => Err(refuse(unacceptable(other))),
    }
}

fn queue_mode(value: &Value) -> Result<(), String> {
    let mode = text(value)?;
    if matches!(&*mode, "default" | "lazy") {
        return Ok(());
    }
    Err(format!("\"unsupported queue mode '{mode}'\""))
}
