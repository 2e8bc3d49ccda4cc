//! The dealer, as the part that one session has in it: the calls that it makes, and those that it
//! answers.
//!
//! The session itself puts them together: `dealer/`. There is no dealer in the middle. The session of a caller owns its pending calls and their
//! timers, [`Calls`]; the session of a callee owns its invocations, [`Invocations`]; nobody owns
//! both. What they say to each other is [plain data](exchange), the same on one node and between
//! two. Nothing here does IO, reads a clock or draws random numbers.
//!
//! *Spec.* WAMP §Calling and Invocations, §Caller Leaving During an RPC Invocation, §Callee Leaving
//! During an RPC Invocation, §Call Canceling, §Call Timeouts, §Progressive Call Results,
//! §Progressive Call Invocations, §Caller Identification, §Call Rerouting, §Ordering Guarantees.
//!
//! | what | where |
//! |---|---|
//! | CALL, CANCEL, RESULT, ERROR(CALL); timeouts, rerouting | [`Calls`] |
//! | INVOCATION, INTERRUPT, YIELD, ERROR(INVOCATION) | [`Invocations`] |
//! | what goes between the two | [`exchange`] |
//!
//! # What is promised
//! - A call gets exactly one final answer, whatever is lost on the way and whoever dies.
//! - No call waits longer than its timeout, or than [`Settings::default_timeout`] if it has none.
//! - Calls of one caller reach one callee in the order in which they were made, as far as the
//!   exchange keeps the order of what one session sends to another. Interrupts may overtake. A call
//!   that is rerouted loses its place.
//! - What comes in parts comes whole and in order, or the call fails.
//! - A call runs at most once, unless a callee has said that it did not run it.
//!
//! # Deviations
//! - A call without a timeout has one, since no call is to hang forever.
//! - What is late costs nobody their session: CANCEL, YIELD and ERROR for what is over are ignored.
//! - `rkey` and `runmode` are ignored, and so sharded registrations are not announced.

pub mod calls;
pub mod exchange;
pub mod invocations;

use std::time::Duration;

pub use calls::{Calls, Reply, Routing};
pub use exchange::{Answer, Ask, CallId, Gone, Identity, Invoke, ToCallee, ToCaller};
pub use invocations::{Invocations, Limit};

use super::id::Id;
use super::message::MessageType;
use crate::violation::Violation;

/// The bounds and times that a session's calls and invocations have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Of a call that names no timeout. Default one minute.
    pub default_timeout: Duration,
    /// The longest that a call can have; what is longer is cut to it. Default ten minutes.
    pub most_timeout: Duration,
    /// How long the answer of a callee is awaited that was interrupted with `kill`. Default 30
    /// seconds.
    pub kill_timeout: Duration,
    /// Calls of a session that wait for their answers at once. Default 16,384.
    pub most_calls: usize,
    /// Callees that are tried for a call, one after the other. Default 8.
    pub most_attempts: usize,
    /// Bytes that the pending calls of a session hold: parts that wait until a callee has taken the
    /// first one, and what was sent, in case another callee has to be asked. Beyond it a call whose
    /// parts would have to wait fails, and what is new is not held: it goes to one callee only.
    /// Default 16 MiB.
    pub most_held: usize,
    /// What a session has registered at once, what has not been answered included. Default 1,000.
    pub most_registrations: usize,
    /// Calls that a session runs for others at once, over all of its registrations. Default 16,384.
    pub most_invocations: usize,
    /// How much longer than the caller an invocation waits for what the callee may still say, and
    /// how long it is remembered which calls are over. Default 30 seconds.
    pub linger: Duration,
    /// Calls of which that is remembered. Default 16,384.
    pub most_remembered: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_timeout: Duration::from_secs(60),
            most_timeout: Duration::from_secs(600),
            kill_timeout: Duration::from_secs(30),
            most_calls: 16_384,
            most_attempts: 8,
            most_held: 16 << 20,
            most_registrations: 1_000,
            most_invocations: 16_384,
            linger: Duration::from_secs(30),
            most_remembered: 16_384,
        }
    }
}

/// What breaks the protocol: the session is to be aborted with `wamp.error.protocol_violation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcViolation {
    /// A call in parts, of a caller that has not announced that it makes such.
    #[error(
        "CALL {request} is a part of a call in several, but the caller has not announced \
         progressive_call_invocations"
    )]
    NotAnnounced {
        /// Its ID.
        request: Id,
    },
    /// A second CALL with the ID of one that is not in parts.
    #[error("CALL {request} has the ID of a call that is still running and is not in parts")]
    NotInParts {
        /// Its ID.
        request: Id,
    },
    /// An answer to what was never asked.
    #[error("{message} answers INVOCATION {request}, which the callee has not been sent")]
    NeverInvoked {
        /// YIELD or ERROR.
        message: MessageType,
        /// The ID that it names.
        request: Id,
    },
}

impl From<RpcViolation> for Violation {
    fn from(violation: RpcViolation) -> Self {
        Self::OutOfSequence(violation.to_string())
    }
}

/// A span of time as a number of milliseconds: at least one.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}
