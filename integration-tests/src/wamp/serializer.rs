//! How a message is written: JSON, MessagePack or CBOR (WAMP §Serializers).

use ciborium::Value as Cbor;
use data_encoding::BASE64;
use rmpv::Value as MsgPack;
use serde_json::{Map, Value};

/// A serializer of WAMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// JSON, in text messages.
    Json,
    /// MessagePack, in binary messages.
    MsgPack,
    /// CBOR, in binary messages.
    Cbor,
}

impl Serializer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// The sub-protocol that stands for it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "wamp.2.json",
            Self::MsgPack => "wamp.2.msgpack",
            Self::Cbor => "wamp.2.cbor",
        }
    }

    /// The `content-type` of arguments of WAMP in a message of the broker's.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.wamp+json",
            Self::MsgPack => "application/vnd.wamp+msgpack",
            Self::Cbor => "application/vnd.wamp+cbor",
        }
    }

    /// Whether it is written in text messages.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// A value as on the wire. A text that starts with NUL is written as the binary data that it stands
    /// for; one that stands for none panics.
    pub fn encode(self, value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Json => return value.to_string().into_bytes(),
            Self::MsgPack => rmpv::encode::write_value(&mut bytes, &to_msgpack(value))
                .expect("writing to a Vec cannot fail"),
            Self::Cbor => ciborium::into_writer(&to_cbor(value), &mut bytes)
                .expect("writing to a Vec cannot fail"),
        }
        bytes
    }

    /// One value; panics if it is none, if anything follows it, or if it has what WAMP does not.
    pub fn decode(self, bytes: &[u8]) -> Value {
        let shown = || String::from_utf8_lossy(bytes);
        let mut rest = bytes;
        let value = match self {
            Self::Json => {
                return serde_json::from_slice(bytes)
                    .unwrap_or_else(|error| panic!("{error}: {:?}", shown()));
            }
            Self::MsgPack => {
                let value = rmpv::decode::read_value(&mut rest);
                of_msgpack(value.unwrap_or_else(|error| panic!("{error}: {:?}", shown())))
            }
            Self::Cbor => {
                let value = ciborium::from_reader(&mut rest);
                of_cbor(value.unwrap_or_else(|error| panic!("{error}: {:?}", shown())))
            }
        };
        assert!(rest.is_empty(), "{} bytes follow {value}", rest.len());
        value
    }
}

/// Binary data as a value.
pub fn binary(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(format!("\0{}", BASE64.encode(bytes.as_ref())))
}

/// What a text stands for, if that is binary data.
fn as_binary(text: &str) -> Option<Vec<u8>> {
    let base64 = text.strip_prefix('\0')?;
    let bytes = BASE64.decode(base64.as_bytes());
    Some(bytes.unwrap_or_else(|error| panic!("not base64: {error} in {text:?}")))
}

fn to_msgpack(value: &Value) -> MsgPack {
    match value {
        Value::Null => MsgPack::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, number) => number.expect("a number of JSON is one of them").into(),
        },
        Value::String(text) => as_binary(text).map_or_else(|| text.as_str().into(), MsgPack::from),
        Value::Array(items) => items.iter().map(to_msgpack).collect::<Vec<_>>().into(),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| (key.as_str().into(), to_msgpack(value));
            MsgPack::Map(entries.iter().map(entry).collect())
        }
    }
}

fn of_msgpack(value: MsgPack) -> Value {
    match value {
        MsgPack::Nil => Value::Null,
        MsgPack::Boolean(flag) => flag.into(),
        MsgPack::Integer(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_i64().expect("an integer of MessagePack has 64 bits").into(),
        },
        MsgPack::F32(number) => f64::from(number).into(),
        MsgPack::F64(number) => number.into(),
        MsgPack::String(text) => text.into_str().expect("a text is UTF-8").into(),
        MsgPack::Binary(bytes) => binary(bytes),
        MsgPack::Array(items) => items.into_iter().map(of_msgpack).collect(),
        MsgPack::Map(entries) => {
            let pairs =
                entries.into_iter().map(|(key, value)| (of_msgpack(key), of_msgpack(value)));
            object(pairs)
        }
        MsgPack::Ext(kind, _) => panic!("an extension of MessagePack, {kind}"),
    }
}

fn to_cbor(value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, number) => number.expect("a number of JSON is one of them").into(),
        },
        Value::String(text) => as_binary(text).map_or_else(|| text.as_str().into(), Cbor::Bytes),
        Value::Array(items) => Cbor::Array(items.iter().map(to_cbor).collect()),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| (key.as_str().into(), to_cbor(value));
            Cbor::Map(entries.iter().map(entry).collect())
        }
    }
}

fn of_cbor(value: Cbor) -> Value {
    match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => flag.into(),
        Cbor::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (Err(_), Ok(number)) => number.into(),
            (Err(_), Err(_)) => panic!("an integer of more than 64 bits: {number:?}"),
        },
        Cbor::Float(number) => number.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Bytes(bytes) => binary(bytes),
        Cbor::Array(items) => items.into_iter().map(of_cbor).collect(),
        Cbor::Map(entries) => {
            object(entries.into_iter().map(|(key, value)| (of_cbor(key), of_cbor(value))))
        }
        other => panic!("{other:?} of CBOR is nothing of WAMP's"),
    }
}

/// Panics if a key is no text, or is there twice.
fn object(pairs: impl Iterator<Item = (Value, Value)>) -> Value {
    let mut object = Map::new();
    for (key, value) in pairs {
        let Value::String(key) = key else { panic!("the key {key} is no text") };
        assert_eq!(object.insert(key.clone(), value), None, "{key} is there twice");
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_back_as_they_are_written() {
        let value = json!([
            null, true, 0, 127, 128, -1, -129, 9_007_199_254_740_992_u64, 2.5, "", "grüße 🦀",
            binary(b"\0\xff"), [[[]]], { "größe": { "x": [1, { "y": null }] } },
        ]);
        for serializer in Serializer::ALL {
            assert_eq!(serializer.decode(&serializer.encode(&value)), value, "{serializer:?}");
        }
    }

    /// RFC 8949 §3.1, Appendix A; the specification of MessagePack, §Formats.
    #[test]
    fn binary_data_and_texts_are_told_apart_on_the_wire() {
        assert_eq!(Serializer::Cbor.encode(&binary([1, 2, 3, 4])), b"\x44\x01\x02\x03\x04");
        assert_eq!(Serializer::Cbor.encode(&json!("IETF")), b"\x64IETF");
        assert_eq!(Serializer::MsgPack.encode(&binary([1, 2])), b"\xc4\x02\x01\x02");
        assert_eq!(Serializer::MsgPack.encode(&json!("ab")), b"\xa2ab");
        assert_eq!(Serializer::Json.encode(&binary([16, 17])), br#""\u0000EBE=""#);
    }

    #[test]
    #[should_panic(expected = "follow")]
    fn what_follows_a_value_is_no_part_of_a_message() {
        Serializer::MsgPack.decode(b"\x90\x90");
    }
}
