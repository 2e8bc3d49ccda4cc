//! The realms of WAMP on this node: which sessions are in them, what is registered there, and how a
//! session's requests to others get to these.
//!
//! There is no task in the middle. What all sessions of a realm read is a snapshot of its registry,
//! replaced at each REGISTER and UNREGISTER; a call goes from the mailbox of one session to that of
//! another, and so does its answer. A session's place in it is its [`Seat`].
//!
//! *Spec.* WAMP §Realms, Sessions and Transports; §Registering and Unregistering; §Calling and
//! Invocations: what a dealer does that is no single session's business; §Meta API.
//!
//! # Other nodes
//! Nodes know nothing of each other: the meta API is about the sessions of this one. What nobody has
//! registered here is called [over the broker](bridge), which also says which node has a procedure.

pub(crate) mod bridge;
mod claims;
mod dealer;
mod letter;
mod member;
mod meta;
mod seat;

use std::collections::BTreeMap;
use std::sync::Arc;

use protocols::text::Text;
use protocols::wamp::peers;
use protocols::wamp::registry::{NodeId, Registry};

use dealer::Dealer;
pub(crate) use letter::Letter;
pub(crate) use seat::Seat;

/// The realms in front of one broker, as this node has them.
#[derive(Debug)]
pub(crate) struct Realms {
    node: NodeId,
    /// By the name of the realm.
    dealers: BTreeMap<Text, Arc<Dealer>>,
}

impl Realms {
    /// Those with these names. `node` is another one at each start of a process, and `random` are bits
    /// that nobody else knows.
    pub(crate) fn new(
        node: NodeId,
        random: &[u8; 32],
        names: impl IntoIterator<Item = Text>,
    ) -> Self {
        let dealers = names.into_iter().map(|name| {
            let dealer = Arc::new(Dealer::new(node, name.clone(), random));
            (name, dealer)
        });
        Self { node, dealers: dealers.collect() }
    }

    /// What a session is in that has not been welcomed yet.
    pub(crate) fn dealer(&self, realm: &str) -> Option<&Arc<Dealer>> {
        self.dealers.get(realm)
    }
}

impl peers::Realms for Realms {
    fn node(&self) -> NodeId {
        self.node
    }

    fn registry(&self, realm: &str) -> Option<Arc<Registry>> {
        self.dealers.get(realm).map(|dealer| dealer.registry())
    }
}

#[cfg(test)]
mod tests;
