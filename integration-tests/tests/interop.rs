//! Clients that others wrote, against the gateway. `cargo xtask interop` installs and runs them;
//! each script says line by line what it has checked.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use integration_tests::TestGateway;
use rabbitmq_node::Node;
use tokio::process::Command;

/// The longest a whole script may take.
const CEILING: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py() {
    let script = here().join("interop/python/stomp_py.py");
    run(installed().join("venv/bin/python"), &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs() {
    run("node".into(), &node_script("stompjs.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webstomp() {
    run("node".into(), &node_script("webstomp.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pika_on_the_other_side() {
    let vhost = Node::shared().await.vhost().await;
    let script = here().join("interop/python/amqp_peer.py");
    let gateway = TestGateway::rabbitmq(&vhost).start().await;
    let (user, passcode, name) = (vhost.user(), vhost.passcode(), vhost.name());
    let amqp = format!("amqp://{user}:{passcode}@{}/{name}", vhost.amqp_addr());
    run_with(gateway, installed().join("venv/bin/python"), &script, Some(amqp)).await;
}

async fn run(program: PathBuf, script: &Path) {
    run_with(TestGateway::embedded().start().await, program, script, None).await;
}

/// The script gets the gateway's URL and this argument.
async fn run_with(gateway: TestGateway, program: PathBuf, script: &Path, more: Option<String>) {
    let url = format!("ws://{}/ws", gateway.ws_addr());
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

/// Node finds packages beside the script, so the scripts are copied to where they are installed.
fn node_script(name: &str) -> PathBuf {
    let directory = installed().join("node");
    for file in ["suite.mjs", name] {
        let source = here().join("interop/node").join(file);
        std::fs::copy(&source, directory.join(file)).unwrap_or_else(|error| {
            panic!("{}: {error}; run `cargo xtask interop`", directory.display())
        });
    }
    directory.join(name)
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn installed() -> PathBuf {
    here().join("../target/interop")
}
