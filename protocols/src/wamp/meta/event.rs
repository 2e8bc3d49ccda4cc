//! [`Event`]: what happens in a realm, as those are told who have subscribed to it.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API, of each the events.

use std::sync::Arc;

use super::details::{Details, session_size, write_session};
use crate::wamp::id::Id;
use crate::wamp::payload::Payload;
use crate::wamp::realm::Principal;
use crate::wamp::registry::Delta;
use crate::wamp::serializer::{Serializer, Writer};

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A session has joined.
    Joined(Arc<Principal>),
    /// A session has left, or is lost.
    Left(Arc<Principal>),
    /// A registration or subscription has changed.
    Changed {
        /// Which of the two.
        kind: Kind,
        /// The session whose doing it is, or that has ended.
        session: Id,
        /// How.
        change: Change,
    },
}

/// What sessions are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sessions are its callees.
    Registration,
    /// Sessions are its subscribers.
    Subscription,
}

/// How a registration or subscription changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Created(Details),
    /// The session was added to it.
    Added(Id),
    /// The session was removed from it.
    Removed(Id),
    /// It is there no more.
    Deleted(Id),
}

impl Event {
    /// All that there are.
    pub const TOPICS: [&'static str; 10] = [
        "wamp.session.on_join",
        "wamp.session.on_leave",
        "wamp.registration.on_create",
        "wamp.registration.on_register",
        "wamp.registration.on_unregister",
        "wamp.registration.on_delete",
        "wamp.subscription.on_create",
        "wamp.subscription.on_subscribe",
        "wamp.subscription.on_unsubscribe",
        "wamp.subscription.on_delete",
    ];

    /// The topic that it is published to, one of [`TOPICS`](Self::TOPICS).
    pub const fn topic(&self) -> &'static str {
        use Kind::{Registration, Subscription};
        match self {
            Self::Joined(_) => "wamp.session.on_join",
            Self::Left(_) => "wamp.session.on_leave",
            Self::Changed { kind, change, .. } => match (kind, change) {
                (Registration, Change::Created(_)) => "wamp.registration.on_create",
                (Registration, Change::Added(_)) => "wamp.registration.on_register",
                (Registration, Change::Removed(_)) => "wamp.registration.on_unregister",
                (Registration, Change::Deleted(_)) => "wamp.registration.on_delete",
                (Subscription, Change::Created(_)) => "wamp.subscription.on_create",
                (Subscription, Change::Added(_)) => "wamp.subscription.on_subscribe",
                (Subscription, Change::Removed(_)) => "wamp.subscription.on_unsubscribe",
                (Subscription, Change::Deleted(_)) => "wamp.subscription.on_delete",
            },
        }
    }

    /// The arguments of EVENT.
    pub fn payload(&self, serializer: Serializer) -> Payload {
        let mut writer = Writer::new(serializer, self.size());
        match self {
            Self::Joined(principal) => {
                writer.list(1);
                write_session(principal, &mut writer);
            }
            Self::Left(principal) => {
                writer.list(3);
                writer.unsigned(principal.session.get());
                writer.text(&principal.authid);
                writer.text(&principal.authrole);
            }
            Self::Changed { session, change, .. } => {
                writer.list(2);
                writer.unsigned(session.get());
                match change {
                    Change::Created(details) => details.write(&mut writer),
                    Change::Added(id) | Change::Removed(id) | Change::Deleted(id) => {
                        writer.unsigned(id.get());
                    }
                }
            }
        }
        writer.end_list();
        Payload { serializer, args: Some(writer.finish()), kwargs: None }
    }

    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        32 + match self {
            Self::Joined(principal) | Self::Left(principal) => session_size(principal),
            Self::Changed { change: Change::Created(details), .. } => details.size(),
            Self::Changed { .. } => 0,
        }
    }
}

impl From<&Delta> for Event {
    fn from(delta: &Delta) -> Self {
        let (session, change) = match delta {
            Delta::Created { by, registration, pattern, invoke, created } => {
                let details = Details {
                    id: *registration,
                    created: *created,
                    pattern: pattern.clone(),
                    invoke: Some(*invoke),
                };
                (by.session, Change::Created(details))
            }
            Delta::CalleeAdded { registration, row } => {
                (row.callee.at.session, Change::Added(*registration))
            }
            Delta::CalleeRemoved { registration, at, .. } => {
                (at.session, Change::Removed(*registration))
            }
            Delta::Deleted { by, registration } => (by.session, Change::Deleted(*registration)),
        };
        Self::Changed { kind: Kind::Registration, session, change }
    }
}
