//! From an accepted connection to a session, where a RawSocket handshake comes first:
//! `transport = "wamp-rawsocket"`.
//!
//! *Spec.* WAMP §RawSocket Transport. What cannot be agreed on is answered with the reason that the
//! specification has for it. Who says nothing that could be answered, or nothing in time, gets no answer.

use std::net::SocketAddr;

use protocols::session::FrameKind;
use protocols::wamp::rawsocket::{Handshake, HandshakeError, MaxLength, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

use crate::listener::ListenerState;
use crate::opening::{self, Opening};
use crate::route::Route;
use crate::transport::linger::linger;
use crate::transport::rawsocket::{Agreement, RawSocket};

/// Bytes of a handshake.
const HANDSHAKE_SIZE: usize = 4;

/// What a client must take at least: WELCOME, with all that it announces, has no room in 512 bytes.
const LEAST_OUTPUT: MaxLength = MaxLength::at_most(1 << 10);

/// Serves one connection until it has ended.
pub(crate) async fn serve<S>(mut io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Some(opening) = Opening::of_only_route(state, peer) else { return };
    let deadline = opening.opened + state.tuning.handshake_timeout;
    let agreed = tokio::select! {
        biased;
        agreed = timeout_at(deadline, shake_hands(&mut io, &opening, state)) => {
            agreed.unwrap_or(Err(End::TooLate))
        }
        () = state.drain.begun() => Err(End::Draining),
    };
    match agreed {
        Ok((name, agreed)) => {
            let opening = Opening { name: Some(name), ..opening };
            opening::run(RawSocket::new(io, agreed), opening, state).await;
        }
        Err(end) => {
            end.log(peer, state);
            linger(io, state.tuning.close_timeout).await;
        }
    }
}

/// Tells a client that there is no room for it.
pub(crate) async fn serve_no_room<S>(mut io: S, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let close_timeout = state.tuning.close_timeout;
    let refusal = Refusal::TooManyConnections.encode();
    if let Ok(Ok(())) = timeout(close_timeout, io.write_all(&refusal)).await {
        linger(io, close_timeout).await;
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum End {
    /// What came cannot be agreed to.
    #[error("{0}")]
    Unfit(#[from] HandshakeError),
    /// The protocol of the route has no such name.
    #[error("{0} is not spoken here")]
    NotSpoken(&'static str),
    /// The client takes too little.
    #[error("a client must take messages of {} bytes, this one takes {}", LEAST_OUTPUT.bytes(), .0.bytes())]
    TakesLittle(MaxLength),
    #[error("no handshake came in time")]
    TooLate,
    #[error("the server is shutting down")]
    Draining,
    #[error("the client left before its handshake was whole")]
    Gone,
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
}

impl End {
    /// What the client is told.
    const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Unfit(error) => error.refusal(),
            Self::NotSpoken(_) => Some(Refusal::SerializerUnsupported),
            Self::TakesLittle(_) => Some(Refusal::LengthUnacceptable),
            Self::TooLate | Self::Draining | Self::Gone | Self::Broken(_) => None,
        }
    }

    fn log(&self, peer: SocketAddr, state: &ListenerState) {
        let listener = &state.name;
        if let Self::Gone | Self::Broken(_) = self {
            tracing::debug!(listener, %peer, "left before the handshake: {self}");
        } else {
            tracing::info!(listener, %peer, "handshake refused: {self}");
        }
    }
}

/// The sub-protocol that stands for the serializer, and what else was agreed on.
async fn shake_hands<S>(
    io: &mut S,
    opening: &Opening,
    state: &ListenerState,
) -> Result<(&'static str, Agreement), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let agreed = receive(io).await.and_then(|asked| agree(asked, opening));
    let answer = match &agreed {
        Ok((_, answer, _)) => Some(answer.encode()),
        Err(end) => end.refusal().map(Refusal::encode),
    };
    if let Some(answer) = answer {
        io.write_all(&answer).await?;
    }
    let (name, answer, output) = agreed?;
    let agreement = Agreement {
        kind: if answer.serializer.is_text() { FrameKind::Text } else { FrameKind::Binary },
        input: answer.max_length,
        output,
        before_login: opening.route.policy.limits.frame_size_before_login,
        pings: state.rawsocket_pings,
    };
    Ok((name, agreement))
}

/// What the client asks for. Nothing behind it is read.
async fn receive<S>(io: &mut S) -> Result<Handshake, End>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; HANDSHAKE_SIZE];
    let mut filled = 0;
    loop {
        match io.read(&mut bytes[filled..]).await? {
            0 => return Err(End::Gone),
            count => filled += count,
        }
        if let Some(handshake) = Handshake::parse(&bytes[..filled])? {
            return Ok(handshake);
        }
    }
}

/// The sub-protocol, the answer, and what the client takes.
fn agree(asked: Handshake, opening: &Opening) -> Result<(&'static str, Handshake, MaxLength), End> {
    let Handshake { serializer, max_length: output } = asked;
    let name = serializer.subprotocol();
    if !opening.protocol.names().contains(&name) {
        return Err(End::NotSpoken(name));
    }
    if output < LEAST_OUTPUT {
        return Err(End::TakesLittle(output));
    }
    Ok((name, Handshake { max_length: longest(&opening.route), serializer }, output))
}

/// What a client may send: rounded down, as a handshake can say powers of two only.
fn longest(route: &Route) -> MaxLength {
    MaxLength::at_most(route.max_message_size.min(route.policy.limits.frame_size))
}

#[cfg(test)]
mod tests;
