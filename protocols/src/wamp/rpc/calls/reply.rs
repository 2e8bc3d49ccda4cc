//! What a caller gets, and by what a call is routed.
//!
//! *Spec.* WAMP §Calling and Invocations (RESULT, ERROR), §Caller Identification.

use std::fmt;

use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{CallResult, Error, ErrorDetails, Message, RequestType};
use crate::wamp::payload::Payload;
use crate::wamp::registry::{Callee, Registry};
use crate::wamp::serializer::{Serializer, Writer};

/// By what a call is routed, as it is at this moment.
pub struct Routing<'a> {
    /// What is registered in the realm.
    pub registry: &'a Registry,
    /// Whether the caller may call a procedure.
    pub may_call: &'a dyn Fn(&str) -> bool,
    /// Whether callees of a procedure learn who calls.
    pub disclosure: &'a dyn Fn(&str) -> Disclosure,
    /// How many calls of a registration a callee has now. Only asked about callees with a limit.
    pub load: &'a dyn Fn(Id, &Callee) -> u32,
    /// Fresh for each call, and for each answer to one.
    pub random: u64,
}

impl fmt::Debug for Routing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").field("random", &self.random).finish_non_exhaustive()
    }
}

/// Whether callees learn who calls (§Caller Identification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosure {
    /// They do not, and a caller that wants them to is refused.
    Forbidden,
    /// They do if either wants it.
    OnRequest,
    /// They do.
    Always,
}

/// A request that fails, and is not answered by anybody else: what ERROR says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the request was.
    pub request_type: RequestType,
    /// Its ID.
    pub request: Id,
    /// The reason as a URI.
    pub error: &'static str,
    /// The reason as a sentence.
    pub sentence: String,
}

impl Refusal {
    /// The ERROR, with the sentence as its only argument.
    pub fn into_error(self, serializer: Serializer) -> Error {
        Error {
            request_type: self.request_type,
            request: self.request,
            details: ErrorDetails::default(),
            error: Text::from_static(self.error),
            payload: sentence(serializer, &self.sentence),
        }
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
            Self::Refused(refusal) => refusal.into_error(serializer).into(),
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

/// One text as arguments.
fn sentence(serializer: Serializer, text: &str) -> Payload {
    let mut writer = Writer::new(serializer, text.len() + 8);
    writer.list(1);
    writer.text(text);
    writer.end_list();
    Payload { serializer, args: Some(writer.finish()), kwargs: None }
}
