//! SUBSCRIBE and UNSUBSCRIBE, and subscriptions that end by themselves.
//!
//! *Spec.* WAMP §Subscribing and Unsubscribing: a session that subscribes again to the same gets the same
//! ID, and one copy of each event; one UNSUBSCRIBE ends it. §Pattern-based Subscription. §Subscription
//! Revocation.
//!
//! What is subscribed to of the protocol's own topics alone is not joined anywhere: it comes from the
//! [realm](crate::wamp::peers) on this node.

use std::mem;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::foreign::id_of;
use super::realm::Access;
use super::{Asked, EventEncoder, PubSub};
use crate::broker::{BrokerError, BrokerErrorKind, SubscriptionId, Token, user};
use crate::delivery::SHARED_BOUNDS;
use crate::session::{Actions, Shared};
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::access::Action;
use crate::wamp::id::Id;
use crate::wamp::message::{
    Choice, MatchPolicy, Message, RequestType, Subscribe, Subscribed, Unsubscribe, Unsubscribed,
    UnsubscribedDetails,
};
use crate::wamp::peers::Request;
use crate::wamp::refusal::{Reason, Refusal};
use crate::wamp::uri::Pattern;

/// A subscription of the session.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) pattern: Pattern,
    pub(super) place: Place,
    state: State,
}

/// Where the events of a subscription come from, besides what happens in the realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// From where it is joined, and called so.
    Shared(SubscriptionId),
    /// From nowhere: it means topics of the protocol's own alone.
    Realm,
}

impl Subscription {
    pub(super) const fn is_active(&self) -> bool {
        matches!(self.state, State::Active)
    }
}

#[derive(Debug)]
enum State {
    /// The join has no answer; these SUBSCRIBEs wait for it, one at least.
    Joining(Requests),
    /// Events come.
    Active,
}

/// IDs of requests.
pub(super) type Requests = SmallVec<[Id; 1]>;

/// The ID of a subscription: on all nodes, and for all sessions, the same for the same topics.
///
/// *Shape.* The low 53 bits of SHA-256 of `sub|realm|match|uri`, and 1.
pub fn subscription_id(realm: &str, pattern: &Pattern) -> Id {
    let mut hash = Sha256::new();
    for part in ["sub|", realm, "|", pattern.policy.as_str(), "|", &pattern.uri] {
        hash.update(part);
    }
    id_of(&hash.finalize())
}

impl PubSub {
    /// SUBSCRIBE. What is joined gets these names, which nothing else has had.
    ///
    /// SUBSCRIBED, if it can be said at once; otherwise it comes of an [event](Self::on_event).
    ///
    /// *Errors.* Why it is refused; nothing has been asked for then.
    pub fn on_subscribe(
        &mut self,
        subscribe: &Subscribe,
        access: &impl Access,
        (token, joined_as): (Token, SubscriptionId),
        actions: &mut Actions,
    ) -> Result<Option<Message>, Refusal> {
        let request = subscribe.request;
        let refuse = |(reason, sentence): (Reason, String)| {
            Refusal::new((RequestType::SUBSCRIBE, request), reason, sentence)
        };
        let (pattern, topic) = self.pattern(subscribe, access).map_err(refuse)?;
        let id = subscription_id(&self.realm.name, &pattern);
        let is_busy = self.is_busy();
        let busy = || {
            let sentence = "too many requests wait for the broker's answer";
            refuse((Reason::Unavailable, sentence.to_owned()))
        };
        if let Some(known) = self.subscriptions.get_mut(&id) {
            if known.pattern != pattern {
                let sentence =
                    format!("it would have the ID {id}, which another subscription has already");
                return Err(refuse((Reason::OptionNotAllowed, sentence)));
            }
            return match &mut known.state {
                State::Active => Ok(Some(Subscribed { request, subscription: id }.into())),
                State::Joining(_) if is_busy => Err(busy()),
                State::Joining(requests) => {
                    requests.push(request);
                    self.waiting += 1;
                    Ok(None)
                }
            };
        }
        if self.subscriptions.len() >= self.most.subscriptions {
            let sentence = format!("a session may have {} subscriptions", self.most.subscriptions);
            return Err(refuse((Reason::Unavailable, sentence)));
        }
        if pattern.is_reserved() {
            self.requests.push(Request::Subscribed { subscription: id, pattern: pattern.clone() });
            let known = Subscription { pattern, place: Place::Realm, state: State::Active };
            self.subscriptions.insert(id, known);
            return Ok(Some(Subscribed { request, subscription: id }.into()));
        }
        if is_busy {
            return Err(busy());
        }
        let encoder = Arc::new(EventEncoder::new(
            Arc::clone(&self.realm),
            Arc::clone(&self.principal),
            self.serializer,
            (id, pattern.clone()),
        ));
        let state = State::Joining(SmallVec::from_buf([request]));
        let place = Place::Shared(joined_as);
        self.subscriptions.insert(id, Subscription { pattern, place, state });
        self.asked.insert(token, Asked::Join { subscription: id });
        actions.shared.push(Shared::Join { token, subscription: joined_as, topic, encoder });
        Ok(None)
    }

