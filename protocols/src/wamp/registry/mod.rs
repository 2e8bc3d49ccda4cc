//! The registrations of a realm, as a value: which sessions run which procedures.
//!
//! All sessions of a node read one [`Registry`] for every call, an immutable snapshot; whoever
//! registers makes the next one. It does no IO, has no clock and draws no random numbers. Whether
//! something can be registered it decides by what this node knows; among nodes the broker
//! arbitrates, before the others hear of it.
//!
//! *Spec.* WAMP §Registering and Unregistering, §Pattern-based Registrations, §Shared Registration,
//! §Registration Meta API, §Registration Revocation.
//!
//! | what | where |
//! |---|---|
//! | REGISTER, UNREGISTER, the end of a session or node | [`operations`](Registry::register) |
//! | what other nodes say | [`replica`](Registry::apply) |
//! | the procedures of the meta API, and which registration a call is for | here |
//! | which of its callees gets it | [`Registration::pick`] |
//! | how either is found, and what that costs | `index.rs`, `tree.rs` |
//!
//! # Snapshots
//! To change one is to change a clone of it, as often as need be, and to put that in its place: the
//! methods that change a registry never change another clone. A clone costs a few reference counts.
//! A change copies the nodes on the way to what it is about, in each of the trees, and the callees
//! of the one registration. The rest is shared, however many registrations there are.
//!
//! # Several nodes
//! Each node is the only one that says which of its sessions are callees. What it [says](Delta) is
//! applied at the others in the order in which it happened there; in which order two nodes are
//! heard does not matter. The registries are equal as soon as all nodes have heard all.
//!
//! # Two patterns with one ID
//! An ID is a hash, short enough that two patterns with the same one can be searched for. They do not
//! get in each other's way: a call finds a pattern and not an ID, and what a session says and is told
//! of an ID is about that one of them of which it is a callee. It can be so of one alone.
//!
//! # Deviations
//! - So an ID may stand for two registrations. The meta API tells of one of them.
//! - A prefix is one of characters, as §Prefix Matching has it. In one of the examples of
//!   §Calls matching multiple registrations, `a1.b2.c3` is no prefix of `a1.b2.c33.d4.e5`.
//! - Wildcards can have [so many shapes](MOST_SHAPES) in a realm.
//! - `concurrency` and `force_reregister` are known from another router. The latter replaces
//!   callees of the same node alone: another node has to be asked.

mod delta;
mod index;
mod operations;
mod pick;
mod registration;
mod replica;
mod tree;

use std::sync::Arc;

pub use delta::{Delta, Removal};
pub use index::MOST_SHAPES;
pub use operations::{Conflict, MayReplace, NoSuchRegistration, RegisterError, Registered};
pub use pick::{Load, NoAvailableCallee};
pub use registration::{Callee, NodeId, Registration, Row, SessionAt, Timestamp, registration_id};

use index::Index;
use tree::Tree;

use super::id::Id;
use super::message::{InvokePolicy, MatchPolicy};
use super::uri::Pattern;
use crate::text::Text;

/// Registrations of a realm, under their patterns, their IDs and their callees.
///
/// *Cost.* Clone is O(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    realm: Text,
    /// The registrations.
    index: Index,
    /// What is registered, by [`pattern_key`].
    patterns: Tree<Pattern>,
    /// Who is a callee of what, by [`callee_key`].
    callees: Tree<(SessionAt, Id)>,
    /// Who gets calls that are for none of these.
    fallback: Option<Arc<Registration>>,
}

/// The IDs of all registrations, for `wamp.registration.list`, in no particular order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of those that match one procedure.
    pub exact: Vec<Id>,
    /// Of prefixes.
    pub prefix: Vec<Id>,
    /// Of wildcards.
    pub wildcard: Vec<Id>,
}

impl Registry {
    /// None yet. All nodes must name the realm alike: IDs depend on it.
    pub fn new(realm: Text) -> Self {
        let (index, patterns, callees) = Default::default();
        Self { realm: realm.detached(), index, patterns, callees, fallback: None }
    }

    /// The same, and a callee for the calls of procedures that nobody has registered. It is no
    /// registration: nobody hears of it, and it is none to be found by anything else.
    #[must_use]
    pub fn with_fallback(mut self, callee: Callee) -> Self {
        let pattern = Pattern { policy: MatchPolicy::Prefix, uri: Text::default() };
        let invoke = InvokePolicy::Single;
        let row = Row { pattern, invoke, created: callee.registered, callee };
        // Its ID is that of the prefix of all procedures. Should that be registered, nothing gets here.
        let id = registration_id(&self.realm, &row.pattern);
        self.fallback = Some(Arc::new(Registration::new(id, &row)));
        self
    }

    /// The same without such a callee.
    #[must_use]
    pub fn without_fallback(&self) -> Self {
        Self { fallback: None, ..self.clone() }
    }

