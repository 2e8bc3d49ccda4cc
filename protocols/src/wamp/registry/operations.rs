//! What changes registrations on the node of a session: REGISTER, UNREGISTER, and that it ends.
//!
//! *Spec.* WAMP §Registering and Unregistering, §Shared Registration, §Registration Revocation;
//! §Registration Meta API (the order of what is announced).

use std::sync::Arc;

use super::delta::{Delta, Removal};
use super::pick::Load;
use super::registration::{
    Callee, NodeId, Registration, Row, SessionAt, Timestamp, registration_id,
};
use super::{MOST_SHAPES, Registry, callee_key, pattern_key, session_key};
use crate::broker::{BrokerError, BrokerErrorKind};
use crate::violation::shown;
use crate::wamp::id::Id;
use crate::wamp::message::{InvokePolicy, MatchPolicy};
use crate::wamp::refusal::Reason;
use crate::wamp::uri::Pattern;

/// What came of REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// For REGISTERED.
    pub registration: Id,
    /// Where the callee says how many calls of it it has, if it takes so many at once.
    pub load: Option<Load>,
    /// What happened, in the order in which it is to be announced.
    pub deltas: Vec<Delta>,
}

/// Why a procedure is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It is registered.
    #[error("{uri:?} ({}) is registered already {conflict}", .policy.as_str())]
    AlreadyExists {
        /// The procedure, cut to what can be shown.
        uri: String,
        /// How it is matched.
        policy: MatchPolicy,
        /// What is in the way.
        conflict: Conflict,
    },
    /// The session is a callee of another pattern with its ID.
    #[error(
        "{uri:?} cannot be registered: another procedure of this session has the ID {registration}"
    )]
    IdTaken {
        /// The procedure, cut to what can be shown.
        uri: String,
        /// The ID.
        registration: Id,
    },
    /// Its empty components are where those of no other wildcard are.
    #[error(
        "{uri:?} cannot be registered: wildcards of {components} components have their empty ones \
         in {limit} different ways already, which is as many as may be"
    )]
    TooManyShapes {
        /// The wildcard, cut to what can be shown.
        uri: String,
        /// Its components.
        components: usize,
        /// Allowed ways.
        limit: usize,
    },
    /// The broker, which says which node has a procedure, has not given it to this one.
    #[error("{uri:?} cannot be registered: {error}")]
    Elsewhere {
        /// The procedure, cut to what can be shown.
        uri: String,
        /// What the broker says.
        error: BrokerError,
    },
}

impl RegisterError {
    /// For ERROR.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AlreadyExists { .. } => Reason::ProcedureAlreadyExists,
            Self::IdTaken { .. } | Self::TooManyShapes { .. } => Reason::OptionNotAllowed,
            Self::Elsewhere { error, .. } => match error.kind {
                // Somebody else has the queue, or has it in another way.
                BrokerErrorKind::ResourceLocked | BrokerErrorKind::PreconditionFailed => {
                    Reason::ProcedureAlreadyExists
                }
                _ => Reason::of_broker(error),
            },
        }
    }
}

/// What is in the way of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The session is a callee of it.
    #[error("by this session")]
    SameSession,
    /// It is not shared, and it was not to be either.
    #[error("by another session, which does not share it")]
    NotShared,
    /// It is called in another way.
    #[error("with the invocation policy {there:?}, not {asked:?}")]
    OtherPolicy {
        /// The one that it has.
        there: &'static str,
        /// The one that was asked for.
        asked: &'static str,
    },
    /// A callee was to be replaced, but is not to be.
    #[error("by {callee}, which may not be replaced by this one")]
    NotReplaceable {
        /// The first of these.
        callee: SessionAt,
    },
    /// A callee was to be replaced, but only its own node can do so.
    #[error("by {callee} on another node, which has to give it up first")]
    OnOtherNode {
        /// The first of these.
        callee: SessionAt,
    },
}

/// Whether a callee may be replaced by a new one: whether both are the same user.
pub type MayReplace<'a> = &'a dyn Fn(&Callee) -> bool;

/// A registration that there is not, or of which a session is no callee:
/// `wamp.error.no_such_registration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{at} is not registered under {registration}")]
pub struct NoSuchRegistration {
    /// The session.
    pub at: SessionAt,
    /// What it wanted to unregister.
    pub registration: Id,
}

impl Registry {
    /// REGISTER.
    ///
    /// *Shape.* `callee.registered` is the time. It is moved behind those of the callees that are
    /// there already, so that their order is right even within a millisecond, and where clocks are
    /// wrong. With `replace` (`force_reregister`) all others are removed first, if each of them may
    /// be; the registration is deleted then, and created again.
    ///
    /// *Errors.* What is in the way. Nothing has changed then. *Order.* The pattern has been
    /// checked and authorized. *Cost.* A copy of the callees of the registration.
    pub fn register(
        &mut self,
        pattern: Pattern,
        invoke: InvokePolicy,
        callee: Callee,
        replace: Option<MayReplace<'_>>,
    ) -> Result<Registered, RegisterError> {
        let registration = registration_id(&self.realm, &pattern);
        if self.get_of(callee.at, registration).is_some_and(|there| *there.pattern() != pattern) {
            return Err(RegisterError::IdTaken { uri: shown(&pattern.uri), registration });
        }
        let mut row = Row { pattern, invoke, created: callee.registered, callee };
        let mut deltas = Vec::new();
        if let Some(there) = self.index.get(&row.pattern).cloned() {
            check_conflict(&there, &row, replace).map_err(|conflict| {
                let (uri, policy) = (shown(&row.pattern.uri), row.pattern.policy);
                RegisterError::AlreadyExists { uri, policy, conflict }
            })?;
            row.callee.registered = there.next_time(callee.registered);
            row.created = there.created();
            if replace.is_some() {
                row.created = row.callee.registered;
                for other in there.callees() {
                    self.remove(registration, other.at, Removal::Revoked, &mut deltas);
                }
            }
        } else {
            self.check_room(&row.pattern)?;
        }
        let at = row.callee.at;
        self.add(registration, row, &mut deltas);
        let load = self.get_of(at, registration).and_then(|it| it.load(at)).cloned();
        Ok(Registered { registration, load, deltas })
    }

