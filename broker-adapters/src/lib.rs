//! Brokers behind one port.
//!
//! # How to write an adapter
//! Implement [`Broker`], which opens links, and [`Link`], one owner's view of the broker. A link
//! takes [`Command`]s without ever waiting and reports through [`Link::poll_event`]; every command
//! but `Settle` is answered as [`protocols::broker`] says. The suite in `tests/contract.rs` states
//! what every adapter must do; run it against the new one.
//!
//! # Invariants of absence
//! - No client protocol is named here: adapters know [`protocols::broker`] and [`protocols::auth`].
//! - No channel without a bound, and no waiting in [`Link::submit`].

pub mod embedded;
mod expiration;
mod lock;
pub mod mailbox;
pub mod rabbitmq;
mod refusals;
pub mod trie;

use std::fmt::Debug;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use protocols::auth::{Credentials, Denial};
use protocols::broker::{BrokerError, Command, Event};
use protocols::text::Text;

/// Whom a link works for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What the broker is to let in.
    pub credentials: Credentials,
    /// It is the gateway's own login, which many clients work under: their rights were checked
    /// before, so they may share more than those who bring a login of their own.
    pub is_service: bool,
}

impl From<Credentials> for Identity {
    /// A client's own login.
    fn from(credentials: Credentials) -> Self {
        Self { credentials, is_service: false }
    }
}

/// A broker, as the gateway sees it: something that opens links.
pub trait Broker: Debug + Send + Sync {
    /// A link to `vhost` for this identity. The broker decides about the login, so a refused open
    /// is a refused login.
    fn open(&self, vhost: Text, identity: Identity)
    -> BoxFuture<'_, Result<Box<dyn Link>, Denial>>;

    /// Whether logins can succeed now; the error says why not. Answers `/readyz`.
    fn ready(&self) -> Result<(), BrokerError>;

    /// Lets go of whatever the broker holds, after all links are gone.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// One owner's view of a broker. Owned by one task; needs no locks. Dropping it returns every
/// outstanding delivery to its queue and ends its consumers.
pub trait Link: Send {
    /// Whether another publish may be submitted now. Pending while too much is in flight or the
    /// broker holds publishers back; wakes when that changes.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes a command. Never waits and never fails: outcomes are events.
    fn submit(&mut self, command: Command);

    /// Whether the broker has every publish that was submitted, or they were answered. Asked before
    /// a goodbye is: pending while the owner should stay; wakes when that changes. An adapter that
    /// acts at once is always ready.
    fn poll_taken(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Hands on what was held back so as to be put together, such as acknowledgements. To be called
    /// when the owner has submitted all it has for now. An adapter that acts at once needs none.
    fn flush(&mut self) {}

    /// Sees to what concerns others, while the owner has no use for events: that another link goes on with
    /// the resumable session of this one, which has to let go of what it has. Wakes when there is such a
    /// thing. A link without such a session has nothing to see to.
    fn attend(&mut self, _: &mut Context<'_>) {}

    /// The next thing the broker reports, in order. While it is pending, an answer to a command
    /// wakes like everything else, even if the command is carried out inside
    /// [`submit`](Self::submit).
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;
}
