//! Messages that are encoded before the clock runs.

use integration_tests::Serializer;
use serde_json::{Value, json};

use super::kind;
use crate::sequence::{DIGITS, filling};
use crate::websocket;

/// Messages that differ in the ID of their request and in the name in their body alone: PUBLISH, CALL,
/// YIELD.
#[derive(Debug)]
pub(crate) struct Template {
    serializer: Serializer,
    code: u64,
    /// The topic or the procedure, in messages that have one.
    uri: Option<String>,
    /// Bytes of the body.
    body: usize,
    /// A whole WebSocket message, masked, with an ID of `id_length` bytes in it. Made anew when an
    /// ID has another length.
    bytes: Vec<u8>,
    id_length: usize,
    /// Where the payload begins in `bytes`.
    payload_at: usize,
    /// Where the ID is in the payload.
    id_at: usize,
    /// And the name in the body.
    name_at: usize,
}

impl Template {
    /// Messages with this code, and one argument, a text of `body` bytes.
    pub(crate) fn new(serializer: Serializer, code: u64, uri: Option<&str>, body: usize) -> Self {
        // The code comes behind the begin of the list, and in JSON a comma behind the code.
        let id_at = 1 + serializer.encode(&json!(code)).len() + usize::from(serializer.is_text());
        let mut template = Self {
            serializer,
            code,
            uri: uri.map(str::to_owned),
            body,
            bytes: Vec::new(),
            id_length: 0,
            payload_at: 0,
            id_at,
            name_at: 0,
        };
        template.prepare(1, Id::new(serializer, 1).bytes().len());
        template
    }

    fn prepare(&mut self, request: u64, id_length: usize) {
        let Self { serializer, code, uri, body, .. } = self;
        let text = String::from_utf8(filling(*body)).expect("a body is ASCII");
        let uri = uri.as_ref().map(|uri| json!(uri));
        let head = [json!(code), json!(request), json!({})];
        let message: Value = head.into_iter().chain(uri).chain([json!([text])]).collect();
        let payload = serializer.encode(&message);
        let behind_body = if serializer.is_text() { "\"]]".len() } else { 0 };
        self.name_at = payload.len() - behind_body - self.body;
        self.bytes = websocket::message(kind(*serializer), &payload);
        self.payload_at = self.bytes.len() - payload.len();
        self.id_length = id_length;
    }

    /// Appends the message of this request with this name.
    pub(crate) fn write(&mut self, request: u64, name: &[u8; DIGITS], output: &mut Vec<u8>) {
        let id = Id::new(self.serializer, request);
        if id.bytes().len() != self.id_length {
            self.prepare(request, id.bytes().len());
        }
        let start = output.len();
        output.extend_from_slice(&self.bytes);
        let there = &mut output[start..];
        websocket::overwrite(there, self.payload_at, self.id_at, id.bytes());
        websocket::overwrite(there, self.payload_at, self.name_at, name);
    }
}

/// An ID as it is written, as short as it can be.
struct Id {
    bytes: [u8; 20],
    start: usize,
}

impl Id {
    fn new(serializer: Serializer, id: u64) -> Self {
        match serializer {
            Serializer::Json => Self::decimal(id),
            Serializer::MsgPack => Self::binary(id, 0x7F, 0xCC),
            Serializer::Cbor => Self::binary(id, 23, 0x18),
        }
    }

    fn decimal(mut id: u64) -> Self {
        let mut written = Self { bytes: [0; 20], start: 20 };
        loop {
            written.start -= 1;
            written.bytes[written.start] = b'0' + (id % 10) as u8;
            id /= 10;
            if id == 0 {
                return written;
            }
        }
    }

    /// In MessagePack and CBOR small numbers are a byte; larger ones are 1, 2, 4 or 8 bytes behind a
    /// byte that says so.
    fn binary(id: u64, largest_byte: u64, first_long: u8) -> Self {
        let mut written = Self { bytes: [0; 20], start: 19 };
        written.bytes[12..].copy_from_slice(&id.to_be_bytes());
        if id > largest_byte {
            let doublings = match id {
                0..0x100 => 0,
                0x100..0x1_0000 => 1,
                0x1_0000..0x1_0000_0000 => 2,
                _ => 3,
            };
            written.start = 19 - (1 << doublings);
            written.bytes[written.start] = first_long + doublings;
        }
        written
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::digits;
    use integration_tests::code;

    const REQUESTS: [u64; 16] = [
        1,
        9,
        10,
        23,
        24,
        127,
        128,
        255,
        256,
        999,
        65_535,
        65_536,
        4_294_967_295,
        4_294_967_296,
        9_007_199_254_740_992,
        2,
    ];

    #[test]
    fn ids_are_written_as_short_as_they_can_be() {
        for serializer in Serializer::ALL {
            for request in REQUESTS {
                let expected = serializer.encode(&json!(request));
                assert_eq!(Id::new(serializer, request).bytes(), expected, "{serializer:?}");
            }
        }
    }

    #[test]
    fn a_template_writes_what_would_be_encoded_at_length() {
        for serializer in Serializer::ALL {
            let mut publish = Template::new(serializer, code::PUBLISH, Some("a.b"), 20);
            let mut call = Template::new(serializer, code::CALL, Some("a.b"), 40);
            let mut answer = Template::new(serializer, code::YIELD, None, 16);
            for request in REQUESTS {
                let name = digits(0x12_0000_0000_0ABC);
                let mut output = b"before".to_vec();
                publish.write(request, &name, &mut output);
                call.write(request, &name, &mut output);
                answer.write(request, &name, &mut output);
                let text = "0012000000000abc";
                let long = format!("{text}{}", "0".repeat(24));
                let messages = [
                    json!([code::PUBLISH, request, {}, "a.b", [format!("{text}0000")]]),
                    json!([code::CALL, request, {}, "a.b", [long]]),
                    json!([code::YIELD, request, {}, [text]]),
                ];
                let expected = messages
                    .map(|it| websocket::message(kind(serializer), &serializer.encode(&it)))
                    .concat();
                assert_eq!(
                    output,
                    [&b"before"[..], &expected].concat(),
                    "{serializer:?} {request}"
                );
            }
        }
    }
}
