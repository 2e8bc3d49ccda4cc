//! What other nodes say of their sessions, and what this one tells them when they ask.
//!
//! A registry is no more than its [rows](Row): that a registration is there, when it was created
//! and how it is called follows from them. A row is about one session, and so it belongs to one
//! node. Deltas of one node come in the order in which it made them; those of two nodes are about
//! different rows, so that it does not matter which come first.
//!
//! # Twice is as good as once
//! A delta changes nothing if it comes again, at once or with all that followed it. That none is
//! missing and no old one comes alone is up to whoever brings them, by the numbers that they have
//! there; [`correct`](Registry::correct) puts right what went wrong.

use std::collections::BTreeMap;

use super::Registry;
use super::delta::{Delta, Removal};
use super::registration::{NodeId, Row, SessionAt, registration_id};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::MatchPolicy;

impl Registry {
    /// A node says what happened there. The outcome is what happens here by that.
    ///
    /// Nobody is refused: what is in the way of a registration was arbitrated before. If two nodes
    /// registered what must not be shared nevertheless, both callees are there, on all nodes, until
    /// one of them is removed.
    pub fn apply(&mut self, delta: &Delta) -> Vec<Delta> {
        let mut deltas = Vec::new();
        match delta {
            Delta::CalleeAdded { row, .. } => self.apply_row(row, &mut deltas),
            Delta::CalleeRemoved { registration, at, cause } => {
                self.remove(*registration, *at, *cause, &mut deltas);
            }
            // These follow from the callees that are here.
            Delta::Created { .. } | Delta::Deleted { .. } => {}
        }
        deltas
    }

    /// A node says who its callees are. All else that is known of its sessions is wrong.
    ///
    /// *Shape.* Rows of other nodes are ignored. *Cost.* Linear in the callees of the node, apart
    /// from what changes.
    pub fn correct(&mut self, node: NodeId, rows: impl IntoIterator<Item = Row>) -> Vec<Delta> {
        let rows = rows.into_iter().filter(|row| row.callee.at.node == node);
        let rows = rows.map(|row| ((row.callee.at, self.id_of(&row)), row));
        let rows: BTreeMap<(SessionAt, Id), Row> = rows.collect();
        let here = self.callees.under(&node.0.to_be_bytes()).copied();
        let wrong: Vec<_> = here.filter(|callee| !rows.contains_key(callee)).collect();

        let mut deltas = Vec::new();
        for (at, registration) in wrong {
            self.remove(registration, at, Removal::Corrected, &mut deltas);
        }
        rows.values().for_each(|row| self.apply_row(row, &mut deltas));
        deltas
    }

    /// All that is known, to make an equal registry [of](Self::of_rows).
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let policies = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
        let registrations = policies.into_iter().flat_map(|policy| self.index.all(policy));
        registrations.flat_map(|registration| registration.rows())
    }

    /// What a node says, to [correct](Self::correct) another. *Cost.* Linear in all callees.
    pub fn rows_of(&self, node: NodeId) -> impl Iterator<Item = Row> {
        self.rows().filter(move |row| row.callee.at.node == node)
    }

    /// The registry with these rows, whatever their order.
    pub fn of_rows(realm: Text, rows: impl IntoIterator<Item = Row>) -> Self {
        let mut registry = Self::new(realm);
        let mut deltas = Vec::new();
        for row in rows {
            registry.apply_row(&row, &mut deltas);
            deltas.clear();
        }
        registry
    }

    fn apply_row(&mut self, row: &Row, deltas: &mut Vec<Delta>) {
        let (registration, at) = (self.id_of(row), row.callee.at);
        if let Some(there) = self.get_of(at, registration) {
            if there.row_of(at).as_ref() == Some(row) {
                return;
            }
            self.remove(registration, at, Removal::Corrected, deltas);
        }
        self.add(registration, row.clone(), deltas);
    }

    fn id_of(&self, row: &Row) -> Id {
        registration_id(&self.realm, &row.pattern)
    }
}
