//! The table of permissions in `gateway/docs/CONFIGURATION.md`, held against a RabbitMQ: what it
//! names is enough, and without any of it the broker refuses.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use gateway::config::{Config, Secret, ServiceLogin, Verify};
use integration_tests::{
    REALM, RawWs, Request, Serializer, StompClient, StompFrame, TestGateway, WampClient, WampError,
    code, serve_wamp,
};
use rabbitmq_node::{Node, Permissions, Vhost};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../gateway/docs/CONFIGURATION.md");

/// Every name that begins with `queue_prefix`.
const OWN_QUEUES: &str = "stomp-subscription-gw-";

/// A row of the table: its first cell, a frame that does what it says, and the rights, each the
/// names that it is needed for.
struct Row {
    what: &'static str,
    verb: &'static str,
    destination: &'static str,
    /// To configure, to write, to read.
    rights: [&'static [&'static str]; 3],
}

const ROWS: [Row; 8] = [
    Row {
        what: "SEND to `/queue/q`",
        verb: "SEND",
        destination: "/queue/q",
        rights: [&["q"], &["amq.default"], &[]],
    },
    Row {
        what: "SUBSCRIBE to `/queue/q`",
        verb: "SUBSCRIBE",
        destination: "/queue/q",
        rights: [&["q"], &[], &["q"]],
    },
    Row {
        what: "SEND to `/amq/queue/q`",
        verb: "SEND",
        destination: "/amq/queue/q",
        rights: [&[], &["amq.default"], &[]],
    },
    Row {
        what: "SUBSCRIBE to `/amq/queue/q`",
        verb: "SUBSCRIBE",
        destination: "/amq/queue/q",
        rights: [&[], &[], &["q"]],
    },
    Row {
        what: "SEND to `/topic/…`, `/exchange/E/…`",
        verb: "SEND",
        destination: "/topic/k",
        rights: [&[], &["amq.topic"], &[]],
    },
    Row {
        what: "SUBSCRIBE to `/topic/…`, `/exchange/E/…`",
        verb: "SUBSCRIBE",
        destination: "/topic/k",
        rights: [&[OWN_QUEUES], &[OWN_QUEUES], &[OWN_QUEUES, "amq.topic"]],
    },
    Row {
        what: "SEND to `/rpc/p`",
        verb: "SEND",
        destination: "/rpc/offered",
        rights: [&[], &["wamp.rpc"], &[]],
    },
    Row {
        what: "SUBSCRIBE to `/rpc/p`",
        verb: "SUBSCRIBE",
        destination: "/rpc/p",
        rights: [&["wamp.proc.e.p"], &["wamp.proc.e.p"], &["wamp.proc.e.p", "wamp.rpc"]],
    },
];

impl Row {
    /// The row as the document has it.
    fn documented(&self) -> String {
        let cell = |names: &[&str]| {
            let cells = names.iter().map(|name| match *name {
                OWN_QUEUES => "*gw*".to_owned(),
                "amq.topic" => "*E*".to_owned(),
                name => format!("`{name}`"),
            });
            let cells = cells.collect::<Vec<_>>().join(", ");
            if cells.is_empty() { " ".to_owned() } else { format!(" {cells} ") }
        };
        let [configure, write, read] = self.rights.map(cell);
        format!("\n| {} |{configure}|{write}|{read}|\n", self.what)
    }

    /// Every right that is needed: which of the three, and for what.
    fn each(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let rights = self.rights.iter().enumerate();
        rights.flat_map(|(kind, names)| names.iter().map(move |name| (kind, *name)))
    }

    /// The regular expressions for all rights but this one.
    fn without(&self, missing: Option<(usize, &str)>) -> [String; 3] {
        [0, 1, 2].map(|kind| {
            let names =
                self.each().filter(|(of, name)| *of == kind && missing != Some((*of, name)));
            let names: Vec<_> = names.map(|(_, name)| name.replace('.', r"\.")).collect();
            if names.is_empty() { "^$".to_owned() } else { format!("^({})", names.join("|")) }
        })
    }

    async fn answer(&self, client: &mut StompClient) -> StompFrame {
        let headers = [("destination", self.destination), ("id", "1"), ("ack", "client")];
        let headers = if self.verb == "SEND" { &headers[..1] } else { &headers[..] };
        client.request(self.verb, headers, "").await;
        client.recv().await
    }
}

/// A gateway before this virtual host, without a default login.
async fn gateway(vhost: &Vhost, change: impl FnOnce(&mut Config)) -> TestGateway {
    let settings = TestGateway::rabbitmq(vhost).config(|config| {
        for route in config.route.values_mut() {
            (route.default_login, route.default_passcode) = (None, None);
        }
        change(config);
    });
    settings.start().await
}