    /// UNREGISTER.
    ///
    /// *Errors.* The session is no callee of it. *Cost.* A copy of the callees of the registration.
    pub fn unregister(
        &mut self,
        at: SessionAt,
        registration: Id,
    ) -> Result<Vec<Delta>, NoSuchRegistration> {
        let mut deltas = Vec::new();
        self.remove(registration, at, Removal::Asked, &mut deltas);
        if deltas.is_empty() {
            return Err(NoSuchRegistration { at, registration });
        }
        Ok(deltas)
    }

    /// A session has ended: it is no callee of anything any more.
    pub fn leave(&mut self, at: SessionAt) -> Vec<Delta> {
        self.remove_under(&session_key(at), Removal::SessionLeft)
    }

    /// A node has ended, and its sessions with it. *Cost.* For each of its callees a copy of those of
    /// the registration.
    pub fn leave_node(&mut self, node: NodeId) -> Vec<Delta> {
        self.remove_under(&node.0.to_be_bytes(), Removal::NodeLeft)
    }

    fn remove_under(&mut self, prefix: &[u8], cause: Removal) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let gone: Vec<(SessionAt, Id)> = self.callees.under(prefix).copied().collect();
        for (at, registration) in gone {
            self.remove(registration, at, cause, &mut deltas);
        }
        deltas
    }

    /// Whether a new pattern can be registered.
    fn check_room(&self, pattern: &Pattern) -> Result<(), RegisterError> {
        if pattern.policy == MatchPolicy::Wildcard && !self.index.has_room(pattern) {
            let components = pattern.uri.split('.').count();
            let (uri, limit) = (shown(&pattern.uri), MOST_SHAPES);
            return Err(RegisterError::TooManyShapes { uri, components, limit });
        }
        Ok(())
    }

    /// Adds a callee. *Order.* It is not one of a registration with this ID.
    pub(super) fn add(&mut self, registration: Id, mut row: Row, deltas: &mut Vec<Delta>) {
        let at = row.callee.at;
        let changed = match self.index.get(&row.pattern) {
            Some(there) => there.with(&row),
            None => {
                let (policy, uri) = (row.pattern.policy, row.pattern.uri.detached());
                row.pattern = Pattern { policy, uri };
                self.patterns.insert(&pattern_key(registration, &row.pattern), row.pattern.clone());
                let (pattern, invoke, created) = (row.pattern.clone(), row.invoke, row.created);
                deltas.push(Delta::Created { by: at, registration, pattern, invoke, created });
                Registration::new(registration, &row)
            }
        };
        self.index.insert(Arc::new(changed));
        self.callees.insert(&callee_key(at, registration), (at, registration));
        deltas.push(Delta::CalleeAdded { registration, row });
    }

    /// Removes a callee, if it is one.
    pub(super) fn remove(
        &mut self,
        registration: Id,
        at: SessionAt,
        cause: Removal,
        deltas: &mut Vec<Delta>,
    ) {
        let Some(there) = self.get_of(at, registration).cloned() else {
            return;
        };
        self.callees.remove(&callee_key(at, registration));
        deltas.push(Delta::CalleeRemoved { registration, at, cause });
        match there.without(at) {
            Some(changed) => self.index.insert(Arc::new(changed)),
            None => {
                self.index.remove(there.pattern());
                self.patterns.remove(&pattern_key(registration, there.pattern()));
                deltas.push(Delta::Deleted { by: at, registration });
            }
        }
    }
}

/// Whether one more callee can be added, once the others are replaced, if they are to be.
fn check_conflict(
    there: &Registration,
    row: &Row,
    replace: Option<MayReplace<'_>>,
) -> Result<(), Conflict> {
    let at = row.callee.at;
    if there.callee(at).is_some() {
        return Err(Conflict::SameSession);
    }
    if let Some(may_replace) = replace {
        if let Some(other) = there.callees().find(|other| !may_replace(other)) {
            return Err(Conflict::NotReplaceable { callee: other.at });
        }
        let elsewhere = there.callees().find(|other| other.at.node != at.node);
        return elsewhere.map_or(Ok(()), |other| Err(Conflict::OnOtherNode { callee: other.at }));
    }
    let (there, asked) = (there.invoke(), row.invoke);
    if there != asked {
        let (there, asked) = (there.as_str(), asked.as_str());
        return Err(Conflict::OtherPolicy { there, asked });
    }
    if there == InvokePolicy::Single { Err(Conflict::NotShared) } else { Ok(()) }
}

impl Registration {
    /// When somebody who registers now does so.
    fn next_time(&self, now: Timestamp) -> Timestamp {
        self.callees().next_back().map_or(now, |last| now.max(last.registered.next()))
    }
}
