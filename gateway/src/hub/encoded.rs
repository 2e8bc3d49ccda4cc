//! [`Encoded`]: what a message looks like to each group of sessions whose frames have the same bytes.

use bytes::Bytes;
use protocols::delivery::{DeliveryEncoder, SharedDelivery, Unwritable};
use protocols::session::FrameKind;
use tracing::debug;

/// The frames of one message. Most topics that fit a message have the same groups, or one.
pub(super) struct Encoded<'a> {
    delivery: &'a SharedDelivery<'a>,
    last: Option<(&'a dyn DeliveryEncoder, Frame)>,
}

/// The frame of one message for one group.
pub(super) type Frame = Result<(FrameKind, Bytes), Unwritable>;

impl<'a> Encoded<'a> {
    pub(super) const fn new(delivery: &'a SharedDelivery<'a>) -> Self {
        Self { delivery, last: None }
    }

    /// That of everybody with the same key. What is left out is logged, once.
    pub(super) fn by(&mut self, encoder: &'a dyn DeliveryEncoder) -> Frame {
        if let Some((last, frame)) = &self.last
            && last.key() == encoder.key()
        {
            return frame.clone();
        }
        let frame = encoder.encode(self.delivery);
        if let Err(reason) = &frame {
            let key = &self.delivery.publication.routing_key;
            debug!(%key, "a message is left out for some of its receivers: {reason}");
        }
        self.last = Some((encoder, frame.clone()));
        frame
    }
}
