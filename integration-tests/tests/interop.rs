//! Clients that others wrote, against the gateway. `cargo xtask interop` installs and runs them;
//! each script says line by line what it has checked.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use integration_tests::{TestGateway, node_script, python, python_script};
use rabbitmq_node::Node;
use tokio::process::Command;

/// The longest a whole script may take.
const CEILING: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py() {
    let script = python_script("stomp_py.py");
    run(python(), &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_over_tcp() {
    let gateway = TestGateway::embedded().with_stomp_tcp().start().await;
    let url = format!("tcp://{}", gateway.addr("plain"));
    let script = python_script("stomp_py.py");
    run_at(url, gateway, python(), &script, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs() {
    run("node".into(), &node_script("stompjs.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_in_chromium() {
    run("node".into(), &node_script("chromium.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_in_chromium_before_rabbitmq() {
    let vhost = Node::shared().await.vhost().await;
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let login = [vhost.user(), vhost.passcode(), vhost.name()].map(str::to_owned);
    run_with(gateway, "node".into(), &node_script("chromium.mjs"), &login).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webstomp() {
    run("node".into(), &node_script("webstomp.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pika_on_the_other_side() {
    let vhost = Node::shared().await.vhost().await;
    let script = python_script("amqp_peer.py");
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let (user, passcode, name) = (vhost.user(), vhost.passcode(), vhost.name());
    let amqp = format!("amqp://{user}:{passcode}@{}/{name}", vhost.amqp_addr());
    run_with(gateway, python(), &script, &[amqp]).await;
}

async fn run(program: PathBuf, script: &Path) {
    run_with(TestGateway::embedded().start().await, program, script, &[]).await;
}

/// The script gets the gateway's URL and these arguments.
async fn run_with(gateway: TestGateway, program: PathBuf, script: &Path, more: &[String]) {
    let url = format!("ws://{}/ws", gateway.ws_addr());
    run_at(url, gateway, program, script, more).await;
}

async fn run_at(
    url: String,
    gateway: TestGateway,
    program: PathBuf,
    script: &Path,
    more: &[String],
) {
    let script_run = Command::new(&program)
        .arg(script)
        .arg(&url)
        .args(more)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(CEILING, script_run).await;
    let status = status.unwrap_or_else(|_| panic!("{} ran into {CEILING:?}", script.display()));
    let status = status.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask interop` installs what is needed", program.display())
    });
    assert!(status.success(), "{} ended with {status}", script.display());
    let drained = gateway.stop().await;
    assert_eq!(drained.cut, 0, "every client had said goodbye");
}
