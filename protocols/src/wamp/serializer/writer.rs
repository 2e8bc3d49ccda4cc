//! [`Writer`]: a message in the making.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Serializer, cbor, json, msgpack};

/// Writes values one after another. How many follow a [`list`](Self::list) or
/// [`dict`](Self::dict) is said before, and their end after.
#[derive(Debug)]
pub(in crate::wamp) struct Writer {
    serializer: Serializer,
    out: BytesMut,
    /// Whether a comma must come before the next value, in JSON.
    comma_is_due: bool,
}

impl Writer {
    /// *Cost.* One allocation, if the capacity suffices.
    pub(in crate::wamp) fn new(serializer: Serializer, capacity: usize) -> Self {
        Self { serializer, out: BytesMut::with_capacity(capacity), comma_is_due: false }
    }

    pub(in crate::wamp) const fn serializer(&self) -> Serializer {
        self.serializer
    }

    pub(in crate::wamp) fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// Where a value goes that is written already, or by someone else.
    pub(in crate::wamp) fn raw(&mut self) -> &mut BytesMut {
        self.separate();
        self.comma_is_due = true;
        &mut self.out
    }

    pub(in crate::wamp) fn bool(&mut self, value: bool) {
        let serializer = self.serializer;
        let out = self.raw();
        match serializer {
            Serializer::Json => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Serializer::MsgPack => msgpack::put_bool(out, value),
            Serializer::Cbor => cbor::put_bool(out, value),
        }
    }

    pub(in crate::wamp) fn null(&mut self) {
        let null: &[u8] = match self.serializer {
            Serializer::Json => b"null",
            Serializer::MsgPack => b"\xc0",
            Serializer::Cbor => b"\xf6",
        };
        self.raw().extend_from_slice(null);
    }

    pub(in crate::wamp) fn unsigned(&mut self, value: u64) {
        let serializer = self.serializer;
        let out = self.raw();
        match serializer {
            Serializer::Json => json::put_unsigned(out, value),
            Serializer::MsgPack => msgpack::put_unsigned(out, value),
            Serializer::Cbor => cbor::put_unsigned(out, value),
        }
    }

    pub(in crate::wamp) fn text(&mut self, text: &str) {
        let serializer = self.serializer;
        let out = self.raw();
        match serializer {
            Serializer::Json => json::put_text(out, text),
            Serializer::MsgPack => msgpack::put_text(out, text),
            Serializer::Cbor => cbor::put_text(out, text),
        }
    }

    /// The key of a pair; its value follows.
    pub(in crate::wamp) fn key(&mut self, key: &str) {
        self.text(key);
        if self.serializer.is_text() {
            self.out.put_u8(b':');
            self.comma_is_due = false;
        }
    }

    pub(in crate::wamp) fn list(&mut self, count: usize) {
        match self.serializer {
            Serializer::Json => self.bracket(b'['),
            Serializer::MsgPack => msgpack::put_list(&mut self.out, count),
            Serializer::Cbor => cbor::put_list(&mut self.out, count),
        }
    }

    pub(in crate::wamp) fn end_list(&mut self) {
        self.end(b']');
    }

    pub(in crate::wamp) fn dict(&mut self, pairs: usize) {
        match self.serializer {
            Serializer::Json => self.bracket(b'{'),
            Serializer::MsgPack => msgpack::put_dict(&mut self.out, pairs),
            Serializer::Cbor => cbor::put_dict(&mut self.out, pairs),
        }
    }

    pub(in crate::wamp) fn end_dict(&mut self) {
        self.end(b'}');
    }

    fn bracket(&mut self, bracket: u8) {
        self.separate();
        self.out.put_u8(bracket);
        self.comma_is_due = false;
    }

    fn end(&mut self, bracket: u8) {
        if self.serializer.is_text() {
            self.out.put_u8(bracket);
            self.comma_is_due = true;
        }
    }

    fn separate(&mut self) {
        if self.comma_is_due && self.serializer.is_text() {
            self.out.put_u8(b',');
        }
    }
}
