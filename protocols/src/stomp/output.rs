//! The server's frames, and how they travel.

use bytes::Bytes;

use crate::session::{FrameKind, OutFrame};
use crate::stomp::encode::{Encoder, Escaping};
use crate::stomp::frame::Verb;
use crate::stomp::{OutgoingKind, Version};

/// Encodes the frames of a session that have no body of a client's, and knows the kind of each.
#[derive(Debug)]
pub(super) struct Output {
    outgoing: OutgoingKind,
    peer_sends_text: bool,
    /// As the version wants, once it is agreed on.
    escaping: Escaping,
}

/// What an ERROR frame says.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorFrame<'a> {
    /// The `message` header.
    pub(super) message: &'a str,
    /// The body: a sentence.
    pub(super) sentence: &'a str,
    /// The receipt that the offending frame asked for.
    pub(super) receipt: Option<&'a str>,
    /// The subscription that has ended.
    pub(super) subscription: Option<&'a str>,
    /// Whether to say which versions there are.
    pub(super) with_versions: bool,
}

impl Output {
    /// Before a version is agreed on.
    pub(super) const fn new(outgoing: OutgoingKind) -> Self {
        Self { outgoing, peer_sends_text: false, escaping: Escaping::None }
    }

    /// A version is agreed on, and with it this.
    pub(super) const fn set_escaping(&mut self, escaping: Escaping) {
        self.escaping = escaping;
    }

    /// How frames are escaped, but for CONNECTED.
    pub(super) const fn escaping(&self) -> Escaping {
        self.escaping
    }

    /// The peer has sent a unit of this kind.
    pub(super) fn note_input(&mut self, kind: FrameKind) {
        self.peer_sends_text |= kind == FrameKind::Text;
    }

    /// A frame with this body. Whatever comes before a body is UTF-8.
    pub(super) fn frame(&self, bytes: Bytes, body: &[u8]) -> OutFrame {
        let wants_text = match self.outgoing {
            OutgoingKind::Auto => self.peer_sends_text,
            OutgoingKind::Text => true,
            OutgoingKind::Binary => false,
        };
        let is_text = wants_text && std::str::from_utf8(body).is_ok();
        OutFrame::new(if is_text { FrameKind::Text } else { FrameKind::Binary }, bytes)
    }

    /// A heart-beat: one line feed.
    pub(super) fn heartbeat(&self) -> OutFrame {
        self.frame(Bytes::from_static(b"\n"), b"")
    }

    /// A RECEIPT.
    pub(super) fn receipt(&self, id: &str) -> OutFrame {
        let mut frame = Encoder::new(Verb::Receipt, self.escaping, 0);
        frame.header("receipt-id", id);
        self.frame(frame.finish(b""), b"")
    }

    /// An ERROR.
    pub(super) fn error(&self, error: ErrorFrame<'_>) -> OutFrame {
        let mut frame = Encoder::new(Verb::Error, self.escaping, error.sentence.len());
        frame.header("message", error.message);
        if error.with_versions {
            frame.header("version", Version::ALL_NAMES);
        }
        if let Some(receipt) = error.receipt {
            frame.header("receipt-id", receipt);
        }
        if let Some(subscription) = error.subscription {
            frame.header("subscription", subscription);
        }
        frame.header("content-type", "text/plain");
        self.frame(frame.finish(error.sentence.as_bytes()), b"")
    }
}
