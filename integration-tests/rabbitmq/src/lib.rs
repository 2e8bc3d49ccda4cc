//! A RabbitMQ of one's own for tests, on free ports of the loopback interface, and a TCP proxy that
//! misbehaves on demand.
//!
//! - [`Node`] starts, stops, kills and restarts Debian's `rabbitmq-server`. It needs no root, shares
//!   nothing with a RabbitMQ that runs as a service, and is gone with the test's process, however
//!   that ends.
//! - [`Vhost`] is a virtual host of one test's own, with users, through RabbitMQ's HTTP API.
//! - [`Proxy`] stands before any address and cuts, stalls or slows what goes through it.
//!
//! Only for tests: whatever cannot be done panics with the reason.

mod api;
mod installation;
mod node;
mod ports;
mod proxy;
mod supervisor;
mod tls;
mod vhost;
mod wait;

pub use api::Api;
pub use node::{Node, Options};
pub use proxy::{Cut, Direction, Proxy};
pub use vhost::{Connection, Permissions, Queue, Vhost};
pub use wait::{CEILING, eventually, within};
