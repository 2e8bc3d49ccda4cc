//! What is said of one session, registration or subscription.
//!
//! *Spec.* WAMP §Session Meta API (`details|dict`), §Registration Meta API (`RegistrationDetails`),
//! §Subscription Meta API (`SubscriptionDetails`).

use std::time::Duration;

use crate::wamp::id::Id;
use crate::wamp::message::InvokePolicy;
use crate::wamp::realm::Principal;
use crate::wamp::registry::{Registration, Timestamp};
use crate::wamp::serializer::Writer;
use crate::wamp::timestamp::iso_8601;
use crate::wamp::uri::Pattern;

/// What is said of a registration or subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its ID.
    pub id: Id,
    /// When it was created.
    pub created: Timestamp,
    /// What it is of.
    pub pattern: Pattern,
    /// Which callee gets a call; subscriptions have nothing of the kind.
    pub invoke: Option<InvokePolicy>,
}

impl From<&Registration> for Details {
    fn from(registration: &Registration) -> Self {
        Self {
            id: registration.id(),
            created: registration.created(),
            pattern: registration.pattern().clone(),
            invoke: Some(registration.invoke()),
        }
    }
}

impl Details {
    pub(super) fn write(&self, writer: &mut Writer) {
        let Self { id, created, pattern, invoke } = self;
        writer.dict(4 + usize::from(invoke.is_some()));
        writer.key("id");
        writer.unsigned(id.get());
        writer.key("created");
        writer.text(&iso_8601(Duration::from_millis(created.0)));
        writer.key("uri");
        writer.text(&pattern.uri);
        writer.key("match");
        writer.text(pattern.policy.as_str());
        if let Some(invoke) = invoke {
            writer.key("invoke");
            writer.text(invoke.as_str());
        }
        writer.end_dict();
    }

    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        96 + self.pattern.uri.len()
    }
}

/// Who a session is.
pub(super) fn write_session(principal: &Principal, writer: &mut Writer) {
    let Principal { session, authid, authrole, authmethod, authprovider } = principal;
    writer.dict(5);
    writer.key("session");
    writer.unsigned(session.get());
    let texts: [(&str, &str); 4] = [
        ("authid", authid),
        ("authrole", authrole),
        ("authmethod", authmethod),
        ("authprovider", authprovider),
    ];
    for (key, text) in texts {
        writer.key(key);
        writer.text(text);
    }
    writer.end_dict();
}

/// Bytes that it takes, roughly.
pub(super) fn session_size(principal: &Principal) -> usize {
    96 + principal.authid.len() + principal.authrole.len()
}
