//! Which sub-protocols there are, and how one is negotiated (RFC 6455 §1.9, §4.2.2).
//!
//! A new protocol is one implementation of [`Subprotocol`] handed to [`Registry::with`]. Between
//! protocols the client's order decides; within one protocol the protocol's own order does, best
//! version first, unless its names differ by something that is the client's to choose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::Secret;
use crate::policy::Policy;
use crate::session::Session;
use crate::stomp::Stomp;
use crate::text::Text;
use crate::wamp::Wamp;
use crate::wamp::peers::Realms;

/// A protocol that can be spoken on a connection. One value serves every session.
pub trait Subprotocol: Send + Sync {
    /// The word for it in a route's `protocols` list, e.g. `stomp`.
    fn id(&self) -> &'static str;

    /// Its names in `Sec-WebSocket-Protocol`, best first, e.g. `v12.stomp`, `v11.stomp`.
    fn names(&self) -> &'static [&'static str];

    /// Whether of its names the client's first is taken, and not the best.
    fn is_by_clients_order(&self) -> bool {
        false
    }

    /// A new session.
    fn open(&self, setup: SessionSetup) -> Box<dyn Session>;
}

/// What a new session is given.
#[derive(Debug, Clone)]
pub struct SessionSetup {
    /// The negotiated name, one of [`Subprotocol::names`]; `None` if the client offered none.
    pub name: Option<&'static str>,
    /// Names this session on this node; no two are alike, and none can be guessed.
    pub session_id: Text,
    /// 128 random bits that nobody else knows, as text: for a session that gives its peer a token.
    pub secret: Secret,
    /// 256 random bits that nobody else knows yet: for identifiers and nonces that the session makes.
    pub random: [u8; 32],
    /// Whether the peer is on the gateway's own host.
    pub is_local: bool,
    /// What is registered where, and on which node this is.
    pub realms: Arc<dyn Realms>,
    /// Whether the transport can tell when the peer has received something.
    pub can_confirm: bool,
    /// Bytes of the longest message that the peer takes; `usize::MAX` if it has named no bound.
    pub most_output: usize,
    /// What the session works under.
    pub policy: Arc<Policy>,
    /// When the connection was opened; the login deadline counts from here.
    pub now: Instant,
    /// The time of day when the session begins, since 1970-01-01T00:00:00Z: to be told to the peer,
    /// never to be reckoned with.
    pub time_of_day: Duration,
}

/// A protocol that was agreed on.
#[derive(Clone)]
pub struct Negotiated {
    /// Speaks it.
    pub protocol: Arc<dyn Subprotocol>,
    /// The name to echo; `None` if the client offered none.
    pub name: Option<&'static str>,
}

/// The protocols a gateway can speak.
#[derive(Clone)]
pub struct Registry(Vec<Arc<dyn Subprotocol>>);

impl Registry {
    /// Every protocol of this crate.
    pub fn standard() -> Self {
        Self(vec![Arc::new(Stomp), Arc::new(Wamp)])
    }

    /// Adds a protocol, in place of one with the same id.
    #[must_use]
    pub fn with(mut self, protocol: Arc<dyn Subprotocol>) -> Self {
        self.0.retain(|known| known.id() != protocol.id());
        self.0.push(protocol);
        self
    }

    /// The protocol with this id.
    pub fn find(&self, id: &str) -> Option<&Arc<dyn Subprotocol>> {
        self.0.iter().find(|protocol| protocol.id() == id)
    }

    /// The ids of all protocols, in the order they were added.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|protocol| protocol.id())
    }
}

/// Chooses among `enabled` for a client that offered these names, in its order.
///
/// Nothing offered: the first of `enabled`, which is the route's default. `None`: something was
/// offered, but nothing of it is spoken here.
pub fn negotiate(offered: &[&str], enabled: &[Arc<dyn Subprotocol>]) -> Option<Negotiated> {
    if offered.is_empty() {
        let protocol = enabled.first()?.clone();
        return Some(Negotiated { protocol, name: None });
    }
    let protocol = offered
        .iter()
        .find_map(|name| enabled.iter().find(|protocol| protocol.names().contains(name)))?;
    let mut names = protocol.names().iter().copied();
    let name = if protocol.is_by_clients_order() {
        offered.iter().find_map(|offer| names.clone().find(|name| name == offer))
    } else {
        names.find(|name| offered.contains(name))
    };
    Some(Negotiated { protocol: protocol.clone(), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Other;

    impl Subprotocol for Other {
        fn id(&self) -> &'static str {
            "other"
        }

        fn names(&self) -> &'static [&'static str] {
            &["other.2", "other.1"]
        }

        fn open(&self, setup: SessionSetup) -> Box<dyn Session> {
            Stomp.open(setup)
        }
    }

    fn chosen(offered: &[&str]) -> Option<(&'static str, Option<&'static str>)> {
        let registry = Registry::standard().with(Arc::new(Other));
        let enabled: Vec<_> = registry.ids().filter_map(|id| registry.find(id).cloned()).collect();
        negotiate(offered, &enabled).map(|it| (it.protocol.id(), it.name))
    }

    #[test]
    fn within_a_protocol_the_highest_version_wins_whatever_the_order() {
        assert_eq!(chosen(&["v10.stomp", "v12.stomp"]), Some(("stomp", Some("v12.stomp"))));
        assert_eq!(chosen(&["stomp", "v11.stomp"]), Some(("stomp", Some("v11.stomp"))));
    }

    #[test]
    fn of_serializers_the_clients_first_wins() {
        for offered in ["wamp.2.json", "wamp.2.msgpack", "wamp.2.cbor"] {
            let all = ["unknown", offered, "wamp.2.cbor", "wamp.2.json", "wamp.2.msgpack"];
            assert_eq!(chosen(&all), Some(("wamp", Some(offered))));
        }
    }

    #[test]
    fn between_protocols_the_clients_order_wins() {
        let offered = ["unknown", "other.1", "v12.stomp", "other.2"];
        assert_eq!(chosen(&offered), Some(("other", Some("other.2"))));
        assert_eq!(chosen(&["v10.stomp", "other.2"]), Some(("stomp", Some("v10.stomp"))));
    }

    #[test]
    fn nothing_offered_means_the_default_and_only_unknown_names_mean_none() {
        assert_eq!(chosen(&[]), Some(("stomp", None)));
        assert_eq!(chosen(&["mqtt"]), None);
    }
}
