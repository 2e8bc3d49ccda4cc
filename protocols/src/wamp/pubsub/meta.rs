//! What happens in the realm, as EVENT for the subscriptions that mean it; and what the realm is told of
//! the session's subscriptions.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API, of each the events.

use std::mem;

use super::PubSub;
use super::subscribe::Place;
use crate::broker::Token;
use crate::session::{Actions, Shared};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{Event, EventDetails, MatchPolicy, Message};
use crate::wamp::meta;
use crate::wamp::peers::Request;
use crate::wamp::refusal::Reason;

impl PubSub {
    /// EVENT; `None` if the session does not subscribe to it any more.
    pub fn on_meta_event(
        &self,
        subscription: Id,
        publication: Id,
        event: &meta::Event,
    ) -> Option<Message> {
        let known = self.subscriptions.get(&subscription).filter(|known| known.is_active())?;
        let mut details = EventDetails::default();
        if known.pattern.policy != MatchPolicy::Exact {
            details.topic = Some(Text::from_static(event.topic()));
        }
        let payload = event.payload(self.serializer);
        Some(Event { subscription, publication, details, payload }.into())
    }

    /// The session takes what happens too slowly: the subscription is over. What is joined for it is left;
    /// to the answer, which comes for `token`, nothing is said.
    pub fn on_too_slow(
        &mut self,
        subscription: Id,
        token: Token,
        actions: &mut Actions,
    ) -> Option<Message> {
        self.subscriptions.get(&subscription).filter(|known| known.is_active())?;
        let known = self.forget(subscription)?;
        if let Place::Shared(subscription) = known.place {
            actions.shared.push(Shared::Leave { token, subscription });
        }
        Some(Self::ended(subscription, Reason::Unavailable))
    }

    /// What the realm is to be told since the last call, in order.
    pub fn take_requests(&mut self) -> Vec<Request> {
        mem::take(&mut self.requests)
    }
}
