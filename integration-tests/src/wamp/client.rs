//! [`WampClient`]: what is sent, and what comes, in order.
//!
//! Whatever a client is sent, it checks what holds for all of it: messages are of the kind that their
//! serializer asks for; an EVENT comes only for a subscription that is SUBSCRIBED, and an INVOCATION
//! only for a registration that is REGISTERED.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::login::Login;
use super::message::{WampError, WampMessage, code};
use super::serializer::Serializer;
use crate::http::Request;
use crate::raw_ws::{Closing, Frame, RawWs, opcode};
use crate::wait::within;

/// A WAMP client.
#[derive(Debug)]
pub struct WampClient {
    ws: RawWs,
    serializer: Serializer,
    /// Its session. Set by WELCOME.
    session: Option<u64>,
    /// Requests made so far: the last one's ID.
    requests: u64,
    /// EVENTs and INVOCATIONs that came before an answer and are not yet taken.
    early: VecDeque<WampMessage>,
    /// Those for which events may come.
    pub(super) subscriptions: BTreeSet<u64>,
    /// Those for which invocations may come.
    pub(super) registrations: BTreeSet<u64>,
}

impl WampClient {
    /// Opens a WebSocket at `/ws` for this serializer; panics if the server chooses another.
    pub async fn open(address: SocketAddr, serializer: Serializer) -> Self {
        let request = Request::upgrade("/ws");
        let request = request.header("Sec-WebSocket-Protocol", serializer.subprotocol());
        let ws = RawWs::open(address, &request).await;
        assert_eq!(ws.protocol(), Some(serializer.subprotocol()));
        Self::over(ws, serializer)
    }

    /// Wraps a WebSocket on which nothing was said yet.
    pub const fn over(ws: RawWs, serializer: Serializer) -> Self {
        Self {
            ws,
            serializer,
            session: None,
            requests: 0,
            early: VecDeque::new(),
            subscriptions: BTreeSet::new(),
            registrations: BTreeSet::new(),
        }
    }

    /// As [`open`](Self::open), and joins this realm as nobody.
    pub async fn connect(address: SocketAddr, serializer: Serializer, realm: &str) -> Self {
        let mut client = Self::open(address, serializer).await;
        client.join(realm, Login::Anonymous).await;
        client
    }

    /// Joins a realm; returns `WELCOME.Details`.
    pub async fn join(&mut self, realm: &str, login: Login<'_>) -> Value {
        let welcome = self.knock(realm, login).await.expecting(code::WELCOME);
        welcome.at(2).clone()
    }

    /// Asks for a realm, and proves what it is asked to; returns WELCOME or ABORT.
    pub async fn knock(&mut self, realm: &str, login: Login<'_>) -> WampMessage {
        self.send(json!([code::HELLO, realm, login.hello_details()])).await;
        let mut answer = self.recv().await;
        if answer.code() == code::CHALLENGE {
            let signature = login.signature(answer.text(1), answer.at(2));
            self.send(json!([code::AUTHENTICATE, signature, {}])).await;
            answer = self.recv().await;
        }
        assert!(matches!(answer.code(), code::WELCOME | code::ABORT), "{answer:?}");
        answer
    }

    /// The ID of its session; panics before WELCOME.
    pub fn session(&self) -> u64 {
        self.session.expect("WELCOME has come")
    }

    /// The WebSocket below.
    pub const fn ws(&mut self) -> &mut RawWs {
        &mut self.ws
    }

    /// Sends a message, right or wrong. As with [`RawWs::send`], a server that has hung up does not
    /// matter.
    pub async fn send(&mut self, message: Value) {
        let bytes = self.serializer.encode(&message);
        let is_text = self.serializer.is_text();
        self.ws.send(&if is_text { Frame::text(bytes) } else { Frame::binary(bytes) }).await;
    }

    /// Sends a request: the code, the next ID, and the rest; returns the ID.
    pub async fn request(&mut self, code: u64, rest: Value) -> u64 {
        self.requests += 1;
        let Value::Array(rest) = rest else { panic!("the rest of a message is a list: {rest}") };
        let head = [json!(code), json!(self.requests)];
        self.send(head.into_iter().chain(rest).collect()).await;
        self.requests
    }

