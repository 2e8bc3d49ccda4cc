//! Refusals, in HTTP: a status, and one plain sentence that says what was wrong and what would be
//! right.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Why there is no WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The sentence.
    pub(super) text: String,
    /// What the status demands besides.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), headers: Vec::new() }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The answer to a request that hyper has read.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(format!("{}\n", self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PLAIN_TEXT);
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers.append(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// The answer to what is not a request, or not yet.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { status, text, headers } = self;
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            let value = value.to_str().expect("every value is one of our literals");
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = text.len() + 1;
        format!(
            "{head}content-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{text}\n"
        )
        .into_bytes()
    }
}
