//! The registrations of a realm, clause by clause, and held against a model that is slow and plain.
#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod matching;
mod meta;
mod model;
mod properties;
mod register;
mod replica;

use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::message::{Features, InvokePolicy, MatchPolicy};
use protocols::wamp::registry::{
    Callee, Delta, NodeId, RegisterError, Registered, Registry, SessionAt, Timestamp,
};
use protocols::wamp::uri::Pattern;

const REALM: &str = "realm1";

/// A realm, and two procedures of it that have the same ID.
const COLLIDING: (&str, [&str; 2]) = ("r", ["p10ce113638d7e8", "p173118acc2d339"]);

fn registry() -> Registry {
    Registry::new(Text::from_static(REALM))
}

fn pattern(policy: MatchPolicy, uri: &str) -> Pattern {
    Pattern { policy, uri: Text::from(uri) }
}

/// Sessions are numbered through all nodes: 12 is one on node 1.
fn at(session: u64) -> SessionAt {
    SessionAt { node: NodeId(session / 10), session: Id::new(session).unwrap() }
}

fn callee(session: u64, now: u64) -> Callee {
    Callee {
        at: at(session),
        registered: Timestamp(now),
        wants_caller: false,
        keeps_timeouts: false,
        concurrency: None,
        features: Features::NONE,
    }
}

/// REGISTER as it mostly is.
fn register(
    registry: &mut Registry,
    pattern: &Pattern,
    invoke: InvokePolicy,
    session: u64,
    now: u64,
) -> Result<Registered, RegisterError> {
    registry.register(pattern.clone(), invoke, callee(session, now), None)
}

/// As it is announced, with the session.
fn names(deltas: &[Delta]) -> Vec<(&'static str, u64)> {
    let name = |delta: &Delta| match delta {
        Delta::Created { by, .. } => ("on_create", by.session.get()),
        Delta::CalleeAdded { row, .. } => ("on_register", row.callee.at.session.get()),
        Delta::CalleeRemoved { at, .. } => ("on_unregister", at.session.get()),
        Delta::Deleted { by, .. } => ("on_delete", by.session.get()),
    };
    deltas.iter().map(name).collect()
}
