//! A STOMP client over [`RawWs`], written from the specification (STOMP 1.2, §Augmented BNF).

use std::collections::VecDeque;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::Request;
use crate::raw_ws::{Closing, Frame, RawWs, opcode};
use crate::wait::within;

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StompFrame {
    /// The command.
    pub verb: String,
    /// The headers as they came, not unescaped.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl StompFrame {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The header of this name, which must be there.
    pub fn expect_header(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no header {name} in {self:?}"))
    }

    /// The body, which must be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not text: {self:?}"))
    }

    /// The first frame in `buffer`, and how many bytes it takes there; `None` while it is not
    /// whole. `buffer` starts with a command.
    fn parse(buffer: &[u8]) -> Option<(Self, usize)> {
        let head_end = buffer.windows(2).position(|window| window == b"\n\n")?;
        let head = std::str::from_utf8(&buffer[..head_end]).expect("a head is UTF-8");
        let mut lines = head.split('\n');
        let verb = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| {
            let (name, value) =
                line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_owned(), value.to_owned())
        });
        let mut frame = Self { verb, headers: headers.collect(), body: Vec::new() };

        let start = head_end + 2;
        let end = match frame.header("content-length") {
            Some(length) => start + length.parse::<usize>().expect("content-length is a number"),
            None => start + buffer[start..].iter().position(|byte| *byte == 0)?,
        };
        let nul = buffer.get(end)?;
        assert_eq!(*nul, 0, "a NUL must follow the body: {frame:?}");
        frame.body = buffer[start..end].to_vec();
        Some((frame, end + 1))
    }
}

/// Something from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A frame, and whether it came in a binary message.
    Frame(StompFrame, bool),
    /// An end of line between frames.
    HeartBeat,
    /// The end of the connection.
    Closed(Closing),
}

/// A frame as on the wire. Headers are written as they are: escaping them is the test's business.
pub fn frame_bytes(verb: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = verb.as_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b":");
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes.extend_from_slice(b"\n\n");
    bytes.extend_from_slice(body.as_ref());
    bytes.push(0);
    bytes
}

/// A STOMP client.
#[derive(Debug)]
pub struct StompClient {
    wire: Wire,
    /// Received and not yet taken.
    buffer: Vec<u8>,
    /// Messages that came before a receipt and are not yet taken, and whether each was binary. They
    /// come before what is in `buffer`.
    early: VecDeque<(StompFrame, bool)>,
    /// Whether the last message was binary.
    binary: bool,
    /// Receipts asked for so far; names the next one.
    receipts: usize,
}

/// What carries the frames.
#[derive(Debug)]
enum Wire {
    Ws(RawWs),
    Tcp(TcpStream),
}

impl StompClient {
    /// Wraps a WebSocket on which nothing was said yet.
    pub const fn over(ws: RawWs) -> Self {
        Self::on(Wire::Ws(ws))
    }

    /// A client over plain TCP that has said nothing yet.
    pub async fn over_tcp(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self::on(Wire::Tcp(stream.expect("the listener takes connections")))
    }

    const fn on(wire: Wire) -> Self {
        Self { wire, buffer: Vec::new(), early: VecDeque::new(), binary: false, receipts: 0 }
    }

