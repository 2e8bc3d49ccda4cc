//! The port to the other sessions of a realm: what a session asks of whoever carries things between
//! them, and what comes to it from there. Plain data.
//!
//! *Spec.* WAMP §Registering and Unregistering, §Calling and Invocations, §Registration Revocation;
//! §Meta API.
//!
//! # What is owed to a session
//! - Its requests are carried out in their order, and each [`Register`](Request::Register) and
//!   [`Unregister`](Request::Unregister) is answered once.
//! - What is registered changes by the requests of sessions alone. The registration is to be found in
//!   [`Realms::registry`] only once [`Notice::Registered`] is on its way: the callee hears of it before
//!   the first [`Notice::Ask`] that is about it. In the same way [`Notice::Revoked`] comes in the order
//!   in which it happened among the answers to what the session has asked.
//! - What happens in the realm, and what becomes of a [query](Request::Consult), is as a
//!   [`Directory`](super::meta::Directory) has it.
//! - What one session sends to another comes in the order in which it was sent. See
//!   [`exchange`](super::rpc::exchange) for what may be lost, and what may not come twice.
//! - After [`Request::Leave`] nothing comes any more, and what had come, but was not handed to the
//!   session, is undelivered: those who sent it are told.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::id::Id;
use super::message::{Features, InvokePolicy};
use super::meta::{Answer as MetaAnswer, Cause, Event, Farewell, Query};
use super::realm::Principal;
use super::registry::{Callee, Load, NodeId, RegisterError, Registry, SessionAt, Timestamp};
use super::rpc::{CallId, Gone, ToCallee, ToCaller};
use super::uri::Pattern;
use crate::broker::Token;
use crate::text::Text;

/// The realms of a node, as a session sees them.
pub trait Realms: fmt::Debug + Send + Sync {
    /// This node.
    fn node(&self) -> NodeId;

    /// What is registered in a realm now. `None`: nobody carries anything between the sessions of
    /// this realm, and so it has no dealer.
    ///
    /// *Cost.* Asked for each CALL: no more than a look-up.
    fn registry(&self, realm: &str) -> Option<Arc<Registry>>;
}

/// Realms without dealers: for protocols that have none, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRealms;

impl Realms for NoRealms {
    fn node(&self) -> NodeId {
        NodeId(0)
    }

    fn registry(&self, _: &str) -> Option<Arc<Registry>> {
        None
    }
}

/// What a session asks of its realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The session is in. First of all, and only in a realm that has a dealer.
    Enter {
        /// The realm.
        realm: Text,
        /// The session.
        at: SessionAt,
        /// Who it is.
        principal: Arc<Principal>,
    },
    /// It is to be a callee. Answered by [`Notice::Registered`] or [`Notice::NotRegistered`].
    Register {
        /// Names the request.
        token: Token,
        /// What of. It has been checked, and the session may register it.
        pattern: Pattern,
        /// Which callee gets a call.
        invoke: InvokePolicy,
        /// How it wants to be called.
        callee: Terms,
        /// Whether it takes the place of other callees, if those are the same user.
        force: bool,
    },
    /// It is not to be one any more. Answered by [`Notice::Unregistered`] or
    /// [`Notice::NotUnregistered`].
    Unregister {
        /// Names the request.
        token: Token,
        /// What of.
        registration: Id,
    },
    /// It has subscribed, and has not been before.
    Subscribed {
        /// The ID of the subscription.
        subscription: Id,
        /// What to.
        pattern: Pattern,
    },
    /// It subscribes no more.
    Unsubscribed {
        /// What to.
        subscription: Id,
    },
    /// It has called one of the protocol's own procedures, which it may. Answered by
    /// [`Notice::Answered`].
    Consult {
        /// The ID of the CALL.
        request: Id,
        /// What it asks.
        query: Query,
    },
    /// To the session of a callee.
    Ask(ToCallee),
    /// To the session of a caller.
    Answer(ToCaller),
    /// The session ends: it is no callee of anything any more, and nothing is to reach it. The last
    /// request of all.
    Leave,
}

/// How a session wants to be called: a [`Callee`], but for which session it is and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `REGISTER.Options.disclose_caller`.
    pub wants_caller: bool,
    /// `REGISTER.Options.forward_timeout`.
    pub keeps_timeouts: bool,
    /// `REGISTER.Options.concurrency`.
    pub concurrency: Option<NonZeroU32>,
    /// What the session announced as a callee.
    pub features: Features,
}

impl Terms {
    /// For [`Registry::register`].
    pub const fn of(self, at: SessionAt, registered: Timestamp) -> Callee {
        let Self { wants_caller, keeps_timeouts, concurrency, features } = self;
        Callee { at, registered, wants_caller, keeps_timeouts, concurrency, features }
    }
}

/// What comes to a session from its realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The session is a callee.
    Registered {
        /// That of the request.
        token: Token,
        /// What of.
        registration: Id,
        /// Where it says how many calls of it it has, if it takes so many at once.
        load: Option<Load>,
    },
    /// It is none.
    NotRegistered {
        /// That of the request.
        token: Token,
        /// Why not.
        error: RegisterError,
    },
    /// It is a callee no more.
    Unregistered {
        /// That of the request.
        token: Token,
    },
    /// It was none.
    NotUnregistered {
        /// That of the request.
        token: Token,
    },
    /// It is a callee no more, without having asked: another session of the same user has taken its
    /// place, say.
    Revoked {
        /// What of.
        registration: Id,
        /// Why, as a sentence.
        reason: Text,
    },
    /// What comes of a query.
    Answered {
        /// The ID of the CALL.
        request: Id,
        /// The result, or why there is none.
        answer: Result<MetaAnswer, Cause>,
    },
    /// Something happens that the session has subscribed to.
    Event {
        /// As what.
        subscription: Id,
        /// What it is called: the same for all who are told.
        publication: Id,
        /// What.
        event: Arc<Event>,
    },
    /// Nothing more of what happens comes on this subscription: the session takes it too slowly.
    TooSlow {
        /// Which.
        subscription: Id,
    },
    /// Another session ends this one.
    Killed(Farewell),
    /// The session of a caller asks for something.
    Ask(ToCallee),
    /// The session of a callee says something.
    Answer(ToCaller),
    /// What was asked for this call did not reach the callee, and no copy of it did.
    AskUndelivered(CallId),
    /// What was answered did not reach the caller.
    AnswerUndelivered(CallId),
    /// Somebody is there no more.
    Gone(Gone),
}
