//! [`Fault`]: why a run could not go on. Lost messages are no fault: they are counted.

use std::io;

use crate::speech::Incoming;

/// Why a run could not go on, as a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The opening handshake of the WebSocket was refused.
    #[error("the WebSocket was refused: {0}")]
    NotUpgraded(String),
    /// A process to be watched is not there.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// The server broke a specification.
    #[error("{0}")]
    Violation(&'static str),
    /// The server sent an ERROR frame, or a message that says no.
    #[error("{verb} from the server: {text}")]
    Refused {
        /// What it is called.
        verb: &'static str,
        /// What it says.
        text: String,
    },
    /// The server ended the connection.
    #[error("the server ended the connection{0}")]
    Ended(String),
    /// An answer did not come in time.
    #[error("no {0} came in time")]
    Silent(&'static str),
    /// A frame or message came that has no place in the conversation.
    #[error("{expected} was expected, and {verb} came")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// The verb, or the code, of what came.
        verb: String,
    },
}

impl Fault {
    /// For `map_err` on what the system was asked for.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::System { what: what.into(), source }
    }

    /// Something came where only what is `expected` has its place.
    pub(crate) fn unexpected(expected: &'static str, incoming: &Incoming<'_>) -> Self {
        Self::Unexpected { expected, verb: incoming.verb() }
    }
}
