//! What is asked for, and whether it is granted: RFC 6455 §4.2.1 and §4.2.2. A function of the
//! request and the routes, but for the random name of the session.
//!
//! `Sec-WebSocket-Extensions` is passed over: no extension is spoken (RFC 6455 §9.1 lets a server
//! accept none). `Origin` is not looked at.

use std::sync::Arc;

use hyper::body::Body;
use hyper::header::{
    ALLOW, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use protocols::registry::{Negotiated, negotiate};
use protocols::violation::shown;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::Refusal;
use crate::opening::Ids;
use crate::route::Route;

/// A handshake that may be completed.
pub(super) struct Granted {
    pub(super) route: Arc<Route>,
    pub(super) negotiated: Negotiated,
    /// What is made up for the session.
    pub(super) ids: Ids,
    /// The value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
}

impl Granted {
    /// 101, which completes it.
    pub(super) fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(name) = self.negotiated.name {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }
}

/// Decides about a request.
///
/// *Errors.* The first rule that it breaks.
pub(super) fn decide<B: Body>(
    request: &Request<B>,
    routes: &[Arc<Route>],
) -> Result<Granted, Refusal> {
    let route = find(request.uri().path(), routes)?;
    check_request(request)?;
    check_upgrade(request.headers())?;
    let accept = accept(request.headers())?;
    let negotiated = choose(request.headers(), route)?;
    Ok(Granted { route: route.clone(), negotiated, ids: ids()?, accept })
}

fn find<'a>(path: &str, routes: &'a [Arc<Route>]) -> Result<&'a Arc<Route>, Refusal> {
    routes.iter().find(|route| route.path == path).ok_or_else(|| {
        let paths: Vec<_> = routes.iter().map(|route| route.path.as_str()).collect();
        let paths = paths.join(", ");
        let text = if path.is_empty() {
            // As in `CONNECT host:port` (RFC 9112 §3.2.3).
            format!("The request names no path; a WebSocket is served at {paths}.")
        } else {
            format!("Nothing is served at {}; there is {paths}.", shown(path))
        };
        Refusal::new(StatusCode::NOT_FOUND, text)
    })
}

/// What makes the request one that can be upgraded at all.
fn check_request<B: Body>(request: &Request<B>) -> Result<(), Refusal> {
    if request.method() != Method::GET {
        let text = format!(
            "A WebSocket is opened with GET, this request is {}.",
            shown(request.method().as_str())
        );
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text).with(ALLOW, "GET"));
    }
    if request.version() != Version::HTTP_11 {
        let text = format!("A WebSocket needs HTTP/1.1, this request is {:?}.", request.version());
        return Err(Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text));
    }
    if request.headers().get_all(HOST).iter().count() != 1 {
        return Err(bad("A request must have one Host header (RFC 9112 section 3.2)."));
    }
    if !request.body().is_end_stream() {
        return Err(bad("A request that opens a WebSocket must not have a body."));
    }
    Ok(())
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    if !has_token(headers, UPGRADE, "websocket") || !has_token(headers, CONNECTION, "upgrade") {
        let text = "A WebSocket is served here: the request must have the headers \
                    \"Upgrade: websocket\" and \"Connection: Upgrade\".";
        return Err(upgrade_required(text));
    }
    if single(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        let text = "The request must have one header \"Sec-WebSocket-Version: 13\" (RFC 6455).";
        return Err(upgrade_required(text));
    }
    Ok(())
}

/// Makes the proof that the handshake was understood.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let key = single(headers, SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or_else(|| {
        bad("The request must have one header Sec-WebSocket-Key: 16 bytes in base64 (RFC 6455 \
             section 4.1).")
    })?;
    Ok(HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is ASCII"))
}

fn choose(headers: &HeaderMap, route: &Route) -> Result<Negotiated, Refusal> {
    let offered = tokens(headers, SEC_WEBSOCKET_PROTOCOL).collect::<Option<Vec<_>>>();
    let offered = offered.ok_or_else(|| {
        bad("Sec-WebSocket-Protocol must be a list of names in ASCII, separated by commas.")
    })?;
    let fallback = || {
        let protocol = route.fallback.clone()?;
        Some(Negotiated { protocol, name: None })
    };
    negotiate(&offered, &route.protocols).or_else(fallback).ok_or_else(|| {
        let spoken: Vec<_> = route.protocols.iter().flat_map(|it| it.names()).copied().collect();
        bad(format!(
            "The sub-protocols offered ({}) are not spoken here; {} speaks {}.",
            shown(&offered.join(", ")),
            route.path,
            spoken.join(", ")
        ))
    })
}

fn ids() -> Result<Ids, Refusal> {
    Ids::new().map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        let text = "The server cannot name the session: it has no random bytes.";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, text)
}

/// RFC 9110 §15.5.22, and RFC 6455 §4.4 for the version.
fn upgrade_required(text: &str) -> Refusal {
    Refusal::new(StatusCode::UPGRADE_REQUIRED, text)
        .with(UPGRADE, "websocket")
        .with(CONNECTION, "Upgrade")
        .with(SEC_WEBSOCKET_VERSION, "13")
}

/// The elements of a list that may span several header lines (RFC 9110 §5.6.1); `None` for a line
/// that is not visible ASCII.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    headers.get_all(name).into_iter().flat_map(|line| {
        let line = line.to_str().ok();
        let list = line.unwrap_or_default().split(',').map(str::trim);
        list.filter(|token| !token.is_empty()).map(Some).chain(line.is_none().then_some(None))
    })
}

fn has_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    tokens(headers, name).flatten().any(|token| token.eq_ignore_ascii_case(wanted))
}

/// The value of a header that occurs once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).into_iter();
    let line = lines.next()?.to_str().ok()?;
    lines.next().is_none().then(|| line.trim())
}

/// Whether these are 16 bytes in base64 (RFC 4648 §4): 22 letters and two of padding.
fn is_key(key: &str) -> bool {
    let letters = key.strip_suffix("==").unwrap_or_default();
    letters.len() == 22
        && letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
