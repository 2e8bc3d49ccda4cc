//! The driver.

use std::net::IpAddr;
use std::sync::Arc;

use protocols::Session;
use tokio_util::sync::CancellationToken;

use crate::route::{Route, Tuning};
use crate::transport::Transport;

/// Everything a connection is run with, besides its transport.
pub(crate) struct Connection {
    /// The protocol state.
    pub(crate) session: Box<dyn Session>,
    /// The route it came in by.
    pub(crate) route: Arc<Route>,
    /// The client's address.
    pub(crate) peer: IpAddr,
    /// How it is run.
    pub(crate) tuning: Tuning,
    /// Canceled when this session shall say goodbye.
    pub(crate) drain: CancellationToken,
}

/// Runs one connection until it has ended.
pub(crate) async fn drive<T: Transport>(transport: T, connection: Connection) {
    let _ = (transport, connection);
}
