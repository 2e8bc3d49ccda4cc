//! [`Api`]: RabbitMQ's HTTP API, as far as tests need it.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::{eventually, within};

/// The login that the node makes at its first start; it may do everything.
pub(crate) const ADMINISTRATOR: (&str, &str) = ("administrator", "administrator");

/// The same, for HTTP (RFC 7617 §2).
const AUTHORIZATION: &str = "Basic YWRtaW5pc3RyYXRvcjphZG1pbmlzdHJhdG9y";

/// RabbitMQ's HTTP API. Paths begin behind `/api`; what is variable in them goes through
/// [`segment`](Self::segment).
#[derive(Debug, Clone, Copy)]
pub struct Api(pub(crate) SocketAddr);

impl Api {
    /// What is at this path; panics if nothing is. Asks again where RabbitMQ stumbles over something
    /// that goes while it is being listed.
    pub async fn get(&self, path: &str) -> Value {
        let listed = async || {
            let (status, body) = self.call("GET", path, None).await;
            (status != 500).then_some((status, body))
        };
        let (status, body) = eventually(path, listed).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// Makes or changes what is at this path; panics if it is refused.
    pub async fn put(&self, path: &str, value: Value) {
        let (status, body) = self.call("PUT", path, Some(value)).await;
        assert!(matches!(status, 201 | 204), "PUT {path}: {status} {body}");
    }

    /// Has something done at this path, and returns what is said about it, if anything; panics if it is
    /// refused.
    pub async fn post(&self, path: &str, value: Value) -> Value {
        let (status, body) = self.call("POST", path, Some(value)).await;
        assert!(matches!(status, 200 | 201), "POST {path}: {status} {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Deletes what is at this path, and says whether something was; panics if it is refused.
    pub async fn delete(&self, path: &str) -> bool {
        let (status, body) = self.call("DELETE", path, None).await;
        assert!(matches!(status, 204 | 404), "DELETE {path}: {status} {body}");
        status == 204
    }

    /// Whether a health check passes; `None` while nobody answers.
    pub async fn is_healthy(&self, check: &str) -> Option<bool> {
        let path = format!("/health/checks/{check}");
        let answer = within("the HTTP API", self.exchange("GET", &path, "")).await;
        Some(answer.ok()?.0 == 200)
    }

    /// `text` as one part of a path.
    pub fn segment(text: &str) -> String {
        let escaped = text.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        });
        escaped.collect()
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = within("the HTTP API", self.exchange(method, path, &body)).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// One request on a connection of its own; the status and the body of its answer.
    async fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.0).await?;
        let length = body.len();
        let request = format!(
            "{method} /api{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: {AUTHORIZATION}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let is_chunked = answer.contains("\r\ntransfer-encoding: chunked\r\n");
        let parts = answer.split_once("\r\n\r\n").filter(|_| !is_chunked);
        let parsed = parts.and_then(|(head, body)| {
            let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
            Some((status, body.to_owned()))
        });
        parsed.ok_or_else(|| io::Error::other(format!("not understood: {answer}")))
    }
}
