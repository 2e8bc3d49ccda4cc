//! [`Held`]: a publication while the broker holds it, and what it costs in memory.
//!
//! Its fields are slices of the buffer its frame arrived in, and keep all of that buffer alive. A
//! publication handed straight to a consumer stays so: nothing is copied, and the buffer lives
//! until the delivery is settled, which the prefetch and the link's buffer bound. One that has to
//! wait in a queue is [compacted](compact) first: copied into allocations of its own, once,
//! however many queues it waits in, so that a small message does not keep a large buffer.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;
use protocols::broker::{Message, Properties, Publication, Value};
use protocols::text::Text;

use super::memory::Memory;
use super::notice::Entry;

/// What a message costs beside its bytes: the structures that hold it, in one queue.
pub(super) const OVERHEAD: usize =
    size_of::<Publication>() + size_of::<Held>() + size_of::<Entry>() + 4 * size_of::<usize>();

/// A publication that is charged to the broker's memory for as long as this value lives.
///
/// *Order.* Dropping the last reference may wake publishers: it is done without any lock held.
pub(super) struct Held {
    publication: Arc<Publication>,
    size: usize,
    is_compact: bool,
    memory: Arc<Memory>,
}

impl Held {
    pub(super) fn new(publication: Arc<Publication>, memory: &Arc<Memory>) -> Arc<Self> {
        Self::charged(publication, memory, false)
    }

    /// This publication in a form that may wait in a queue.
    pub(super) fn compacted(self: &Arc<Self>) -> Arc<Self> {
        if self.is_compact {
            return Arc::clone(self);
        }
        Self::charged(Arc::new(compact(&self.publication)), &self.memory, true)
    }

    pub(super) const fn publication(&self) -> &Arc<Publication> {
        &self.publication
    }

    /// Bytes it is charged for.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    fn charged(publication: Arc<Publication>, memory: &Arc<Memory>, is_compact: bool) -> Arc<Self> {
        let size = retained_size(&publication);
        memory.charge(size);
        Arc::new(Self {
            publication,
            size,
            is_compact,
            memory: Arc::clone(memory),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.release(self.size);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("size", &self.size)
            .field("is_compact", &self.is_compact)
            .finish_non_exhaustive()
    }
}

fn retained_size(publication: &Publication) -> usize {
    let Message { body, properties } = &publication.message;
    let headers = properties.headers.len() * size_of::<(Text, Value)>();
    OVERHEAD + headers + body.len() + text_bytes(publication)
}

/// Bytes of all texts together, those that [`each_text`] visits.
fn text_bytes(publication: &Publication) -> usize {
    let Publication {
        exchange,
        routing_key,
        message: Message {
            body: _,
            properties,
        },
    } = publication;
    let Properties {
        content_type,
        content_encoding,
        headers,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        kind,
        user_id,
        app_id,
        persistent: _,
        priority: _,
        timestamp: _,
    } = properties;
    let in_headers = headers.iter().map(|(name, value)| match value {
        Value::Text(text) => name.len() + text.len(),
        Value::Integer(_) => name.len(),
    });
    let in_properties = [
        content_type,
        content_encoding,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        kind,
        user_id,
        app_id,
    ];
    let in_properties = in_properties.into_iter().flatten().map(|text| text.len());
    exchange.len() + routing_key.len() + in_headers.chain(in_properties).sum::<usize>()
}

/// The same publication in allocations of its own: one for the body, one for all texts together.
fn compact(publication: &Publication) -> Publication {
    let mut copy = publication.clone();
    copy.message.body = Bytes::copy_from_slice(&publication.message.body);
    let mut texts = String::with_capacity(text_bytes(publication));
    each_text(&mut copy, |text| texts.push_str(text));
    let texts = Text::from(texts);
    let mut rest = texts.as_str();
    each_text(&mut copy, |text| {
        let (own, others) = rest.split_at(text.len());
        *text = texts.slice(own);
        rest = others;
    });
    copy
}

/// Visits every text of a publication, always in the same order.
fn each_text(publication: &mut Publication, mut visit: impl FnMut(&mut Text)) {
    let Publication {
        exchange,
        routing_key,
        message: Message {
            body: _,
            properties,
        },
    } = publication;
    let Properties {
        content_type,
        content_encoding,
        headers,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        kind,
        user_id,
        app_id,
        persistent: _,
        priority: _,
        timestamp: _,
    } = properties;
    visit(exchange);
    visit(routing_key);
    for (name, value) in headers {
        visit(name);
        if let Value::Text(text) = value {
            visit(text);
        }
    }
    let in_properties = [
        content_type,
        content_encoding,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        kind,
        user_id,
        app_id,
    ];
    in_properties.into_iter().flatten().for_each(visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publication whose every field is a slice of one buffer.
    fn sliced(buffer: &Bytes) -> Publication {
        let whole = Text::from_utf8(buffer.clone()).unwrap();
        let text = |from: usize, to: usize| whole.slice(&whole[from..to]);
        let properties = Properties {
            content_type: Some(text(0, 3)),
            content_encoding: Some(text(1, 4)),
            headers: vec![
                (text(2, 5), Value::Text(text(3, 9))),
                (text(4, 6), Value::Integer(-7)),
                (text(0, 0), Value::Text(text(5, 5))),
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
        let message = Message {
            body: buffer.slice(14..20),
            properties,
        };
        Publication {
            exchange: text(0, 1),
            routing_key: text(1, 3),
            message,
        }
    }

    #[test]
    fn a_compacted_publication_is_equal_and_points_nowhere_into_the_input() {
        let buffer = Bytes::from((b'a'..=b'z').collect::<Vec<u8>>());
        let original = sliced(&buffer);
        let mut copy = compact(&original);
        assert_eq!(copy, original);
        let input = buffer.as_ptr_range();
        assert!(!input.contains(&copy.message.body.as_ptr()));
        each_text(&mut copy, |text| {
            assert!(
                text.is_empty() || !input.contains(&text.as_ptr()),
                "{text:?}"
            );
        });
        drop(original);
        assert!(buffer.is_unique(), "nothing else keeps the input alive");
    }

    #[test]
    fn every_copy_is_charged_once_while_it_lives() {
        let memory = Arc::new(Memory::new(1));
        let buffer = Bytes::from(vec![b'a'; 100]);
        let held = Held::new(Arc::new(sliced(&buffer)), &memory);
        let texts = 1 + 2 + 3 + 3 + 3 + 6 + 2 + 7 * 2;
        let expected = OVERHEAD + 3 * size_of::<(Text, Value)>() + 6 + texts;
        assert_eq!(held.size(), expected);
        let compacted = held.compacted();
        assert!(Arc::ptr_eq(&compacted, &compacted.compacted()));
        drop((held, compacted));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(
            memory
                .poll_room(super::super::LinkId(0), &mut cx)
                .is_ready()
        );
    }
}
