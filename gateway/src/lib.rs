//! The gateway.

mod auth;
pub mod config;
mod driver;
mod route;
pub mod transport;
