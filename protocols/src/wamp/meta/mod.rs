//! The meta API: what a client can ask about the sessions, registrations and subscriptions of its realm,
//! what it is told of them, and how it ends other sessions.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API. Pure: no IO, no clock;
//! random bits come in as an argument.
//!
//! | what | where |
//! |---|---|
//! | a call of `wamp.session.…`, `wamp.registration.…`, `wamp.subscription.…` | [`Query`] |
//! | what comes of it | [`Answer`] |
//! | what happens: `wamp.session.on_join` and the others | [`Event`] |
//! | who is there, who has subscribed to what, who hears of what | [`Directory`] |
//! | what is registered | [`Registry`](super::registry::Registry) |
//!
//! A query goes from a session to its realm, and the answer back: [`peers`](super::peers). What happens is
//! told to those sessions alone that have subscribed to it, and is not published at the broker: nobody
//! else hears of it, and nobody can make it up.
//!
//! # What is promised
//! - A registration or subscription is created before anybody is added to it, and deleted after the last
//!   one was removed from it; a session leaves after that.
//! - All that are told of two things hear of them in the same order.
//! - What has been answered before a session asks is in the answer: a session that has had SUBSCRIBED
//!   finds its subscription.
//! - Where nobody has subscribed to what happens, nothing is made of it.
//!
//! # Choices that the specification leaves open
//! - All of it is about this node: sessions of others are not seen, counted, told or killed.
//! - A session that is killed is there no more at once, for whoever asks; what it had is so once it has
//!   ended.
//! - A session is told of what it does itself, as any other; but not on a subscription that this one is
//!   there, or is there no more.
//! - Nobody is told of subscriptions to topics of the protocol's own alone: those who watch would hear of
//!   each other, and each of all others.
//! - A pattern for topics of both kinds gets what happens, too.
//! - A procedure of a configured route is a registration whose only callee is no session to be found.
//! - Who kills all others, and has subscribed to that, is told that they leave.
//! - Arguments beyond those that a procedure has are ignored.
//! - `transport` is not said of a session.
//!
//! # Deviations
//! - `wamp.session.kill_by_authrole` brings the IDs of the sessions, as the catalogue of the
//!   specification and `kill_by_authid` have it, where its text says that it brings their number.
//! - These procedures are not called in parts.

mod answer;
mod arguments;
mod details;
mod directory;
mod event;
mod query;
mod subscriptions;

pub use answer::Answer;
pub use details::Details;
pub use directory::{Directory, Told};
pub use event::{Change, Event, Kind};
pub use query::{Farewell, Filter, Query, Question, Victims};

use super::refusal::Reason;

/// Why a query is not answered, also as a sentence.
pub type Cause = (Reason, String);
