//! PUBLISH.
//!
//! *Spec.* WAMP §Publishing; §Acknowledge: a PUBLISH that does not ask for it is answered by nothing,
//! whatever becomes of it; §Publisher Identification; §Subscriber Black- and Whitelisting.

use super::realm::Access;
use super::{Asked, PubSub, foreign, headers};
use crate::broker::{Address, Command, Message, Properties, Token, restricted, user};
use crate::session::Actions;
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::access::{Action, Disclosure};
use crate::wamp::id::Id;
use crate::wamp::message::{MatchPolicy, Publish, RequestType};
use crate::wamp::refusal::{Reason, Refusal};
use crate::wamp::uri::{Pattern, is_reserved, routing_key};

/// The kind of message that an event is (AMQP `type`).
const KIND: &str = "wamp.event";

/// Bytes of headers that an event may have: RabbitMQ takes all of them in one frame, which by
/// default has 128 KiB.
const MOST_HEADERS: usize = 64 << 10;

impl PubSub {
    /// PUBLISH. The ID of the event is made of `random`, 53 bits or more. The broker's answer comes
    /// for `token`; PUBLISHED comes of that [event](Self::on_event). The other token is for the exchange of
    /// restricted events, where that has to be asked for.
    ///
    /// *Errors.* Why it is refused, and whether the peer wants to know; nothing has been asked for then.
    pub fn on_publish(
        &mut self,
        publish: &Publish,
        access: &impl Access,
        ([token, exchange], random): ([Token; 2], u64),
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let is_answered = publish.options.acknowledge == Some(true);
        let is_restricted = headers::is_restricted(&publish.options);
        let publication = Id::from_bits(random);
        let checked = if is_answered && self.is_busy() {
            let sentence = "too many requests wait for the broker's answer";
            Err((Reason::Unavailable, sentence.to_owned()))
        } else {
            self.event(publish, access, publication)
        };
        let (key, message) = checked.map_err(|(reason, sentence)| {
            let of = (RequestType::PUBLISH, publish.request);
            Refusal { is_answered, ..Refusal::new(of, reason, sentence) }
        })?;
        if is_answered {
            let request = publish.request;
            self.asked.insert(token, Asked::Publish { request, publication, is_restricted });
        }
        if is_restricted {
            actions.commands.extend(self.restricted.ask(exchange));
        }
        let to = address(key, is_restricted);
        actions.commands.push(Command::Publish {
            token,
            to,
            message,
            queue: None,
            confirm: is_answered,
            mandatory: false,
        });
        Ok(())
    }

    /// The message for the broker, and its routing key.
    fn event(
        &self,
        publish: &Publish,
        access: &impl Access,
        publication: Id,
    ) -> Result<(Text, Message), (Reason, String)> {
        let Publish { options, topic, payload, .. } = publish;
        let key = self.key(topic, access)?;
        if options.retain == Some(true) {
            return Err((Reason::NotSupported, "events are not retained".to_owned()));
        }
        let wants_disclosure = options.disclose_me == Some(true);
        let is_disclosed = match access.disclosure(topic) {
            Disclosure::Deny if wants_disclosure => {
                let sentence =
                    format!("publishers to {:?} may not disclose themselves", shown(topic));
                return Err((Reason::DiscloseMeDisallowed, sentence));
            }
            Disclosure::Deny => false,
            Disclosure::Allow => wants_disclosure,
            Disclosure::Always => true,
        };
        let (listed, limit) = (headers::listed(options), headers::MOST_LISTED);
        if listed > limit {
            let sentence = format!("lists of subscribers may name {limit}, these name {listed}");
            return Err((Reason::InvalidArgument, sentence));
        }
        let headers = headers::write(topic, options, &self.principal, is_disclosed);
        let size = headers::size(&headers);
        if size > MOST_HEADERS {
            let sentence = format!(
                "lists of subscribers and options may take {MOST_HEADERS} bytes, these take {size}"
            );
            return Err((Reason::InvalidArgument, sentence));
        }
        let body = payload.to_body();
        if body.len() > self.realm.body_size {
            let (limit, got) = (self.realm.body_size, body.len());
            let sentence = format!("the payload may have {limit} bytes, it has {got}");
            return Err((Reason::PayloadTooLarge, sentence));
        }
        let properties = Properties {
            content_type: Some(Text::from_static(foreign::content_type(payload.serializer))),
            headers,
            message_id: Some(Text::from(publication.to_string())),
            kind: Some(Text::from_static(KIND)),
            user_id: Some(self.realm.trust.own.clone()),
            ..Properties::default()
        };
        Ok((key, Message { body, properties }))
    }

    /// The routing key of a topic that the session may publish to.
    fn key(&self, topic: &Text, access: &impl Access) -> Result<Text, (Reason, String)> {
        let invalid = |sentence| (Reason::InvalidUri, sentence);
        self.realm.uris.check(topic).map_err(|error| invalid(error.to_string()))?;
        if is_reserved(topic) {
            let sentence = format!("{:?} is a topic of the protocol's own", shown(topic));
            return Err(invalid(sentence));
        }
        let key = routing_key(topic).map_err(|error| invalid(error.to_string()))?;
        let pattern = Pattern { policy: MatchPolicy::Exact, uri: topic.clone() };
        if user::is_private(&key) || !access.may(Action::Publish, &pattern) {
            let sentence = format!("this session may not publish to {:?}", shown(topic));
            return Err((Reason::NotAuthorized, sentence));
        }
        Ok(Text::from(&*key))
    }
}

/// Where an event with this key goes. From where topics live others read than gateways of WAMP: plain AMQP,
/// and sessions of STOMP. None of these knows who is eligible.
fn address(key: Text, is_restricted: bool) -> Address {
    if is_restricted {
        Address::Exchange { name: Text::from_static(restricted::EXCHANGE), key }
    } else {
        Address::Topic(key)
    }
}
