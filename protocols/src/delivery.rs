//! Deliveries that many sessions share: how they are encoded once, by whoever distributes them, which
//! knows no protocol.

use std::fmt::Debug;

use bytes::Bytes;

use crate::broker::Publication;
use crate::session::FrameKind;

/// What a topic may be like to be shared: who distributes matches every message against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedBounds {
    /// Words, divided by dots.
    pub words: usize,
    /// `#` among them.
    pub hashes: usize,
}

/// See there.
pub const SHARED_BOUNDS: SharedBounds = SharedBounds { words: 32, hashes: 4 };

impl SharedBounds {
    /// Whether this pattern may be shared.
    pub fn allow(self, topic: &str) -> bool {
        let hashes = topic.split('.').filter(|word| *word == "#").count();
        topic.split('.').count() <= self.words && hashes <= self.hashes
    }
}

/// Encodes deliveries of one subscription, for every session whose frames have the same bytes.
pub trait DeliveryEncoder: Debug + Send + Sync {
    /// Encoders with equal keys write equal bytes for equal deliveries.
    fn key(&self) -> &FormatKey;

    /// The frame of a delivery.
    fn encode(&self, delivery: &SharedDelivery<'_>) -> (FrameKind, Bytes);
}

/// What makes the frames of two subscriptions the same: protocol, version, the client's name for the
/// subscription, and whatever else is written into each frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatKey(pub Box<[u8]>);

/// A message on its way to many sessions.
#[derive(Debug, Clone, Copy)]
pub struct SharedDelivery<'a> {
    /// Names the place where it was distributed. Unique among all nodes.
    pub inbox: &'a str,
    /// Its number there.
    pub sequence: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The message.
    pub publication: &'a Publication,
}
