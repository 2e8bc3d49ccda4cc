//! What a broker refuses, and what a login is refused for, as rows of the table of STOMP's ERROR frames.

use super::{Report, report};
use crate::auth::DenialKind;
use crate::broker::{BrokerErrorKind, Outcome};
use crate::session::CloseCode;

impl DenialKind {
    /// The row of the table for a refused login.
    pub const fn report(self) -> Report {
        match self {
            Self::BadCredentials => report("Bad CONNECT", CloseCode::Policy, "bad_credentials"),
            Self::NotLoopback => report("Bad CONNECT", CloseCode::Policy, "not_loopback"),
            Self::VhostRefused => report("Bad CONNECT", CloseCode::Policy, "vhost_refused"),
            Self::Unavailable => {
                report("Broker unavailable", CloseCode::TryAgainLater, "broker_unavailable")
            }
        }
    }
}

impl BrokerErrorKind {
    /// The row of the table for a refusal by the broker.
    pub const fn report(self) -> Report {
        match self {
            Self::NotFound => report("not_found", CloseCode::Policy, "not_found"),
            Self::AccessRefused => report("access_refused", CloseCode::Policy, "access_refused"),
            Self::ResourceLocked => report("resource_locked", CloseCode::Policy, "resource_locked"),
            Self::PreconditionFailed => {
                report("precondition_failed", CloseCode::Policy, "precondition_failed")
            }
            Self::ResourceError => report("resource_error", CloseCode::Policy, "resource_error"),
            Self::Unavailable => {
                report("Broker unavailable", CloseCode::TryAgainLater, "broker_unavailable")
            }
            Self::OutcomeUnknown => {
                report("Outcome unknown", CloseCode::TryAgainLater, "outcome_unknown")
            }
        }
    }
}

impl Outcome {
    /// The row of the table for a message that the broker did not take; `None` if it did.
    pub const fn report(self) -> Option<Report> {
        match self {
            Self::Accepted => None,
            Self::Rejected => Some(report("Message rejected", CloseCode::Policy, "rejected")),
            Self::Unroutable => Some(report("Message unroutable", CloseCode::Policy, "unroutable")),
        }
    }

    /// What happened, for the peer.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Accepted => "the broker has taken the message",
            Self::Rejected => "the broker did not take the message",
            Self::Unroutable => "the message reached no queue",
        }
    }
}
