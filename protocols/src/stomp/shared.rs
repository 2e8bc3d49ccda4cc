//! Topic subscriptions that sessions share: which may be, and how their MESSAGE frames are written once
//! for all clients whose frames have the same bytes.
//!
//! A subscription is shared if nothing about it is its client's own: a topic, `auto`
//! acknowledgement, and no header that says how a queue is declared or consumed. Its `message-id` names
//! the place where the message was distributed and its number there, not the session; nobody
//! acknowledges it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::delivery::{DeliveryEncoder, FormatKey, SHARED_BOUNDS, SharedDelivery, Unwritable};
use crate::session::FrameKind;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::delivery::{Envelope, message};
use crate::stomp::encode::Escaping;
use crate::stomp::output::{Output, kind};
use crate::text::Text;

/// Subscriptions of one session to one topic that are shared, at most; more of them are its own. Each
/// has frames of its own, which are written where all other sessions wait for them.
pub(super) const MOST_ALIKE: usize = 8;

/// Headers that make a subscription its client's own.
const OWN: [&str; 5] = ["durable", "persistent", "auto-delete", "exclusive", "prefetch-count"];

/// The header of a MESSAGE before which others were left out, with how many.
const DROPPED: &str = "x-dropped";

/// Whether a SUBSCRIBE to this topic, with `auto` acknowledgement, may be shared.
pub(super) fn is_shareable(frame: ClientFrame<'_>, topic: &str) -> bool {
    let is_own = |(name, _): (&str, &str)| OWN.contains(&name) || name.starts_with("x-");
    SHARED_BOUNDS.allow(topic) && !frame.headers().any(is_own)
}

/// Writes the frames of shared subscriptions that clients call the same.
#[derive(Debug)]
pub(super) struct SharedEncoder {
    key: FormatKey,
    escaping: Escaping,
    /// Whether frames are text where they can be.
    wants_text: bool,
    /// `None` if the client has not named it.
    header: Option<Text>,
    consumer_tag: Text,
}

impl SharedEncoder {
    /// For a subscription with this header and consumer tag.
    pub(super) fn new(output: &Output, header: Option<Text>, consumer_tag: Text) -> Self {
        let (escaping, wants_text) = (output.escaping(), output.wants_text());
        // The tag says whether there is a header, and which.
        let mut key = consumer_tag.as_bytes().to_vec();
        key.extend([b's', escaping as u8, u8::from(wants_text)]);
        let key = FormatKey(key.into());
        Self { key, escaping, wants_text, header, consumer_tag }
    }
}

impl DeliveryEncoder for SharedEncoder {
    fn key(&self) -> &FormatKey {
        &self.key
    }

    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        let SharedDelivery { inbox, sequence, redelivered, publication } = *delivery;
        let message_id = format!("{}@@{inbox}@@{sequence}", self.consumer_tag);
        let envelope = Envelope {
            subscription: self.header.as_deref(),
            message_id: &message_id,
            has_ack: false,
            redelivered,
            has_gap: false,
        };
        let bytes = message(self.escaping, &envelope, publication, &mut String::new());
        Ok((kind(self.wants_text, &publication.message.body), bytes))
    }
}

/// `frame` with a header that says how many before it were left out.
pub(super) fn tell_dropped(frame: &Bytes, dropped: u64) -> Bytes {
    let verb = memchr::memchr(b'\n', frame).map_or(0, |at| at + 1);
    let header = format!("{DROPPED}:{dropped}\n");
    let mut told = BytesMut::with_capacity(frame.len() + header.len());
    told.put_slice(&frame[..verb]);
    told.put_slice(header.as_bytes());
    told.put_slice(&frame[verb..]);
    told.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_the_first_header() {
        let frame = Bytes::from_static(b"MESSAGE\nsubscription:0\nx-dropped:9\n\nbody\0\n");
        let told = tell_dropped(&frame, 3);
        let expected = b"MESSAGE\nx-dropped:3\nsubscription:0\nx-dropped:9\n\nbody\0\n";
        assert_eq!(&told[..], expected);
    }
}
