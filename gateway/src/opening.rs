//! The beginning of a session, whatever it is carried by.

use std::net::SocketAddr;
use std::sync::Arc;

use protocols::text::Text;
use protocols::{Session, SessionSetup, Subprotocol};
use tokio::time::Instant;
use tracing::Instrument;

use crate::driver::{self, Connection};
use crate::listener::ListenerState;
use crate::route::Route;
use crate::transport::Transport;

/// What a session begins with.
pub(crate) struct Opening {
    /// The route it came in by.
    pub(crate) route: Arc<Route>,
    /// What is spoken.
    pub(crate) protocol: Arc<dyn Subprotocol>,
    /// The name it was negotiated by, if it was.
    pub(crate) name: Option<&'static str>,
    /// Its name on this node.
    pub(crate) session_id: Text,
    /// When the connection was accepted.
    pub(crate) opened: Instant,
    /// The client.
    pub(crate) peer: SocketAddr,
}

impl Opening {
    /// A session that has heard nothing yet.
    pub(crate) fn session(&self) -> Box<dyn Session> {
        self.protocol.open(SessionSetup {
            name: self.name,
            session_id: self.session_id.clone(),
            policy: Arc::clone(&self.route.policy),
            now: self.opened.into_std(),
        })
    }
}

/// Opens a session and runs it until it has ended.
pub(crate) async fn run<T: Transport>(transport: T, opening: Opening, state: &ListenerState) {
    let session = opening.session();
    let Opening { route, protocol, name, session_id, peer, .. } = opening;
    let protocol = name.unwrap_or_else(|| protocol.id());
    let span =
        tracing::info_span!("session", id = %session_id, route = route.name, protocol, %peer);
    let connection = Connection {
        session,
        route,
        peer: peer.ip(),
        tuning: state.tuning,
        drain: state.drain.clone(),
    };
    driver::drive(transport, connection).instrument(span).await;
}

/// A name for a session that nobody can guess.
///
/// *Errors.* The operating system gives no random bytes.
pub(crate) fn session_id() -> Result<Text, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("session-{:032x}", u128::from_ne_bytes(random)).into())
}
