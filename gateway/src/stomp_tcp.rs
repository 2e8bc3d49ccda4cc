//! From an accepted connection to a session, where the protocol begins with the first byte:
//! `transport = "stomp-tcp"`. There is no handshake, so the session's login deadline is the only one.

use std::net::SocketAddr;

use protocols::Actions;
use protocols::violation::Violation;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::listener::ListenerState;
use crate::opening::{self, Opening};
use crate::transport::linger::linger;
use crate::transport::tcp::Tcp;

/// Serves one connection until it has ended.
pub(crate) async fn serve<S>(io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    if let Some(opening) = Opening::of_only_route(state, peer) {
        opening::run(Tcp::new(io), opening, state).await;
    }
}

/// Tells a client that there is no room for it.
pub(crate) async fn serve_no_room<S>(mut io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Some(opening) = Opening::of_only_route(state, peer) else { return };
    let (mut session, now) = (opening.session(false, usize::MAX), opening.opened.into_std());
    let mut actions = Actions::default();
    let limit = state.max_connections;
    session.handle_violation(now, Violation::TooManyConnections { limit }, &mut actions);
    let close_timeout = state.tuning.close_timeout;
    let frames: Vec<u8> = actions.frames.iter().flat_map(|it| it.bytes.iter().copied()).collect();
    if let Ok(Ok(())) = timeout(close_timeout, io.write_all(&frames)).await {
        linger(io, close_timeout).await;
    }
}
