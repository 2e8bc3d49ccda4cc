//! The gateway.

mod admin;
mod auth;
pub mod cli;
pub mod config;
mod drain;
mod driver;
mod handshake;
mod listener;
mod probe;
mod route;
pub mod telemetry;
pub mod transport;