    /// What is subscribed to, and the pattern that is joined for it.
    fn pattern(
        &self,
        subscribe: &Subscribe,
        access: &impl Access,
    ) -> Result<(Pattern, Text), (Reason, String)> {
        let policy = match &subscribe.options.match_policy {
            None => MatchPolicy::Exact,
            Some(Choice::Known(policy)) => *policy,
            Some(Choice::Other(word)) => {
                let sentence = format!(
                    "topics are not matched by {:?}, but exact, prefix or wildcard",
                    shown(word)
                );
                return Err((Reason::OptionNotAllowed, sentence));
            }
        };
        if subscribe.options.nkey.is_some() {
            return Err((Reason::NotSupported, "subscriptions are not sharded".to_owned()));
        }
        let uri = &subscribe.topic;
        let invalid = |error: &dyn ToString| (Reason::InvalidUri, error.to_string());
        self.realm.uris.check_pattern(uri, policy).map_err(|error| invalid(&error))?;
        let pattern = Pattern { policy, uri: uri.detached() };
        let topic = pattern.binding_key().map_err(|error| invalid(&error))?;
        if user::is_private(&topic) || !access.may(Action::Subscribe, &pattern) {
            let sentence = format!("this session may not subscribe to {:?}", shown(uri));
            return Err((Reason::NotAuthorized, sentence));
        }
        if policy == MatchPolicy::Prefix && topic == "#" && !self.realm.broad_prefixes {
            let sentence = "a prefix must have a dot in it: this one stands for too many topics";
            return Err((Reason::OptionNotAllowed, sentence.to_owned()));
        }
        if !SHARED_BOUNDS.allow(&topic) {
            let sentence = format!("a topic may have {} components", SHARED_BOUNDS.words);
            return Err((Reason::InvalidUri, sentence));
        }
        Ok((pattern, topic))
    }

    /// UNSUBSCRIBE. UNSUBSCRIBED, if it can be said at once; otherwise it comes of an
    /// [event](Self::on_event). No EVENT of the subscription comes after this call.
    ///
    /// *Errors.* The peer has no such subscription: an ID that it was not told counts as none.
    pub fn on_unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe,
        token: Token,
        actions: &mut Actions,
    ) -> Result<Option<Message>, Refusal> {
        let Unsubscribe { request, subscription } = *unsubscribe;
        let refuse = |reason, sentence: String| {
            Refusal::new((RequestType::UNSUBSCRIBE, request), reason, sentence)
        };
        let is_active = self.subscriptions.get(&subscription).is_some_and(Subscription::is_active);
        let Some(known) = is_active.then(|| self.forget(subscription)).flatten() else {
            let sentence = format!("there is no subscription with the ID {subscription}");
            return Err(refuse(Reason::NoSuchSubscription, sentence));
        };
        let Place::Shared(joined_as) = known.place else {
            return Ok(Some(Unsubscribed { request: Some(request), details: None }.into()));
        };
        self.asked.insert(token, Asked::Leave { request });
        actions.shared.push(Shared::Leave { token, subscription: joined_as });
        Ok(None)
    }

    /// A subscription that the realm knows is over.
    pub(super) fn forget(&mut self, subscription: Id) -> Option<Subscription> {
        let known = self.subscriptions.remove(&subscription)?;
        self.requests.push(Request::Unsubscribed { subscription });
        Some(known)
    }

    /// UNSUBSCRIBED, of what has ended by itself.
    pub(super) fn ended(subscription: Id, reason: Reason) -> Message {
        let details = UnsubscribedDetails {
            subscription: Some(subscription),
            reason: Some(Text::from_static(reason.uri())),
        };
        Unsubscribed { request: None, details: Some(details) }.into()
    }

    /// SUBSCRIBED, for every SUBSCRIBE that waits for it.
    pub(super) fn on_joined(&mut self, id: Id) -> Vec<Message> {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return Vec::new();
        };
        let State::Joining(requests) = mem::replace(&mut subscription.state, State::Active) else {
            return Vec::new();
        };
        self.waiting -= requests.len() - 1;
        let pattern = subscription.pattern.clone();
        self.requests.push(Request::Subscribed { subscription: id, pattern });
        let subscribed = |request| Subscribed { request, subscription: id }.into();
        requests.into_iter().map(subscribed).collect()
    }

    /// The SUBSCRIBEs that wait for a subscription that does not come about.
    pub(super) fn give_up_joining(&mut self, id: Id) -> Requests {
        match self.subscriptions.remove(&id).map(|it| it.state) {
            Some(State::Joining(requests)) => {
                self.waiting -= requests.len() - 1;
                requests
            }
            Some(State::Active) | None => Requests::new(),
        }
    }

    /// A subscription has ended by itself; `None` if it is none of these.
    pub(super) fn on_canceled(
        &mut self,
        joined_as: SubscriptionId,
        error: &BrokerError,
    ) -> Option<Vec<Message>> {
        let mut all = self.subscriptions.iter();
        let (id, known) = all.find(|(_, known)| known.place == Place::Shared(joined_as))?;
        let id = *id;
        // If it has no answer yet, the SUBSCRIBEs are refused when that comes.
        if let State::Joining(_) = known.state {
            return Some(Vec::new());
        }
        self.forget(id);
        let reason = match error.kind {
            BrokerErrorKind::AccessRefused => Reason::NotAuthorized,
            _ => Reason::Unavailable,
        };
        Some(vec![Self::ended(id, reason)])
    }
}
