//! THE table of bad input: what a client may get wrong, and how each is answered on the wire.
//!
//! One gateway serves the whole table, one connection a row. Beside it stands a client that has
//! done nothing wrong: after each row it must still be served.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::net::SocketAddr;
use std::time::Duration;

use gateway::config::units::{ByteSize, Millis};
use gateway::config::{Config, Listener, Route};
use integration_tests::{
    Frame, Length, RawWs, Request, StompClient, StompFrame, TestGateway, frame_bytes,
    http_exchange, opcode,
};

/// One kind of bad input.
struct Row {
    name: &'static str,
    input: Input,
    answer: Answer,
}

/// What is sent.
enum Input {
    /// Instead of a correct opening handshake, to this listener.
    Opening(&'static str, Vec<u8>),
    /// After the opening handshake at this path, before the login.
    BeforeLogin(&'static str, Vec<Step>),
    /// After a login with this version at this path.
    LoggedIn(&'static str, &'static str, Vec<Step>),
}

/// What is done, one after the other.
enum Step {
    /// These bytes are sent on the TCP connection.
    Send(Vec<u8>),
    /// A MESSAGE is awaited, and acknowledged this many times.
    Acknowledge(usize),
}

/// What must come back, and end the connection.
enum Answer {
    /// A refusal of the opening handshake: status, a header, a part of the sentence.
    Http(u16, Option<(&'static str, &'static str)>, &'static str),
    /// An ERROR with this `message` and these parts in its body, then this close code.
    Error(&'static str, Vec<&'static str>, u16),
    /// As `Error`, with the `receipt-id` of the frame that was wrong.
    ErrorFor(&'static str, &'static str, u16),
    /// A close frame with this code and no word before: the WebSocket itself was broken.
    Close(u16),
}

use Answer::{Close, Error, ErrorFor, Http};
use Step::{Acknowledge, Send};

#[tokio::test]
async fn each_kind_is_answered_as_specified_and_costs_no_other_client_anything() {
    let gateway = TestGateway::embedded().config(configure).start().await;
    let mut bystander = Bystander::connect(gateway.ws_addr()).await;
    // The one connection that listener `narrow` takes.
    let _held = RawWs::open(gateway.addr("narrow"), &Request::upgrade("/ws")).await;

    let rows = [
        opening_rows(),
        websocket_rows(),
        framing_rows(),
        login_rows(),
        session_rows(),
    ];
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    assert!(
        rows.len() >= 60,
        "a row has been lost: {} are left",
        rows.len()
    );
    let addresses = ["web", "hasty", "narrow"].map(|name| (name, gateway.addr(name)));
    let mut failures = Vec::new();
    for row in rows {
        let name = row.name;
        // In a task of its own, so that a row that panics does not hide the ones after it.
        if let Err(panic) = tokio::spawn(row.check(addresses)).await {
            let panic = panic.into_panic();
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            failures.push(format!("{name}: {}", text.unwrap_or("no text")));
        }
        bystander.is_served(name).await;
    }
    assert!(
        failures.is_empty(),
        "{} rows failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Small bounds, each on a route or listener of its own, so that the rest keeps its defaults.
fn configure(config: &mut Config) {
    let short = Millis(Duration::from_millis(300));
    let hasty = Listener {
        handshake_timeout: short,
        ..config.listener["web"].clone()
    };
    let narrow = Listener {
        max_connections: 1,
        ..config.listener["web"].clone()
    };
    config
        .listener
        .extend([("hasty".to_owned(), hasty), ("narrow".to_owned(), narrow)]);

    let stomp = config.route["stomp"].clone();
    let mut tight = Route {
        path: "/tight".to_owned(),
        ..stomp.clone()
    };
    tight.limits.frame_size = ByteSize(8_000);
    tight.limits.frame_size_before_login = ByteSize(4_000);
    tight.limits.header_count = 10;
    tight.limits.header_size = ByteSize(1_000);
    tight.limits.subscriptions = 2;
    tight.limits.transactions = 2;
    tight.limits.transaction_frames = 3;
    tight.limits.transaction_bytes = ByteSize(2_000);
    tight.max_message_size = Some(ByteSize(12_000));
    let mut impatient = Route {
        path: "/impatient".to_owned(),
        ..stomp.clone()
    };
    impatient.limits.login_timeout = short;
    config.route.extend([
        ("tight".to_owned(), tight),
        ("impatient".to_owned(), impatient),
    ]);
    for listener in ["hasty", "narrow"] {
        let route = Route {
            listener: listener.to_owned(),
            ..stomp.clone()
        };
        config.route.insert(listener.to_owned(), route);
    }
}

fn row(name: &'static str, input: Input, answer: Answer) -> Row {
    Row {
        name,
        input,
        answer,
    }
}

/// The opening handshake (RFC 6455 §4.2).
fn opening_rows() -> Vec<Row> {
    let opening =
        |name, request: Request, answer| row(name, Input::Opening("web", request.bytes()), answer);
    let upgrade = || Request::upgrade("/ws");
    let on = |listener, bytes: &[u8]| Input::Opening(listener, bytes.to_vec());
    let version = ("Sec-WebSocket-Version", "13");
    vec![
        opening(
            "wrong path",
            Request::upgrade("/nothing"),
            Http(404, None, "/ws"),
        ),
        opening(
            "wrong method",
            upgrade().method("POST"),
            Http(405, Some(("Allow", "GET")), "GET"),
        ),
        opening(
            "no upgrade",
            Request::plain("GET", "/ws"),
            Http(426, Some(("Upgrade", "websocket")), "Upgrade: websocket"),
        ),
        opening(
            "no Upgrade header",
            upgrade().without("Upgrade"),
            Http(426, None, "Upgrade"),
        ),
        opening(
            "no Connection header",
            upgrade().without("Connection"),
            Http(426, None, "Upgrade"),
        ),
        opening(
            "wrong version",
            upgrade()
                .without("Sec-WebSocket-Version")
                .header("Sec-WebSocket-Version", "8"),
            Http(426, Some(version), "13"),
        ),
        opening(
            "no version",
            upgrade().without("Sec-WebSocket-Version"),
            Http(426, Some(version), "13"),
        ),
        opening(
            "no key",
            upgrade().without("Sec-WebSocket-Key"),
            Http(400, None, "Sec-WebSocket-Key"),
        ),
        opening(
            "key that is not 16 bytes in base64",
            upgrade()
                .without("Sec-WebSocket-Key")
                .header("Sec-WebSocket-Key", "garbage"),
            Http(400, None, "Sec-WebSocket-Key"),
        ),
        opening(
            "only unknown sub-protocols",
            upgrade().header("Sec-WebSocket-Protocol", "mqtt, wamp.2.json"),
            Http(400, None, "v12.stomp, v11.stomp, v10.stomp, stomp"),
        ),
        opening(
            "oversized head",
            upgrade().header("X-Long", &"x".repeat(100_000)),
            Http(431, None, "16384"),
        ),
        row(
            "no HTTP",
            on("web", b"\x01\x02garbage\r\n\r\n"),
            Http(400, None, "HTTP/1.1"),
        ),
        row(
            "TLS on a plain port",
            on("web", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            Http(400, None, "TLS"),
        ),
        row(
            "slow handshake",
            on("hasty", b"GET /ws HTTP/1.1\r\nHost: loc"),
            Http(408, None, "300 ms"),
        ),
        row(
            "one connection too many",
            on("narrow", &upgrade().bytes()),
            Http(503, Some(("Retry-After", "5")), "1 connections"),
        ),
    ]
}

/// The framing of RFC 6455.
fn websocket_rows() -> Vec<Row> {
    let logged_in = |name, bytes: Vec<u8>, answer| {
        row(
            name,
            Input::LoggedIn("/ws", "1.2", vec![Send(bytes)]),
            answer,
        )
    };
    let broken =
        |name, frame: Frame| logged_in(name, frame.bytes(), Error("WebSocket error", vec![], 1002));
    let beginning = Frame::text("SEND\n").unfinished();
    let within = |frame: Frame| [beginning.bytes(), frame.bytes()].concat();
    let huge = |declared| Frame {
        length: Length::Declared(declared),
        ..Frame::binary("SEND\n")
    };
    let before_login =
        |name, path, bytes, answer| row(name, Input::BeforeLogin(path, vec![Send(bytes)]), answer);
    vec![
        broken(
            "unmasked frame",
            Frame {
                mask: None,
                ..Frame::text("SEND\n")
            },
        ),
        broken(
            "reserved bit 1",
            Frame {
                rsv: 4,
                ..Frame::text("SEND\n")
            },
        ),
        broken(
            "reserved bit 3",
            Frame {
                rsv: 1,
                ..Frame::text("SEND\n")
            },
        ),
        broken("reserved data opcode", Frame::new(0x3, "SEND\n")),
        broken("reserved control opcode", Frame::new(0xB, "")),
        broken(
            "fragmented ping",
            Frame::new(opcode::PING, "half").unfinished(),
        ),
        broken("ping of 126 bytes", Frame::new(opcode::PING, vec![0; 126])),
        broken(
            "continuation of nothing",
            Frame::new(opcode::CONTINUATION, "SEND\n"),
        ),
        logged_in(
            "new message inside a fragmented one",
            within(Frame::text("SEND\n")),
            Error("WebSocket error", vec![], 1002),
        ),
        logged_in(
            "text that is not UTF-8",
            Frame::text(b"SEND\ndestination:\xFF".to_vec()).bytes(),
            Error("Invalid UTF-8", vec!["binary"], 1007),
        ),
        logged_in(
            "text that is not UTF-8 in its second fragment",
            within(Frame::new(opcode::CONTINUATION, b"a:\xC3\x28".to_vec())),
            Error("Invalid UTF-8", vec!["binary"], 1007),
        ),
        logged_in(
            "close frame of one byte",
            Frame::new(opcode::CLOSE, [3]).bytes(),
            Close(1002),
        ),
        logged_in(
            "message too large by its declared length",
            huge(1 << 40).bytes(),
            Error("Message too large", vec!["4198400", "1099511627776"], 1009),
        ),
        row(
            "message too large by its fragments",
            Input::LoggedIn(
                "/tight",
                "1.2",
                vec![Send(
                    [
                        Frame::binary(vec![b'\n'; 11_000]).unfinished().bytes(),
                        Frame::new(opcode::CONTINUATION, vec![b'\n'; 1_001]).bytes(),
                    ]
                    .concat(),
                )],
            ),
            Error("Message too large", vec!["12000", "12001"], 1009),
        ),
        before_login(
            "message too large before the login, by its declared length",
            "/ws",
            huge(65_537).bytes(),
            Error("Frame too large", vec!["65536", "log"], 1009),
        ),
        before_login(
            "many small messages before the login",
            "/tight",
            Frame::text("\n".repeat(100)).bytes().repeat(41),
            Error("Frame too large", vec!["4000", "log"], 1009),
        ),
        before_login(
            "broken frame before the login",
            "/ws",
            Frame {
                mask: None,
                ..Frame::text("CONNECT\n")
            }
            .bytes(),
            Error("WebSocket error", vec![], 1002),
        ),
    ]
}

/// The framing of STOMP (1.2, §Augmented BNF, §Value Encoding, §Size Limits).
fn framing_rows() -> Vec<Row> {
    let at = |path, name, bytes: &[u8], answer| {
        row(
            name,
            Input::LoggedIn(path, "1.2", vec![Send(Frame::binary(bytes).bytes())]),
            answer,
        )
    };
    let to = ("destination", "/queue/bad");
    let many = (0..11)
        .map(|number| format!("h{number}:x\n"))
        .collect::<String>();
    vec![
        at(
            "/tight",
            "frame too large by its content-length",
            b"SEND\ndestination:/queue/bad\ncontent-length:8001\n\n",
            Error("Frame too large", vec!["8000"], 1009),
        ),
        at(
            "/tight",
            "frame too large without content-length",
            &[&b"SEND\ndestination:/queue/bad\n\n"[..], &[b'x'; 9_000]].concat(),
            Error("Frame too large", vec!["8000"], 1009),
        ),
        at(
            "/tight",
            "too many headers",
            format!("SEND\n{many}\n\0").as_bytes(),
            Error("Too many headers", vec!["10"], 1002),
        ),
        at(
            "/tight",
            "header too long",
            &frame_bytes("SEND", &[to, ("long", &"x".repeat(1_000))], ""),
            Error("Header too long", vec!["1000"], 1009),
        ),
        at(
            "/ws",
            "undefined escape",
            &frame_bytes("SEND", &[to, ("x-mine", "tab\\t")], ""),
            Error("Invalid header", vec!["\\t", "\\c"], 1002),
        ),
        at(
            "/ws",
            "escape cut off",
            &frame_bytes("SEND", &[to, ("x-mine", "end\\")], ""),
            Error("Invalid header", vec![], 1002),
        ),
        at(
            "/ws",
            "unknown verb",
            b"PUBLISH\n\n\0",
            Error("Bad command", vec!["PUBLISH"], 1002),
        ),
        at(
            "/ws",
            "verb in lower case",
            b"send\n\n\0",
            Error("Bad command", vec!["send"], 1002),
        ),
        at(
            "/ws",
            "verb without an end",
            &[b'A'; 5_000],
            Error("Bad command", vec!["11"], 1002),
        ),
        at(
            "/ws",
            "header without a colon",
            b"SEND\ndestination /queue/bad\n\n\0",
            Error("Invalid header", vec!["destination /queue/bad"], 1002),
        ),
        at(
            "/ws",
            "header that is not UTF-8",
            b"SEND\ndestination:/queue/\xFF\n\n\0",
            Error("Invalid header", vec!["UTF-8"], 1002),
        ),
        at(
            "/ws",
            "content-length that is no number",
            &frame_bytes("SEND", &[to, ("content-length", "ten")], "x"),
            Error("Invalid header", vec!["ten"], 1002),
        ),
        at(
            "/ws",
            "negative content-length",
            &frame_bytes("SEND", &[to, ("content-length", "-1")], "x"),
            Error("Invalid header", vec!["-1"], 1002),
        ),
        at(
            "/ws",
            "no NUL after content-length",
            &frame_bytes("SEND", &[to, ("content-length", "3")], "four"),
            Error("Invalid frame", vec!["3"], 1002),
        ),
    ]
}

/// CONNECT.
fn login_rows() -> Vec<Row> {
    let at = |path, name, steps, answer| row(name, Input::BeforeLogin(path, steps), answer);
    let connect = |headers: &[(&str, &str)]| vec![send("CONNECT", headers, "")];
    let with = |login, passcode, host, version| {
        connect(&[
            ("accept-version", version),
            ("host", host),
            ("login", login),
            ("passcode", passcode),
        ])
    };
    vec![
        at(
            "/impatient",
            "no login in time",
            vec![],
            Error("Login timeout", vec!["300 ms"], 1008),
        ),
        at(
            "/ws",
            "frame before CONNECT",
            vec![send(
                "SUBSCRIBE",
                &[("id", "1"), ("destination", "/queue/bad")],
                "",
            )],
            Error("Illegal command", vec!["SUBSCRIBE", "CONNECT"], 1008),
        ),
        at(
            "/ws",
            "wrong passcode",
            with("guest", "wrong", "/", "1.2"),
            Error("Bad CONNECT", vec![], 1008),
        ),
        at(
            "/ws",
            "unknown user",
            with("nobody", "guest", "/", "1.2"),
            Error("Bad CONNECT", vec![], 1008),
        ),
        at(
            "/ws",
            "no login",
            connect(&[("accept-version", "1.2")]),
            Error("Bad CONNECT", vec![], 1008),
        ),
        at(
            "/ws",
            "unknown virtual host",
            with("guest", "guest", "/nowhere", "1.2"),
            Error("Bad CONNECT", vec!["/nowhere"], 1008),
        ),
        at(
            "/ws",
            "no common version",
            with("guest", "guest", "/", "2.0,3.1"),
            Error("Version mismatch", vec!["1.0,1.1,1.2", "2.0,3.1"], 1008),
        ),
        at(
            "/ws",
            "bad heart-beat",
            connect(&[
                ("accept-version", "1.2"),
                ("login", "guest"),
                ("passcode", "guest"),
                ("heart-beat", "often"),
            ]),
            Error("Invalid header", vec!["heart-beat", "often"], 1008),
        ),
        row(
            "second CONNECT",
            Input::LoggedIn("/ws", "1.2", with("guest", "guest", "/", "1.2")),
            Error("Illegal command", vec!["already connected"], 1008),
        ),
    ]
}

/// Frames that are well-formed, and wrong.
fn session_rows() -> Vec<Row> {
    let at = |path, name, steps, answer| row(name, Input::LoggedIn(path, "1.2", steps), answer);
    let one = |name, verb, headers: &[(&str, &str)], answer| {
        at("/ws", name, vec![send(verb, headers, "")], answer)
    };
    let begin = |id: &str| send("BEGIN", &[("transaction", id)], "");
    let subscribe = |id| {
        send(
            "SUBSCRIBE",
            &[("id", id), ("destination", "/queue/bad-ids")],
            "",
        )
    };
    let inside = |body: &str| {
        send(
            "SEND",
            &[("destination", "/queue/bad"), ("transaction", "t")],
            body,
        )
    };
    let receipt = ("receipt", "r-1");
    vec![
        one(
            "SEND without destination",
            "SEND",
            &[receipt],
            ErrorFor("Missing header", "destination", 1008),
        ),
        one(
            "SUBSCRIBE without id",
            "SUBSCRIBE",
            &[("destination", "/queue/bad"), receipt],
            ErrorFor("Missing header", "\"id\"", 1008),
        ),
        one(
            "SUBSCRIBE without destination",
            "SUBSCRIBE",
            &[("id", "1"), receipt],
            ErrorFor("Missing header", "destination", 1008),
        ),
        one(
            "UNSUBSCRIBE without id",
            "UNSUBSCRIBE",
            &[receipt],
            ErrorFor("Missing header", "\"id\"", 1008),
        ),
        one(
            "ACK without id",
            "ACK",
            &[receipt],
            ErrorFor("Missing header", "\"id\"", 1008),
        ),
        one(
            "BEGIN without transaction",
            "BEGIN",
            &[receipt],
            ErrorFor("Missing header", "transaction", 1008),
        ),
        one(
            "unknown destination",
            "SEND",
            &[("destination", "/nowhere/at-all"), receipt],
            ErrorFor("Unknown destination", "/nowhere/at-all", 1008),
        ),
        one(
            "destination with a slash too many",
            "SEND",
            &[("destination", "/topic/a/b"), receipt],
            ErrorFor("Invalid destination", "/topic/a/b", 1008),
        ),
        one(
            "queue without a name",
            "SUBSCRIBE",
            &[("id", "1"), ("destination", "/queue/"), receipt],
            ErrorFor("Invalid destination", "/queue/", 1008),
        ),
        one(
            "unknown ack mode",
            "SUBSCRIBE",
            &[
                ("id", "1"),
                ("destination", "/queue/bad"),
                ("ack", "later"),
                receipt,
            ],
            ErrorFor("Invalid header", "later", 1008),
        ),
        one(
            "server's header on SEND",
            "SEND",
            &[
                ("destination", "/queue/bad"),
                ("message-id", "mine"),
                receipt,
            ],
            ErrorFor("Invalid header", "message-id", 1008),
        ),
        one(
            "server's frame",
            "MESSAGE",
            &[("destination", "/queue/bad")],
            Error("Bad command", vec!["MESSAGE", "server"], 1002),
        ),
        one(
            "UNSUBSCRIBE of nothing",
            "UNSUBSCRIBE",
            &[("id", "none"), receipt],
            ErrorFor("No subscription found", "none", 1008),
        ),
        one(
            "ACK of an unknown message",
            "ACK",
            &[("id", "none"), receipt],
            ErrorFor("Message not found", "none", 1008),
        ),
        one(
            "NACK of an unknown message",
            "NACK",
            &[("id", "none"), receipt],
            ErrorFor("Message not found", "none", 1008),
        ),
        one(
            "COMMIT of nothing",
            "COMMIT",
            &[("transaction", "none"), receipt],
            ErrorFor("Bad transaction", "none", 1008),
        ),
        one(
            "ABORT of nothing",
            "ABORT",
            &[("transaction", "none"), receipt],
            ErrorFor("Bad transaction", "none", 1008),
        ),
        one(
            "SEND in no transaction",
            "SEND",
            &[
                ("destination", "/queue/bad"),
                ("transaction", "none"),
                receipt,
            ],
            ErrorFor("Bad transaction", "none", 1008),
        ),
        at(
            "/ws",
            "BEGIN twice",
            vec![begin("t"), begin("t")],
            Error("Bad transaction", vec!["\"t\""], 1008),
        ),
        at(
            "/ws",
            "subscription id twice",
            vec![subscribe("same"), subscribe("same")],
            Error("Duplicated subscription identifier", vec!["same"], 1008),
        ),
        at(
            "/ws",
            "repeated ACK",
            vec![
                send(
                    "SUBSCRIBE",
                    &[
                        ("id", "1"),
                        ("destination", "/queue/bad-acks"),
                        ("ack", "client"),
                    ],
                    "",
                ),
                send("SEND", &[("destination", "/queue/bad-acks")], "x"),
                Acknowledge(2),
            ],
            Error("Message not found", vec!["ACK"], 1008),
        ),
        at(
            "/ws",
            "body on SUBSCRIBE",
            vec![send(
                "SUBSCRIBE",
                &[("id", "1"), ("destination", "/queue/bad")],
                "body",
            )],
            Error("Invalid frame", vec!["SUBSCRIBE"], 1008),
        ),
        row(
            "NACK in STOMP 1.0",
            Input::LoggedIn("/ws", "1.0", vec![send("NACK", &[("message-id", "1")], "")]),
            Error("Bad command", vec!["NACK", "1.0"], 1002),
        ),
        at(
            "/tight",
            "too many subscriptions",
            ["1", "2", "3"].map(subscribe).into(),
            Error("Subscription limit exceeded", vec!["2"], 1008),
        ),
        at(
            "/tight",
            "too many transactions",
            ["1", "2", "3"].map(begin).into(),
            Error("Transaction limit exceeded", vec!["2"], 1008),
        ),
        at(
            "/tight",
            "transaction of too many frames",
            vec![
                begin("t"),
                inside("1"),
                inside("2"),
                inside("3"),
                inside("4"),
            ],
            Error("Transaction too large", vec!["3"], 1008),
        ),
        at(
            "/tight",
            "transaction of too many bytes",
            vec![
                begin("t"),
                inside(&"x".repeat(1_000)),
                inside(&"x".repeat(1_000)),
            ],
            Error("Transaction too large", vec!["2000"], 1008),
        ),
    ]
}

/// A STOMP frame in one text message.
fn send(verb: &str, headers: &[(&str, &str)], body: &str) -> Step {
    Send(Frame::text(frame_bytes(verb, headers, body)).bytes())
}

impl Row {
    async fn check(self, addresses: [(&'static str, SocketAddr); 3]) {
        let address = |listener| {
            addresses
                .iter()
                .find(|(name, _)| *name == listener)
                .unwrap()
                .1
        };
        let (path, version, steps) = match self.input {
            Input::Opening(listener, bytes) => {
                return self.answer.check_refusal(address(listener), &bytes).await;
            }
            Input::BeforeLogin(path, steps) => (path, None, steps),
            Input::LoggedIn(path, version, steps) => (path, Some(version), steps),
        };
        let ws = RawWs::open(address("web"), &Request::upgrade(path)).await;
        let mut client = StompClient::over(ws);
        if let Some(version) = version {
            client.login(&[("accept-version", version)]).await;
        }
        for step in steps {
            match step {
                Send(bytes) => client.ws().send_bytes(&bytes).await,
                Acknowledge(times) => {
                    let message = client.expect("MESSAGE").await;
                    for _ in 0..times {
                        client
                            .send("ACK", &[("id", message.expect_header("ack"))], "")
                            .await;
                    }
                }
            }
        }
        self.answer.check_end(&mut client).await;
    }
}

impl Answer {
    async fn check_refusal(self, address: SocketAddr, request: &[u8]) {
        let Http(status, header, text) = self else {
            unreachable!("the row has no HTTP answer")
        };
        let reply = http_exchange(address, request)
            .await
            .expect("an answer in HTTP");
        assert_eq!(reply.status, status, "{reply:?}");
        if let Some((name, value)) = header {
            assert_eq!(reply.header(name), Some(value), "{reply:?}");
        }
        assert!(reply.body.contains(text), "{text:?} is not in {reply:?}");
        assert_eq!(
            reply.body.lines().count(),
            1,
            "one plain sentence: {reply:?}"
        );
    }

    async fn check_end(self, client: &mut StompClient) {
        let code = match self {
            Http(..) => unreachable!("the row has an HTTP answer"),
            Error(message, texts, code) => {
                let error = client.expect("ERROR").await;
                check_error(&error, message, &texts);
                code
            }
            ErrorFor(message, text, code) => {
                let error = client.expect("ERROR").await;
                check_error(&error, message, &[text]);
                assert_eq!(error.header("receipt-id"), Some("r-1"), "{error:?}");
                code
            }
            Close(code) => code,
        };
        assert_eq!(client.closing().await.code, Some(code));
    }
}

fn check_error(error: &StompFrame, message: &str, texts: &[&str]) {
    assert_eq!(error.header("message"), Some(message), "{}", error.text());
    for text in texts {
        assert!(
            error.text().contains(text),
            "{text:?} is not in {:?}",
            error.text()
        );
    }
    assert!(!error.body.is_empty(), "an ERROR says what was wrong");
}

/// A client that has done nothing wrong.
struct Bystander(StompClient);

impl Bystander {
    async fn connect(address: SocketAddr) -> Self {
        let mut client = StompClient::connect(address).await;
        client.subscribe("mine", "/queue/bystander", "auto").await;
        Self(client)
    }

    async fn is_served(&mut self, after: &str) {
        let body = format!("after {after}");
        self.0
            .send("SEND", &[("destination", "/queue/bystander")], &body)
            .await;
        self.0.expect_message(body).await;
    }
}