    /// Opens a WebSocket at `/ws` and logs in as `guest` with STOMP 1.2.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_version(address, "1.2").await
    }

    /// As [`connect`](Self::connect), with another version.
    pub async fn connect_version(address: SocketAddr, version: &str) -> Self {
        let mut client = Self::over(RawWs::open(address, &Request::upgrade("/ws")).await);
        let connected = client.login(&[("accept-version", version)]).await;
        assert_eq!(connected.header("version"), Some(version), "{connected:?}");
        client
    }

    /// Sends CONNECT as `guest` with these headers besides; returns the CONNECTED frame.
    pub async fn login(&mut self, headers: &[(&str, &str)]) -> StompFrame {
        let login = [("host", "/"), ("login", "guest"), ("passcode", "guest")];
        self.send("CONNECT", &[&login[..], headers].concat(), "").await;
        self.expect("CONNECTED").await
    }

    /// The WebSocket below; panics if it is TCP.
    pub const fn ws(&mut self) -> &mut RawWs {
        match &mut self.wire {
            Wire::Ws(ws) => ws,
            Wire::Tcp(_) => panic!("there is no WebSocket"),
        }
    }

    /// Sends bytes as they are, on TCP.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Ws(ws) => ws.send_bytes(bytes).await,
            Wire::Tcp(stream) => {
                within("room to send", stream.write_all(bytes)).await.expect("the server reads");
            }
        }
    }

    /// Sends bytes as one text message, or binary one if they ask for that or are not UTF-8; over
    /// TCP as they are. As with [`RawWs::send`], a server that has hung up does not matter.
    pub async fn send_unit(&mut self, bytes: Vec<u8>, binary: bool) {
        match &mut self.wire {
            Wire::Ws(ws) => {
                let is_text = !binary && std::str::from_utf8(&bytes).is_ok();
                ws.send(&if is_text { Frame::text(bytes) } else { Frame::binary(bytes) }).await;
            }
            Wire::Tcp(stream) => {
                let _ = within("room to send", stream.write_all(&bytes)).await;
            }
        }
    }

    /// Sends a frame as one text message if it is UTF-8, else as one binary message.
    pub async fn send(&mut self, verb: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let bytes = frame_bytes(verb, headers, body);
        let is_text = std::str::from_utf8(&bytes).is_ok();
        match &mut self.wire {
            Wire::Ws(ws) => {
                ws.send(&if is_text { Frame::text(bytes) } else { Frame::binary(bytes) }).await;
            }
            Wire::Tcp(_) => self.send_bytes(&bytes).await,
        }
    }

    /// As [`send`](Self::send), and waits for the receipt; panics if anything else comes first. But
    /// what a SEND or a COMMIT brings this client may come before its receipt, for nobody promises an
    /// order of the two: such messages are kept, and come next.
    pub async fn send_confirmed(
        &mut self,
        verb: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) {
        let receipt = self.request(verb, headers, body).await;
        let publishes = matches!(verb, "SEND" | "COMMIT");
        let mut early = VecDeque::new();
        let answer = loop {
            match self.frame().await {
                (frame, is_binary) if publishes && frame.verb == "MESSAGE" => {
                    early.push_back((frame, is_binary));
                }
                (frame, _) => break frame,
            }
        };
        // Those that were kept before came first: they are in it.
        self.early = early;
        assert_receipt(&answer, &receipt);
    }

    /// As [`send_confirmed`](Self::send_confirmed), and panics if a message comes first, or was kept.
    /// So the receipt of what brings this client nothing proves that nothing has come before it.
    pub async fn send_confirmed_alone(
        &mut self,
        verb: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) {
        let receipt = self.request(verb, headers, body).await;
        assert_receipt(&self.recv().await, &receipt);
    }

    /// As [`send`](Self::send), asking for a receipt; returns its id without waiting for it.
    pub async fn request(
        &mut self,
        verb: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> String {
        self.receipts += 1;
        let receipt = format!("receipt-{}", self.receipts);
        self.send(verb, &[headers, &[("receipt", &receipt)]].concat(), body).await;
        receipt
    }

    /// Subscribes, and waits until the subscription stands.
    pub async fn subscribe(&mut self, id: &str, destination: &str, ack: &str) {
        let headers = [("id", id), ("destination", destination), ("ack", ack)];
        self.send_confirmed("SUBSCRIBE", &headers, "").await;
    }

    /// The next frame, heart-beats skipped; panics if the connection ends.
    pub async fn recv(&mut self) -> StompFrame {
        self.frame().await.0
    }

    /// As [`recv`](Self::recv), with whether it came in a binary message.
    async fn frame(&mut self) -> (StompFrame, bool) {
        // Heart-beats come for as long as the connection is there, whatever else does not.
        let frame = async {
            loop {
                match self.incoming().await {
                    Incoming::Frame(frame, is_binary) => return (frame, is_binary),
                    Incoming::HeartBeat => {}
                    Incoming::Closed(closing) => panic!("the server closed: {closing:?}"),
                }
            }
        };
        within("a frame", frame).await
    }

    /// The next frame, which must have this verb.
    pub async fn expect(&mut self, verb: &str) -> StompFrame {
        let frame = self.recv().await;
        assert_eq!(frame.verb, verb, "{frame:?}, body {:?}", String::from_utf8_lossy(&frame.body));
        frame
    }

    /// The next message, which must have this body; returns it.
    pub async fn expect_message(&mut self, body: impl AsRef<[u8]>) -> StompFrame {
        let frame = self.expect("MESSAGE").await;
        let (got, expected) = (String::from_utf8_lossy(&frame.body), body.as_ref());
        assert!(frame.body == expected, "{got:?} is not {:?}", String::from_utf8_lossy(expected));
        frame
    }

    /// Whatever comes next. Pings are answered.
    pub async fn incoming(&mut self) -> Incoming {
        if let Some((frame, is_binary)) = self.early.pop_front() {
            return Incoming::Frame(frame, is_binary);
        }
        loop {
            if let Some(incoming) = self.take_buffered() {
                return incoming;
            }
            let ended = Incoming::Closed(Closing { code: None, reason: String::new() });
            let ws = match &mut self.wire {
                Wire::Ws(ws) => ws,
                Wire::Tcp(stream) => {
                    match within("more from the server", stream.read_buf(&mut self.buffer)).await {
                        Ok(0) | Err(_) => return ended,
                        Ok(_) => continue,
                    }
                }
            };
            let Some(frame) = ws.recv().await else {
                return ended;
            };
            match frame.opcode {
                opcode::CLOSE => return Incoming::Closed(ws.closed_by(&frame).await),
                opcode::PING => ws.send(&Frame::new(opcode::PONG, frame.payload)).await,
                opcode::PONG => {}
                kind => {
                    if kind != opcode::CONTINUATION {
                        self.binary = kind == opcode::BINARY;
                    }
                    self.buffer.extend_from_slice(&frame.payload);
                }
            }
        }
    }

    fn take_buffered(&mut self) -> Option<Incoming> {
        if self.buffer.first() == Some(&b'\n') {
            self.buffer.remove(0);
            return Some(Incoming::HeartBeat);
        }
        let (frame, end) = StompFrame::parse(&self.buffer)?;
        self.buffer.drain(..end);
        // An end of line right behind a frame belongs to it, not to the heart-beats.
        if self.buffer.first() == Some(&b'\n') {
            self.buffer.remove(0);
        }
        Some(Incoming::Frame(frame, self.binary))
    }

    /// Reads until the server closes; whatever it sends before is dropped. Panics if a message was
    /// kept: it would be dropped unseen.
    pub async fn closing(&mut self) -> Closing {
        self.assert_all_taken();
        loop {
            if let Incoming::Closed(closing) = self.incoming().await {
                return closing;
            }
        }
    }

    /// Hangs up without a word.
    pub fn cut(self) {
        drop(self);
    }

    fn assert_all_taken(&self) {
        assert!(self.early.is_empty(), "before a receipt, and nobody took it: {:?}", self.early);
    }
}