/// A client that has sent CONNECT with these headers besides, and the answer.
async fn connect(gateway: &TestGateway, headers: &[(&str, &str)]) -> (StompClient, StompFrame) {
    let ws = RawWs::open(gateway.ws_addr(), &Request::upgrade("/ws")).await;
    let mut client = StompClient::over(ws);
    client.send("CONNECT", &[&[("accept-version", "1.2")], headers].concat(), "").await;
    let answer = client.recv().await;
    (client, answer)
}

#[tokio::test]
async fn a_user_needs_the_permissions_that_the_document_names_and_no_others() {
    let vhost = Node::shared().await.vhost().await;
    let gateway = gateway(&vhost, |_| {}).await;
    vhost.declare_queue("q", json!({})).await;
    // Whoever may declares the exchange of calls.
    let login = [("login", vhost.user()), ("passcode", vhost.passcode())];
    let (mut callee, _) = connect(&gateway, &login).await;
    callee.subscribe("1", "/rpc/offered", "auto").await;
    for (number, row) in ROWS.iter().enumerate() {
        assert!(DOCUMENT.contains(&row.documented()), "{}", row.documented());
        let cases = row.each().map(Some).chain([None]);
        for (case, missing) in cases.enumerate() {
            // A user of its own each time: RabbitMQ remembers for a while what a channel may do.
            let user = format!("{}-{number}-{case}", vhost.user());
            vhost.set_passcode(&user, "secret").await;
            let [configure, write, read] = &row.without(missing);
            vhost.permit(&user, Permissions { configure, write, read }).await;

            let headers = [("login", user.as_str()), ("passcode", "secret")];
            let (mut client, connected) = connect(&gateway, &headers).await;
            assert_eq!(connected.verb, "CONNECTED", "{connected:?}");
            let answer = row.answer(&mut client).await;
            if missing.is_none() {
                assert_eq!(answer.verb, "RECEIPT", "{}: {}", row.what, answer.text());
            } else {
                let refused = answer.header("message");
                assert_eq!(refused, Some("access_refused"), "{} without {missing:?}", row.what);
            }
        }
    }
}

/// A service login that may do everything, for clients that may not.
fn service(vhost: &Vhost, passcode: &str, verify: Verify) -> ServiceLogin {
    let (login, passcode) = (vhost.user().to_owned(), Secret::new(passcode));
    ServiceLogin { login, passcode, verify }
}

async fn gateway_with(service: ServiceLogin, vhost: &Vhost) -> TestGateway {
    gateway(vhost, |config| {
        config.route.get_mut("stomp").unwrap().service_login = Some(service);
    })
    .await
}

#[tokio::test]
async fn under_a_service_login_its_permissions_count_once_the_clients_own_login_is_accepted() {
    let vhost = Node::shared().await.vhost().await;
    let ann = format!("{}-ann", vhost.user());
    vhost.set_passcode(&ann, "secret").await;
    vhost.permit(&ann, Permissions::NONE).await;
    let gateway = gateway_with(service(&vhost, vhost.passcode(), Verify::Broker), &vhost).await;

    let (mut client, connected) =
        connect(&gateway, &[("login", &ann), ("passcode", "secret")]).await;
    assert_eq!(connected.verb, "CONNECTED", "{connected:?}");
    client.subscribe("1", "/queue/q", "client").await;
    client.send_confirmed("SEND", &[("destination", "/queue/other")], "").await;

    let (_, refused) = connect(&gateway, &[("login", &ann), ("passcode", "wrong")]).await;
    assert_eq!(refused.header("message"), Some("Bad CONNECT"), "{refused:?}");
    assert_eq!(refused.text(), format!("Access refused for user '{ann}'"));
}

#[tokio::test]
async fn a_service_login_that_the_broker_refuses_is_not_held_against_the_client() {
    let vhost = Node::shared().await.vhost().await;
    let gateway = gateway_with(service(&vhost, "wrong", Verify::None), &vhost).await;
    let (mut client, refused) = connect(&gateway, &[]).await;
    assert_eq!(refused.header("message"), Some("Broker unavailable"), "{refused:?}");
    assert_eq!(client.closing().await.code, Some(1013));
}

/// What the login of a realm needs for what its clients ask for; the exchange is there.
const WAMP_ROWS: [Row; 3] = [
    Row { what: "PUBLISH", verb: "PUBLISH", destination: "", rights: [&[], &["amq.topic"], &[]] },
    Row {
        what: "PUBLISH with `eligible…` or `exclude…`",
        verb: "PUBLISH",
        destination: "eligible",
        rights: [&[], &["wamp.restricted"], &[]],
    },
    Row {
        what: "SUBSCRIBE",
        verb: "SUBSCRIBE",
        destination: "",
        rights: [&[OWN_QUEUES], &[OWN_QUEUES], &[OWN_QUEUES, "amq.topic", "wamp.restricted"]],
    },
];

