//! The table of how each fault is answered in WAMP: the URI that is the reason of ABORT, GOODBYE or
//! ERROR. The close code and the label that go with it are those of [`Violation::report`].
//!
//! *Spec.* WAMP §Predefined URIs, §Protocol Errors.

use super::Violation;
use crate::auth::DenialKind;
use crate::broker::BrokerErrorKind;
use crate::wamp::reason;

impl Violation {
    /// The URI for this violation.
    pub const fn wamp_reason(&self) -> &'static str {
        match self {
            Self::MessageTooLarge { .. }
            | Self::PeerTakesLess { .. }
            | Self::TooMuchBeforeLogin { .. }
            | Self::FrameTooLarge { .. } => reason::PAYLOAD_SIZE_EXCEEDED,
            Self::LoginTimeout { .. } => reason::TIMEOUT,
            Self::Silent { .. } | Self::Unanswered { .. } => reason::NETWORK_FAILURE,
            Self::TooManyConnections { .. } | Self::TooManySubscriptions { .. } => {
                reason::UNAVAILABLE
            }
            _ => reason::PROTOCOL_VIOLATION,
        }
    }
}

impl DenialKind {
    /// The URI for a refused login.
    pub const fn wamp_reason(self) -> &'static str {
        match self {
            Self::BadCredentials | Self::NotLoopback => reason::AUTHENTICATION_DENIED,
            Self::VhostRefused => reason::NOT_AUTHORIZED,
            Self::Unavailable => reason::AUTHENTICATION_FAILED,
        }
    }
}

impl BrokerErrorKind {
    /// The URI for a refusal by the broker, or its loss.
    pub const fn wamp_reason(self) -> &'static str {
        match self {
            Self::AccessRefused => reason::NOT_AUTHORIZED,
            Self::Unavailable | Self::OutcomeUnknown => reason::NETWORK_FAILURE,
            Self::NotFound
            | Self::ResourceLocked
            | Self::PreconditionFailed
            | Self::ResourceError => reason::UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_and_what_breaks_the_protocol_differ() {
        let too_large = Violation::MessageTooLarge { limit: 1, got: 2 };
        assert_eq!(too_large.wamp_reason(), "wamp.error.payload_size_exceeded");
        for broken in [Violation::NoRoles, Violation::BadMessage(String::new())] {
            assert_eq!(broken.wamp_reason(), "wamp.error.protocol_violation");
        }
    }
}
