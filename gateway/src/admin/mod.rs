//! The admin listener: what operators and orchestrators ask, on a socket of its own.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 while the process serves at all |
//! | `/readyz` | 200 while new clients are served; 503 and why not otherwise |

mod health;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::debug;

use crate::acceptor::Acceptor;
pub(crate) use health::Health;

/// Connections served at a time; one more waits.
const MAX_CONNECTIONS: usize = 64;

/// Time for a request's head to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Accepts and serves until the future is dropped, and its connections with it.
pub(crate) async fn serve(mut acceptor: Acceptor, health: Arc<Health>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let (stream, _) = acceptor.accept().await;
        let health = Arc::clone(&health);
        connections.spawn(async move {
            serve_connection(stream, health).await;
            drop(permit);
        });
    }
}

async fn serve_connection(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request| {
        let response = respond(&request, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!("an admin connection ended early: {error}");
    }
}

fn respond<B>(request: &Request<B>, health: &Health) -> Response<Full<Bytes>> {
    let readable = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = match request.uri().path() {
        "/livez" | "/readyz" if !readable => {
            (StatusCode::METHOD_NOT_ALLOWED, String::from("only GET and HEAD are answered here"))
        }
        "/livez" => (StatusCode::OK, String::from("live")),
        "/readyz" => match health.ready() {
            Ok(()) => (StatusCode::OK, String::from("ready")),
            Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
        },
        _ => (StatusCode::NOT_FOUND, String::from("there are /livez and /readyz here")),
    };
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Drain;

    fn answer(method: Method, path: &str, drain: &Drain) -> (u16, String) {
        let health = Health { drain: drain.clone(), brokers: std::collections::BTreeMap::new() };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let response = respond(&request, &health);
        (response.status().as_u16(), format!("{:?}", response.body()))
    }

    #[test]
    fn health_is_told_apart_from_readiness() {
        let drain = Drain::new(Duration::ZERO);
        assert_eq!(answer(Method::GET, "/livez", &drain).0, 200);
        assert_eq!(answer(Method::GET, "/readyz", &drain).0, 200);
        drain.begin();
        assert_eq!(answer(Method::GET, "/livez", &drain).0, 200);
        let (status, body) = answer(Method::GET, "/readyz", &drain);
        assert_eq!(status, 503);
        assert!(body.contains("shutting down"), "{body}");
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let drain = Drain::new(Duration::ZERO);
        assert_eq!(answer(Method::GET, "/", &drain).0, 404);
        assert_eq!(answer(Method::POST, "/livez", &drain).0, 405);
    }
}
