//! Just enough HTTP/1.1 to open a WebSocket, properly or not, and to read the answer
//! (RFC 6455 §4.1, RFC 9112).

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// The sample key of RFC 6455 §1.3, and the answer it must get.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request: the opening handshake of a WebSocket unless it is changed.
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A valid opening handshake that offers no sub-protocol.
    pub fn upgrade(path: &str) -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { method: "GET", path: path.to_owned(), headers }
    }

    /// A plain request.
    pub fn plain(method: &'static str, path: &str) -> Self {
        let headers = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { method, path: path.to_owned(), headers }
    }

    /// With another method.
    #[must_use]
    pub const fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// With one more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the header lines of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// As on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").expect("writing to a String cannot fail");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// The head of an answer, and its body where it declares one.
#[derive(Debug, Clone)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// The header lines, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty for 101.
    pub body: String,
}

impl HttpReply {
    /// The first header of this name, which is not case-sensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Checks that this is a correct answer to [`Request::upgrade`] (RFC 6455 §4.2.2).
    pub fn assert_switched(&self) {
        assert_eq!(self.status, 101, "{self:?}");
        assert_eq!(self.header("sec-websocket-accept"), Some(ACCEPT), "{self:?}");
        let upgrade = self.header("upgrade").unwrap_or_default();
        assert!(upgrade.eq_ignore_ascii_case("websocket"), "{self:?}");
        let connection = self.header("connection").unwrap_or_default();
        assert!(connection.eq_ignore_ascii_case("upgrade"), "{self:?}");
    }
}

/// Sends these bytes on a new connection and reads one answer; `None` if the server hangs up
/// without one.
pub async fn http_exchange(address: SocketAddr, request: &[u8]) -> Option<HttpReply> {
    let mut stream = connect(address).await;
    stream.write_all(request).await.expect("a new connection takes a request");
    read_reply(&mut stream, &mut Vec::new()).await
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    let stream = within("a connection", TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_nodelay(true).expect("a connected socket has this option");
    stream
}

/// Reads one answer; what follows it stays in `rest`.
pub(crate) async fn read_reply(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<HttpReply> {
    let head = read_until(stream, rest, |bytes| {
        bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    });
    let head = String::from_utf8(head.await?).expect("the head of an answer is ASCII");
    let mut reply = parse_head(&head);
    let length = reply.header("content-length").map_or(0, |length| {
        length.parse().unwrap_or_else(|_| panic!("not a content-length: {length}"))
    });
    let body = read_until(stream, rest, |bytes| (bytes.len() >= length).then_some(length)).await?;
    reply.body = String::from_utf8(body).expect("the answers' bodies are text");
    Some(reply)
}

fn parse_head(head: &str) -> HttpReply {
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        (name.to_owned(), value.trim().to_owned())
    });
    HttpReply { status, headers: headers.collect(), body: String::new() }
}

/// Takes bytes off the front of `buffer`, as many as `end` says, reading until it says so. `None`
/// if the connection ends before.
async fn read_until(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    end: impl Fn(&[u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = end(buffer) {
            return Some(buffer.drain(..end).collect());
        }
        match within("an answer in HTTP", stream.read_buf(buffer)).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
