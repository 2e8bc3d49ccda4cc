//! Clients that others wrote, against the gateway. `cargo xtask interop` installs and runs them;
//! each script says line by line what it has checked.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use integration_tests::TestGateway;
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

async fn run(program: PathBuf, script: &Path) {
    let gateway = TestGateway::embedded().start().await;
    let url = format!("ws://{}/ws", gateway.ws_addr());
    let script_run = Command::new(&program)
        .arg(script)
        .arg(&url)
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
