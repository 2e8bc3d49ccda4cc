//! The beginning of a session, whatever it is carried by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use protocols::auth::Secret;
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
    /// What was made up for it.
    pub(crate) ids: Ids,
    /// When the connection was accepted.
    pub(crate) opened: Instant,
    /// The client.
    pub(crate) peer: SocketAddr,
}

/// What a session is given that nobody can guess.
pub(crate) struct Ids {
    /// Its name on this node.
    session_id: Text,
    /// For a token of its client's.
    secret: Secret,
    /// For what else it makes.
    random: [u8; 32],
}

impl Ids {
    /// *Errors.* The operating system gives no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut names = [[0; 16]; 2];
        getrandom::fill(names.as_flattened_mut())?;
        let [session, secret] = names;
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        Ok(Self {
            session_id: format!("session-{:032x}", u128::from_ne_bytes(session)).into(),
            secret: Secret::new(&format!("{:032x}", u128::from_ne_bytes(secret))),
            random,
        })
    }
}

impl Opening {
    /// Where a client can name neither route nor protocol: a valid configuration has one route there, of
    /// one protocol. `None`: the operating system gives no random bytes.
    pub(crate) fn of_only_route(state: &ListenerState, peer: SocketAddr) -> Option<Self> {
        let route = state.routes.first()?.clone();
        let protocol = route.protocols.first()?.clone();
        let ids = match Ids::new() {
            Ok(ids) => ids,
            Err(error) => {
                tracing::error!(%error, "the operating system gives no random bytes");
                return None;
            }
        };
        Some(Self { route, protocol, name: None, ids, opened: Instant::now(), peer })
    }

    /// A session that has heard nothing yet. `can_confirm` and `most_output` are said of its transport.
    pub(crate) fn session(&self, can_confirm: bool, most_output: usize) -> Box<dyn Session> {
        self.protocol.open(SessionSetup {
            name: self.name,
            session_id: self.ids.session_id.clone(),
            secret: self.ids.secret.clone(),
            random: self.ids.random,
            is_local: self.peer.ip().to_canonical().is_loopback(),
            realms: Arc::clone(&self.route.realms) as _,
            can_confirm,
            most_output,
            policy: Arc::clone(&self.route.policy),
            now: self.opened.into_std(),
            // A clock before 1970 is wrong anyway.
            time_of_day: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
        })
    }
}

/// Opens a session and runs it until it has ended.
pub(crate) async fn run<T: Transport>(transport: T, opening: Opening, state: &ListenerState) {
    let session = opening.session(transport.can_probe(), transport.most_output());
    let Opening { route, protocol, name, ids: Ids { session_id, .. }, peer, .. } = opening;
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
