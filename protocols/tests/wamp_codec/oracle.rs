//! Other decoders and encoders than those under test, over trees of values.

use cbor4ii::core::dec::Read;
use cbor4ii::core::utils::SliceReader;
use protocols::wamp::serializer::Serializer;
use serde::de::{Deserialize, IgnoredAny};
use serde::ser::{self, Serialize};
use serde_json::Value;

/// What the tree is in a serializer.
pub(crate) fn encode(serializer: Serializer, value: &Value) -> Vec<u8> {
    match serializer {
        Serializer::Json => serde_json::to_vec(value).unwrap(),
        Serializer::MsgPack => rmp_serde::to_vec(value).unwrap(),
        Serializer::Cbor => cbor4ii::serde::to_vec(Vec::new(), &WithNull(value)).unwrap(),
    }
}

/// The tree that the bytes stand for.
pub(crate) fn decode(serializer: Serializer, bytes: &[u8]) -> Value {
    match serializer {
        Serializer::Json => serde_json::from_slice(bytes).unwrap(),
        Serializer::MsgPack => rmp_serde::from_slice(bytes).unwrap(),
        Serializer::Cbor => cbor4ii::serde::from_slice(bytes).unwrap(),
    }
}

/// Whether the bytes are one value and nothing else.
pub(crate) fn accepts(serializer: Serializer, bytes: &[u8]) -> bool {
    match serializer {
        Serializer::Json => serde_json::from_slice::<IgnoredAny>(bytes).is_ok(),
        Serializer::MsgPack => {
            let mut input = bytes;
            let mut decoder = rmp_serde::Deserializer::new(&mut input);
            IgnoredAny::deserialize(&mut decoder).is_ok() && input.is_empty()
        }
        Serializer::Cbor => {
            let mut decoder = cbor4ii::serde::Deserializer::new(SliceReader::new(bytes));
            let is_read = IgnoredAny::deserialize(&mut decoder).is_ok();
            let mut rest = decoder.into_inner();
            is_read && rest.fill(1).is_ok_and(|rest| rest.as_ref().is_empty())
        }
    }
}

/// Null is null: left to itself, the encoder of CBOR makes an empty list of it.
struct WithNull<'a>(&'a Value);

impl Serialize for WithNull<'_> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Array(list) => serializer.collect_seq(list.iter().map(WithNull)),
            Value::Object(dict) => {
                serializer.collect_map(dict.iter().map(|(key, value)| (key, WithNull(value))))
            }
            other => other.serialize(serializer),
        }
    }
}
