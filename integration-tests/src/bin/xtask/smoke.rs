//! The gateway as its users meet it: the command itself, started with the built-in configuration,
//! and the README's snippets unchanged but for the port.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::command::{Failure, Run, root};
use crate::install::{node_directory, python};

/// The port in the README's snippets.
const DOCUMENTED_PORT: &str = "15674";

/// What each of them prints at the end of a line, once its message has come back.
const GREETING: &str = "hello";

/// Time the gateway may take to listen, and to end after SIGTERM. Its own grace is 10 s.
const CEILING: Duration = Duration::from_secs(30);

/// Starts the gateway, runs the snippets against it, stops it.
pub(crate) fn smoke() -> Result<(), Failure> {
    Run::cargo().args(["build", "-p", "gateway"]).done()?;
    let address = free_address()?;
    let mut gateway = start(address)?;
    let served = await_listening(&mut gateway, address).and_then(|()| run_snippets(address));
    let stopped = stop(&mut gateway);
    served.and(stopped)
}

/// An address on which nothing listens.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::Unexpected(format!("no free port: {error}")))
}

fn start(address: SocketAddr) -> Result<Child, Failure> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Run::program(root().join(target).join("debug/gateway"))
        .env("GATEWAY_LISTENER__WEB__BIND", address.to_string())
        .env("GATEWAY_ADMIN__BIND", free_address()?.to_string())
        .start()
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
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run_snippets(address: SocketAddr) -> Result<(), Failure> {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let directory = node_directory();
    for (language, program, name) in
        [("js", PathBuf::from("node"), "readme.mjs"), ("python", python(), "readme.py")]
    {
        let snippets = snippets(&readme, language);
        if snippets.is_empty() {
            let text = format!("README.md has no ```{language} block with port {DOCUMENTED_PORT}");
            return Err(Failure::Unexpected(text));
        }
        for snippet in snippets {
            let file = directory.join(name);
            fs::write(&file, snippet.replace(DOCUMENTED_PORT, &address.port().to_string()))
                .map_err(Failure::file(&file))?;
            let printed =
                Run::program("timeout").args(["60".as_ref(), program.as_path(), &file]).output()?;
            if !printed.lines().any(|line| line.ends_with(GREETING)) {
                let text = format!("README.md's {language} snippet did not print {GREETING}");
                return Err(Failure::Unexpected(text));
            }
        }
    }
    Ok(())
}

/// The fenced blocks in `language` that speak to the gateway.
fn snippets(readme: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```").filter(|fence| !fence.is_empty()) else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n");
        if fence == language && block.contains(DOCUMENTED_PORT) {
            found.push(block);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_the_language_that_speak_to_the_gateway_are_snippets() {
        let readme = "a\n```js\nnew Client('ws://127.0.0.1:15674/ws')\ngo()\n```\n\
                      ```sh\ncurl 127.0.0.1:15674\n```\n```js\nother()\n```\n";
        assert_eq!(snippets(readme, "js"), ["new Client('ws://127.0.0.1:15674/ws')\ngo()"]);
        assert!(snippets(readme, "python").is_empty());
    }
}
