//! [`Pen`]: how the messages of one session are written.
//!
//! *Spec.* WAMP §WebSocket Transport, §RawSocket Transport: one message is one unit of the transport,
//! text in JSON and binary in the other serializers.

use super::message::Message;
use super::serializer::{Limits, Serializer};
use crate::session::{Actions, FrameKind, OutFrame};

/// Writes messages whose parts are all in the session's serializer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    pub(super) serializer: Serializer,
    pub(super) limits: Limits,
    /// Bytes of one message, as the peer takes them.
    pub(super) most: usize,
}

/// What a message may need beside its arguments: IDs, URIs, the names of a caller. Of a peer that takes
/// little, it is a quarter.
const ENVELOPE: usize = 1 << 10;

impl Pen {
    /// To the peer, behind what was written before.
    pub(super) fn write(&self, message: impl Into<Message>, actions: &mut Actions) {
        let bytes = message.into().encode(self.serializer, &self.limits);
        let bytes = bytes.expect("nothing in it must be transcoded");
        actions.frames.push(OutFrame::new(self.kind(), bytes));
    }

    /// As [`write`](Self::write), or not at all, if the peer does not take so much: of what happens, this is
    /// left out.
    pub(super) fn write_event(&self, event: Message, actions: &mut Actions) {
        let bytes = event.encode(self.serializer, &self.limits);
        let bytes = bytes.expect("nothing in it must be transcoded");
        if bytes.len() <= self.most {
            actions.frames.push(OutFrame::new(self.kind(), bytes));
        }
    }

    /// Bytes that arguments may have, so that the message around them is one that the peer takes.
    pub(super) fn most_arguments(&self) -> usize {
        self.most - ENVELOPE.min(self.most / 4)
    }

    /// The kind of the units that the session sends and takes.
    pub(super) const fn kind(&self) -> FrameKind {
        if self.serializer.is_text() { FrameKind::Text } else { FrameKind::Binary }
    }
}
