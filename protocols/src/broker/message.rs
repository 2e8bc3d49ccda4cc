//! Messages: AMQP 0-9-1 basic properties and a body.
//!
//! All fields are slices of the buffer they arrived in, and keep all of it alive. What is kept for
//! long is [`detached`](Message::detached) first.

use bytes::Bytes;

use crate::broker::Value;
use crate::text::{Text, TextPool};

/// A message as a publisher hands it in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The payload, opaque.
    pub body: Bytes,
    /// AMQP basic properties.
    pub properties: Properties,
}

/// A message as the broker routed it: one value, shared by all its receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: Text,
    /// The routing key it was published with.
    pub routing_key: Text,
    /// The message itself.
    pub message: Message,
}

/// Whether an application header is one that gateways tell each other by, and no client may set.
///
/// Its name begins with `wamp-`. What it says counts in messages of a gateway's login, which clients may
/// work under too.
pub fn is_of_gateways(header: &str) -> bool {
    header.starts_with("wamp-")
}

/// AMQP 0-9-1 basic properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<Text>,
    /// MIME encoding of the body.
    pub content_encoding: Option<Text>,
    /// Application headers, in the order they were given; names need not be unique, the first wins.
    pub headers: Vec<(Text, Value)>,
    /// Delivery mode 2: survives a restart of the broker in a durable queue.
    pub persistent: bool,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// Pairs a reply with its request.
    pub correlation_id: Option<Text>,
    /// Where a reply should go.
    pub reply_to: Option<Text>,
    /// Milliseconds until the message dies, as decimal text (AMQP's own form).
    pub expiration: Option<Text>,
    /// The publisher's name for the message.
    pub message_id: Option<Text>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    /// The publisher's name for the kind of message (AMQP `type`).
    pub kind: Option<Text>,
    /// Must equal the publishing login; the broker checks it.
    pub user_id: Option<Text>,
    /// The publishing application.
    pub app_id: Option<Text>,
}

impl Message {
    /// Bytes of the body, of every text, and of what header values hold.
    pub fn size(&self) -> usize {
        self.body.len() + self.properties.size()
    }

    /// A copy that keeps no input buffer alive.
    ///
    /// *Cost.* One allocation for the body, one for all texts together, and one for each list of
    /// headers or values.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut properties = self.properties.clone();
        properties.detach();
        Self { body: Bytes::copy_from_slice(&self.body), properties }
    }
}

impl Publication {
    /// Bytes of the body, of every text, and of what header values hold.
    pub fn size(&self) -> usize {
        self.exchange.len() + self.routing_key.len() + self.message.size()
    }

    /// A copy that keeps no input buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            exchange: self.exchange.detached(),
            routing_key: self.routing_key.detached(),
            message: self.message.detached(),
        }
    }
}

impl Properties {
    /// Bytes of every text, and of what header values hold.
    fn size(&self) -> usize {
        let fields = [
            &self.content_type,
            &self.content_encoding,
            &self.correlation_id,
            &self.reply_to,
            &self.expiration,
            &self.message_id,
            &self.kind,
            &self.user_id,
            &self.app_id,
        ];
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.size());
        fields.into_iter().flatten().map(|text| text.len()).chain(headers).sum()
    }

    /// Copies every text and every value into one allocation, and makes each a slice of it.
    fn detach(&mut self) {
        let mut pool = TextPool::with_capacity(self.size());
        let fields = [
            &mut self.content_type,
            &mut self.content_encoding,
            &mut self.correlation_id,
            &mut self.reply_to,
            &mut self.expiration,
            &mut self.message_id,
            &mut self.kind,
            &mut self.user_id,
            &mut self.app_id,
        ];
        for text in fields.into_iter().flatten() {
            *text = pool.text(text);
        }
        for (name, value) in &mut self.headers {
            *name = pool.text(name);
            value.detach(&mut pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publication whose every field is a slice of one buffer of 26 bytes.
    fn sliced(buffer: &Bytes) -> Publication {
        let whole = Text::from_utf8(buffer.clone()).unwrap();
        let text = |from: usize, to: usize| whole.slice(&whole[from..to]);
        let entries = vec![(text(6, 9), Value::Text(text(1, 2))), (text(4, 5), Value::Void)];
        let nested = Value::Table(entries);
        let properties = Properties {
            content_type: Some(text(0, 3)),
            content_encoding: Some(text(1, 4)),
            headers: vec![
                (text(2, 5), Value::Text(text(3, 9))),
                (text(4, 6), Value::Integer(-7)),
                (text(0, 0), Value::Text(text(5, 5))),
                (text(2, 4), Value::Bytes(buffer.slice(1..3))),
                (text(3, 5), Value::Array(vec![nested, Value::Boolean(true)])),
            ],
            persistent: true,
            priority: Some(4),
            correlation_id: Some(text(6, 8)),
            reply_to: Some(text(7, 9)),
            expiration: Some(text(8, 10)),
            message_id: Some(text(9, 11)),
            timestamp: Some(99),
            kind: Some(text(10, 12)),
            user_id: Some(text(11, 13)),
            app_id: Some(text(12, 14)),
        };
        let message = Message { body: buffer.slice(14..20), properties };
        Publication { exchange: text(0, 1), routing_key: text(1, 3), message }
    }

    #[test]
    fn empty_texts_keep_no_input_alive_either() {
        let buffer = Bytes::from(vec![b'a'; 9]);
        let empty = Text::from_utf8(buffer.clone()).unwrap().slice("");
        let headers = vec![(empty.clone(), Value::Bytes(buffer.slice(0..0)))];
        let properties = Properties { headers, app_id: Some(empty), ..Properties::default() };
        let message = Message { body: Bytes::new(), properties }.detached();
        assert_eq!(message.size(), 0);
        assert!(buffer.is_unique(), "nothing else keeps the input alive");
    }

    #[test]
    fn a_detached_publication_is_equal_and_points_nowhere_into_the_input() {
        let buffer = Bytes::from((b'a'..=b'z').collect::<Vec<u8>>());
        let original = sliced(&buffer);
        let copy = original.detached();
        assert_eq!(copy, original);
        drop(original);
        assert!(buffer.is_unique(), "nothing else keeps the input alive");
    }

    #[test]
    fn the_size_counts_the_body_and_every_text_and_nested_value() {
        let buffer = Bytes::from((b'a'..=b'z').collect::<Vec<u8>>());
        let nested = 4 * Value::ENTRY_OVERHEAD + 3 + 1 + 1;
        let texts = 3 + 3 + (3 + 6) + 2 + (2 + 2) + (2 + nested) + 7 * 2;
        assert_eq!(sliced(&buffer).message.size(), 6 + texts);
        assert_eq!(sliced(&buffer).size(), 1 + 2 + 6 + texts);
    }
}