    /// The answer to a request: what has this code and its ID, or ERROR. EVENTs and INVOCATIONs that
    /// come before it are kept, and come next; panics if anything else comes first.
    pub async fn answer(
        &mut self,
        request: (u64, u64),
        answered_by: u64,
    ) -> Result<WampMessage, WampError> {
        // Those that were kept before came first.
        let mut early = std::mem::take(&mut self.early);
        let answer = loop {
            let message = self.recv().await;
            match message.code() {
                code::EVENT | code::INVOCATION => early.push_back(message),
                _ => break message,
            }
        };
        self.early = early;
        let (code, id) = request;
        if answer.code() == code::ERROR {
            assert_eq!((answer.id(1), answer.id(2)), (code, id), "{answer:?}");
            return Err(answer.error());
        }
        assert_eq!((answer.code(), answer.id(1)), (answered_by, id), "{answer:?}");
        Ok(answer)
    }

    /// The next message; panics if the connection ends.
    pub async fn recv(&mut self) -> WampMessage {
        // Pings come for as long as the connection is there, whatever else does not.
        match within("a message", self.incoming()).await {
            Ok(message) => message,
            Err(closing) => panic!("the server closed: {closing:?}"),
        }
    }

    /// The next message, which must have this code.
    pub async fn expect(&mut self, code: u64) -> WampMessage {
        self.recv().await.expecting(code)
    }

    /// The next message, or how the connection ended. Pings are answered.
    pub async fn incoming(&mut self) -> Result<WampMessage, Closing> {
        if let Some(message) = self.early.pop_front() {
            return Ok(message);
        }
        let mut bytes = Vec::new();
        loop {
            let Some(frame) = self.ws.recv().await else {
                return Err(Closing { code: None, reason: String::new() });
            };
            match frame.opcode {
                opcode::CLOSE => return Err(self.ws.closed_by(&frame).await),
                opcode::PING => self.ws.send(&Frame::new(opcode::PONG, frame.payload)).await,
                opcode::PONG => {}
                kind => {
                    let is_right = match kind {
                        opcode::CONTINUATION => !bytes.is_empty(),
                        opcode::TEXT => self.serializer.is_text(),
                        _ => !self.serializer.is_text(),
                    };
                    assert!(is_right, "{:?} in a frame with opcode {kind}", self.serializer);
                    bytes.extend(frame.payload);
                    if frame.fin {
                        return Ok(self.understood(&bytes));
                    }
                }
            }
        }
    }

    /// The message in these bytes, and what follows from it for those to come.
    fn understood(&mut self, bytes: &[u8]) -> WampMessage {
        let Value::Array(elements) = self.serializer.decode(bytes) else {
            panic!("not a list: {:?}", String::from_utf8_lossy(bytes));
        };
        let message = WampMessage(elements);
        match message.code() {
            code::WELCOME => self.session = Some(message.id(1)),
            code::SUBSCRIBED => drop(self.subscriptions.insert(message.id(2))),
            code::REGISTERED => drop(self.registrations.insert(message.id(2))),
            code::EVENT => {
                let is_due = self.subscriptions.contains(&message.id(1));
                assert!(is_due, "an event of no subscription: {message:?}");
            }
            code::INVOCATION => {
                let is_due = self.registrations.contains(&message.id(2));
                assert!(is_due, "an invocation of no registration: {message:?}");
            }
            _ => {}
        }
        message
    }

    /// Reads until the server closes; whatever it sends before is dropped. Panics if a message was
    /// kept: it would be dropped unseen.
    pub async fn closing(&mut self) -> Closing {
        self.assert_all_taken();
        loop {
            if let Err(closing) = within("the end of the connection", self.incoming()).await {
                return closing;
            }
        }
    }

    /// Hangs up without a word.
    pub fn cut(self) {
        drop(self);
    }

    /// Panics if a message was kept before an answer and not taken since.
    pub(super) fn assert_all_taken(&self) {
        assert!(self.early.is_empty(), "before an answer, and nobody took it: {:?}", self.early);
    }
}

/// A message before an answer fails a test that does not take it, at the latest here.
impl Drop for WampClient {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_all_taken();
        }
    }
}
