//! From an accepted connection to a session, where the protocol begins with the first byte:
//! `transport = "stomp-tcp"`. There is no handshake, so the session's login deadline is the only one.

use std::net::SocketAddr;

use protocols::Actions;
use protocols::violation::Violation;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::listener::ListenerState;
use crate::opening::{self, Ids, Opening};
use crate::transport::linger::linger;
use crate::transport::tcp::Tcp;

/// Serves one connection until it has ended.
pub(crate) async fn serve<S>(io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    if let Some(opening) = only_route(state, peer) {
        opening::run(Tcp::new(io), opening, state).await;
    }
}

/// Tells a client that there is no room for it.
pub(crate) async fn serve_no_room<S>(mut io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Some(opening) = only_route(state, peer) else { return };
    let (mut session, now) = (opening.session(false), opening.opened.into_std());
    let mut actions = Actions::default();
    let limit = state.max_connections;
    session.handle_violation(now, Violation::TooManyConnections { limit }, &mut actions);
    let close_timeout = state.tuning.close_timeout;
    let frames: Vec<u8> = actions.frames.iter().flat_map(|it| it.bytes.iter().copied()).collect();
    if let Ok(Ok(())) = timeout(close_timeout, io.write_all(&frames)).await {
        linger(io, close_timeout).await;
    }
}

/// A valid configuration has one route here, of one protocol.
fn only_route(state: &ListenerState, peer: SocketAddr) -> Option<Opening> {
    let route = state.routes.first()?.clone();
    let protocol = route.protocols.first()?.clone();
    let ids = match Ids::new() {
        Ok(ids) => ids,
        Err(error) => {
            tracing::error!(%error, "the operating system gives no random bytes");
            return None;
        }
    };
    Some(Opening { route, protocol, name: None, ids, opened: Instant::now(), peer })
}
