//! Messages across the boundary: the port's properties to AMQP basic properties, and back.
//!
//! Nothing else of the adapter knows AMQP field types. RabbitMQ closes a channel for a message that
//! it does not take, and with it all else that the channel does: such a message is refused here,
//! before anything is sent.
//!
//! | port | to AMQP | from AMQP |
//! |---|---|---|
//! | persistent | delivery mode 2, else none | true for mode 2 |
//! | text | long string | long string of UTF-8 |
//! | integer | `I` if it fits, else `l` | any integer |
//! | double | `d` | `f`, `d` |
//! | bytes | byte array `x` | byte array, or long string that is not UTF-8 |
//! | decimal | `D`, signed as RabbitMQ's clients have it | the same |
//! | headers of the same name | the first | there are none; sorted by name |
//!
//! RabbitMQ reads 64 bit integers as signed, whatever their type (`l`, `L`), so that no integer is
//! out of range. Arrays and tables deeper than [`Value::MAX_DEPTH`] have become byte arrays before
//! they come here (`screen.rs`); if there were any, they would become [`Value::Void`].
//! `cluster-id` is dropped.
//!
//! *Spec.* AMQP 0-9-1 §4.2.5.5 (field tables), §4.2.6.1 (content header); RabbitMQ's AMQP 0-9-1
//! errata §3 (field types).

use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
use protocols::broker::{BrokerError, Double, Message, Properties, Publication, Value};
use protocols::text::{Text, TextPool};

use crate::{expiration, refusals};

/// Delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// Bytes of a content header frame that are not properties: type, channel, size and end of the
/// frame, then class, weight and size of the body.
const HEADER_FRAME: usize = 1 + 2 + 4 + 1 + 2 + 2 + 8;

/// Bytes that say which properties there are.
const FLAGS: usize = 2;

/// The properties of a message that is published by `user` in frames of at most `frame_size` bytes.
///
/// *Errors.* What RabbitMQ would close the channel or the connection for: a text or the name of a
/// header that AMQP has no room for, a `user-id` that is not the user (even if its tags allow it),
/// an `expiration` that is no number, a `CC` or `BCC` that is no array, direct reply-to, properties
/// that fill more than a frame. *Cost.* Each text is copied once.
pub(super) fn to_amqp(
    properties: &Properties,
    user: &str,
    frame_size: usize,
) -> Result<BasicProperties, BrokerError> {
    let mut basic = with_texts(properties)?;
    if let Some(claimed) = properties.user_id.as_deref()
        && claimed != user
    {
        return Err(refusals::foreign_user_id(claimed, user));
    }
    // Names that begin with it are only handed on.
    if properties.reply_to.as_deref() == Some(refusals::DIRECT_REPLY_TO) {
        return Err(refusals::direct_reply_to());
    }
    if let Some(expiration) = properties.expiration.as_deref() {
        expiration::parse(expiration)?;
    }
    if !properties.headers.is_empty() {
        basic = basic.with_headers(headers(&properties.headers)?);
    }
    if properties.persistent {
        basic = basic.with_delivery_mode(PERSISTENT);
    }
    if let Some(priority) = properties.priority {
        basic = basic.with_priority(priority);
    }
    if let Some(timestamp) = properties.timestamp {
        basic = basic.with_timestamp(timestamp);
    }
    let size = HEADER_FRAME + encoded_size(&basic);
    if size > frame_size {
        return Err(refusals::properties_too_large(size, frame_size));
    }
    Ok(basic)
}

/// What was published, of a delivery; takes its body.
///
/// *Cost.* The body is not copied, all texts are, into one allocation.
pub(super) fn publication(delivery: &mut Delivery) -> Publication {
    let (exchange, key) = (delivery.exchange.as_str(), delivery.routing_key.as_str());
    let texts = exchange.len() + key.len() + encoded_size(&delivery.properties);
    let mut pool = TextPool::with_capacity(texts);
    Publication {
        exchange: pool.text(exchange),
        routing_key: pool.text(key),
        message: Message {
            properties: from_amqp(&delivery.properties, &mut pool),
            body: Bytes::from(mem::take(&mut delivery.data)),
        },
    }
}

