//! What a caller gets, and by what a call is routed.
//!
//! *Spec.* WAMP §Calling and Invocations (RESULT, ERROR), §Caller Identification.

use std::fmt;

use crate::wamp::access::Disclosure;
use crate::wamp::id::Id;
use crate::wamp::message::{CallResult, Error, Message};
use crate::wamp::refusal::Refusal;
use crate::wamp::registry::Registry;
use crate::wamp::serializer::Serializer;
use crate::wamp::uri::UriRules;

/// By what a call is routed, as it is at this moment.
pub struct Routing<'a> {
    /// What is registered in the realm.
    pub registry: &'a Registry,
    /// How procedures may be named.
    pub uris: UriRules,
    /// Whether the caller may call a procedure, and if so, whether the callee learns who calls.
    pub may_call: &'a dyn Fn(&str) -> Option<Disclosure>,
    /// Fresh for each call, and for each answer to one.
    pub random: u64,
}

impl fmt::Debug for Routing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").field("random", &self.random).finish_non_exhaustive()
    }
}

/// What a caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The result, or a part of it.
    Result(CallResult),
    /// What the callee says is wrong.
    Error(Error),
    /// What the router does.
    Refused(Refusal),
}

impl Reply {
    /// As it is sent. Only a refusal is written in `serializer`; a payload is as it came.
    pub fn into_message(self, serializer: Serializer) -> Message {
        match self {
            Self::Result(result) => result.into(),
            Self::Error(error) => error.into(),
            Self::Refused(refusal) => refusal.to_error(serializer).into(),
        }
    }

    /// The call that it answers.
    pub const fn request(&self) -> Id {
        match self {
            Self::Result(result) => result.request,
            Self::Error(error) => error.request,
            Self::Refused(refusal) => refusal.request,
        }
    }

    /// Whether it is the last one of the call.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Result(result) => result.details.progress != Some(true),
            Self::Error(_) | Self::Refused(_) => true,
        }
    }
}
