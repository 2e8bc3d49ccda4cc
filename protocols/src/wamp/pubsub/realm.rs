//! What the broker of a realm goes by: settings of the realm, who a session is, and what it may do.
//!
//! *Spec.* WAMP §Realms, §URIs, §Publisher Identification.
//!
//! # Whose headers count
//! Gateways tell each other in headers that begin with `wamp-` what a message is besides its
//! arguments. Whoever may publish at the broker can write such headers, so they count only in messages
//! whose `user_id` is a login of a gateway: the broker has checked that. Whoever else gets to publish
//! under that login (a STOMP client of a route that works under it) must not get to write headers that
//! begin so. It can write `user-id`, so a message without the header that each of a gateway's has is
//! nobody's but its own.

use super::headers;
use crate::broker::{Publication, Value, key, user};
use crate::policy;
use crate::text::Text;
use crate::wamp::access::{Action, Disclosure, Rights};
use crate::wamp::message::MatchPolicy;
use crate::wamp::serializer::Limits;
use crate::wamp::uri::{Pattern, UriRules};

/// What all sessions of a realm have in common. Those of one realm have equal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// Its URI.
    pub name: Text,
    /// Which topics there may be.
    pub uris: UriRules,
    /// Whose headers count.
    pub trust: Trust,
    /// Bounds on what is read and made of a payload.
    pub limits: Limits,
    /// Bytes of a payload, as the body of a broker's message. Default 16 MiB, what RabbitMQ 4 takes.
    pub body_size: usize,
    /// Whether a prefix may be subscribed to that ends before the second component: every message of
    /// the realm then comes to this node, to be matched there. Default false.
    pub broad_prefixes: bool,
}

impl Realm {
    /// One with the default settings.
    pub fn new(name: impl Into<Text>, trust: Trust) -> Self {
        Self {
            name: name.into(),
            uris: UriRules::default(),
            trust,
            limits: Limits::DEFAULT,
            body_size: 16 << 20,
            broad_prefixes: false,
        }
    }
}

/// The logins of gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The one that sessions of the realm work under here.
    pub own: Text,
    /// Those of other gateways in front of the same broker, where they differ.
    pub others: Vec<Text>,
}

impl Trust {
    /// Whether a gateway published it, and under this key. A queue that has given a message up may have sent
    /// it anywhere, with all that the gateway wrote.
    pub fn holds(&self, publication: &Publication) -> bool {
        self.uri(publication)
            .is_some_and(|uri| key::escape(uri) == publication.routing_key.as_str())
    }

    /// As [`holds`](Self::holds), of what has no key.
    pub fn holds_without_key(&self, publication: &Publication) -> bool {
        self.uri(publication).is_some()
    }

    /// What a gateway has published it under.
    fn uri<'a>(&self, publication: &'a Publication) -> Option<&'a Text> {
        let properties = &publication.message.properties;
        let is_own = |user: &Text| *user == self.own || self.others.contains(user);
        if !properties.user_id.as_ref().is_some_and(is_own)
            || headers::find(&properties.headers, user::DEATHS).is_some()
        {
            return None;
        }
        match headers::find(&properties.headers, headers::URI) {
            Some(Value::Text(uri)) => Some(uri),
            _ => None,
        }
    }
}

/// What a session may do.
pub trait Access {
    /// Whether it may do this with all that the pattern stands for.
    fn may(&self, action: Action, pattern: &Pattern) -> bool;

    /// Whether it is named to the subscribers of a topic that it publishes to.
    fn disclosure(&self, topic: &str) -> Disclosure;
}

impl Access for Rights {
    fn may(&self, action: Action, pattern: &Pattern) -> bool {
        match pattern.policy {
            MatchPolicy::Exact => Self::may(self, action, &pattern.uri).is_some(),
            MatchPolicy::Prefix | MatchPolicy::Wildcard => {
                self.may_match(action, pattern).is_some()
            }
        }
    }

    fn disclosure(&self, topic: &str) -> Disclosure {
        Self::may(self, Action::Publish, topic).unwrap_or_default()
    }
}

/// Bounds on what one session may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Subscriptions at a time.
    pub subscriptions: usize,
    /// Requests that wait for the broker at a time.
    pub unanswered: usize,
}

impl From<&policy::Limits> for Most {
    fn from(limits: &policy::Limits) -> Self {
        Self { subscriptions: limits.subscriptions, unanswered: limits.pending_receipts }
    }
}