/// The port's form of basic properties, its texts in this pool.
fn from_amqp(basic: &BasicProperties, pool: &mut TextPool) -> Properties {
    let mut text = |field: &Option<ShortString>| field.as_ref().map(|it| pool.text(it.as_str()));
    Properties {
        content_type: text(basic.content_type()),
        content_encoding: text(basic.content_encoding()),
        correlation_id: text(basic.correlation_id()),
        reply_to: text(basic.reply_to()),
        expiration: text(basic.expiration()),
        message_id: text(basic.message_id()),
        kind: text(basic.kind()),
        user_id: text(basic.user_id()),
        app_id: text(basic.app_id()),
        persistent: *basic.delivery_mode() == Some(PERSISTENT),
        priority: *basic.priority(),
        timestamp: *basic.timestamp(),
        headers: basic
            .headers()
            .as_ref()
            .map_or_else(Vec::new, |table| from_table(table, Value::MAX_DEPTH, pool)),
    }
}

/// Those properties that are texts.
fn with_texts(properties: &Properties) -> Result<BasicProperties, BrokerError> {
    type With = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&str, &Option<Text>, With); 9] = [
        ("content-type", &properties.content_type, BasicProperties::with_content_type),
        ("content-encoding", &properties.content_encoding, BasicProperties::with_content_encoding),
        ("correlation-id", &properties.correlation_id, BasicProperties::with_correlation_id),
        ("reply-to", &properties.reply_to, BasicProperties::with_reply_to),
        ("expiration", &properties.expiration, BasicProperties::with_expiration),
        ("message-id", &properties.message_id, BasicProperties::with_message_id),
        ("type", &properties.kind, BasicProperties::with_type),
        ("user-id", &properties.user_id, BasicProperties::with_user_id),
        ("app-id", &properties.app_id, BasicProperties::with_app_id),
    ];
    let mut basic = BasicProperties::default();
    for (name, text, with) in texts {
        if let Some(text) = text {
            basic = with(basic, short(name, text)?);
        }
    }
    Ok(basic)
}

fn headers(headers: &[(Text, Value)]) -> Result<FieldTable, BrokerError> {
    let table = to_table(headers)?;
    for name in ["CC", "BCC"] {
        let keys = match table.inner().get(name) {
            None => continue,
            Some(AMQPValue::FieldArray(keys)) => keys,
            Some(_) => return Err(refusals::no_array(name)),
        };
        for key in keys.as_slice() {
            if let AMQPValue::LongString(key) = key {
                refusals::check_reply_name(&String::from_utf8_lossy(key.as_bytes()))?;
            }
        }
    }
    Ok(table)
}

/// A table of AMQP's.
///
/// *Errors.* A name or a value that AMQP cannot carry.
pub(super) fn to_table(entries: &[(Text, Value)]) -> Result<FieldTable, BrokerError> {
    let mut table = BTreeMap::new();
    for (name, value) in entries {
        table.entry(short("the name of a header", name)?).or_insert(to_value(value)?);
    }
    Ok(FieldTable::from(table))
}

fn to_value(value: &Value) -> Result<AMQPValue, BrokerError> {
    Ok(match value {
        Value::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
        Value::Boolean(flag) => AMQPValue::Boolean(*flag),
        Value::Integer(number) => match i32::try_from(*number) {
            Ok(number) => AMQPValue::LongInt(number),
            Err(_) => AMQPValue::LongLongInt(*number),
        },
        // Erlang has no others: RabbitMQ cannot read them.
        Value::Double(number) if !number.0.is_finite() => return Err(refusals::not_finite()),
        Value::Double(number) => AMQPValue::Double(number.0),
        Value::Decimal { scale, unscaled } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: unscaled.cast_unsigned() })
        }
        Value::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        Value::Bytes(bytes) => AMQPValue::ByteArray(ByteArray::from(&bytes[..])),
        Value::Array(values) => {
            let values: Vec<AMQPValue> = values.iter().map(to_value).collect::<Result<_, _>>()?;
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        Value::Table(entries) => AMQPValue::FieldTable(to_table(entries)?),
        Value::Void => AMQPValue::Void,
    })
}

