//! From an accepted connection to a session: the opening handshake of RFC 6455 §4.2, on HTTP/1.1.
//!
//! hyper reads the request, [`decide`] judges it, and what was granted goes on as a [`Ws`].
//! Everything else is answered in HTTP with one plain sentence, and closed so that the answer
//! arrives. A connection carries one request: there is nothing here to ask for twice.

mod answer;
mod muted;
mod request;

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use protocols::registry::Negotiated;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use crate::listener::ListenerState;
use crate::opening::{self, Opening};
use crate::route::Route;
use crate::transport::linger::linger;
use crate::transport::ws::{InputLimits, Ws};
use answer::Refusal;
use muted::Muted;
use request::{Granted, decide};

/// Bytes of a request head.
const HEAD_SIZE: usize = 16 << 10;

/// Seconds after which a client that could not be served may come back.
const RETRY_SECONDS: &str = "5";

/// The first byte of a TLS connection (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// How HTTP/2 begins if nothing was negotiated (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Serves one connection until it has ended.
pub(crate) async fn serve<S>(io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let opened = Instant::now();
    let (io, end) = receive(io, opened, state).await;
    match end {
        End::Granted(opening) => open(io, opening, opened, peer, state).await,
        End::Refused(refusal) => {
            log(&refusal, peer, state);
            linger(io, state.tuning.close_timeout).await;
        }
        End::NoRequest(refusal) => refuse(io, &refusal, peer, state).await,
        End::Gone => tracing::debug!(listener = state.name, %peer, "left before the handshake"),
    }
}

/// Tells a client that there is no room for it.
pub(crate) async fn serve_no_room<S>(io: S, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let limit = state.max_connections;
    let text = format!("All {limit} connections that may be open here are in use; try later.");
    refuse(io, &unavailable(text), peer, state).await;
}

/// How the reading of a request ended.
enum End {
    /// A WebSocket is open.
    Granted(Opened),
    /// The request was refused, and the answer is written.
    Refused(Refusal),
    /// There is no request to answer; why, is still to be said.
    NoRequest(Refusal),
    /// Nobody is left who could be told.
    Gone,
}

/// A WebSocket that is open.
struct Opened {
    granted: Granted,
    /// What has come after the request.
    read_ahead: Bytes,
}

/// Why hyper is done.
enum Stop {
    Served,
    Failed(hyper::Error),
    TooLate,
    Draining,
}

/// Reads one request and answers it.
async fn receive<S>(io: S, opened: Instant, state: &ListenerState) -> (S, End)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let decided = Arc::new(OnceLock::new());
    let io = TokioIo::new(Muted::new(io, decided.clone()));
    let mut connection = http1::Builder::new()
        .max_buf_size(HEAD_SIZE)
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(io, Handshake { routes: &state.routes, decided: decided.clone() });
    let stop = tokio::select! {
        biased;
        served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
            served.map_or_else(Stop::Failed, |()| Stop::Served)
        }
        () = sleep_until(opened + state.tuning.handshake_timeout) => Stop::TooLate,
        () = state.drain.begun() => Stop::Draining,
    };
    let parts = connection.into_parts();
    let io = parts.io.into_inner().into_inner();
    drop(parts.service);
    let decision = Arc::into_inner(decided).and_then(OnceLock::into_inner);
    (io, end(stop, decision, parts.read_buf, state))
}

fn end(
    stop: Stop,
    decision: Option<Result<Granted, Refusal>>,
    read_ahead: Bytes,
    state: &ListenerState,
) -> End {
    match (stop, decision) {
        (Stop::Served, Some(Ok(granted))) => End::Granted(Opened { granted, read_ahead }),
        (Stop::Served, Some(Err(refusal))) => End::Refused(refusal),
        // The answer could not be written.
        (Stop::Failed(_) | Stop::TooLate | Stop::Draining, Some(_)) => End::Gone,
        (Stop::Served, None) => End::Gone,
        (Stop::Failed(error), None) => unreadable(&error, &read_ahead),
        (Stop::TooLate, None) => {
            let limit = state.tuning.handshake_timeout.as_millis();
            let text = format!("The WebSocket handshake must be done within {limit} ms.");
            End::NoRequest(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
        }
        (Stop::Draining, None) => {
            End::NoRequest(unavailable("The server is shutting down; try later."))
        }
    }
}

/// Says what is wrong with input that hyper could not read as a request.
fn unreadable(error: &hyper::Error, input: &[u8]) -> End {
    let (status, text) = if input.first() == Some(&TLS_HANDSHAKE) {
        (
            StatusCode::BAD_REQUEST,
            "This port does not speak TLS; use ws:// instead of wss://.".into(),
        )
    } else if input.starts_with(HTTP2_PREFACE) {
        let text = "This port speaks HTTP/1.1 only, not HTTP/2.".into();
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, text)
    } else if error.is_parse_too_large() {
        let text = format!("The head of a request may have {HEAD_SIZE} bytes and 100 headers.");
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text)
    } else if error.is_incomplete_message() {
        (StatusCode::BAD_REQUEST, "The request ended before its head was complete.".into())
    } else if error.is_parse() {
        (StatusCode::BAD_REQUEST, format!("This is not an HTTP/1.1 request: {error}."))
    } else {
        return End::Gone;
    };
    End::NoRequest(Refusal::new(status, text))
}

/// hyper's side of the handshake.
struct Handshake<'a> {
    routes: &'a [Arc<Route>],
    decided: Arc<OnceLock<Result<Granted, Refusal>>>,
}

impl Service<Request<Incoming>> for Handshake<'_> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let decision = self.decided.get_or_init(|| decide(&request, self.routes));
        ready(Ok(match decision {
            Ok(granted) => granted.response(),
            Err(refusal) => refusal.response(),
        }))
    }
}

/// Opens the session and runs it until it has ended.
async fn open<S>(
    io: S,
    Opened { granted, read_ahead }: Opened,
    opened: Instant,
    peer: SocketAddr,
    state: &ListenerState,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let Granted { route, negotiated, ids, .. } = granted;
    let limits = InputLimits {
        before_login: route.policy.limits.frame_size_before_login,
        message_size: route.max_message_size,
    };
    let Negotiated { protocol, name } = negotiated;
    let transport = Ws::new(io, read_ahead, limits).await;
    let opening = Opening { route, protocol, name, ids, opened, peer };
    opening::run(transport, opening, state).await;
}

/// Answers without hyper, and closes.
async fn refuse<S>(mut io: S, refusal: &Refusal, peer: SocketAddr, state: &ListenerState)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    log(refusal, peer, state);
    let close_timeout = state.tuning.close_timeout;
    let answer = refusal.bytes();
    if let Ok(Ok(())) = timeout(close_timeout, io.write_all(&answer)).await {
        linger(io, close_timeout).await;
    }
}

fn unavailable(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).with(RETRY_AFTER, RETRY_SECONDS)
}

fn log(refusal: &Refusal, peer: SocketAddr, state: &ListenerState) {
    let status = refusal.status.as_u16();
    tracing::info!(listener = state.name, %peer, status, "handshake refused: {}", refusal.text);
}

#[cfg(test)]
pub(crate) mod tests;
