//! The handshake against bytes on the wire, made here by hand, in virtual time.

use std::time::Duration;

use broker_adapters::{Broker, Identity, Link};
use futures_core::future::BoxFuture;
use protocols::auth::Denial;
use protocols::broker::BrokerError;
use protocols::policy::Policy;
use protocols::registry::Subprotocol;
use protocols::session::{Close, CloseCause, CloseCode, FrameKind, OutFrame, Unit};
use protocols::text::Text;
use protocols::violation::Violation;
use protocols::{Actions, Registry, Session, SessionSetup};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio_util::task::TaskTracker;

use super::*;
use crate::auth::{Login, Logins};
use crate::config::ListenerTransport;
use crate::drain::Drain;
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;
use crate::hub::{self, Hub};
use crate::realm::Realms;
use crate::route::Tuning;
use protocols::wamp::registry::NodeId;

const PEER: ([u8; 4], u16) = ([192, 0, 2, 1], 4711);

/// A sub-protocol that returns what it receives. It tells about itself when asked `who`, and
/// panics when asked to.
struct Echo;

impl Subprotocol for Echo {
    fn id(&self) -> &'static str {
        "echo"
    }

    fn names(&self) -> &'static [&'static str] {
        &["echo.2", "echo.1"]
    }

    fn open(&self, setup: SessionSetup) -> Box<dyn Session> {
        Box::new(EchoSession(setup))
    }
}

struct EchoSession(SessionSetup);

impl Session for EchoSession {
    fn handle_input(&mut self, _: std::time::Instant, unit: Unit, actions: &mut Actions) {
        assert!(unit.bytes != "panic", "as asked");
        let bytes = if unit.bytes == "who" {
            format!("{:?} {}", self.0.name, self.0.session_id).into()
        } else {
            unit.bytes
        };
        actions.frames.push(OutFrame::new(unit.kind, bytes));
    }

    fn handle_violation(
        &mut self,
        _: std::time::Instant,
        violation: Violation,
        actions: &mut Actions,
    ) {
        let text = format!("ERROR {violation}").into();
        actions.frames.push(OutFrame::new(FrameKind::Text, text));
        let code = violation.report().code;
        actions.close = Some(close(code, CloseCause::Violation(violation)));
    }

    fn start_drain(&mut self, _: std::time::Instant, actions: &mut Actions) {
        actions.close = Some(close(CloseCode::GoingAway, CloseCause::Drain));
    }
}

fn close(code: CloseCode, cause: CloseCause) -> Close {
    Close { code, reason: Text::EMPTY, cause }
}

/// A broker that nobody logs in to.
#[derive(Debug)]
struct NoBroker;

