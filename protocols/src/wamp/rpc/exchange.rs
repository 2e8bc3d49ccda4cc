//! What the session of a caller and the session of a callee say to each other.
//!
//! Plain data: on one node it goes from mailbox to mailbox as it is, between nodes it is written as
//! messages of the broker. Whoever carries it keeps the order in which one session sends to another;
//! only an [`Ask::Interrupt`] may overtake. It may lose things, say so or not, and bring them twice,
//! but says that something was not delivered only if no copy of it was: the call would be run
//! again. What comes in parts is numbered, so that no part is taken twice, and none is missing
//! unnoticed.
//!
//! *Spec.* WAMP §Calling and Invocations: what a dealer keeps between CALL and INVOCATION, and
//! between YIELD and RESULT.

use std::time::{Duration, Instant};

use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{CancelMode, ErrorDetails, Passthru, ResultDetails};
use crate::wamp::payload::Payload;
use crate::wamp::realm::Principal;
use crate::wamp::registry::{NodeId, SessionAt};

/// Names one attempt to have a call answered, among all of all nodes and for all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Who calls.
    pub caller: SessionAt,
    /// The ID of its CALL.
    pub request: Id,
    /// Counted up by the caller's session: each attempt has its own, so that a callee that was given
    /// up cannot answer in the place of the next.
    pub attempt: u64,
}

/// From the session of a caller to that of a callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCallee {
    /// The callee.
    pub to: SessionAt,
    /// Which call it is about.
    pub call: CallId,
    /// What about it.
    pub ask: Ask,
}

/// What is asked of a callee's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To run a procedure.
    Invoke(Box<Invoke>),
    /// To take one more part of the call. After [`Answer::Accepted`].
    Continue {
        /// Its number. The first part, in [`Invoke`], has 0.
        part: u64,
        /// The part.
        payload: Payload,
        /// Whether more follow.
        progress: bool,
    },
    /// To give up. May come before what it is about.
    Interrupt {
        /// `kill`: an answer is awaited. Else nobody waits any more; with `skip` the callee is not
        /// to be told.
        mode: CancelMode,
        /// Why, as a URI.
        reason: Text,
    },
}

/// A call on its way to a callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoke {
    /// The registration.
    pub registration: Id,
    /// The procedure, if the registration is a pattern.
    pub procedure: Option<Text>,
    /// The arguments.
    pub payload: Payload,
    /// How those are to be understood.
    pub passthru: Passthru,
    /// Whether more parts of the call follow. The callee has announced that it takes them, and
    /// [`Answer::Accepted`] is awaited.
    pub progress: bool,
    /// Whether the result may come in parts. The callee has announced that it makes them.
    pub receive_progress: bool,
    /// What the callee is told of the timeout, in milliseconds.
    pub timeout: Option<u64>,
    /// How long the caller waits, from now and from each part of the call or of its result. What
    /// cannot be delivered in this time need not be.
    pub within: Duration,
    /// When nobody waits any more, on this node's clock, if nothing comes of the call before.
    pub until: Instant,
    /// Who calls, if the callee is to know.
    pub caller: Option<Identity>,
}

/// What others are told of a [`Principal`]; not how it was found out who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The session.
    pub session: Id,
    /// The user.
    pub authid: Text,
    /// The role.
    pub authrole: Text,
}

impl From<&Principal> for Identity {
    fn from(principal: &Principal) -> Self {
        let Principal { session, authid, authrole, .. } = principal;
        Self { session: *session, authid: authid.clone(), authrole: authrole.clone() }
    }
}

/// From the session of a callee to that of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCaller {
    /// The call that is answered. Its `caller` is whom it is for.
    pub call: CallId,
    /// The answer.
    pub answer: Answer,
}

/// What a callee's session says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The first part of a call in parts was taken; others may come.
    Accepted,
    /// It was not run, and will not be: another callee can be asked.
    Unavailable {
        /// Why, as a sentence.
        why: String,
    },
    /// The result, or a part of it.
    Result {
        /// Its number, from 0. The last part has one too.
        part: u64,
        /// On the payload, and whether more follows.
        details: ResultDetails,
        /// The result.
        payload: Payload,
    },
    /// The callee has answered with an error.
    Error {
        /// The reason as a URI.
        error: Text,
        /// On the payload.
        details: ErrorDetails,
        /// More on the reason.
        payload: Payload,
    },
    /// The callee does not answer: it left, or was interrupted in time.
    Canceled {
        /// Why, as a sentence.
        why: String,
    },
}

impl Answer {
    /// Whether it is the last one.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Accepted => false,
            Self::Result { details, .. } => details.progress != Some(true),
            Self::Unavailable { .. } | Self::Error { .. } | Self::Canceled { .. } => true,
        }
    }
}

/// Who is there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// One session.
    Session(SessionAt),
    /// A node, with all sessions on it.
    Node(NodeId),
}

impl Gone {
    /// Whether a session is gone.
    pub fn includes(self, at: SessionAt) -> bool {
        match self {
            Self::Session(session) => session == at,
            Self::Node(node) => node == at.node,
        }
    }
}
