//! The gateway as its users meet it: the command itself, started as the README says, and the
//! README's snippets unchanged but for the ports; on the embedded broker, and before a RabbitMQ.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rabbitmq_node::{Node, Options};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::command::{Failure, Run, root};
use crate::install::{node_directory, python};
use crate::readme::Readme;

/// The gateway's port in the README's snippets.
const DOCUMENTED_PORT: &str = "15674";

/// RabbitMQ's port in them.
const DOCUMENTED_AMQP_PORT: &str = "5672";

/// The section whose snippets need a RabbitMQ.
const WITH_RABBITMQ: &str = "With RabbitMQ";

/// What each of them prints at the end of a line, once its message has come back.
const GREETING: &str = "hello";

/// Time the gateway may take to listen, and to end after SIGTERM. Its own grace is 10 s.
const CEILING: Duration = Duration::from_secs(30);

/// Starts the gateway, runs the snippets against it, stops it; on either broker.
pub(crate) fn smoke() -> Result<(), Failure> {
    Run::cargo().args(["build", "-p", "gateway"]).done()?;
    let (embedded, rabbitmq) = Readme::read()?.split(WITH_RABBITMQ)?;
    let on_embedded = on_embedded(&embedded);
    on_rabbitmq(&rabbitmq).and(on_embedded)
}

fn on_embedded(readme: &Readme) -> Result<(), Failure> {
    serving(gateway()?, |address| {
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
        gateway()?.args(["--check", "--config"]).args([&file]).done()?;
    }

    let runtime = Runtime::new()
        .map_err(|error| Failure::Unexpected(format!("no runtime can be started: {error}")))?;
    let node = runtime.block_on(node_with_guest());
    let amqp = node.amqp_addr();
    let gateway = gateway()?
        .args(["--config", "gateway/config/rabbitmq.toml"])
        .env("GATEWAY_BROKER__MAIN__URL", format!("amqp://{amqp}"));
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

/// The gateway's command.
fn gateway() -> Result<Run, Failure> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(Run::program(root().join(target).join("debug/gateway"))
        .env("GATEWAY_ADMIN__BIND", free_address()?.to_string()))
}

/// Starts a gateway, does something with it once it listens, and stops it.
fn serving(
    gateway: Run,
    clients: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let address = free_address()?;
    let mut gateway = gateway.env("GATEWAY_LISTENER__WEB__BIND", address.to_string()).start()?;
    let served = await_listening(&mut gateway, address).and_then(|()| clients(address));
    let stopped = stop(&mut gateway);
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

/// An address on which nothing listens.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::Unexpected(format!("no free port: {error}")))
}

fn await_listening(gateway: &mut Child, address: SocketAddr) -> Result<(), Failure> {
    let ended = poll(|| {
        if TcpStream::connect(address).is_ok() {
            return Some(None);
        }
        gateway.try_wait().ok().flatten().map(Some)
    });
    match ended {
        Some(None) => Ok(()),
        Some(Some(status)) => {
            Err(Failure::Unexpected(format!("the gateway ended with {status} before it listened")))
        }
        None => Err(Failure::Unexpected(format!("nothing listens on {address} after {CEILING:?}"))),
    }
}

/// SIGTERM must end it in order, with exit code 0.
fn stop(gateway: &mut Child) -> Result<(), Failure> {
    // The shell's own `kill`: the program of that name is not installed everywhere.
    let kill = format!("kill -TERM {}", gateway.id());
    Run::program("sh").args(["-c", &kill]).done()?;
    match poll(|| gateway.try_wait().ok().flatten()) {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            Err(Failure::Unexpected(format!("after SIGTERM the gateway ended with {status}")))
        }
        None => {
            let _ = gateway.kill().and_then(|()| gateway.wait());
            Err(Failure::Unexpected(format!("SIGTERM did not end the gateway within {CEILING:?}")))
        }
    }
}

/// Asks until there is an answer or [`CEILING`] has passed.
fn poll<T>(mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = question();
        if answer.is_some() || start.elapsed() > CEILING {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
}
