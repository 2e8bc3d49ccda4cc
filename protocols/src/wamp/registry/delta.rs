//! [`Delta`]: what became of registrations, for the meta API and for the other nodes.
//!
//! *Spec.* WAMP §Registration Meta API: a registration is created before its first callee
//! registers, and deleted after its last one has unregistered.

use super::registration::{Row, SessionAt, Timestamp};
use crate::wamp::id::Id;
use crate::wamp::message::InvokePolicy;
use crate::wamp::uri::Pattern;

/// One thing that happened, as it is to be announced.
///
/// Other nodes need to be told of callees alone; that a registration is created and deleted follows
/// from that, and need not be so there: it may have callees of other nodes. Telling them does no
/// harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// `wamp.registration.on_create`: it has its first callee.
    Created {
        /// The callee.
        by: SessionAt,
        /// The registration.
        registration: Id,
        /// What is registered.
        pattern: Pattern,
        /// Which callee gets a call.
        invoke: InvokePolicy,
        /// When.
        created: Timestamp,
    },
    /// `wamp.registration.on_register`: it has one more callee.
    CalleeAdded {
        /// The registration.
        registration: Id,
        /// What its node says of the callee.
        row: Row,
    },
    /// `wamp.registration.on_unregister`: it has one callee less.
    CalleeRemoved {
        /// The registration.
        registration: Id,
        /// The callee.
        at: SessionAt,
        /// Why.
        cause: Removal,
    },
    /// `wamp.registration.on_delete`: it has no callee any more.
    Deleted {
        /// The last callee.
        by: SessionAt,
        /// The registration.
        registration: Id,
    },
}

/// Why a session is a callee no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// UNREGISTER.
    Asked,
    /// Another session of the same user has taken its place. Its callee is to be told
    /// (§Registration Revocation).
    Revoked,
    /// Its session has ended.
    SessionLeft,
    /// Its node has.
    NodeLeft,
    /// Its node says that it is none, or says something else of it.
    Corrected,
}
