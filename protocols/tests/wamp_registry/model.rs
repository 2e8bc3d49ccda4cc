//! The registrations of a realm as a plain list of rows, each question answered by going through
//! it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use protocols::wamp::id::Id;
use protocols::wamp::message::{InvokePolicy, MatchPolicy};
use protocols::wamp::registry::{
    Callee, Delta, NodeId, Removal, Row, SessionAt, Timestamp, registration_id,
};
use protocols::wamp::uri::Pattern;

use super::REALM;

#[derive(Debug, Default)]
pub(super) struct Model {
    rows: Vec<Row>,
}

/// The one of these patterns that a call is for, by the words of the specification.
pub(super) fn best<'a>(
    patterns: impl IntoIterator<Item = &'a Pattern>,
    procedure: &str,
) -> Option<&'a Pattern> {
    let matching = patterns.into_iter().filter(|pattern| pattern.matches(procedure));
    matching.min_by_key(|pattern| match pattern.policy {
        MatchPolicy::Exact => (0, Reverse(Vec::new())),
        MatchPolicy::Prefix => (1, Reverse(vec![pattern.uri.len()])),
        MatchPolicy::Wildcard => (2, Reverse(portions(&pattern.uri))),
    })
}

/// The numbers of components before, between and behind the empty ones.
fn portions(wildcard: &str) -> Vec<usize> {
    let components: Vec<&str> = wildcard.split('.').collect();
    components.split(|component| component.is_empty()).map(<[&str]>::len).collect()
}

impl Model {
    pub(super) fn best(&self, procedure: &str) -> Option<&Pattern> {
        best(self.rows.iter().map(|row| &row.pattern), procedure)
    }

    pub(super) fn id_of_some(&self, choice: usize) -> Option<(SessionAt, Id)> {
        let row = self.rows.get(choice.checked_rem(self.rows.len())?)?;
        Some((row.callee.at, registration_id(REALM, &row.pattern)))
    }

    /// The rows of a registration, the one that registered first before the others.
    pub(super) fn of(&self, pattern: &Pattern) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.pattern == *pattern).collect();
        rows.sort_by_key(|row| row.callee.rank());
        rows
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// `forced` says whose callees are replaced. `None`: procedure_already_exists.
    pub(super) fn register(
        &mut self,
        pattern: &Pattern,
        invoke: InvokePolicy,
        mut callee: Callee,
        forced: Option<&dyn Fn(&Callee) -> bool>,
    ) -> Option<Vec<Delta>> {
        let there: Vec<Row> = self.of(pattern).into_iter().cloned().collect();
        let mut created = callee.registered;
        let mut deltas = Vec::new();
        if let Some(last) = there.last() {
            if there.iter().any(|row| row.callee.at == callee.at) {
                return None;
            }
            callee.registered = callee.registered.max(Timestamp(last.callee.registered.0 + 1));
            if let Some(forced) = forced {
                let is_replaced =
                    |row: &Row| forced(&row.callee) && row.callee.at.node == callee.at.node;
                if !there.iter().all(is_replaced) {
                    return None;
                }
                created = callee.registered;
                for row in &there {
                    deltas.extend(self.remove(row.callee.at, pattern, Removal::Revoked));
                }
            } else {
                if there[0].invoke != invoke || invoke == InvokePolicy::Single {
                    return None;
                }
                created = there.iter().map(|row| row.created).min().unwrap();
            }
        }
        let registration = registration_id(REALM, pattern);
        if self.of(pattern).is_empty() {
            let (by, pattern) = (callee.at, pattern.clone());
            deltas.push(Delta::Created { by, registration, pattern, invoke, created });
        }
        let row = Row { pattern: pattern.clone(), invoke, created, callee };
        self.rows.push(row.clone());
        deltas.push(Delta::CalleeAdded { registration, row });
        Some(deltas)
    }

    pub(super) fn unregister(&mut self, at: SessionAt, registration: Id) -> Option<Vec<Delta>> {
        let is_meant = |row: &&Row| {
            row.callee.at == at && registration_id(REALM, &row.pattern) == registration
        };
        let pattern = self.rows.iter().find(is_meant)?.pattern.clone();
        Some(self.remove(at, &pattern, Removal::Asked))
    }

    pub(super) fn leave(&mut self, at: SessionAt) -> Vec<Delta> {
        self.remove_if(|callee| callee.at == at, Removal::SessionLeft)
    }

    pub(super) fn leave_node(&mut self, node: NodeId) -> Vec<Delta> {
        self.remove_if(|callee| callee.at.node == node, Removal::NodeLeft)
    }

    fn remove_if(&mut self, is_gone: impl Fn(&Callee) -> bool, cause: Removal) -> Vec<Delta> {
        let mut gone: Vec<Row> =
            self.rows.iter().filter(|row| is_gone(&row.callee)).cloned().collect();
        gone.sort_by_key(|row| (row.callee.at, registration_id(REALM, &row.pattern)));
        gone.iter().flat_map(|row| self.remove(row.callee.at, &row.pattern, cause)).collect()
    }

    fn remove(&mut self, at: SessionAt, pattern: &Pattern, cause: Removal) -> Vec<Delta> {
        let registration = registration_id(REALM, pattern);
        self.rows.retain(|row| row.callee.at != at || row.pattern != *pattern);
        let mut deltas = vec![Delta::CalleeRemoved { registration, at, cause }];
        if self.of(pattern).is_empty() {
            deltas.push(Delta::Deleted { by: at, registration });
        }
        deltas
    }
}

/// What somebody knows who hears of nothing but what is announced, and takes offence at what cannot
/// be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audience {
    callees: BTreeMap<Id, BTreeSet<SessionAt>>,
}

impl Audience {
    pub(super) fn hear(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            match delta {
                Delta::Created { registration, .. } => {
                    let before = self.callees.insert(*registration, BTreeSet::new());
                    assert_eq!(before, None, "created twice");
                }
                Delta::CalleeAdded { registration, row } => {
                    let callees = self.callees.get_mut(registration);
                    let is_new = callees.expect("created before").insert(row.callee.at);
                    assert!(is_new, "added twice");
                }
                Delta::CalleeRemoved { registration, at, .. } => {
                    let callees = self.callees.get_mut(registration);
                    assert!(callees.expect("created before").remove(at), "was no callee");
                }
                Delta::Deleted { registration, .. } => {
                    let before = self.callees.remove(registration);
                    assert_eq!(before, Some(BTreeSet::new()), "deleted with callees");
                }
            }
        }
        assert!(self.callees.values().all(|callees| !callees.is_empty()), "not deleted");
    }

    pub(super) fn len(&self) -> usize {
        self.callees.values().map(BTreeSet::len).sum()
    }
}
