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
    /// The `code` header: for programs, and always the same for one kind of error.
    pub(super) code: &'a str,
    /// The body: a sentence.
    pub(super) sentence: &'a str,
    /// The receipt that the offending frame asked for.
    pub(super) receipt: Option<&'a str>,
    /// The subscription that has ended.
    pub(super) subscription: Option<&'a str>,
    /// Whether to say which versions there are.
    pub(super) with_versions: bool,
}

/// The destination of errors after which a client goes on.
pub(super) const ERRORS: &str = "/gateway/errors";

/// What an error says as a MESSAGE, beside the error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notice<'a> {
    /// The client's subscription to [`ERRORS`], if it has one.
    pub(super) subscription: Option<&'a str>,
    pub(super) message_id: &'a str,
}

/// How a frame with this body travels. Whatever comes before a body is UTF-8.
pub(super) fn kind(wants_text: bool, body: &[u8]) -> FrameKind {
    let is_text = wants_text && std::str::from_utf8(body).is_ok();
    if is_text { FrameKind::Text } else { FrameKind::Binary }
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

    /// A frame with this body.
    pub(super) fn frame(&self, bytes: Bytes, body: &[u8]) -> OutFrame {
        OutFrame::new(kind(self.wants_text(), body), bytes)
    }

    /// Whether frames are text where they can be.
    pub(super) const fn wants_text(&self) -> bool {
        match self.outgoing {
            OutgoingKind::Auto => self.peer_sends_text,
            OutgoingKind::Text => true,
            OutgoingKind::Binary => false,
        }
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

    /// An error as a MESSAGE, for a client that goes on after it.
    pub(super) fn notice(&self, error: &ErrorFrame<'_>, notice: &Notice<'_>) -> OutFrame {
        let mut frame = Encoder::new(Verb::Message, self.escaping, error.sentence.len());
        if let Some(subscription) = notice.subscription.or(error.subscription) {
            frame.header("subscription", subscription);
        }
        frame.header("destination", ERRORS).header("message-id", notice.message_id);
        frame.header("message", error.message).header("code", error.code);
        if let Some(receipt) = error.receipt {
            frame.header("receipt-id", receipt);
        }
        if let Some(subscription) = error.subscription {
            frame.header("failed-subscription", subscription);
        }
        frame.header("content-type", "text/plain");
        self.frame(frame.finish(error.sentence.as_bytes()), b"")
    }

    /// An ERROR.
    pub(super) fn error(&self, error: ErrorFrame<'_>) -> OutFrame {
        let mut frame = Encoder::new(Verb::Error, self.escaping, error.sentence.len());
        frame.header("message", error.message).header("code", error.code);
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
