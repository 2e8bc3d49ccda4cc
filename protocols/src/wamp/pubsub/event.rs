//! [`EventEncoder`]: a broker's message as EVENT, for one subscription of one session.
//!
//! *Spec.* WAMP §Event; §Pattern-based Subscription; §Subscriber Black- and Whitelisting,
//! §Publisher Exclusion, §Publisher Identification, §Payload Passthru Mode.
//!
//! Sessions with the same serializer share the frames of a subscription, whose ID is the same for all of
//! them. Which of them gets an event is asked for each.
//!
//! # Who gets nothing
//! - A pattern of WAMP is joined as one of AMQP, which may stand for more: that is left out here.
//! - Topics that begin with `wamp` are the protocol's own: what happens there is not published at the
//!   broker, so that nothing counts which comes from it.
//! - What is for one user of STOMP alone is for no session of WAMP.
//! - What comes by the exchange of restricted events, and no gateway has published, is for nobody: whom it
//!   is for, only a gateway's word says.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::foreign;
use super::headers;
use super::realm::Realm;
use crate::broker::{Publication, Value, restricted, user};
use crate::delivery::{DeliveryEncoder, FormatKey, SharedDelivery, Unwritable};
use crate::session::FrameKind;
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{Event, EventDetails, MatchPolicy, Message};
use crate::wamp::realm::Principal;
use crate::wamp::serializer::Serializer;
use crate::wamp::uri::{Pattern, is_reserved, uri_of};

/// Writes EVENT, and knows which events its session gets.
#[derive(Debug)]
pub struct EventEncoder {
    key: FormatKey,
    realm: Arc<Realm>,
    receiver: Arc<Principal>,
    subscription: Id,
    pattern: Pattern,
    serializer: Serializer,
}

impl EventEncoder {
    /// For a subscription of `receiver` to `pattern` that has this ID.
    pub fn new(
        realm: Arc<Realm>,
        receiver: Arc<Principal>,
        serializer: Serializer,
        (subscription, pattern): (Id, Pattern),
    ) -> Self {
        // The realm is a part of what the ID is made of. Keys of STOMP end otherwise.
        let mut key = subscription.get().to_be_bytes().to_vec();
        key.extend([b'w', pattern.policy as u8, serializer as u8]);
        let key = FormatKey(key.into());
        Self { key, realm, receiver, subscription, pattern, serializer }
    }

    /// Which of the topics that a message was published to the subscription means; `None` if it means
    /// none of them.
    fn topic<'a>(&self, publication: &'a Publication) -> Option<Cow<'a, str>> {
        let headers = &publication.message.properties.headers;
        let copies = match headers::find(headers, "CC") {
            Some(Value::Array(keys)) => &keys[..],
            _ => &[],
        };
        let copies = copies.iter().filter_map(|key| match key {
            Value::Text(key) => Some(key),
            _ => None,
        });
        std::iter::once(&publication.routing_key).chain(copies).find_map(|key| {
            let uri = uri_of(key)?;
            let is_meant = self.pattern.matches(&uri)
                && !user::is_private(key)
                && self.realm.uris.check(&uri).is_ok()
                && !is_reserved(&uri);
            is_meant.then_some(uri)
        })
    }
}

impl DeliveryEncoder for EventEncoder {
    fn key(&self) -> &FormatKey {
        &self.key
    }

    fn takes_restricted(&self) -> bool {
        true
    }

    fn fits(&self, publication: &Publication) -> bool {
        user::is_for_all(publication)
            && (!restricted::is_restricted(publication) || self.realm.trust.holds(publication))
            && self.topic(publication).is_some()
    }

    fn is_choosy(&self) -> bool {
        true
    }

    fn accepts(&self, publication: &Publication) -> bool {
        // Most are allowed, and then it does not matter who says so.
        headers::allow(&publication.message.properties.headers, &self.receiver)
            || !self.realm.trust.holds(publication)
    }

    /// *Cost.* The payload is checked, and carried over if it is in another serializer.
    fn encode(&self, delivery: &SharedDelivery<'_>) -> Result<(FrameKind, Bytes), Unwritable> {
        let publication = delivery.publication;
        let is_trusted = self.realm.trust.holds(publication);
        let limits = &self.realm.limits;
        let payload = foreign::payload(publication, limits)?;
        let mut details = EventDetails::default();
        if is_trusted {
            details = headers::details(&publication.message.properties.headers);
        }
        if self.pattern.policy != MatchPolicy::Exact {
            details.topic = self.topic(publication).map(|topic| Text::from(&*topic));
        }
        let message = Message::from(Event {
            subscription: self.subscription,
            publication: foreign::publication_id(publication, is_trusted),
            details,
            payload,
        });
        let bytes = message
            .encode(self.serializer, limits)
            .map_err(|error| Unwritable(error.to_string()))?;
        let kind = if self.serializer.is_text() { FrameKind::Text } else { FrameKind::Binary };
        Ok((kind, bytes))
    }
}
