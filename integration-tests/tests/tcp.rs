//! STOMP over plain TCP, end to end.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use gateway::config::units::Millis;
use gateway::config::{Config, Listener};
use integration_tests::{Settings, StompClient, TestGateway, frame_bytes};

fn settings() -> Settings {
    TestGateway::embedded().with_stomp_tcp()
}

fn plain(config: &mut Config) -> &mut Listener {
    config.listener.get_mut("plain").unwrap()
}

async fn connect(gateway: &TestGateway) -> StompClient {
    let mut client = StompClient::over_tcp(gateway.addr("plain")).await;
    client.login(&[("accept-version", "1.2")]).await;
    client
}

#[tokio::test]
async fn a_message_goes_from_a_websocket_to_tcp_and_back() {
    let gateway = settings().start().await;
    let mut device = connect(&gateway).await;
    let mut page = StompClient::connect(gateway.ws_addr()).await;
    device.subscribe("commands", "/topic/commands", "auto").await;
    page.subscribe("readings", "/queue/readings", "auto").await;
    page.send("SEND", &[("destination", "/topic/commands")], "report").await;
    device.expect_message("report").await;
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let length = binary.len().to_string();
    let headers = [("destination", "/queue/readings"), ("content-length", length.as_str())];
    device.send("SEND", &headers, &binary).await;
    page.expect_message(&binary).await;
    page.send("SEND", &[("destination", "/topic/commands")], "again").await;
    device.expect_message("again").await;
    device.send_confirmed("DISCONNECT", &[], "").await;
    assert_eq!(device.closing().await.code, None);
}

#[tokio::test]
async fn frames_may_come_byte_by_byte_or_many_at_once() {
    let gateway = settings().start().await;
    let mut client = connect(&gateway).await;
    client.subscribe("mine", "/queue/mine", "auto").await;
    let frame = frame_bytes("SEND", &[("destination", "/queue/mine")], "slow");
    for byte in frame {
        client.send_bytes(&[byte]).await;
    }
    client.expect_message("slow").await;
    let many: Vec<u8> = (0..500)
        .flat_map(|n| frame_bytes("SEND", &[("destination", "/queue/mine")], n.to_string()))
        .collect();
    client.send_bytes(&many).await;
    for n in 0..500 {
        client.expect_message(n.to_string()).await;
    }
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let settings = settings().config(|config| plain(config).max_connections = 1);
    let gateway = settings.start().await;
    let mut first = connect(&gateway).await;
    let mut second = StompClient::over_tcp(gateway.addr("plain")).await;
    let error = second.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("Connection limit reached"));
    assert!(error.text().contains("all 1 connections"), "{}", error.text());
    second.closing().await;
    first.subscribe("still", "/queue/served", "auto").await;
}

#[tokio::test]
async fn who_does_not_log_in_is_told_so_and_closed() {
    let settings = settings().config(|config| {
        let route = config.route.get_mut("plain").unwrap();
        route.limits.login_timeout = Millis(Duration::from_millis(200));
    });
    let gateway = settings.start().await;
    let mut silent = StompClient::over_tcp(gateway.addr("plain")).await;
    assert_eq!(silent.expect("ERROR").await.header("message"), Some("Login timeout"));
    silent.closing().await;
    // Nor does a browser that has come to the wrong port find out anything else.
    let mut lost = StompClient::over_tcp(gateway.addr("plain")).await;
    lost.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(lost.expect("ERROR").await.header("message"), Some("Bad command"));
}

#[tokio::test]
async fn a_client_that_promised_no_heart_beats_is_not_taken_for_dead() {
    let settings = settings().config(|config| {
        let route = config.route.get_mut("plain").unwrap();
        route.stomp.heartbeat_min = Millis(Duration::from_millis(100));
        route.stomp.heartbeat_default = Millis(Duration::from_millis(100));
    });
    let gateway = settings.start().await;
    let mut quiet = connect(&gateway).await;
    let mut lively = StompClient::over_tcp(gateway.addr("plain")).await;
    lively.login(&[("accept-version", "1.2"), ("heart-beat", "100,0")]).await;
    // It promised some and sends none: by the time it is given up, the other was silent for as long.
    let error = lively.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("Heart-beat missed"));
    quiet.subscribe("still", "/queue/there", "auto").await;
}

#[tokio::test]
async fn a_draining_gateway_says_goodbye() {
    let gateway = settings().start().await;
    let mut client = connect(&gateway).await;
    let stopping = tokio::spawn(gateway.stop());
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("Server shutting down"), "{error:?}");
    client.closing().await;
    drop(client);
    assert_eq!(stopping.await.unwrap().cut, 0);
}
