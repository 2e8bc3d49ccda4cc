//! [`FanOut`]: the innermost part of the hub for `benches/hub.rs`, and for nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::broker::{Message, Publication, SubscriptionId, Token};
use protocols::delivery::{DeliveryEncoder, FormatKey, SharedDelivery, Unwritable};
use protocols::session::FrameKind;
use protocols::text::Text;

use super::binding::Source;
use super::outbox::{Item, Outbox, Overflow};
use super::topics::{Joining, Topics, Wakers};

/// Members of one topic whose frames have the same bytes.
#[derive(Debug)]
pub struct FanOut {
    topics: Topics,
    outboxes: Vec<Arc<Outbox>>,
    publication: Publication,
    sequence: u64,
    now: Instant,
    batch: VecDeque<Item>,
}

#[derive(Debug)]
struct Fixed(FormatKey, Bytes);

impl DeliveryEncoder for Fixed {
    fn key(&self) -> &FormatKey {
        &self.0
    }

    fn encode(&self, _: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        Ok((FrameKind::Text, self.1.clone()))
    }
}

impl FanOut {
    /// So many members; a frame has so many bytes.
    pub fn new(members: u64, bytes: usize) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let topic = Text::from_static("news");
        let mut topics = Topics::default();
        let mut outboxes = Vec::new();
        let frame = Bytes::from(vec![b'x'; bytes]);
        for member in 0..members {
            let outbox = Arc::new(Outbox::new(1 << 20, Overflow::Disconnect));
            let encoder = Arc::new(Fixed(FormatKey(Box::from(*b"plain")), frame.clone()));
            let joining = Joining {
                token: Token(member),
                subscription: SubscriptionId(member),
                encoder,
                outbox: Arc::clone(&outbox),
            };
            topics.join(&topic, joining, (now, Duration::ZERO), &mut Wakers::new());
            outboxes.push(outbox);
        }
        topics.bound((Source::Topics, &topic), now, &mut Wakers::new());
        let message = Message::default();
        let publication = Publication { exchange: "amq.topic".into(), routing_key: topic, message };
        Self { topics, outboxes, publication, sequence: 0, now, batch: VecDeque::new() }
    }

    /// Hands one message to every member.
    ///
    /// # Panics
    /// If a member did not get it.
    pub fn distribute(&mut self) {
        self.sequence += 1;
        let delivery = SharedDelivery {
            inbox: "inbox",
            sequence: self.sequence,
            redelivered: false,
            publication: &self.publication,
        };
        let done = self.topics.distribute(&delivery, self.now, &mut Wakers::new());
        assert_eq!(done.frames, self.outboxes.len());
    }

    /// Every member takes what waits for it.
    pub fn take(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for outbox in &self.outboxes {
            // Once for what waits, once so that it no longer counts.
            while outbox.poll_take(&mut cx, &mut self.batch).is_ready() {
                self.batch.clear();
            }
        }
    }
}
