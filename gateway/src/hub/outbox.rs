//! [`Outbox`]: the shared deliveries that wait for one session, and what happens when it is too slow.
//!
//! Bounded by bytes. A session that does not keep up costs nobody else anything: it is ended, or loses
//! the oldest, or of those with one key all but the newest, and is told how many.

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll, Waker};

use broker_adapters::mailbox::{Held, Mailbox, Taken, Weight};
use bytes::Bytes;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, Publication, SubscriptionId, Value};
use protocols::session::FrameKind;
use protocols::text::Text;

/// What a frame costs beside its bytes.
const FRAME_OVERHEAD: usize = size_of::<Item>();

/// What happens to a session that does not keep up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is told, and ended.
    Disconnect,
    /// It loses the oldest deliveries.
    DropOldest,
    /// It loses those that a newer one with the same value of this header has made obsolete; where that
    /// is not enough, the oldest.
    Conflate(Text),
}

/// What waits for a session.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame for the peer.
    Frame(SharedFrame),
    /// So many frames of a subscription were dropped here, or before.
    Dropped { subscription: SubscriptionId, count: u64 },
    /// For the session itself.
    Event(Event),
}

/// An encoded delivery.
#[derive(Debug, Clone)]
pub(crate) struct SharedFrame {
    pub(crate) subscription: SubscriptionId,
    pub(crate) kind: FrameKind,
    pub(crate) bytes: Bytes,
    /// The value by which it makes older ones obsolete.
    key: Option<Text>,
}

/// What became of a delivery.
#[derive(Debug)]
pub(super) enum Put {
    /// It waits; the receiver is to be woken, if it sleeps.
    Waits(Option<Waker>),
    /// There was no room, and others made it: so many.
    Displaced(u64),
    /// There is no room.
    TooSlow(BrokerError),
}

/// The shared deliveries of one session.
#[derive(Debug)]
pub(crate) struct Outbox {
    mailbox: Mailbox<Item>,
    capacity: usize,
    overflow: Overflow,
}

impl Outbox {
    /// For so many bytes of frames, the overhead of each included; and half as many again while some are
    /// being written, where others make room.
    pub(crate) const fn new(capacity: usize, overflow: Overflow) -> Self {
        Self { mailbox: Mailbox::new(capacity), capacity, overflow }
    }

    /// Swaps what waits into `batch`, which is empty.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        batch: &mut VecDeque<Item>,
    ) -> Poll<Taken> {
        self.mailbox.poll_take(cx, batch)
    }

    /// Forgets what waits of a subscription.
    pub(crate) fn forget(&self, subscription: SubscriptionId) {
        let mut gone = Vec::new();
        self.mailbox.extract(|item| item.is_of(subscription), &mut gone);
    }

    /// Takes nothing more, and forgets everything.
    pub(crate) fn close(&self) {
        drop(self.mailbox.close());
    }

    /// Tells the session something. At most once for each thing that it has asked for.
    pub(super) fn tell(&self, event: Event) -> Option<Waker> {
        self.mailbox.push(Item::Event(event))
    }

    /// Hands over a frame of this message.
    pub(super) fn put(
        &self,
        subscription: SubscriptionId,
        (kind, bytes): (FrameKind, Bytes),
        publication: &Publication,
    ) -> Put {
        let key = match &self.overflow {
            Overflow::Conflate(header) => value_of(publication, header),
            Overflow::Disconnect | Overflow::DropOldest => None,
        };
        let frame = SharedFrame { subscription, kind, bytes, key };
        if let Some(slot) = self.mailbox.reserve() {
            return Put::Waits(slot.put(Item::Frame(frame)));
        }
        if self.overflow == Overflow::Disconnect {
            return Put::TooSlow(too_slow(self.capacity));
        }
        let conflates = matches!(self.overflow, Overflow::Conflate(_));
        let mut displaced = 0;
        self.mailbox.rework(|items, Held { waiting, taken }| {
            // Half at least, whatever is being written: room is made in what waits alone.
            let room = self.capacity.saturating_sub(taken).max(self.capacity / 2);
            let item = Item::Frame(frame);
            let waiting = waiting + item.weight();
            items.push_back(item);
            if waiting <= room {
                return waiting;
            }
            // Half of that, so that many more come before this has to be done again.
            displaced = displace(items, room / 2, conflates);
            items.iter().map(Weight::weight).sum()
        });
        Put::Displaced(displaced)
    }
}

