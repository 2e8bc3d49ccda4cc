//! STOMP 1.0, 1.1 and 1.2, clause by clause: a session between a scripted client and a scripted
//! broker, in virtual time. The names begin with the version whose clause is tested; `server_` is
//! what the specification leaves to the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/pair.rs"]
mod pair;
#[path = "../support/wire.rs"]
mod wire;

mod acknowledge;
mod client;
mod compat;
mod connect;
mod destination;
mod disconnect;
mod error;
mod heartbeat;
mod login;
mod message;
mod procedure;
mod queue;
mod receipt;
mod resume;
mod send;
mod shared;
mod soft;
mod subscribe;
mod transaction;
mod user;