    /// As [`best_match`](Self::best_match), or else the callee of what nobody has registered.
    pub fn route(&self, procedure: &str) -> Option<&Arc<Registration>> {
        self.best_match(procedure).or(self.fallback.as_ref())
    }

    /// As [`get_for`](Self::get_for), or else the callee of what nobody has registered.
    pub fn route_by_id(&self, procedure: &str, registration: Id) -> Option<&Arc<Registration>> {
        let fallback = || self.fallback.as_ref().filter(|it| it.id() == registration);
        self.get_for(procedure, registration).or_else(fallback)
    }

    /// The registration that a call is for; also for `wamp.registration.match`.
    ///
    /// *Spec.* WAMP §Pattern-based Registrations: exact, else the longest prefix, else the best
    /// wildcard. If none of its callees [can take the call](Registration::pick), no other
    /// registration is considered. *Cost.* The bytes of the URI; for wildcards at most
    /// [`MOST_SHAPES`] times that. No allocation for a procedure of up to 15 components.
    pub fn best_match(&self, procedure: &str) -> Option<&Arc<Registration>> {
        self.index.best(procedure)
    }

    /// `wamp.registration.list`. *Cost.* Linear in registrations.
    pub fn list(&self) -> Listing {
        let ids = |policy| self.index.all(policy).map(|registration| registration.id()).collect();
        Listing {
            exact: ids(MatchPolicy::Exact),
            prefix: ids(MatchPolicy::Prefix),
            wildcard: ids(MatchPolicy::Wildcard),
        }
    }

    /// `wamp.registration.lookup`: the registration of this very pattern.
    pub fn lookup(&self, pattern: &Pattern) -> Option<&Arc<Registration>> {
        self.index.get(pattern)
    }

    /// `wamp.registration.get`. Of two that have this ID, the one whose pattern comes first.
    pub fn get(&self, registration: Id) -> Option<&Arc<Registration>> {
        self.with_id(registration).next()
    }

    /// The registration with this ID of which a session is a callee: there is at most one. *Cost.*
    /// Linear in callees.
    pub fn get_of(&self, at: SessionAt, registration: Id) -> Option<&Arc<Registration>> {
        let mut registrations =
            self.is_callee(at, registration).then(|| self.with_id(registration))?;
        registrations.find(|registration| registration.callee(at).is_some())
    }

    /// The registration with this ID that a call of this procedure may be for.
    pub fn get_for(&self, procedure: &str, registration: Id) -> Option<&Arc<Registration>> {
        let mut registrations = self.with_id(registration);
        registrations.find(|registration| registration.pattern().matches(procedure))
    }

    /// Those with an ID: one, or more if their hashes [collide](registration_id).
    fn with_id(&self, registration: Id) -> impl Iterator<Item = &Arc<Registration>> {
        let patterns = self.patterns.under(&registration.get().to_be_bytes());
        patterns.filter_map(|pattern| self.index.get(pattern))
    }

    /// `wamp.registration.list_callees`: the one that registered first before the others. `None` if
    /// there is no such registration.
    pub fn list_callees(&self, registration: Id) -> Option<Vec<SessionAt>> {
        Some(self.get(registration)?.callees().map(|callee| callee.at).collect())
    }

    /// `wamp.registration.count_callees`. `None` if there is no such registration.
    pub fn count_callees(&self, registration: Id) -> Option<usize> {
        Some(self.get(registration)?.callees().len())
    }

    /// The registrations of which a session is a callee, in the order of their IDs.
    pub fn of_session(&self, at: SessionAt) -> impl Iterator<Item = Id> {
        self.callees.under(&session_key(at)).map(|(_, registration)| *registration)
    }

    /// Whether a session is a callee of a registration.
    pub fn is_callee(&self, at: SessionAt, registration: Id) -> bool {
        self.callees.get(&callee_key(at, registration)).is_some()
    }
}

/// What the keys of a session begin with; those of a node with the first half of it.
fn session_key(at: SessionAt) -> [u8; 16] {
    let key = u128::from(at.node.0) << 64 | u128::from(at.session.get());
    key.to_be_bytes()
}

/// Under an ID, the order of patterns is the same everywhere.
fn pattern_key(registration: Id, pattern: &Pattern) -> Vec<u8> {
    let policy = match pattern.policy {
        MatchPolicy::Exact => 0,
        MatchPolicy::Prefix => 1,
        MatchPolicy::Wildcard => 2,
    };
    let id = registration.get().to_be_bytes();
    [&id[..], &[policy], pattern.uri.as_bytes()].concat()
}

fn callee_key(at: SessionAt, registration: Id) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&session_key(at));
    key[16..].copy_from_slice(&registration.get().to_be_bytes());
    key
}
