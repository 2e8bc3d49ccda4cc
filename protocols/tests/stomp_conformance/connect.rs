//! CONNECT, STOMP, CONNECTED, and the negotiation of a version.

use protocols::policy::Policy;
use protocols::session::{CloseCode, FrameKind};
use protocols::stomp::Settings;
use protocols::stomp::Stomp;

use crate::client::{Client, Pair, SESSION_ID, sentence};

fn version_for(name: Option<&'static str>, accept_version: Option<&str>) -> String {
    let mut client = Client { pair: Pair::open(&Stomp, name, Policy::default()) };
    let headers: Vec<_> =
        accept_version.into_iter().map(|versions| ("accept-version", versions)).collect();
    client.send("CONNECT", &headers);
    client.granted().header("version").unwrap().to_owned()
}

#[test]
fn v12_connect_asks_for_a_login_and_connected_follows_the_grant() {
    let mut client = Client::new();
    client.send(
        "CONNECT",
        &[("accept-version", "1.2"), ("host", "/x"), ("login", "ann"), ("passcode", "pw")],
    );
    assert_eq!(client.frames(), []);
    let login = client.login();
    assert_eq!(login.vhost.as_deref(), Some("/x"));
    let credentials = login.credentials.unwrap();
    assert_eq!(credentials.login, "ann");
    assert_eq!(credentials.passcode.expose(), "pw");
    client.grant();
    let connected = client.frame();
    assert_eq!(connected.verb, "CONNECTED");
    assert_eq!(connected.header("version"), Some("1.2"));
    assert_eq!(connected.header("session"), Some(SESSION_ID));
    assert_eq!(connected.header("server"), None);
    assert!(connected.body.is_empty() && client.is_open());
}

#[test]
fn v12_stomp_is_the_same_as_connect() {
    for version in ["1.1", "1.2"] {
        let mut client = Client::new();
        client.send("STOMP", &[("accept-version", version), ("host", "/")]);
        assert_eq!(client.granted().header("version"), Some(version));
    }
}

#[test]
fn v12_connect_without_login_and_host_leaves_both_to_the_route() {
    let mut client = Client::new();
    client.send("CONNECT", &[("accept-version", "1.2")]);
    let login = client.login();
    assert_eq!((login.credentials, login.vhost), (None, None));
}

#[test]
fn v12_connect_with_a_login_and_no_passcode_has_an_empty_one() {
    let mut client = Client::new();
    client.send("CONNECT", &[("login", "ann")]);
    assert_eq!(client.login().credentials.unwrap().passcode.expose(), "");
}

#[test]
fn v12_connect_frame_is_not_unescaped() {
    let mut client = Client::new();
    client
        .send("CONNECT", &[("accept-version", "1.2"), ("login", r"a\cb"), ("passcode", r"c:\n\x")]);
    let credentials = client.login().credentials.unwrap();
    assert_eq!(credentials.login, r"a\cb");
    assert_eq!(credentials.passcode.expose(), r"c:\n\x");
}

#[test]
fn v12_connected_frame_is_not_escaped() {
    let stomp = Settings { server: Some("gateway/1:0\\".into()), ..Settings::default() };
    let mut client = Client::with_policy(Policy { stomp, ..Policy::default() });
    client.send("CONNECT", &[("accept-version", "1.2")]);
    assert_eq!(client.granted().header("server"), Some("gateway/1:0\\"));
}

#[test]
fn v10_connect_without_accept_version_is_1_0() {
    assert_eq!(version_for(None, None), "1.0");
}

#[test]
fn v11_the_highest_common_version_is_chosen_whatever_the_order() {
    assert_eq!(version_for(None, Some("1.0,1.1,1.2")), "1.2");
    assert_eq!(version_for(None, Some("1.1,1.0")), "1.1");
    assert_eq!(version_for(None, Some("1.2, 1.1 ,1.0")), "1.2");
    assert_eq!(version_for(None, Some("0.9,2.0,1.1")), "1.1");
    assert_eq!(version_for(None, Some("1.0")), "1.0");
}

#[test]
fn server_the_subprotocols_version_is_chosen_if_the_client_accepts_it() {
    assert_eq!(version_for(Some("v11.stomp"), Some("1.0,1.1,1.2")), "1.1");
    assert_eq!(version_for(Some("v10.stomp"), Some("1.0,1.2")), "1.0");
    assert_eq!(version_for(Some("v12.stomp"), Some("1.0,1.1,1.2")), "1.2");
    assert_eq!(version_for(Some("stomp"), Some("1.0,1.1")), "1.1");
}