/// Does what a row says, under a login with these rights.
async fn wamp_answer(
    vhost: &Vhost,
    row: &Row,
    user: &str,
    rights: &[String; 3],
) -> Result<(), WampError> {
    vhost.set_passcode(user, "secret").await;
    let [configure, write, read] = rights;
    vhost.permit(user, Permissions { configure, write, read }).await;
    let login = json!({ "login": user, "passcode": "secret" });
    let gateway = gateway_of_realm(vhost, login).await;
    let mut client = WampClient::connect(gateway.ws_addr(), Serializer::Json, REALM).await;
    if row.verb == "SUBSCRIBE" {
        return client.subscribe_with("a.b", json!({})).await.map(drop);
    }
    let options = if row.destination.is_empty() { json!({}) } else { json!({ "eligible": [1] }) };
    client.publish_confirmed("a.b", options, json!([]), json!({})).await.map(drop)
}

async fn gateway_of_realm(vhost: &Vhost, login: Value) -> TestGateway {
    TestGateway::rabbitmq(vhost).config(|config| serve_wamp(config, login)).start().await
}

#[tokio::test]
async fn the_login_of_a_realm_needs_the_permissions_that_the_document_names_and_no_others() {
    let vhost = Node::shared().await.vhost().await;
    vhost.declare_exchange("wamp.restricted", "topic").await;
    for (number, row) in WAMP_ROWS.iter().enumerate() {
        assert!(DOCUMENT.contains(&row.documented()), "{}", row.documented());
        let cases = row.each().map(Some).chain([None]);
        for (case, missing) in cases.enumerate() {
            let user = format!("{}-{number}-{case}", vhost.user());
            let answer = wamp_answer(&vhost, row, &user, &row.without(missing)).await;
            let Some((_, name)) = missing else {
                assert!(answer.is_ok(), "{}: {answer:?}", row.what);
                continue;
            };
            let error = answer.unwrap_err();
            assert_eq!(error.uri, "wamp.error.not_authorized", "{} without {missing:?}", row.what);
            let sentence = error.args[0].as_str().unwrap();
            assert!(sentence.contains(name) && sentence.contains(&user), "{sentence}");
        }
    }
}

#[tokio::test]
async fn the_first_that_needs_the_exchange_of_restricted_events_has_to_be_able_to_make_it() {
    for row in &WAMP_ROWS[1..] {
        let vhost = Node::shared().await.vhost().await;
        let rights = |configure: &str| {
            let rights = row.without(None);
            [configure.to_owned(), rights[1].clone(), rights[2].clone()]
        };
        let unable = format!("{}-unable", vhost.user());
        let error = wamp_answer(&vhost, row, &unable, &rights("^stomp-")).await.unwrap_err();
        assert_eq!(error.uri, "wamp.error.not_authorized", "{error:?}");
        let sentence = error.args[0].as_str().unwrap();
        assert!(sentence.contains("no exchange 'wamp.restricted'"), "{sentence}");
        assert!(sentence.contains("access to exchange 'wamp.restricted'"), "{sentence}");
        let able = format!("{}-able", vhost.user());
        let rights = rights(r"^(stomp-|wamp\.restricted$)");
        wamp_answer(&vhost, row, &able, &rights).await.unwrap();
        assert!(vhost.exchanges().await.contains(&"wamp.restricted".to_owned()));
    }
}

/// What the document would have the login of a realm be permitted.
const EXAMPLE: [&str; 3] = [
    r"^(wamp\.|stomp-subscription-gw-)",
    r"^(wamp\.|stomp-subscription-gw-|amq\.default$|amq\.topic$)",
    r"^(wamp\.|stomp-subscription-gw-|amq\.topic$)",
];

#[tokio::test]
async fn what_the_document_has_a_realms_login_be_permitted_is_enough_for_all() {
    let vhost = Node::shared().await.vhost().await;
    let user = format!("{}-example", vhost.user());
    vhost.set_passcode(&user, "secret").await;
    let [configure, write, read] = EXAMPLE;
    for pattern in EXAMPLE {
        assert!(DOCUMENT.contains(&format!("'{pattern}'")), "{pattern}");
    }
    vhost.permit(&user, Permissions { configure, write, read }).await;
    let login = json!({ "login": user, "passcode": "secret" });
    let gateways =
        [gateway_of_realm(&vhost, login.clone()).await, gateway_of_realm(&vhost, login).await];
    let [near, far] = [0, 1].map(|at| gateways[at].ws_addr());
    let mut near = WampClient::connect(near, Serializer::Json, REALM).await;
    let mut far = WampClient::connect(far, Serializer::Json, REALM).await;
    far.subscribe("a.b").await;
    near.say("a.b", "for all").await;
    let options = json!({ "eligible": [far.session()] });
    near.publish_confirmed("a.b", options, json!(["for one"]), json!({})).await.unwrap();
    far.expect_text("for all").await;
    far.expect_text("for one").await;
    far.register("a.c", json!({})).await.unwrap();
    let call = near.request(code::CALL, json!([{}, "a.c", [1]])).await;
    let invocation = far.invocation().await;
    far.yields(&invocation, json!([2]), json!({})).await;
    assert_eq!(near.result(call).await.unwrap().args, json!([2]));
}
