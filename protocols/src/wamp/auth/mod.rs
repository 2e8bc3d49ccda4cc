//! The methods by which a client proves who it is.
//!
//! | method (WAMP §Authentication Methods) | where |
//! |---|---|
//! | `anonymous`: it proves nothing | here |
//! | `ticket` | `ticket.rs` |
//! | `wampcra` | [`cra`] |
//!
//! What is asked of whom is [`realm`](super::realm)'s business, and what is said when is that of
//! `handshake.rs`.

pub mod cra;
pub(super) mod ticket;

/// A method of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// None: the client is nobody.
    Anonymous,
    /// §Ticket-based Authentication
    Ticket,
    /// §Challenge Response Authentication
    Wampcra,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::Ticket, Self::Wampcra];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Ticket => "ticket",
            Self::Wampcra => "wampcra",
        }
    }

    /// The method of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}
