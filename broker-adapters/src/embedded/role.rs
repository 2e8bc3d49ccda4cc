//! [`Role`]: what a queue is for, and with what it goes.

use protocols::text::Text;

/// What a queue is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Clients have named it, and share it.
    Named,
    /// It is for one subscription, and goes with it.
    Private {
        /// Most bytes ready at a time.
        limit: usize,
    },
    /// It stands for the resumable session that links know by this name: see [`super::resume`].
    Session(Text),
    /// It is one of the queues of a resumable session, and goes with that.
    Lasting {
        /// What links know the session by.
        session: Text,
        /// And the queue, in that session.
        name: Text,
        /// Most bytes ready at a time: the oldest make room.
        limit: usize,
    },
}

impl Role {
    /// Whether it counts as one of those that clients have named.
    pub(super) const fn is_named(&self) -> bool {
        matches!(self, Self::Named)
    }

    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Lasting { .. })
    }

    /// Whether it stands for a resumable session, or is one of its queues.
    pub(super) const fn is_resumable(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Lasting { .. })
    }
}
