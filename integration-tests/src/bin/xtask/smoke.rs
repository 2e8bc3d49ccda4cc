//! The gateway as its users meet it: the command itself, started as the README says, and the
//! README's snippets unchanged but for the ports; on the embedded broker, and before a RabbitMQ.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use rabbitmq_node::{Node, Options};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::command::{Failure, Run};
use crate::gateway::{Gateway, before, binary};
use crate::install::{node_directory, python};
use crate::readme::Readme;

/// The gateway's port in the README's snippets.
const DOCUMENTED_PORT: &str = "15674";

/// RabbitMQ's port in them.
const DOCUMENTED_AMQP_PORT: &str = "5672";

/// The section whose snippets need a RabbitMQ.
const WITH_RABBITMQ: &str = "With RabbitMQ";

/// How the gateway is built here: fast.
const PROFILE: &str = "debug";

/// What each of them prints at the end of a line, once its message has come back.
const GREETING: &str = "hello";

/// Starts the gateway, runs the snippets against it, stops it; on either broker.
pub(crate) fn smoke() -> Result<(), Failure> {
    Run::cargo().args(["build", "-p", "gateway"]).done()?;
    let (embedded, rabbitmq) = Readme::read()?.split(WITH_RABBITMQ)?;
    let on_embedded = on_embedded(&embedded);
    on_rabbitmq(&rabbitmq).and(on_embedded)
}

fn on_embedded(readme: &Readme) -> Result<(), Failure> {
    serving(Gateway::start(PROFILE, |run| run)?, |address| {
        for language in [Language::JavaScript, Language::Python] {
            for snippet in readme.snippets(language.fence(), DOCUMENTED_PORT, address.port())? {
                run_snippet(language, &snippet)?;
            }
        }
        Ok(())
    })
}

/// The snippets ask and answer each other, so they run at the same time.
fn on_rabbitmq(readme: &Readme) -> Result<(), Failure> {
    let file = node_directory().join("readme.toml");
    for snippet in readme.snippets("toml", DOCUMENTED_PORT, 0)? {
        fs::write(&file, snippet).map_err(Failure::file(&file))?;
        Run::program(binary(PROFILE, "gateway"))
            .args(["--check", "--config"])
            .args([&file])
            .done()?;
    }

    let runtime = Runtime::new()
        .map_err(|error| Failure::Unexpected(format!("no runtime can be started: {error}")))?;
    let node = runtime.block_on(node_with_guest());
    let amqp = node.amqp_addr();
    let gateway = Gateway::start(PROFILE, |run| before(run, amqp))?;
    serving(gateway, |address| {
        let answer = readme.snippets("python", DOCUMENTED_AMQP_PORT, amqp.port())?;
        let ask = readme.snippets("js", DOCUMENTED_PORT, address.port())?;
        thread::scope(|scope| {
            let answers = scope.spawn(|| run_snippet(Language::Python, &answer.concat()));
            let asked = run_snippet(Language::JavaScript, &ask.concat());
            let answered = answers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            answered.and(asked)
        })
    })
}

/// A RabbitMQ as it is after it was installed: `guest` may do everything.
async fn node_with_guest() -> Node {
    let node = Node::start(Options::default()).await;
    let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    node.api().put("/users/guest", json!({ "password": "guest", "tags": "" })).await;
    node.api().put("/permissions/%2F/guest", everything).await;
    node
}

/// Does something with a gateway, and stops it.
fn serving(
    gateway: Gateway,
    clients: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let served = clients(gateway.address());
    let stopped = gateway.stop();
    served.and(stopped)
}

/// What a snippet is written in.
#[derive(Debug, Clone, Copy)]
enum Language {
    JavaScript,
    Python,
}

impl Language {
    const fn fence(self) -> &'static str {
        match self {
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// What runs it, and what its file is called.
    fn program(self) -> (PathBuf, &'static str) {
        match self {
            Self::JavaScript => (PathBuf::from("node"), "readme.mjs"),
            Self::Python => (python(), "readme.py"),
        }
    }
}

/// Runs a snippet, which must print [`GREETING`].
fn run_snippet(language: Language, snippet: &str) -> Result<(), Failure> {
    let (program, name) = language.program();
    let file = node_directory().join(name);
    fs::write(&file, snippet).map_err(Failure::file(&file))?;
    let printed = Run::program("timeout")
        .args([Path::new("60"), program.as_path(), file.as_path()])
        .output()?;
    if printed.lines().any(|line| line.ends_with(GREETING)) {
        Ok(())
    } else {
        let language = language.fence();
        let text = format!("README.md's {language} snippet did not print {GREETING}");
        Err(Failure::Unexpected(text))
    }
}