impl Item {
    /// Whether it belongs to this subscription.
    pub(super) fn is_of(&self, subscription: SubscriptionId) -> bool {
        match self {
            Self::Frame(frame) => frame.subscription == subscription,
            Self::Dropped { subscription: of, .. } => *of == subscription,
            Self::Event(_) => false,
        }
    }
}

impl Weight for Item {
    fn weight(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.bytes.len() + FRAME_OVERHEAD,
            Self::Dropped { .. } | Self::Event(_) => 0,
        }
    }
}

/// Drops frames until what is left takes no more than `room`, or is the last one, so that this needs
/// not be done again for each message that follows. How many were dropped; what is left begins with
/// the count of each subscription.
fn displace(items: &mut VecDeque<Item>, room: usize, conflates: bool) -> u64 {
    let mut counts: HashMap<SubscriptionId, u64> = HashMap::new();
    let mut dropped = 0;
    let mut drop_frame = |frame: &SharedFrame| {
        *counts.entry(frame.subscription).or_default() += 1;
        dropped += 1;
    };
    if conflates {
        let mut newest = HashSet::new();
        let mut kept = VecDeque::with_capacity(items.len());
        for item in items.drain(..).rev() {
            match &item {
                Item::Frame(frame)
                    if frame
                        .key
                        .as_ref()
                        .is_some_and(|key| !newest.insert((frame.subscription, key.clone()))) =>
                {
                    drop_frame(frame);
                }
                _ => kept.push_front(item),
            }
        }
        *items = kept;
    }
    let mut weight: usize = items.iter().map(Weight::weight).sum();
    let mut at = 0;
    while weight > room && at + 1 < items.len() {
        if let Item::Frame(frame) = &items[at] {
            drop_frame(frame);
            weight -= items[at].weight();
            items.remove(at);
        } else {
            at += 1;
        }
    }
    // Counts of before, and of now, together.
    items.retain(|item| {
        if let Item::Dropped { subscription, count } = item {
            *counts.entry(*subscription).or_default() += count;
            return false;
        }
        true
    });
    for (subscription, count) in counts {
        items.push_front(Item::Dropped { subscription, count });
    }
    dropped
}

fn value_of(publication: &Publication, header: &str) -> Option<Text> {
    let headers = &publication.message.properties.headers;
    let (_, value) = headers.iter().find(|(name, _)| *name == header)?;
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(Text::from(number.to_string())),
        _ => None,
    }
}

fn too_slow(capacity: usize) -> BrokerError {
    let text = format!(
        "more than {capacity} bytes of messages wait for this client: it takes them too slowly"
    );
    BrokerError::new(BrokerErrorKind::ResourceError, text)
}

#[cfg(test)]
mod tests {
    use protocols::broker::{Message, Properties};

    use super::*;

    const HEADER: &str = "x-key";

    fn message(key: Option<&str>) -> Publication {
        let headers = key.map(|key| (Text::from(HEADER), Value::Text(key.into())));
        let headers = headers.into_iter().collect();
        let properties = Properties { headers, ..Properties::default() };
        let message = Message { properties, ..Message::default() };
        Publication { exchange: Text::EMPTY, routing_key: Text::EMPTY, message }
    }

    /// Room for `frames` of one byte each.
    fn outbox(frames: usize, overflow: Overflow) -> Outbox {
        Outbox::new(frames * (1 + FRAME_OVERHEAD), overflow)
    }

