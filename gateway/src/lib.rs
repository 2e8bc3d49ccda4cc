//! The gateway through which browsers and devices reach AMQP brokers.
//!
//! This crate owns what touches the world: sockets, HTTP, configuration, signals, logs. Protocols
//! are in `protocols`, brokers in `broker-adapters`. `gateway/docs/ARCHITECTURE.md` has the map.
//!
//! ```no_run
//! # async fn run() -> Result<(), gateway::StartError> {
//! let running = gateway::Gateway::new(gateway::config::Config::builtin()).start().await?;
//! println!("listening on {:?}", running.addr("web"));
//! running.drain().await;
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod admin;
mod auth;
pub mod cli;
pub mod config;
mod drain;
mod driver;
mod handshake;
mod hub;
mod listener;
mod opening;
mod probe;
mod realm;
mod route;
mod running;
mod start;
mod stomp_tcp;
pub mod telemetry;
pub mod transport;
mod wamp_rawsocket;

#[doc(hidden)]
pub use hub::measured::FanOut;
/// What a sub-protocol of one's own is made of.
pub use protocols;
pub use running::{Drained, Running};
pub use start::{Gateway, StartError};
