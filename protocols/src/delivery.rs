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

/// Encodes deliveries of one subscription, for every session whose frames have the same bytes; and says
/// which of them are for whom, where the protocol's topics or its publishers say more about that than
/// the pattern that was joined.
pub trait DeliveryEncoder: Debug + Send + Sync {
    /// Encoders with equal keys write equal bytes for equal deliveries, [fit](Self::fits) the same, and
    /// [take](Self::takes_restricted) from the same exchanges.
    fn key(&self) -> &FormatKey;

    /// Whether the subscription is for messages too that are for [some receivers only](crate::broker::restricted). Others
    /// get none of these. It never changes.
    fn takes_restricted(&self) -> bool {
        false
    }

    /// Whether the subscription is meant by a message that fits its pattern.
    ///
    /// *Cost.* Asked once for all whose frames have the same bytes.
    fn fits(&self, _publication: &Publication) -> bool {
        true
    }

    /// Whether [`accepts`](Self::accepts) is to be asked. It never changes.
    fn is_choosy(&self) -> bool {
        false
    }

    /// Whether this session, of all that the subscription is meant for, gets a message that
    /// [fits](Self::fits).
    ///
    /// *Cost.* Asked for each session and message where [`is_choosy`](Self::is_choosy) says so; where
    /// it does not, distributing looks at one pointer for each session.
    fn accepts(&self, _publication: &Publication) -> bool {
        true
    }

    /// The frame of a delivery that [fits](Self::fits).
    ///
    /// *Errors.* What the message says cannot be said in these frames. It is left out for all of them,
    /// and nothing else ends because of that: the receivers have done nothing.
    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable>;
}

/// Why a message is not written for those who would get it, in a sentence for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unwritable(pub String);

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
