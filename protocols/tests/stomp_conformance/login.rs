//! The time from the opened connection to the login, and its outcome.

use std::time::Duration;

use protocols::auth::{AuthReply, Denial, DenialKind};
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, CloseCode};

use crate::client::{Client, Refusal, frame, sentence};

const CONNECT: &[(&str, &str)] = &[("accept-version", "1.2"), ("login", "ann")];

fn limited(limits: Limits) -> Client {
    Client::with_policy(Policy { limits, ..Policy::default() })
}

fn denied(kind: DenialKind) -> Refusal {
    let mut client = Client::new();
    client.send("CONNECT", CONNECT);
    client.login();
    let text = "access refused for user 'ann'".into();
    client.pair.reply(AuthReply::Denied(Denial { kind, text }));
    client.refusal()
}

#[test]
fn v12_a_refused_login_is_an_error_and_a_close() {
    for kind in [DenialKind::BadCredentials, DenialKind::NotLoopback, DenialKind::VhostRefused] {
        let Refusal { error, close } = denied(kind);
        assert_eq!(error.header("message"), Some("Bad CONNECT"));
        assert_eq!(sentence(&error), "access refused for user 'ann'");
        assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::LoginRefused));
    }
}

#[test]
fn v12_a_login_that_cannot_be_decided_now_may_be_tried_later() {
    let Refusal { error, close } = denied(DenialKind::Unavailable);
    assert_eq!(error.header("message"), Some("Broker unavailable"));
    assert_eq!((close.code, close.cause), (CloseCode::TryAgainLater, CloseCause::LoginRefused));
}

#[test]
fn server_a_client_must_log_in_in_time() {
    let mut client = Client::new();
    client.advance(9_999);
    assert!(client.is_open());
    client.advance(1);
    let error = client.policy_violation("Login timeout");
    assert!(sentence(&error).contains("10000"));
}

#[test]
fn server_the_login_deadline_is_not_moved_by_input() {
    let mut client = Client::new();
    client.advance(6_000);
    client.send_raw(b"\n\nCONN");
    client.advance(3_999);
    assert!(client.is_open());
    client.advance(1);
    client.policy_violation("Login timeout");
}

#[test]
fn server_the_login_deadline_holds_while_the_login_is_decided() {
    let mut client = Client::new();
    client.send("CONNECT", CONNECT);
    client.login();
    client.advance(10_000);
    client.policy_violation("Login timeout");
    client.grant();
    assert_eq!(client.frames(), [], "a login that is granted too late");
}

#[test]
fn server_the_login_deadline_is_over_with_the_login() {
    let mut client = Client::connected("1.2");
    client.advance(3_600_000);
    assert!(client.is_open());
    assert_eq!(client.pair.next_timeout(), None);
}

#[test]
fn server_frames_behind_connect_wait_for_the_login() {
    let mut client = Client::new();
    let mut unit = frame("CONNECT", CONNECT, b"");
    unit.extend(frame("SEND", &[("destination", "/queue/a"), ("receipt", "r")], b"x"));
    unit.extend(b"SEND\ndestination:/queue/b\nk:a");
    client.send_raw(&unit);
    client.login();
    assert_eq!(client.commands(), []);
    client.grant();
    assert_eq!(client.frame().verb, "CONNECTED");
    client.publish();
    client.send_raw(b"\\cb\n\n\0");
    let message = client.message();
    let value = protocols::broker::Value::Text("a:b".into());
    assert_eq!(message.properties.headers, [("k".into(), value)]);
}

#[test]
fn server_frames_behind_a_refused_connect_are_dropped() {
    let mut client = Client::new();
    let mut unit = frame("CONNECT", CONNECT, b"");
    unit.extend(frame("SEND", &[("destination", "/queue/a")], b"x"));
    client.send_raw(&unit);
    let text = "no".into();
    client.pair.reply(AuthReply::Denied(Denial { kind: DenialKind::BadCredentials, text }));
    client.refusal();
    assert_eq!(client.commands(), []);
}

#[test]
fn server_little_is_kept_while_the_login_is_decided() {
    let limits = Limits { frame_size_before_login: 100, ..Limits::default() };
    let mut client = limited(limits);
    client.send("CONNECT", CONNECT);
    client.login();
    client.send_raw(&[b'\n'; 100]);
    assert!(client.is_open());
    client.send_raw(b"\n");
    let error = client.violation("Frame too large", CloseCode::TooBig);
    assert!(sentence(&error).contains("100") && sentence(&error).contains("101"));
}

#[test]
fn server_a_frame_before_login_is_small_and_one_after_it_need_not_be() {
    let limits = Limits { frame_size_before_login: 100, frame_size: 1_000, ..Limits::default() };
    let mut client = limited(limits.clone());
    client.send("CONNECT", &[("login", &"a".repeat(100))]);
    client.violation("Frame too large", CloseCode::TooBig);

    let mut client = limited(limits);
    client.send("CONNECT", CONNECT);
    client.granted();
    client.send_body("SEND", &[("destination", "/queue/a")], &[b'x'; 900]);
    client.publish();
    client.send_body("SEND", &[("destination", "/queue/a")], &[b'x'; 1_000]);
    client.violation("Frame too large", CloseCode::TooBig);
}

#[test]
fn server_the_login_timeout_is_a_setting() {
    let limits = Limits { login_timeout: Duration::from_millis(50), ..Limits::default() };
    let mut client = limited(limits);
    client.advance(50);
    client.policy_violation("Login timeout");
}

#[test]
fn server_an_answer_that_nobody_asked_for_changes_nothing() {
    let mut client = Client::new();
    client.grant();
    assert!(client.frames().is_empty() && client.is_open());
    client.send("SEND", &[("destination", "/queue/a")]);
    client.policy_violation("Illegal command");
}
