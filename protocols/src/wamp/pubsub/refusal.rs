//! [`Refusal`]: why a request of the peer's is not done, as ERROR says it.
//!
//! *Spec.* WAMP §Error: the type and the ID of the request, the reason as a URI; and a sentence as
//! the only argument. §Predefined URIs.

use std::fmt;

use crate::broker::{BrokerError, BrokerErrorKind};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{self, ErrorDetails, Message, RequestType};
use crate::wamp::payload::{Dictionary, Payload};
use crate::wamp::serializer::Serializer;

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
    /// The payload is larger than allowed.
    PayloadTooLarge,
    /// The session may not do this.
    NotAuthorized,
    /// There is no such subscription.
    NoSuchSubscription,
    /// The router does not allow this option.
    OptionNotAllowed,
    /// The publisher may not disclose itself.
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
            Self::InvalidUri => "wamp.error.invalid_uri",
            Self::InvalidArgument => "wamp.error.invalid_argument",
            Self::PayloadTooLarge => "wamp.error.payload_size_exceeded",
            Self::NotAuthorized => "wamp.error.not_authorized",
            Self::NoSuchSubscription => "wamp.error.no_such_subscription",
            Self::OptionNotAllowed => "wamp.error.option_not_allowed",
            Self::DiscloseMeDisallowed => "wamp.error.option_disallowed.disclose_me",
            Self::NotSupported => "wamp.error.feature_not_supported",
            Self::Unavailable => "wamp.error.unavailable",
            Self::NetworkFailure => "wamp.error.network_failure",
        }
    }

    /// Why the broker has refused.
    pub(super) const fn of_broker(error: &BrokerError) -> Self {
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
    pub(super) fn new(
        (request_type, request): (RequestType, Id),
        reason: Reason,
        sentence: impl fmt::Display,
    ) -> Self {
        let sentence = sentence.to_string();
        Self { request_type, request, reason, sentence, is_answered: true }
    }

    /// ERROR; `None` if the peer does not want to know.
    ///
    /// Where nobody knows whether it was done, the keywords say so: `outcome` is `unknown`.
    pub fn to_message(&self, serializer: Serializer) -> Option<Message> {
        if !self.is_answered {
            return None;
        }
        let mut payload = Payload::of_text(serializer, &self.sentence);
        if self.reason == Reason::NetworkFailure {
            let outcome = Dictionary::of_texts(serializer, [("outcome", "unknown")]);
            payload.kwargs = Some(outcome.bytes().clone());
        }
        Some(Message::Error(message::Error {
            request_type: self.request_type,
            request: self.request,
            details: ErrorDetails::default(),
            error: Text::from_static(self.reason.uri()),
            payload,
        }))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_type, request, sentence, .. } = self;
        write!(f, "{} {request} is refused: {sentence}", request_type.message_type())
    }
}
