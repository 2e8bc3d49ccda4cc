//! THE table of bad input: what a client may get wrong, and how each is answered on the wire.
//!
//! One gateway serves the whole table, one connection a row. Beside it stands a client that has
//! done nothing wrong: after each row it must still be served.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::Duration;

use gateway::config::ListenerTransport::StompTcp;
use gateway::config::units::{ByteSize, Millis};
use gateway::config::{Config, Listener, Route, Secret, ServiceLogin, Verify};
use integration_tests::{
    Frame, Length, RawWs, Request, StompClient, TestGateway, http_exchange, opcode,
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
    /// After a login at `/ws`, one frame with this head. It asks for a receipt: the ERROR must
    /// name it.
    WithReceipt(&'static str),
    /// The same over plain TCP.
    WithReceiptOverTcp(&'static str),
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
    Error(&'static str, &'static [&'static str], u16),
    /// A close frame with this code and no word before: the peer had said goodbye, badly.
    Close(u16),
}

use Answer::{Close, Error, Http};
use Step::{Acknowledge, Send};

/// The receipt that [`Input::WithReceipt`] asks for.
const RECEIPT: &str = "for-this";

#[tokio::test]
async fn each_kind_is_answered_as_specified_and_costs_no_other_client_anything() {
    let gateway = TestGateway::embedded().config(configure).start().await;
    let mut bystander = Bystander::connect(gateway.ws_addr()).await;
    // The one connection that listener `narrow` takes.
    let _held = RawWs::open(gateway.addr("narrow"), &Request::upgrade("/ws")).await;

    let rows = [opening_rows(), websocket_rows(), framing_rows(), login_rows(), session_rows()];
    let rows: Vec<Row> = rows.into_iter().flatten().chain(tcp_rows()).collect();
    assert!(rows.len() >= 110, "a row has been lost: {} are left", rows.len());
    let addresses = ["web", "hasty", "narrow", "plain"].map(|name| (name, gateway.addr(name)));
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
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
}

/// Small bounds, each on a route or listener of its own, so that the rest keeps its defaults.
fn configure(config: &mut Config) {
    let short = Millis(Duration::from_millis(300));
    let hasty = Listener { handshake_timeout: short, ..config.listener["web"].clone() };
    let narrow = Listener { max_connections: 1, ..config.listener["web"].clone() };
    config.listener.extend([("hasty".to_owned(), hasty), ("narrow".to_owned(), narrow)]);

    let plain = Listener { transport: StompTcp, ..config.listener["web"].clone() };
    config.listener.insert("plain".to_owned(), plain);

    let stomp = config.route["stomp"].clone();
    let mut tight = Route { path: "/tight".to_owned(), ..stomp.clone() };
    tight.limits.frame_size = ByteSize(8_000);
    tight.limits.frame_size_before_login = ByteSize(4_000);
    tight.limits.header_count = 10;
    tight.limits.header_size = ByteSize(1_000);
    tight.limits.subscriptions = 2;
    tight.limits.transactions = 2;
    tight.limits.transaction_frames = 3;
    tight.limits.transaction_bytes = ByteSize(2_000);
    tight.max_message_size = Some(ByteSize(12_000));
    let mut impatient = Route { path: "/impatient".to_owned(), ..stomp.clone() };
    impatient.limits.login_timeout = short;
    let strict = Route {
        path: "/strict".to_owned(),
        default_login: None,
        default_passcode: None,
        ..stomp.clone()
    };
    let guest = ServiceLogin {
        login: "guest".to_owned(),
        passcode: Secret::new("guest"),
        verify: Verify::Broker,
    };
    let service =
        Route { path: "/service".to_owned(), service_login: Some(guest), ..strict.clone() };
    let routes =
        [("tight", tight), ("impatient", impatient), ("strict", strict), ("service", service)];
    config.route.extend(routes.map(|(name, route)| (name.to_owned(), route)));
    for listener in ["hasty", "narrow", "plain"] {
        let route = Route { listener: listener.to_owned(), ..stomp.clone() };
        config.route.insert(listener.to_owned(), route);
    }
    let plain = config.route.get_mut("plain").unwrap();
    plain.protocols = vec!["stomp".to_owned()];
}

/// The opening handshake (RFC 6455 §4.2).
#[rustfmt::skip]
fn opening_rows() -> Vec<Row> {
    let upgrade = || Request::upgrade("/ws");
    let versioned = |version| upgrade().without("Sec-WebSocket-Version").header("Sec-WebSocket-Version", version);
    let keyed = |key| upgrade().without("Sec-WebSocket-Key").header("Sec-WebSocket-Key", key);
    let speaking = |protocols| upgrade().header("Sec-WebSocket-Protocol", protocols);
    let version = Some(("Sec-WebSocket-Version", "13"));
    let spoken = "v12.stomp, v11.stomp, v10.stomp, stomp";
    let requests = [
        ("wrong path", Request::upgrade("/nothing"), Http(404, None, "/ws")),
        ("wrong method", upgrade().method("POST"), Http(405, Some(("Allow", "GET")), "GET")),
        ("no upgrade", Request::plain("GET", "/ws"), Http(426, Some(("Upgrade", "websocket")), "Upgrade: websocket")),
        ("no Upgrade header", upgrade().without("Upgrade"), Http(426, None, "Upgrade")),
        ("no Connection header", upgrade().without("Connection"), Http(426, None, "Upgrade")),
        ("wrong version", versioned("8"), Http(426, version, "13")),
        ("no version", upgrade().without("Sec-WebSocket-Version"), Http(426, version, "13")),
        ("no key", upgrade().without("Sec-WebSocket-Key"), Http(400, None, "Sec-WebSocket-Key")),
        ("key that is not 16 bytes in base64", keyed("garbage"), Http(400, None, "Sec-WebSocket-Key")),
        ("only unknown sub-protocols", speaking("mqtt, soap"), Http(400, None, spoken)),
        ("oversized head", upgrade().header("X-Long", &"x".repeat(100_000)), Http(431, None, "16384")),
    ];
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";
    let raw = [
        ("no HTTP", "web", b"\x01\x02garbage\r\n\r\n".to_vec(), Http(400, None, "HTTP/1.1")),
        ("TLS on a plain port", "web", tls.to_vec(), Http(400, None, "TLS")),
        ("slow handshake", "hasty", b"GET /ws HTTP/1.1\r\nHost: loc".to_vec(), Http(408, None, "300 ms")),
        ("one connection too many", "narrow", upgrade().bytes(), Http(503, Some(("Retry-After", "5")), "1 connections")),
    ];
    let requests = requests.map(|(name, request, answer)| (name, "web", request.bytes(), answer));
    let all = requests.into_iter().chain(raw);
    all.map(|(name, listener, bytes, answer)| Row { name, input: Input::Opening(listener, bytes), answer }).collect()
}

/// The framing of RFC 6455.
#[rustfmt::skip]
fn websocket_rows() -> Vec<Row> {
    let broken = || Error("WebSocket error", &[], 1002);
    let not_utf8 = || Error("Invalid UTF-8", &["binary"], 1007);
    let data = || Frame::text("SEND\n");
    let begun = |then: Frame| [data().unfinished().bytes(), then.bytes()].concat();
    let continuation = |payload: Vec<u8>| Frame::new(opcode::CONTINUATION, payload);
    let huge = |declared| Frame { length: Length::Declared(declared), ..Frame::binary("SEND\n") }.bytes();
    let in_fragments = [Frame::binary(vec![b'\n'; 11_000]).unfinished(), continuation(vec![b'\n'; 1_001])];
    let logged_in = [
        ("unmasked frame", "/ws", Frame { mask: None, ..data() }.bytes(), broken()),
        ("reserved bit 1", "/ws", Frame { rsv: 4, ..data() }.bytes(), broken()),
        ("reserved bit 2", "/ws", Frame { rsv: 2, ..data() }.bytes(), broken()),
        ("reserved bit 3", "/ws", Frame { rsv: 1, ..data() }.bytes(), broken()),
        ("reserved data opcode", "/ws", Frame::new(0x3, "SEND\n").bytes(), broken()),
        ("reserved control opcode", "/ws", Frame::new(0xB, "").bytes(), broken()),
        ("fragmented ping", "/ws", Frame::new(opcode::PING, "half").unfinished().bytes(), broken()),
        ("ping of 126 bytes", "/ws", Frame::new(opcode::PING, vec![0; 126]).bytes(), broken()),
        ("continuation of nothing", "/ws", continuation(b"SEND\n".to_vec()).bytes(), broken()),
        ("new message inside a fragmented one", "/ws", begun(data()), broken()),
        ("text that is not UTF-8", "/ws", Frame::text(b"SEND\ndestination:\xFF".to_vec()).bytes(), not_utf8()),
        ("text that is not UTF-8 in a later fragment", "/ws", begun(continuation(b"a:\xC3\x28".to_vec())), not_utf8()),
        ("close frame of one byte", "/ws", Frame::new(opcode::CLOSE, [3]).bytes(), Close(1002)),
        ("message too large by its declared length", "/ws", huge(1 << 40),
            Error("Message too large", &["4198400", "1099511627776"], 1009)),
        ("message too large by its fragments", "/tight", in_fragments.map(|it| it.bytes()).concat(),
            Error("Message too large", &["12000", "12001"], 1009)),
    ];
    let before_login = [
        ("message too large before the login, by its declared length", "/ws", huge(65_537),
            Error("Frame too large", &["65536", "65537", "logged in"], 1009)),
        ("many small messages before the login", "/tight", Frame::text("\n".repeat(100)).bytes().repeat(41),
            Error("Frame too large", &["4000", "4100", "logged in"], 1009)),
        ("broken frame before the login", "/ws", Frame { mask: None, ..data() }.bytes(), broken()),
    ];
    let logged_in = logged_in.map(|(name, path, bytes, answer)| {
        Row { name, input: Input::LoggedIn(path, "1.2", vec![Send(bytes)]), answer }
    });
    let before_login = before_login.map(|(name, path, bytes, answer)| {
        Row { name, input: Input::BeforeLogin(path, vec![Send(bytes)]), answer }
    });
    logged_in.into_iter().chain(before_login).collect()
}

/// The framing of STOMP (1.2, §Augmented BNF, §Value Encoding, §Size Limits).
#[rustfmt::skip]
fn framing_rows() -> Vec<Row> {
    let to = |rest: &str| format!("SEND\ndestination:/queue/bad\n{rest}").into_bytes();
    let headers: String = (0..11).map(|number| format!("h{number}:x\n")).collect();
    let rows = [
        ("frame too large by its content-length", "/tight", to("content-length:8001\n\n"), Error("Frame too large", &["8000"], 1009)),
        ("frame too large without content-length", "/tight", to(&format!("\n{}", "x".repeat(9_000))), Error("Frame too large", &["8000"], 1009)),
        ("too many headers", "/tight", format!("SEND\n{headers}\n\0").into(), Error("Too many headers", &["10"], 1002)),
        ("header too long", "/tight", to(&format!("long:{}\n\n\0", "x".repeat(1_000))), Error("Header too long", &["1000"], 1009)),
        ("undefined escape", "/ws", to("x-mine:tab\\t\n\n\0"), Error("Invalid header", &[r"sequence \t in", r"\n, \r, \c and \\ are"], 1002)),
        ("escape cut off", "/ws", to("x-mine:end\\\n\n\0"), Error("Invalid header", &["escape"], 1002)),
        ("unknown verb", "/ws", "PUBLISH\n\n\0".into(), Error("Bad command", &["PUBLISH"], 1002)),
        ("verb in lower case", "/ws", "send\n\n\0".into(), Error("Bad command", &["send"], 1002)),
        ("verb without an end", "/ws", "A".repeat(5_000).into(), Error("Bad command", &["11"], 1002)),
        ("header without a colon", "/ws", to("no colon\n\n\0"), Error("Invalid header", &["no colon"], 1002)),
        ("header that is not UTF-8", "/ws", b"SEND\ndestination:/queue/\xFF\n\n\0".to_vec(), Error("Invalid header", &["UTF-8"], 1002)),
        ("content-length that is no number", "/ws", to("content-length:ten\n\nx\0"), Error("Invalid header", &["ten"], 1002)),
        ("negative content-length", "/ws", to("content-length:-1\n\nx\0"), Error("Invalid header", &["-1"], 1002)),
        ("no NUL after content-length", "/ws", to("content-length:3\n\nfour\0"), Error("Invalid frame", &["3"], 1002)),
    ];
    rows.map(|(name, path, bytes, answer)| {
        Row { name, input: Input::LoggedIn(path, "1.2", vec![Send(Frame::binary(bytes).bytes())]), answer }
    }).into()
}

/// CONNECT.
#[rustfmt::skip]
fn login_rows() -> Vec<Row> {
    let refused = |text| Error("Bad CONNECT", text, 1008);
    let guest = "login:guest\npasscode:guest";
    let rows = [
        ("frame before CONNECT", "/ws", "SUBSCRIBE\nid:1\ndestination:/queue/bad".to_owned(), Error("Illegal command", &["SUBSCRIBE", "CONNECT"], 1008)),
        ("wrong passcode", "/ws", "CONNECT\naccept-version:1.2\nlogin:guest\npasscode:wrong".to_owned(), refused(&[])),
        ("wrong passcode before a service login", "/service", "CONNECT\naccept-version:1.2\nlogin:guest\npasscode:wrong".to_owned(), refused(&["guest"])),
        ("no login before a service login", "/service", "CONNECT\naccept-version:1.2".to_owned(), refused(&["login"])),
        ("unknown user", "/ws", "CONNECT\naccept-version:1.2\nlogin:nobody\npasscode:guest".to_owned(), refused(&[])),
        ("no login", "/strict", "CONNECT\naccept-version:1.2".to_owned(), refused(&[])),
        ("unknown virtual host", "/ws", format!("CONNECT\naccept-version:1.2\nhost:/nowhere\n{guest}"), refused(&["/nowhere"])),
        ("no common version", "/ws", format!("CONNECT\naccept-version:2.0,3.1\n{guest}"), Error("Version mismatch", &["1.0,1.1,1.2", "2.0,3.1"], 1008)),
        ("bad heart-beat", "/ws", format!("CONNECT\naccept-version:1.2\nheart-beat:often\n{guest}"), Error("Invalid header", &["heart-beat", "often"], 1008)),
    ];
    let mut rows = Vec::from(rows.map(|(name, path, head, answer)| {
        Row { name, input: Input::BeforeLogin(path, vec![frame(&head)]), answer }
    }));
    let none = Input::BeforeLogin("/impatient", vec![]);
    rows.push(Row { name: "no login in time", input: none, answer: Error("Login timeout", &["300 ms"], 1008) });
    rows
}

/// Frames that are well-formed, and wrong.
#[rustfmt::skip]
fn session_rows() -> Vec<Row> {
    let single = [
        ("SEND without destination", "SEND", Error("Missing destination", &["destination"], 1008)),
        ("SUBSCRIBE without id to a destination without a name", "SUBSCRIBE\ndestination:/queue/", Error("Invalid destination", &["/queue/"], 1008)),
        ("UNSUBSCRIBE of a destination that was not subscribed to", "UNSUBSCRIBE\ndestination:/queue/bad", Error("No subscription found", &["/queue/bad"], 1008)),
        ("SUBSCRIBE without destination", "SUBSCRIBE\nid:1", Error("Missing destination", &["destination"], 1008)),
        ("UNSUBSCRIBE of anything", "UNSUBSCRIBE", Error("Missing destination or id", &["id or destination"], 1008)),
        ("ACK without id", "ACK", Error("Missing header", &["\"id\""], 1008)),
        ("BEGIN without transaction", "BEGIN", Error("Missing transaction", &["transaction"], 1008)),
        ("unknown destination", "SEND\ndestination:/nowhere/at-all", Error("Unknown destination", &["/nowhere/at-all"], 1008)),
        ("destination with a slash too many", "SEND\ndestination:/topic/a/b", Error("Invalid destination", &["/topic/a/b"], 1008)),
        ("queue without a name", "SUBSCRIBE\nid:1\ndestination:/queue/", Error("Invalid destination", &["/queue/"], 1008)),
        ("unknown ack mode", "SUBSCRIBE\nid:1\ndestination:/queue/bad\nack:later", Error("Invalid header", &["later"], 1008)),
        ("reply to a temporary queue without a name", "SEND\ndestination:/queue/bad\nreply-to:/temp-queue/", Error("Invalid destination", &["/temp-queue/", "<name>"], 1008)),
        ("a temporary queue as destination", "SEND\ndestination:/temp-queue/mine", Error("Invalid destination", &["/temp-queue/mine", "reply-to"], 1008)),
        ("queue argument of the wrong kind", "SUBSCRIBE\nid:0\ndestination:/queue/bad\nx-message-ttl:soon", Error("Invalid header", &["x-message-ttl", "soon"], 1008)),
        ("durable subscription without id", "SUBSCRIBE\ndestination:/topic/bad\ndurable:true", Error("Missing header", &["id"], 1008)),
        ("name that cannot be sent back", "BEGIN\ntransaction:a\0b", Error("Invalid header", &["transaction", "NUL"], 1008)),
        ("server's header on SEND", "SEND\ndestination:/queue/bad\nmessage-id:mine", Error("Invalid header", &["message-id"], 1008)),
        ("server's frame", "MESSAGE\ndestination:/queue/bad", Error("Bad command", &["MESSAGE", "server"], 1002)),
        ("second CONNECT", "CONNECT\naccept-version:1.2\nlogin:guest\npasscode:guest", Error("Illegal command", &["already connected"], 1008)),
        ("UNSUBSCRIBE of nothing", "UNSUBSCRIBE\nid:none", Error("No subscription found", &["none"], 1008)),
        ("ACK of an unknown message", "ACK\nid:none", Error("Message not found", &["none"], 1008)),
        ("NACK of an unknown message", "NACK\nid:none", Error("Message not found", &["none"], 1008)),
        ("COMMIT of nothing", "COMMIT\ntransaction:none", Error("Bad transaction", &["none"], 1008)),
        ("ABORT of nothing", "ABORT\ntransaction:none", Error("Bad transaction", &["none"], 1008)),
        ("SEND in no transaction", "SEND\ndestination:/queue/bad\ntransaction:none", Error("Bad transaction", &["none"], 1008)),
    ];
    let single = single.map(|(name, head, answer)| Row { name, input: Input::WithReceipt(head), answer });

    let begin = |id| frame(&format!("BEGIN\ntransaction:{id}"));
    let without_id = || frame("SUBSCRIBE\ndestination:/queue/bad");
    let subscribe = |id| frame(&format!("SUBSCRIBE\nid:{id}\ndestination:/queue/bad"));
    let with_body = |head: &str, size| message(&format!("{head}\n\n{}\0", "x".repeat(size)));
    let inside = |size| with_body("SEND\ndestination:/queue/bad\ntransaction:t", size);
    let subscribe_client = "SUBSCRIBE\nid:1\ndestination:/queue/bad-acks\nack:client";
    let repeated_ack = vec![frame(subscribe_client), frame("SEND\ndestination:/queue/bad-acks"), Acknowledge(2)];
    let several = [
        ("BEGIN twice", "/ws", vec![begin("t"), begin("t")], Error("Bad transaction", &["\"t\""], 1008)),
        ("subscription without id twice", "/ws", vec![without_id(), without_id()], Error("Duplicated subscription identifier", &["/queue/bad"], 1008)),
        ("subscription id twice", "/ws", vec![subscribe("same"), subscribe("same")], Error("Duplicated subscription identifier", &["same"], 1008)),
        ("repeated ACK", "/ws", repeated_ack, Error("Message not found", &["ACK"], 1008)),
        ("body on SUBSCRIBE", "/ws", vec![with_body("SUBSCRIBE\nid:1\ndestination:/queue/bad", 4)], Error("Invalid frame", &["SUBSCRIBE"], 1008)),
        ("too many subscriptions", "/tight", ["1", "2", "3"].map(subscribe).into(), Error("Subscription limit exceeded", &["2"], 1008)),
        ("too many transactions", "/tight", ["1", "2", "3"].map(begin).into(), Error("Transaction limit exceeded", &["2"], 1008)),
        ("transaction of too many frames", "/tight", vec![begin("t"), inside(1), inside(1), inside(1), inside(1)], Error("Transaction too large", &["3"], 1008)),
        ("transaction of too many bytes", "/tight", vec![begin("t"), inside(1_000), inside(1_000)], Error("Transaction too large", &["2000"], 1008)),
    ];
    let several = several.map(|(name, path, steps, answer)| Row { name, input: Input::LoggedIn(path, "1.2", steps), answer });
    let old = Row {
        name: "NACK in STOMP 1.0",
        input: Input::LoggedIn("/ws", "1.0", vec![frame("NACK\nmessage-id:1")]),
        answer: Error("Bad command", &["NACK", "1.0"], 1002),
    };
    single.into_iter().chain(several).chain([old]).collect()
}

/// The same frames where no WebSocket is below: what is wrong is told alike, and nothing follows.
fn tcp_rows() -> Vec<Row> {
    let over_tcp = |row: Row| match row.input {
        Input::WithReceipt(head) => Some(Row { input: Input::WithReceiptOverTcp(head), ..row }),
        _ => None,
    };
    session_rows().into_iter().filter_map(over_tcp).collect()
}

/// A STOMP frame without a body, in one text message.
fn frame(head: &str) -> Step {
    message(&format!("{head}\n\n\0"))
}

/// One text message.
fn message(text: &str) -> Step {
    Send(Frame::text(text).bytes())
}

impl Row {
    async fn check(self, addresses: [(&'static str, SocketAddr); 4]) {
        let address = |listener| addresses.iter().find(|(name, _)| *name == listener).unwrap().1;
        let mut receipt = None;
        let (path, version, steps) = match self.input {
            Input::Opening(listener, bytes) => {
                return self.answer.check_refusal(address(listener), &bytes).await;
            }
            Input::BeforeLogin(path, steps) => (path, None, steps),
            Input::LoggedIn(path, version, steps) => (path, Some(version), steps),
            Input::WithReceipt(head) => {
                receipt = Some(RECEIPT);
                let step = frame(&format!("{head}\nreceipt:{RECEIPT}"));
                ("/ws", Some("1.2"), vec![step])
            }
            Input::WithReceiptOverTcp(head) => {
                let mut client = StompClient::over_tcp(address("plain")).await;
                client.login(&[("accept-version", "1.2")]).await;
                let frame = format!("{head}\nreceipt:{RECEIPT}\n\n\0");
                client.send_bytes(frame.as_bytes()).await;
                return self.answer.check_end(&mut client, Some(RECEIPT), None).await;
            }
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
                        client.send("ACK", &[("id", message.expect_header("ack"))], "").await;
                    }
                }
            }
        }
        let code = self.answer.code();
        self.answer.check_end(&mut client, receipt, Some(code)).await;
    }
}

impl Answer {
    async fn check_refusal(self, address: SocketAddr, request: &[u8]) {
        let Http(status, header, text) = self else { unreachable!("the row has no HTTP answer") };
        let reply = http_exchange(address, request).await.expect("an answer in HTTP");
        assert_eq!(reply.status, status, "{reply:?}");
        if let Some((name, value)) = header {
            assert_eq!(reply.header(name), Some(value), "{reply:?}");
        }
        assert!(reply.body.contains(text), "{text:?} is not in {reply:?}");
        assert_eq!(reply.body.lines().count(), 1, "one plain sentence: {reply:?}");
    }

    fn code(&self) -> u16 {
        match self {
            Http(..) => unreachable!("the row has an HTTP answer"),
            Error(_, _, code) | Close(code) => *code,
        }
    }

    /// `code` is that of the close frame, where there is one.
    async fn check_end(self, client: &mut StompClient, receipt: Option<&str>, code: Option<u16>) {
        if let Error(message, texts, _) = self {
            let error = client.expect("ERROR").await;
            assert_eq!(error.header("message"), Some(message), "{}", error.text());
            assert_eq!(error.header("receipt-id"), receipt, "{error:?}");
            assert!(!error.body.is_empty(), "an ERROR says what was wrong");
            for text in texts {
                assert!(error.text().contains(text), "{text:?} is not in {:?}", error.text());
            }
        }
        assert_eq!(client.closing().await.code, code);
    }
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
        self.0.send("SEND", &[("destination", "/queue/bystander")], &body).await;
        self.0.expect_message(body).await;
    }
}
