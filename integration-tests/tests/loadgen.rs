//! The load generator against a gateway: each scenario ends well, and what is wrong is told.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use integration_tests::{TestGateway, serve_wamp, within};
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs it to its end.
async fn loadgen(address: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(arguments).arg("--url").arg(format!("ws://{address}/ws"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    within("the load generator", command.output()).await.unwrap()
}

/// Runs it; nothing may be lost. Returns its result.
async fn whole(address: SocketAddr, arguments: &[&str]) -> Value {
    let output = loadgen(address, arguments).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaints}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["lost"], &result["wrong"]), (&0.into(), &0.into()), "{result}");
    result
}

#[tokio::test]
async fn every_scenario_loses_nothing() {
    let gateway = TestGateway::embedded().start().await;
    let address = gateway.ws_addr();
    let few = ["--messages", "300", "--warmup", "20", "--window", "16"];
    for (scenario, deliveries) in [
        (&["pubsub"][..], 300),
        (&["pubsub", "--pairs", "3", "--frames", "binary"], 900),
        (&["pubsub", "--fan-out", "10"], 3000),
        (&["receipts", "--pairs", "2", "--body", "5000"], 600),
        (&["queue"], 300),
        (&["queue", "--ack", "client"], 300),
        (&["queue", "--ack", "client-individual", "--body", "70000"], 300),
    ] {
        let result = whole(address, &[scenario, &few].concat()).await;
        assert_eq!(result["deliveries"], deliveries, "{scenario:?}: {result}");
    }
}

/// More requests than an ID has digits, or bytes, in any serializer at first.
#[tokio::test]
async fn every_scenario_of_wamp_loses_nothing() {
    let gateway = TestGateway::embedded().config(|config| serve_wamp(config, json!({})));
    let gateway = gateway.start().await;
    let few = ["--messages", "300", "--warmup", "20", "--window", "16"];
    for serializer in ["--wamp=json", "--wamp=msgpack", "--wamp=cbor"] {
        for (scenario, deliveries) in [
            (&["pubsub"][..], 300),
            (&["pubsub", "--pairs", "3", "--body", "5000"], 900),
            (&["pubsub", "--fan-out", "10"], 3000),
            (&["rpc"], 300),
            (&["rpc", "--pairs", "3", "--body", "70000"], 900),
        ] {
            let arguments = [scenario, &few, &[serializer]].concat();
            let result = whole(gateway.ws_addr(), &arguments).await;
            assert_eq!(result["deliveries"], deliveries, "{arguments:?}: {result}");
            let latency = |part: &str| result["latency_us"][part].as_u64().unwrap();
            assert!(latency("p50") > 0 && latency("p50") <= latency("max"), "{result}");
        }
    }
}

#[tokio::test]
async fn a_realm_that_is_not_there_is_a_failure_in_the_words_of_the_server() {
    let gateway = TestGateway::embedded().config(|config| serve_wamp(config, json!({})));
    let gateway = gateway.start().await;
    let output = loadgen(gateway.ws_addr(), &["rpc", "--wamp=json", "--realm=nowhere"]).await;
    assert_eq!(output.status.code(), Some(1));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("ABORT from the server: wamp.error.no_such_realm"), "{complaints}");
}

#[tokio::test]
async fn the_processor_time_and_the_memory_of_named_processes_are_told() {
    let gateway = TestGateway::embedded().start().await;
    let pid = format!("gateway={}", std::process::id());
    let arguments = ["pubsub", "--messages", "100", "--cpu", &pid];
    let result = whole(gateway.ws_addr(), &arguments).await;
    for name in ["gateway", "loadgen"] {
        assert!(result["cpu_us_per_delivery"][name].is_number(), "{result}");
        assert!(result["memory"][name].as_u64().unwrap() > 0, "{result}");
    }
}

/// A queue that holds a message of somebody else's.
#[tokio::test]
async fn a_message_that_does_not_belong_there_is_a_failure() {
    let gateway = TestGateway::embedded().start().await;
    let mut stranger = integration_tests::StompClient::connect(gateway.ws_addr()).await;
    let destination = [("destination", "/queue/loadgen.shared.0")];
    stranger.send_confirmed("SEND", &destination, "not of this run").await;
    let arguments = ["receipts", "--name", "shared", "--messages", "10", "--warmup", "0"];
    let output = loadgen(gateway.ws_addr(), &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["lost"], &result["wrong"]), (&0.into(), &1.into()), "{result}");
}

/// A queue that somebody else takes from.
#[tokio::test]
async fn a_message_that_does_not_come_is_a_failure() {
    let gateway = TestGateway::embedded().start().await;
    let mut thief = integration_tests::StompClient::connect(gateway.ws_addr()).await;
    thief.subscribe("0", "/queue/loadgen.robbed.0", "auto").await;
    let arguments = ["queue", "--name", "robbed", "--messages", "10", "--warmup", "0"];
    let output = loadgen(gateway.ws_addr(), &[&arguments[..], &["--patience", "1"]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(result["lost"], 0, "{result}");
}

#[tokio::test]
async fn a_refused_login_is_told_in_the_words_of_the_server() {
    let gateway = TestGateway::embedded().start().await;
    let output = loadgen(gateway.ws_addr(), &["pubsub", "--passcode", "wrong"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("ERROR from the server: Bad CONNECT: "), "{complaint}");
}

#[tokio::test]
async fn wrong_flags_are_answered_with_what_would_be_right() {
    let nowhere = ([127, 0, 0, 1], 9).into();
    for arguments in [
        &["pubsub", "--messages", "none"][..],
        &["storm"],
        &["--fast"],
        &["queue", "--fan-out", "2"],
    ] {
        let output = loadgen(nowhere, arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("--help"), "{complaint}");
    }
}