impl Broker for NoBroker {
    fn open(&self, _: Text, _: Identity) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
        unreachable!("echo asks for no login")
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

pub(crate) fn route(path: &str, protocols: &[&str]) -> Arc<Route> {
    let registry = Registry::standard().with(Arc::new(Echo));
    Arc::new(Route {
        name: path.into(),
        path: path.into(),
        protocols: protocols.iter().map(|id| registry.find(id).unwrap().clone()).collect(),
        fallback: (path == "/any").then(|| registry.find("stomp").unwrap().clone()),
        policy: Arc::new(Policy::default()),
        max_message_size: 1 << 20,
        logins: Logins {
            realms: [].into(),
            plain: Login {
                broker: Arc::new(NoBroker),
                vhost: Text::from("/"),
                default: None,
                loopback_users: Arc::new([]),
                service: None,
            },
        },
        hub: Hub::new(Arc::new(NoBroker), hub::Settings::FOR_TESTS),
        realms: Arc::new(Realms::new(NodeId(1), &[0; 32], [])),
        pending: Pending { bytes: 1 << 20, overflow: Overflow::Disconnect },
    })
}

/// A listener with the paths `/ws` (STOMP, echo) and `/echo` (echo).
pub(crate) fn state(max_connections: usize) -> Arc<ListenerState> {
    let routes = vec![route("/ws", &["stomp", "echo"]), route("/echo", &["echo"])];
    state_of(routes, max_connections)
}

pub(crate) fn state_of(routes: Vec<Arc<Route>>, max_connections: usize) -> Arc<ListenerState> {
    Arc::new(ListenerState {
        name: "web".into(),
        routes,
        tuning: Tuning {
            handshake_timeout: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            output_high_water: 256 << 10,
        },
        transport: ListenerTransport::Websocket,
        tcp_keepalive: Duration::ZERO,
        rawsocket_pings: false,
        max_connections,
        drain: Drain::new(Duration::ZERO),
        tracker: TaskTracker::new(),
    })
}

/// The headers of RFC 6455 §1.2.
const HEADERS: [&str; 5] = [
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A request with [`HEADERS`], those left out whose name is among `changes`, and these added.
pub(crate) fn request(line: &str, changes: &[&str]) -> String {
    let name = |header: &str| header.split(':').next().unwrap().to_ascii_lowercase();
    let kept =
        HEADERS.iter().filter(|header| !changes.iter().any(|change| name(change) == name(header)));
    // A name without a value leaves the header out.
    let added = changes.iter().filter(|change| change.contains(':'));
    let lines: Vec<_> = [line].iter().chain(kept).chain(added).copied().collect();
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        Self { status, head: head.into(), body: body.into() }
    }

    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Checks what every refusal has in common.
    pub(crate) fn assert_refusal(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), ["text/plain; charset=utf-8"]);
        assert_eq!(self.header("content-length"), [self.body.len().to_string()]);
        let connection = self.header("connection").join(", ");
        assert!(connection.split(", ").any(|token| token == "close"), "{self:?}");
        assert!(self.body.ends_with(".\n"), "a sentence: {self:?}");
        self
    }
}

fn connect(state: &Arc<ListenerState>) -> DuplexStream {
    let (server, client) = duplex(64 << 10);
    let state = state.clone();
    tokio::spawn(async move { serve(server, PEER.into(), &state).await });
    client
}

/// The answer to something that is refused.
async fn refusal(input: impl AsRef<[u8]>) -> Answer {
    let mut client = connect(&state(1));
    client.write_all(input.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    Answer::parse(&answer)
}

/// The head of an answer; the connection stays open.
pub(crate) async fn head<S: AsyncRead + Unpin>(client: &mut S) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    Answer::parse(&head)
}

/// A text frame, masked with a key of zeros.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload.bytes());
    frame
}

