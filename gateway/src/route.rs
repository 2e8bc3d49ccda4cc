//! What is served at a path, as the running gateway holds it: parsed once from configuration,
//! shared by every connection that was accepted under it, never changed.

use std::sync::Arc;
use std::time::Duration;

use protocols::Subprotocol;
use protocols::policy::Policy;

use crate::auth::Logins;
use crate::hub::Hub;
use crate::hub::share::Pending;
use crate::realm::Realms;

/// One route.
pub(crate) struct Route {
    /// Its name in the configuration, for logs.
    pub(crate) name: String,
    /// The exact path of its URL.
    pub(crate) path: String,
    /// What is spoken there; the first is meant by clients that name nothing.
    pub(crate) protocols: Vec<Arc<dyn Subprotocol>>,
    /// What is spoken to clients that name nothing that is, if they are not refused.
    pub(crate) fallback: Option<Arc<dyn Subprotocol>>,
    /// What its sessions work under.
    pub(crate) policy: Arc<Policy>,
    /// Bytes of one WebSocket message after the login.
    pub(crate) max_message_size: usize,
    /// Where its logins are decided.
    pub(crate) logins: Logins,
    /// Where its sessions share what they have subscribed to alike.
    pub(crate) hub: Arc<Hub>,
    /// What its sessions may join, where a protocol has realms.
    pub(crate) realms: Arc<Realms>,
    /// How many shared deliveries may wait for a session.
    pub(crate) pending: Pending,
}

/// How the connections of one listener are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// From the accepted connection to the finished handshake.
    pub(crate) handshake_timeout: Duration,
    /// Longest time a socket may take no byte while output waits.
    pub(crate) write_timeout: Duration,
    /// Longest time the broker may take no publish before its publisher is told so.
    pub(crate) publish_timeout: Duration,
    /// Longest time for saying goodbye.
    pub(crate) close_timeout: Duration,
    /// Bytes of buffered output above which nothing more is taken from peer or broker.
    pub(crate) output_high_water: usize,
}