    fn put(outbox: &Outbox, subscription: u64, name: &str, key: Option<&str>) -> Put {
        let frame = (FrameKind::Text, Bytes::copy_from_slice(name.as_bytes()));
        outbox.put(SubscriptionId(subscription), frame, &message(key))
    }

    /// What waits: names of frames, and counts of what was dropped.
    fn taken(outbox: &Outbox) -> Vec<String> {
        let mut batch = VecDeque::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_take(&mut cx, &mut batch).is_ready());
        let mut shown: Vec<_> = batch
            .into_iter()
            .map(|item| match item {
                Item::Frame(frame) => String::from_utf8(frame.bytes.to_vec()).unwrap(),
                Item::Dropped { subscription, count } => format!("{}-{count}", subscription.0),
                Item::Event(event) => format!("{event:?}"),
            })
            .collect();
        let counts = shown.iter().take_while(|it| it.contains('-')).count();
        shown[..counts].sort();
        shown
    }

    #[test]
    fn who_is_too_slow_is_told_so() {
        let outbox = outbox(2, Overflow::Disconnect);
        for name in ["a", "b"] {
            assert!(matches!(put(&outbox, 1, name, None), Put::Waits(None)));
        }
        let Put::TooSlow(error) = put(&outbox, 1, "c", None) else { panic!("it is full") };
        assert_eq!(error.kind, BrokerErrorKind::ResourceError);
        assert_eq!(taken(&outbox), ["a", "b"]);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted_for_each_subscription() {
        let outbox = outbox(4, Overflow::DropOldest);
        for (subscription, name) in [(1, "a"), (2, "b"), (1, "c"), (1, "d")] {
            assert!(matches!(put(&outbox, subscription, name, None), Put::Waits(None)));
        }
        assert!(matches!(put(&outbox, 1, "e", None), Put::Displaced(3)));
        assert!(matches!(put(&outbox, 1, "f", None), Put::Waits(None)));
        assert!(matches!(put(&outbox, 2, "g", None), Put::Waits(None)));
        assert!(matches!(put(&outbox, 2, "h", None), Put::Displaced(3)));
        assert_eq!(taken(&outbox), ["1-5", "2-1", "g", "h"]);
    }

    #[test]
    fn of_one_key_the_newest_is_left() {
        let outbox = outbox(4, Overflow::Conflate(HEADER.into()));
        for (name, key) in [("a", Some("x")), ("b", Some("y")), ("c", Some("x")), ("d", Some("x"))]
        {
            assert!(matches!(put(&outbox, 1, name, key), Put::Waits(None)));
        }
        assert!(matches!(put(&outbox, 1, "e", Some("y")), Put::Displaced(3)));
        assert_eq!(taken(&outbox), ["1-3", "d", "e"]);
    }

    #[test]
    fn without_a_key_the_oldest_go_and_one_subscription_is_none_of_anothers() {
        let outbox = outbox(4, Overflow::Conflate(HEADER.into()));
        for (subscription, name, key) in
            [(1, "a", Some("x")), (2, "b", Some("x")), (1, "c", None), (1, "d", None)]
        {
            assert!(matches!(put(&outbox, subscription, name, key), Put::Waits(None)));
        }
        assert!(matches!(put(&outbox, 1, "e", None), Put::Displaced(3)));
        assert_eq!(taken(&outbox), ["1-2", "2-1", "d", "e"]);
    }

    #[test]
    fn what_is_given_up_is_forgotten() {
        let outbox = outbox(4, Overflow::DropOldest);
        for (subscription, name) in [(1, "a"), (2, "b"), (1, "c")] {
            assert!(matches!(put(&outbox, subscription, name, None), Put::Waits(None)));
        }
        outbox.forget(SubscriptionId(1));
        assert_eq!(taken(&outbox), ["b"]);
        outbox.close();
        assert!(!matches!(put(&outbox, 2, "d", None), Put::Waits(_)));
    }
}
