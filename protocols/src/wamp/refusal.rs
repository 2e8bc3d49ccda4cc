//! [`Refusal`]: why a request of the peer's is not done, as ERROR says it.
//!
//! *Spec.* WAMP §Error: the type and the ID of the request, the reason as a URI; and a sentence as
//! the only argument. §Predefined URIs.

use std::fmt;

use super::id::Id;
use super::message::{Error, ErrorDetails, Message, RequestType};
use super::payload::{Dictionary, Payload};
use super::reason;
use super::serializer::Serializer;
use crate::broker::{BrokerError, BrokerErrorKind};
use crate::text::Text;

/// A request that is not done. It ends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the request was.
    pub request_type: RequestType,
    /// Its ID.
    pub request: Id,
    /// Why.
    pub reason: Reason,
    /// Why, as a sentence.
    pub sentence: String,
    /// Whether the peer wants to know. If not, it is only to be counted and logged.
    pub is_answered: bool,
}

/// Why a request is refused, by the URIs that WAMP has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The URI is none, or is the protocol's own.
    InvalidUri,
    /// An argument or option is beyond what can be done.
    InvalidArgument,
    /// The payload cannot be carried over to the serializer of who is to get it.
    InvalidPayload,
    /// The payload is larger than allowed.
    PayloadTooLarge,
    /// The session may not do this.
    NotAuthorized,
    /// There is no such subscription.
    NoSuchSubscription,
    /// There is no such registration.
    NoSuchRegistration,
    /// There is no such session, or it is the caller's own.
    NoSuchSession,
    /// Nothing is registered that the call could be for.
    NoSuchProcedure,
    /// Somebody has registered it already.
    ProcedureAlreadyExists,
    /// There are callees, but none can take the call.
    NoAvailableCallee,
    /// The call is over without a result.
    Canceled,
    /// Nothing came in time.
    Timeout,
    /// The router does not allow this option.
    OptionNotAllowed,
    /// The publisher or caller may not disclose itself.
    DiscloseMeDisallowed,
    /// The router cannot do this at all.
    NotSupported,
    /// The broker does not take it, or a bound is reached: later it may be done.
    Unavailable,
    /// The broker went away, and nobody knows whether it was done.
    NetworkFailure,
}

impl Reason {
    /// Its URI.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::InvalidUri => reason::INVALID_URI,
            Self::InvalidArgument => reason::INVALID_ARGUMENT,
            Self::InvalidPayload => reason::INVALID_PAYLOAD,
            Self::PayloadTooLarge => reason::PAYLOAD_SIZE_EXCEEDED,
            Self::NotAuthorized => reason::NOT_AUTHORIZED,
            Self::NoSuchSubscription => reason::NO_SUCH_SUBSCRIPTION,
            Self::NoSuchRegistration => reason::NO_SUCH_REGISTRATION,
            Self::NoSuchSession => reason::NO_SUCH_SESSION,
            Self::NoSuchProcedure => reason::NO_SUCH_PROCEDURE,
            Self::ProcedureAlreadyExists => reason::PROCEDURE_ALREADY_EXISTS,
            Self::NoAvailableCallee => reason::NO_AVAILABLE_CALLEE,
            Self::Canceled => reason::CANCELED,
            Self::Timeout => reason::TIMEOUT,
            Self::OptionNotAllowed => reason::OPTION_NOT_ALLOWED,
            Self::DiscloseMeDisallowed => reason::DISCLOSE_ME_DISALLOWED,
            Self::NotSupported => reason::FEATURE_NOT_SUPPORTED,
            Self::Unavailable => reason::UNAVAILABLE,
            Self::NetworkFailure => reason::NETWORK_FAILURE,
        }
    }

    /// Why the broker has refused.
    pub(in crate::wamp) const fn of_broker(error: &BrokerError) -> Self {
        match error.kind {
            BrokerErrorKind::AccessRefused => Self::NotAuthorized,
            BrokerErrorKind::OutcomeUnknown => Self::NetworkFailure,
            BrokerErrorKind::NotFound
            | BrokerErrorKind::ResourceLocked
            | BrokerErrorKind::PreconditionFailed
            | BrokerErrorKind::ResourceError
            | BrokerErrorKind::Unavailable => Self::Unavailable,
        }
    }
}

impl Refusal {
    /// One that the peer is told.
    pub fn new(
        (request_type, request): (RequestType, Id),
        reason: Reason,
        sentence: impl fmt::Display,
    ) -> Self {
        let sentence = sentence.to_string();
        Self { request_type, request, reason, sentence, is_answered: true }
    }

    /// ERROR; `None` if the peer does not want to know.
    pub fn to_message(&self, serializer: Serializer) -> Option<Message> {
        self.is_answered.then(|| self.to_error(serializer).into())
    }

    /// ERROR, whether the peer wants to know or not.
    ///
    /// Where nobody knows whether it was done, the keywords say so: `outcome` is `unknown`.
    pub fn to_error(&self, serializer: Serializer) -> Error {
        let mut payload = Payload::of_text(serializer, &self.sentence);
        if self.reason == Reason::NetworkFailure {
            let outcome = Dictionary::of_texts(serializer, [("outcome", "unknown")]);
            payload.kwargs = Some(outcome.bytes().clone());
        }
        Error {
            request_type: self.request_type,
            request: self.request,
            details: ErrorDetails::default(),
            error: Text::from_static(self.reason.uri()),
            payload,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_type, request, sentence, .. } = self;
        write!(f, "{} {request} is refused: {sentence}", request_type.message_type())
    }
}
