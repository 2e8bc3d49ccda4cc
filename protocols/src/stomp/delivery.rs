//! A delivery as a MESSAGE frame.
//!
//! *Spec.* STOMP 1.2 §MESSAGE: `subscription`, `message-id`, `destination`; `ack` if the client must
//! acknowledge (1.2). As with RabbitMQ also `redelivered`, and the properties of the message. The
//! server's headers come first, `content-length` included: of headers of the same name the first
//! counts.

use bytes::Bytes;

use crate::broker::{DeliveryTag, Publication};
use crate::stomp::Version;
use crate::stomp::acks::AckMode;
use crate::stomp::encode::{Encoder, Escaping};
use crate::stomp::frame::Verb;
use crate::stomp::subscription::Subscription;
use crate::stomp::{destination, properties};

/// Encodes deliveries.
///
/// *Cost.* One allocation for each frame; what has to be composed is composed in buffers that are
/// kept.
#[derive(Debug)]
pub(super) struct MessageEncoder {
    version: Version,
    escaping: Escaping,
    destination: String,
}

impl MessageEncoder {
    /// For the version that is agreed on.
    pub(super) const fn new(version: Version, escaping: Escaping) -> Self {
        Self { version, escaping, destination: String::new() }
    }

    /// The MESSAGE for a delivery of `subscription`.
    pub(super) fn encode(
        &mut self,
        subscription: &mut Subscription,
        tag: DeliveryTag,
        redelivered: bool,
        publication: &Publication,
    ) -> Bytes {
        let has_ack = self.version >= Version::V12 && subscription.mode != AckMode::Auto;
        let has_gap = std::mem::take(&mut subscription.has_gap);
        let (header, message_id) = subscription.names(tag);
        let envelope = Envelope { subscription: header, message_id, has_ack, redelivered, has_gap };
        message(self.escaping, &envelope, publication, &mut self.destination)
    }
}

/// What a MESSAGE says beside the message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The client's name for the subscription, if it has one.
    pub(super) subscription: Option<&'a str>,
    pub(super) message_id: &'a str,
    /// Whether the client is to acknowledge it by `ack`.
    pub(super) has_ack: bool,
    pub(super) redelivered: bool,
    /// Whether messages may have been lost before it.
    pub(super) has_gap: bool,
}

/// The MESSAGE frame; `destination` is a buffer.
pub(super) fn message(
    escaping: Escaping,
    envelope: &Envelope<'_>,
    publication: &Publication,
    destination: &mut String,
) -> Bytes {
    let Envelope { subscription, message_id, has_ack, redelivered, has_gap } = *envelope;
    let message = &publication.message;
    let mut frame = Encoder::new(Verb::Message, escaping, message.body.len());
    if let Some(id) = subscription {
        frame.header("subscription", id);
    }
    destination.clear();
    destination::write(&publication.exchange, &publication.routing_key, destination);
    frame.header("destination", destination);
    frame.header("message-id", message_id);
    if has_ack {
        frame.header("ack", message_id);
    }
    frame.header("redelivered", if redelivered { "true" } else { "false" });
    if has_gap {
        frame.header("x-gap", "true");
    }
    frame.body_length(message.body.len());
    properties::write(&message.properties, &mut frame);
    frame.finish(&message.body)
}
