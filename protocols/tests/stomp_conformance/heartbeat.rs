//! Heart-beats: the agreement, ours, and the client's.

use std::time::Duration;

use protocols::policy::Policy;
use protocols::stomp::{HeartbeatSettings, Settings};

use crate::client::{Client, WireFrame, sentence};

fn connected(version: &str, heartbeat: Option<&str>) -> (Client, WireFrame) {
    connected_with(version, heartbeat, HeartbeatSettings::default())
}

fn connected_with(
    version: &str,
    heartbeat: Option<&str>,
    settings: HeartbeatSettings,
) -> (Client, WireFrame) {
    let stomp = Settings { heartbeat: settings, ..Settings::default() };
    let mut client = Client::with_policy(Policy { stomp, ..Policy::default() });
    let mut headers = vec![("accept-version", version)];
    headers.extend(heartbeat.map(|value| ("heart-beat", value)));
    client.send("CONNECT", &headers);
    let connected = client.granted();
    (client, connected)
}

fn answer(heartbeat: Option<&str>) -> String {
    let (_, connected) = connected("1.2", heartbeat);
    connected.header("heart-beat").unwrap().to_owned()
}

fn probe(client: &Client) -> Duration {
    client.pair.established.as_ref().unwrap().probe
}

#[test]
fn v11_heart_beat_of_connected_states_what_each_side_does() {
    assert_eq!(answer(Some("5000,7000")), "7000,5000");
    assert_eq!(answer(Some("5000,0")), "0,5000");
    assert_eq!(answer(Some("0,7000")), "7000,30000");
    assert_eq!(answer(Some("0,0")), "0,30000");
}

#[test]
fn v11_heart_beat_that_is_missing_is_zero_both_ways() {
    assert_eq!(answer(None), "0,30000");
}

#[test]
fn server_heart_beats_are_not_more_frequent_than_the_minimum() {
    assert_eq!(answer(Some("1,1")), "1000,1000");
}

#[test]
fn server_heart_beats_are_not_rarer_than_the_maximum_from_the_server() {
    assert_eq!(answer(Some("3600000,3600000")), "60000,3600000");
}

#[test]
fn v10_heart_beat_is_not_mentioned_unless_the_client_does() {
    let (client, frame) = connected("1.0", None);
    assert_eq!(frame.header("heart-beat"), None);
    assert_eq!(probe(&client), Duration::from_secs(30));
    let (_, frame) = connected("1.0", Some("5000,5000"));
    assert_eq!(frame.header("heart-beat"), Some("5000,5000"));
}

#[test]
fn v11_heart_beat_that_is_malformed_is_refused() {
    for value in ["", "5000", "a,b", "5000,", "-1,0", "1,2,3", "99999999999,0"] {
        let mut client = Client::new();
        client.send("CONNECT", &[("accept-version", "1.1"), ("heart-beat", value)]);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains("heart-beat"), "{value}");
    }
}

#[test]
fn server_a_client_that_promises_nothing_is_probed_by_the_transport() {
    let (client, _) = connected("1.2", Some("0,5000"));
    assert_eq!(probe(&client), Duration::from_secs(30));
    let (client, _) = connected("1.2", Some("5000,0"));
    assert_eq!(probe(&client), Duration::ZERO);
}

#[test]
fn server_probes_can_be_switched_off() {
    let settings = HeartbeatSettings { default: Duration::ZERO, ..HeartbeatSettings::default() };
    let (client, frame) = connected_with("1.2", Some("0,0"), settings);
    assert_eq!(frame.header("heart-beat"), Some("0,0"));
    assert_eq!(probe(&client), Duration::ZERO);
}

#[test]
fn v11_a_heart_beat_is_sent_before_the_interval_has_passed() {
    let (mut client, _) = connected("1.1", Some("0,10000"));
    client.advance(8_999);
    assert_eq!(client.beats(), 0);
    client.advance(1_001);
    assert_eq!(client.beats(), 1);
    client.advance(90_000);
    assert_eq!(client.beats(), 10);
}

#[test]
fn v11_any_frame_stands_for_a_heart_beat() {
    let (mut client, _) = connected("1.1", Some("0,10000"));
    client.advance(8_000);
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "r")]);
    assert_eq!(client.receipts(), ["r"]);
    client.advance(8_999);
    assert_eq!(client.beats(), 0);
    client.advance(1);
    assert_eq!(client.beats(), 1);
}

#[test]
fn v11_no_heart_beat_is_sent_to_a_client_that_wants_none() {
    let (mut client, _) = connected("1.1", Some("0,0"));
    client.advance(3_600_000);
    assert_eq!(client.beats(), 0);
    assert_eq!(client.pair.next_timeout(), None);
}

#[test]
fn v11_a_client_is_dead_after_two_intervals_of_silence() {
    let (mut client, _) = connected("1.1", Some("10000,0"));
    client.advance(19_999);
    assert!(client.is_open());
    client.advance(1);
    let error = client.policy_violation("Heart-beat missed");
    assert!(sentence(&error).contains("20000") && sentence(&error).contains("10000"));
}

#[test]
fn v11_any_input_stands_for_a_heart_beat() {
    let (mut client, _) = connected("1.1", Some("10000,0"));
    for input in [&b"\n"[..], b"\r\n", b"SEND\ndesti", b"nation:/queue/a\n\n\0"] {
        client.advance(19_999);
        client.send_raw(input);
    }
    assert!(client.is_open());
    client.publish();
    client.advance(20_000);
    client.policy_violation("Heart-beat missed");
}

#[test]
fn server_a_client_that_is_not_read_is_not_missed() {
    let (mut client, _) = connected("1.1", Some("10000,5000"));
    client.advance(15_000);
    client.pair.set_reading(false);
    client.advance(100_000);
    assert!(client.is_open());
    assert!(client.beats() > 20, "the server's heart-beats go on");
    client.pair.set_reading(true);
    client.advance(19_999);
    assert!(client.is_open(), "the deadline starts afresh");
    client.pair.frames.clear();
    client.advance(1);
    client.policy_violation("Heart-beat missed");
}

#[test]
fn server_a_client_that_has_said_goodbye_is_not_missed() {
    let (mut client, _) = connected("1.1", Some("1000,0"));
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "r")]);
    client.send("DISCONNECT", &[]);
    client.advance(7_000);
    assert!(client.is_open(), "the broker has not confirmed yet");
}

#[test]
fn v11_a_heart_beat_of_the_server_is_one_line_feed() {
    let (mut client, _) = connected("1.1", Some("0,1000"));
    client.advance(900);
    let unit = client.pair.frames.pop_front().unwrap();
    assert_eq!(&unit.bytes[..], b"\n");
    assert_eq!(unit.kind, protocols::session::FrameKind::Text, "as the client speaks");
}