fn from_table(table: &FieldTable, depth: usize, pool: &mut TextPool) -> Vec<(Text, Value)> {
    let entries = table.inner().iter();
    entries
        .map(|(name, value)| (pool.text(name.as_str()), from_value(value, depth, pool)))
        .collect()
}

/// The port's form of a value in which arrays and tables may lie `depth` deep.
fn from_value(value: &AMQPValue, depth: usize, pool: &mut TextPool) -> Value {
    match value {
        AMQPValue::Boolean(flag) => Value::Boolean(*flag),
        AMQPValue::ShortShortInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortShortUInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortUInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongUInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongLongInt(number) => Value::Integer(*number),
        AMQPValue::Float(number) => Value::Double(Double((*number).into())),
        AMQPValue::Double(number) => Value::Double(Double(*number)),
        AMQPValue::DecimalValue(decimal) => {
            Value::Decimal { scale: decimal.scale, unscaled: decimal.value.cast_signed() }
        }
        AMQPValue::ShortString(text) => Value::Text(pool.text(text.as_str())),
        AMQPValue::LongString(bytes) => match str::from_utf8(bytes.as_bytes()) {
            Ok(text) => Value::Text(pool.text(text)),
            Err(_) => Value::Bytes(pool.bytes(bytes.as_bytes())),
        },
        AMQPValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AMQPValue::ByteArray(bytes) => Value::Bytes(pool.bytes(bytes.as_slice())),
        AMQPValue::FieldArray(values) if depth > 0 => {
            let values = values.as_slice().iter();
            Value::Array(values.map(|value| from_value(value, depth - 1, pool)).collect())
        }
        AMQPValue::FieldTable(table) if depth > 0 => {
            Value::Table(from_table(table, depth - 1, pool))
        }
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => Value::Void,
    }
}

fn short(what: &str, text: &str) -> Result<ShortString, BrokerError> {
    // Looked at before it is copied: it may be as long as a frame of the client.
    if text.len() > refusals::MAX_NAME {
        return Err(refusals::text_too_long(what, text.len()));
    }
    ShortString::try_new(text).map_err(|_| refusals::text_too_long(what, text.len()))
}

/// Bytes of these properties on the wire; no fewer than all their texts have together.
fn encoded_size(basic: &BasicProperties) -> usize {
    let texts = [
        basic.content_type(),
        basic.content_encoding(),
        basic.correlation_id(),
        basic.reply_to(),
        basic.expiration(),
        basic.message_id(),
        basic.kind(),
        basic.user_id(),
        basic.app_id(),
        basic.cluster_id(),
    ];
    let texts: usize = texts.into_iter().flatten().map(short_size).sum();
    let bytes = [basic.delivery_mode(), basic.priority()];
    let bytes = bytes.into_iter().flatten().count();
    let timestamp = basic.timestamp().map_or(0, |seconds| size_of_val(&seconds));
    FLAGS + texts + bytes + timestamp + basic.headers().as_ref().map_or(0, table_size)
}

fn table_size(table: &FieldTable) -> usize {
    let entries = table.inner().iter();
    LENGTH + entries.map(|(name, value)| short_size(name) + 1 + value_size(value)).sum::<usize>()
}

/// Bytes of a value without the one that names its type.
fn value_size(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => short_size(text),
        AMQPValue::LongString(bytes) => LENGTH + bytes.len(),
        AMQPValue::ByteArray(bytes) => LENGTH + bytes.len(),
        AMQPValue::FieldArray(values) => {
            LENGTH + values.as_slice().iter().map(|value| 1 + value_size(value)).sum::<usize>()
        }
        AMQPValue::FieldTable(table) => table_size(table),
    }
}

fn short_size(text: &ShortString) -> usize {
    1 + text.as_str().len()
}

/// Bytes of the length of a long string, a byte array, an array or a table.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests;