/// A message before a receipt fails a test that does not take it, at the latest here.
impl Drop for StompClient {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_all_taken();
        }
    }
}

fn assert_receipt(frame: &StompFrame, receipt: &str) {
    let got = (frame.verb.as_str(), frame.header("receipt-id"));
    let body = String::from_utf8_lossy(&frame.body);
    assert_eq!(got, ("RECEIPT", Some(receipt)), "{frame:?}, body {body:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A client, and a server that has said all this before it is asked: messages, by their bodies,
    /// and other frames, by their verbs. Each RECEIPT is that of the client's first frame.
    async fn told(frames: &[&str]) -> (StompClient, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = StompClient::over_tcp(listener.local_addr().unwrap()).await;
        let (mut server, _) = listener.accept().await.unwrap();
        for frame in frames {
            let bytes = match frame.starts_with(char::is_uppercase) {
                true => frame_bytes(frame, &[("receipt-id", "receipt-1")], ""),
                false => frame_bytes("MESSAGE", &[], frame),
            };
            server.write_all(&bytes).await.unwrap();
        }
        (client, server)
    }

    #[tokio::test]
    async fn messages_before_the_receipt_of_a_send_come_next_and_in_order() {
        let (mut client, server) = told(&["a", "b", "c", "RECEIPT", "d"]).await;
        client.send_confirmed("SEND", &[], "").await;
        client.expect_message("a").await;
        assert!(matches!(client.incoming().await, Incoming::Frame(frame, _) if frame.body == b"b"));
        client.expect_message("c").await;
        client.expect_message("d").await;
        drop(server);
        client.closing().await;
    }

    #[tokio::test]
    #[should_panic(expected = "\"ERROR\"")]
    async fn an_error_before_the_receipt_fails() {
        let (mut client, _server) = told(&["a", "ERROR", "RECEIPT"]).await;
        client.send_confirmed("SEND", &[], "").await;
    }

    #[tokio::test]
    #[should_panic(expected = "\"MESSAGE\"")]
    async fn a_message_before_the_receipt_of_another_frame_fails() {
        let (mut client, _server) = told(&["a", "RECEIPT"]).await;
        client.send_confirmed("UNSUBSCRIBE", &[], "").await;
    }

    #[tokio::test]
    #[should_panic(expected = "\"MESSAGE\"")]
    async fn a_message_before_a_receipt_that_comes_alone_fails() {
        let (mut client, _server) = told(&["a", "RECEIPT"]).await;
        client.send_confirmed_alone("SEND", &[], "").await;
    }

    #[tokio::test]
    #[should_panic(expected = "\"MESSAGE\"")]
    async fn a_message_that_was_kept_fails_where_the_receipt_comes_alone() {
        let (mut client, _server) = told(&["a", "RECEIPT"]).await;
        client.send_confirmed("SEND", &[], "").await;
        client.send_confirmed_alone("SEND", &[], "").await;
    }

    #[tokio::test]
    #[should_panic(expected = "nobody took it")]
    async fn a_message_that_was_kept_is_missed_at_the_end_of_the_connection() {
        let (mut client, server) = told(&["a", "RECEIPT"]).await;
        client.send_confirmed("SEND", &[], "").await;
        drop(server);
        client.closing().await;
    }

    #[tokio::test]
    #[should_panic(expected = "nobody took it")]
    async fn a_message_that_was_kept_is_missed_at_the_end_of_the_test() {
        let (mut client, _server) = told(&["a", "RECEIPT"]).await;
        client.send_confirmed("SEND", &[], "").await;
    }

    #[test]
    fn frames_are_read_back_as_they_are_written() {
        let bytes = frame_bytes("MESSAGE", &[("content-length", "3"), ("a", "b:c")], "x\0y");
        let (frame, end) = StompFrame::parse(&bytes).unwrap();
        assert_eq!(end, bytes.len());
        assert_eq!((frame.verb.as_str(), frame.header("a")), ("MESSAGE", Some("b:c")));
        assert_eq!(frame.body, b"x\0y");
        for cut in 0..bytes.len() {
            assert_eq!(StompFrame::parse(&bytes[..cut]), None, "{cut}");
        }
    }
}
