//! WAMP v2, clause by clause: a session between a scripted client and a scripted broker, in virtual
//! time. The names begin with the profile whose clause is tested; `server_` is what the specification
//! leaves to the server.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/pair.rs"]
mod pair;

mod auth;
mod client;
mod dealer;
mod handshake;
mod leave;
mod pubsub;