#[test]
fn server_a_subprotocol_that_the_client_does_not_accept_is_no_reason_to_refuse() {
    assert_eq!(version_for(Some("v12.stomp"), Some("1.0,1.1")), "1.1");
    assert_eq!(version_for(Some("v12.stomp"), None), "1.0");
    assert_eq!(version_for(Some("v10.stomp"), Some("1.2")), "1.2");
}

#[test]
fn v12_no_common_version_is_refused_and_the_known_ones_are_named() {
    for accept_version in ["1.3", "", "2.0,3.0", "1", "12"] {
        let mut client = Client::new();
        client.send("CONNECT", &[("accept-version", accept_version)]);
        let error = client.policy_violation("Version mismatch");
        assert_eq!(error.header("version"), Some("1.0,1.1,1.2"));
        assert_eq!(client.pair.auth, None);
    }
}

#[test]
fn v12_a_frame_before_connect_is_refused() {
    for verb in ["SEND", "SUBSCRIBE", "ACK", "DISCONNECT", "BEGIN"] {
        let mut client = Client::new();
        client.send(verb, &[("destination", "/queue/a")]);
        let error = client.policy_violation("Illegal command");
        assert!(sentence(&error).contains(verb));
        assert_eq!(client.commands(), []);
    }
}

#[test]
fn v12_a_server_frame_before_connect_is_refused() {
    let mut client = Client::new();
    client.send("CONNECTED", &[]);
    client.violation("Bad command", CloseCode::Protocol);
}

#[test]
fn v12_a_second_connect_is_refused() {
    for verb in ["CONNECT", "STOMP"] {
        let mut client = Client::connected("1.2");
        client.send(verb, &[("accept-version", "1.2")]);
        client.policy_violation("Illegal command");
    }
}

#[test]
fn v12_the_first_of_repeated_headers_counts() {
    let mut client = Client::new();
    client.send("CONNECT", &[("accept-version", "1.1"), ("host", "/a"), ("accept-version", "1.2")]);
    assert_eq!(client.granted().header("version"), Some("1.1"));
}

#[test]
fn v10_blanks_before_a_value_are_dropped() {
    let mut client = Client::new();
    client.send("CONNECT", &[("login", "  ann"), ("passcode", " pw "), ("host", " /")]);
    let login = client.login();
    let credentials = login.credentials.unwrap();
    assert_eq!((&*credentials.login, credentials.passcode.expose()), ("ann", "pw "));
    assert_eq!(login.vhost.as_deref(), Some("/"));
}

#[test]
fn v11_blanks_of_a_value_are_kept() {
    for version in ["1.1", "1.2"] {
        let mut client = Client::new();
        client.send("CONNECT", &[("accept-version", version), ("login", " ann ")]);
        assert_eq!(client.login().credentials.unwrap().login, " ann ");
    }
}

#[test]
fn v11_a_body_of_connect_is_refused_and_v10_ignores_it() {
    for version in ["1.1", "1.2"] {
        let mut client = Client::new();
        client.send_body("CONNECT", &[("accept-version", version)], b"body");
        client.policy_violation("Invalid frame");
    }
    let mut client = Client::new();
    client.send_body("CONNECT", &[], b"body");
    assert_eq!(client.granted().header("version"), Some("1.0"));
}

#[test]
fn v12_carriage_returns_and_line_feeds_may_surround_frames() {
    let mut client = Client::new();
    client.send_raw(b"\r\n\n\nCONNECT\r\naccept-version:1.2\r\n\r\n\0\r\n\n");
    assert_eq!(client.granted().header("version"), Some("1.2"));
}

#[test]
fn server_a_frame_may_come_in_any_number_of_units() {
    let mut client = Client::new();
    for byte in b"CONNECT\naccept-version:1.2\n\n\0" {
        assert_eq!(client.pair.auth, None);
        client.send_raw(&[*byte]);
    }
    assert_eq!(client.granted().header("version"), Some("1.2"));
}

#[test]
fn server_frames_go_out_as_text_once_the_client_has_sent_text() {
    for (kind, expected) in
        [(FrameKind::Text, FrameKind::Text), (FrameKind::Binary, FrameKind::Binary)]
    {
        let mut client = Client::new();
        client.pair.input(kind, b"CONNECT\naccept-version:1.2\n\n\0".to_vec());
        assert_eq!(client.granted().kind, expected);
    }
}
