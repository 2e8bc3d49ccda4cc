//! Messaging protocols as sans-IO state machines, and the port through which they reach a broker.
//!
//! A [`Session`] is a plain value: input from the peer, events from the broker and time go in;
//! frames, broker commands and deadlines come out through [`Actions`]. Whoever drives it owns the
//! sockets, the clock and the broker link.
//!
//! | module | is |
//! |---|---|
//! | [`session`] | the contract between a session and its driver |
//! | [`registry`] | which sub-protocols there are, and how one is negotiated |
//! | [`broker`] | the port: commands, events, messages, as data |
//! | [`delivery`] | how a delivery is encoded once for many sessions |
//! | [`auth`] | what a login asks and what is answered, as data |
//! | [`violation`] | everything a peer can do wrong, and how each is answered on the wire |
//! | [`policy`] | every bound and setting a session works under |
//! | [`text`] | UTF-8 text as a slice of shared bytes |
//! | [`stomp`] | STOMP 1.0, 1.1 and 1.2 |
//! | [`wamp`] | WAMP v2: its messages, sessions, publish and subscribe, calls and registrations |
//!
//! # Invariants of absence
//! - No sockets, files, threads, clock or randomness: `now` and identifiers are arguments. The
//!   crate's `.clippy.toml` bans the functions that would break this.
//! - No protocol names another protocol; no protocol names a broker product.
//! - A session never fails. It closes, and says why in its protocol.

pub mod auth;
pub mod broker;
pub mod delivery;
pub mod policy;
pub mod registry;
pub mod session;
pub mod stomp;
pub mod text;
pub mod violation;
pub mod wamp;

pub use registry::{Registry, SessionSetup, Subprotocol};
pub use session::{Actions, Session};
