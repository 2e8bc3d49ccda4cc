//! A gateway that runs: where it listens, and how it is stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_adapters::Broker;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::drain::Drain;
use crate::hub::Hub;

/// A running gateway. Dropping it cuts every connection; [`drain`](Self::drain) is the polite way.
#[derive(Debug)]
pub struct Running {
    pub(crate) addrs: BTreeMap<String, SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) drain: Drain,
    pub(crate) grace: Duration,
    /// The accept loops; they end when the drain begins.
    pub(crate) accepting: JoinSet<()>,
    /// The admin listener; it answers until everything else has ended.
    pub(crate) admin_task: JoinSet<()>,
    /// The connections.
    pub(crate) connections: TaskTracker,
    /// What brings calls to other nodes, and from there.
    pub(crate) bridges: JoinSet<()>,
    pub(crate) stop_bridges: CancellationToken,
    /// What sessions share in front of each broker.
    pub(crate) hubs: Vec<Arc<Hub>>,
    pub(crate) brokers: BTreeMap<String, Arc<dyn Broker>>,
}

/// What a drain had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended by themselves when the grace period was over.
    pub cut: usize,
}

impl Running {
    /// The address a listener is bound to.
    pub fn addr(&self, listener: &str) -> Option<SocketAddr> {
        self.addrs.get(listener).copied()
    }

    /// The address of the admin listener.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Live connections, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Stops: `/readyz` says no, nothing is accepted, each session says goodbye in its turn within
    /// `drain.spread`; what is left after `drain.grace` is cut. Then the brokers are closed.
    pub async fn drain(mut self) -> Drained {
        info!(connections = self.connections.len(), "draining");
        self.drain.begin();
        while self.accepting.join_next().await.is_some() {}
        self.connections.close();
        let mut cut = 0;
        if tokio::time::timeout(self.grace, self.connections.wait()).await.is_err() {
            cut = self.connections.len();
            warn!(cut, "the grace period is over: cutting the connections that are left");
            self.drain.cut();
            self.connections.wait().await;
        }
        // Nobody says anything any more: the bridges end once what was said has left.
        self.stop_bridges.cancel();
        while self.bridges.join_next().await.is_some() {}
        for hub in &self.hubs {
            hub.close().await;
        }
        for broker in self.brokers.values() {
            broker.close().await;
        }
        self.admin_task.abort_all();
        info!("stopped");
        Drained { cut }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.begin();
        self.drain.cut();
    }
}