/// The payload of a short text frame.
async fn read_text(client: &mut DuplexStream) -> String {
    assert_eq!(client.read_u8().await.unwrap(), 0x81);
    let mut payload = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut payload).await.unwrap();
    String::from_utf8(payload).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_websocket_opens_and_what_was_sent_right_behind_the_request_is_not_lost() {
    let mut client = connect(&state(1));
    let request = request("GET /echo HTTP/1.1", &["Sec-WebSocket-Protocol: echo.1"]);
    client.write_all(&[request.as_bytes(), &text("first")].concat()).await.unwrap();
    let answer = head(&mut client).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), ["websocket"]);
    assert_eq!(answer.header("connection"), ["Upgrade"]);
    assert_eq!(answer.header("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert_eq!(answer.header("sec-websocket-protocol"), ["echo.1"]);
    assert_eq!(answer.header("sec-websocket-extensions"), [""; 0]);
    assert_eq!(answer.header("content-length"), [""; 0]);
    assert_eq!(read_text(&mut client).await, "first");
    client.write_all(&text("who")).await.unwrap();
    let who = read_text(&mut client).await;
    let id = who.strip_prefix("Some(\"echo.1\") session-").unwrap();
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_understood_in_every_form_it_may_have() {
    for changes in [
        &["host: h", "uPGRADE: WebSocket", "connection:upgrade"][..],
        &["Upgrade: h2c, websocket", "Connection: keep-alive, Upgrade"],
        &["Upgrade: h2c", "Upgrade: websocket", "Connection: keep-alive", "Connection: Upgrade"],
        &["Sec-WebSocket-Extensions: permessage-deflate", "Origin: https://example.com"],
        &["Sec-WebSocket-Version:13 "],
    ] {
        for target in ["/echo", "/echo?token=x", "http://server.example.com/echo"] {
            let mut client = connect(&state(1));
            let request = request(&format!("GET {target} HTTP/1.1"), changes);
            client.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(head(&mut client).await.status, 101, "{request}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_sub_protocol_is_chosen_from_all_header_lines_and_echoed() {
    for (changes, chosen) in [
        (&[][..], &[][..]),
        (&["Sec-WebSocket-Protocol:"], &[]),
        (&["Sec-WebSocket-Protocol: v10.stomp, v12.stomp"], &["v12.stomp"]),
        (
            &["Sec-WebSocket-Protocol: v10.stomp", "Sec-WebSocket-Protocol: v11.stomp"],
            &["v11.stomp"],
        ),
        (&["Sec-WebSocket-Protocol: mqtt,, stomp"], &["stomp"]),
        (&["Sec-WebSocket-Protocol: echo.1", "Sec-WebSocket-Protocol: v12.stomp"], &["echo.1"]),
    ] {
        let mut client = connect(&state(1));
        client.write_all(request("GET /ws HTTP/1.1", changes).as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert_eq!(answer.status, 101, "{changes:?}");
        assert_eq!(answer.header("sec-websocket-protocol"), chosen, "{changes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_may_take_unknown_sub_protocols_for_another_without_an_answer() {
    let state = state_of(vec![route("/any", &["echo", "stomp"])], 2);
    for (offered, chosen) in [("mqtt", &[][..]), ("mqtt, v11.stomp", &["v11.stomp"])] {
        let mut client = connect(&state);
        let changes = [format!("Sec-WebSocket-Protocol: {offered}")];
        let changes = changes.each_ref().map(String::as_str);
        client.write_all(request("GET /any HTTP/1.1", &changes).as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert_eq!(
            (answer.status, answer.header("sec-websocket-protocol")),
            (101, chosen.to_vec())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_refusal_says_what_would_be_right() {
    let get = "GET /ws HTTP/1.1";
    for (line, changes, status, named) in [
        ("GET / HTTP/1.1", &[][..], 404, "/ws, /echo"),
        ("GET /ws/ HTTP/1.1", &[], 404, "/ws, /echo"),
        ("GET /WS HTTP/1.1", &[], 404, "/ws, /echo"),
        ("GET / HTTP/1.0", &["Host"], 404, "/ws, /echo"),
        (
            "CONNECT host:80 HTTP/1.1",
            &[],
            404,
            "names no path; a WebSocket is served at /ws, /echo",
        ),
        ("PUT /ws HTTP/1.1", &[], 405, "GET"),
        ("OPTIONS /ws HTTP/1.1", &[], 405, "GET"),
        ("GET /ws HTTP/1.0", &[], 505, "HTTP/1.1"),
        (get, &["Host"], 400, "Host"),
        (get, &["Host: a", "Host: b"], 400, "Host"),
        (get, &["Content-Length: 3"], 400, "body"),
        (get, &["Transfer-Encoding: chunked"], 400, "body"),
        (get, &["Upgrade"], 426, "\"Upgrade: websocket\""),
        (get, &["Upgrade: h2c"], 426, "\"Upgrade: websocket\""),
        (get, &["Connection"], 426, "\"Connection: Upgrade\""),
        (get, &["Connection: keep-alive"], 426, "\"Connection: Upgrade\""),
        (get, &["Sec-WebSocket-Version"], 426, "\"Sec-WebSocket-Version: 13\""),
        (get, &["Sec-WebSocket-Version: 8"], 426, "\"Sec-WebSocket-Version: 13\""),
        (get, &["Sec-WebSocket-Key"], 400, "Sec-WebSocket-Key"),
        (get, &["Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4P"], 400, "16 bytes"),
        (get, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="], 400, "base64"),
        (get, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="; 2], 400, "one header"),
        (
            get,
            &["Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: soap"],
            400,
            "(mqtt, soap) are not spoken here; /ws speaks v12.stomp, v11.stomp, v10.stomp, stomp, \
             echo.2, echo.1.",
        ),
        (get, &["Sec-WebSocket-Protocol: v12.stömp"], 400, "ASCII"),
    ] {
        let answer = refusal(request(line, changes)).await;
        answer.assert_refusal(status);
        assert!(answer.body.contains(named), "{line} {changes:?}: {answer:?}");
        match status {
            405 => assert_eq!(answer.header("allow"), ["GET"]),
            426 => {
                assert_eq!(answer.header("upgrade"), ["websocket"]);
                assert_eq!(answer.header("connection"), ["Upgrade, close"]);
                assert_eq!(answer.header("sec-websocket-version"), ["13"]);
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_request_is_answered_as_well() {
    let long = format!("Cookie: {}", "x".repeat(HEAD_SIZE));
    let many = vec!["X: y"; 100];
    for (input, status, named) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 505, "HTTP/2"),
        (b"CONNECT\naccept-version:1.2\n\n\0".to_vec(), 400, "not an HTTP/1.1 request"),
        (b"GET /ws HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), 400, "not an HTTP/1.1 request"),
        (request("GET /ws HTTP/1.1", &[&long]).into(), 431, "16384 bytes"),
        (request("GET /ws HTTP/1.1", &many).into(), 431, "100 headers"),
    ] {
        let answer = refusal(&input).await;
        answer.assert_refusal(status);
        assert!(answer.body.contains(named), "{:?}: {answer:?}", input.escape_ascii().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_end_is_answered_if_the_client_still_listens() {
    for (input, answered) in [("GET /ws HTTP/1.1\r\nHo", true), ("", false)] {
        let mut client = connect(&state(1));
        client.write_all(input.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.is_empty(), !answered);
        if answered {
            Answer::parse(&answer).assert_refusal(400);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handshake_is_ended_in_time_with_408() {
    for input in ["", "G", "GET /ws HTTP/1.1\r\nHost: h\r\n"] {
        let start = Instant::now();
        let answer = refusal(input).await;
        answer.assert_refusal(408);
        assert!(answer.body.contains("10000 ms"), "{answer:?}");
        assert_eq!(start.elapsed(), Duration::from_secs(10), "after {input:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_win_time() {
    let mut client = connect(&state(1));
    let drip = async {
        for byte in request("GET /ws HTTP/1.1", &[]).bytes() {
            if client.write_u8(byte).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // The server may take 10 s for the handshake and 5 s for the goodbye.
    assert!(timeout(Duration::from_secs(16), drip).await.is_ok());
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    Answer::parse(&answer).assert_refusal(408);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_holds_nothing_for_long() {
    let (server, mut client) = duplex(64);
    let state = state(1);
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let start = Instant::now();
    serve(server, PEER.into(), &state).await;
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_handshakes_that_are_not_done() {
    let state = state(1);
    let mut client = connect(&state);
    client.write_all(b"GET /ws HTTP/1.1\r\n").await.unwrap();
    tokio::task::yield_now().await;
    state.drain.begin();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let answer = Answer::parse(&answer);
    answer.assert_refusal(503);
    assert_eq!(answer.header("retry-after"), [RETRY_SECONDS]);
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_the_route_bounds_the_input() {
    let mut client = connect(&state(1));
    client.write_all(request("GET /echo HTTP/1.1", &[]).as_bytes()).await.unwrap();
    assert_eq!(head(&mut client).await.status, 101);
    client.write_all(b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0").await.unwrap();
    let error = read_text(&mut client).await;
    assert!(error.starts_with("ERROR a client may send 65536 bytes before"), "{error}");
    assert!(error.ends_with("65537"), "{error}");
}
