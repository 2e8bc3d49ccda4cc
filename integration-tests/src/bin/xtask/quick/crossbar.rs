//! [`Crossbar`]: Crossbar.io as a process of its own, which reaches nothing but itself.
//!
//! It runs in a network namespace without any interface but loopback, and the load generator that
//! talks to it joins that. So it cannot call home, whatever it has in it. Its controller starts a
//! worker, which routes; both are watched, and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::command::{Failure, Run, root};
use crate::gateway::{CEILING, poll, signal};
use crate::install;

/// Where it listens for WebSockets; the configuration says so too.
const PORT: u16 = 18080;

/// A running Crossbar.io. It is killed when it is dropped before it was stopped.
pub(crate) struct Crossbar {
    controller: Child,
    workers: Vec<u32>,
}

impl Crossbar {
    /// Installs it where that has not been done, starts it and waits until it listens.
    pub(crate) fn start() -> Result<Self, Failure> {
        let command = install::crossbar()?;
        let ours = root().join("integration-tests/bench/crossbar");
        let directory = root().join("target/bench/crossbar/node");
        fs::create_dir_all(&directory).map_err(Failure::file(&directory))?;
        let config = directory.join("config.json");
        fs::copy(ours.join("config.json"), &config).map_err(Failure::file(&config))?;

        let alone = ["--map-root-user", "--net", "sh", "-c"];
        let controller = Run::program("unshare")
            .env("HOME", &directory)
            .env("PYTHONPATH", &ours)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(alone)
            .args(["ip link set lo up && exec \"$@\"", "sh"])
            .args([&command])
            .args(["start", "--loglevel", "warn", "--cbdir"])
            .args([&directory])
            .start()?;
        let mut crossbar = Self { controller, workers: Vec::new() };
        crossbar.await_listening()?;
        crossbar.workers = children(crossbar.process());
        Ok(crossbar)
    }

    /// Where it listens, for those in its namespace.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{PORT}/")
    }

    /// The number of the process that has started the others.
    pub(crate) fn process(&self) -> u32 {
        self.controller.id()
    }

    /// A program in its namespace.
    pub(crate) fn beside(&self, program: &Path) -> Run {
        Run::program("nsenter")
            .args([format!("--target={}", self.process())])
            .args(["--user", "--preserve-credentials", "--net", "--"])
            .args([program])
    }

    fn await_listening(&mut self) -> Result<(), Failure> {
        let process = self.process();
        let ended = poll(|| {
            if is_alone(process) && listens(process) {
                return Some(None);
            }
            self.controller.try_wait().ok().flatten().map(Some)
        });
        Err(Failure::Unexpected(match ended {
            Some(None) => return Ok(()),
            Some(Some(status)) => format!("it ended with {status} before it listened"),
            None => format!("it does not listen after {CEILING:?}"),
        }))
    }

    /// SIGTERM must end it, and its workers with it.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        signal("TERM", self.process()).done()?;
        let ended = poll(|| self.controller.try_wait().ok().flatten());
        if ended.is_none() {
            let text = format!("SIGTERM did not end Crossbar.io within {CEILING:?}");
            return Err(Failure::Unexpected(text));
        }
        let workers = std::mem::take(&mut self.workers);
        match poll(|| workers.iter().all(|worker| !is_ours(*worker)).then_some(())) {
            Some(()) => Ok(()),
            None => {
                self.workers = workers;
                let text = "a worker of Crossbar.io did not end with its controller".to_owned();
                Err(Failure::Unexpected(text))
            }
        }
    }
}

impl Drop for Crossbar {
    fn drop(&mut self) {
        // None of it matters for processes that have ended.
        let _ = self.controller.kill().and_then(|()| self.controller.wait());
        for worker in self.workers.iter().filter(|worker| is_ours(**worker)) {
            let _ = signal("KILL", *worker).done();
        }
    }
}

fn process_directory(process: u32) -> PathBuf {
    Path::new("/proc").join(process.to_string())
}

/// Whether it has a network of its own.
fn is_alone(process: u32) -> bool {
    let network = |directory: PathBuf| fs::read_link(directory.join("ns/net")).ok();
    let its = network(process_directory(process));
    its.is_some() && its != network("/proc/self".into())
}

/// Whether anything listens on [`PORT`] in its network: proc_net_tcp(5), where the address is a number
/// of the machine's and 0A is LISTEN.
fn listens(process: u32) -> bool {
    let table = fs::read_to_string(process_directory(process).join("net/tcp")).unwrap_or_default();
    let port = format!(":{PORT:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_port = fields.next().is_some_and(|address| address.ends_with(&port));
        is_port && fields.nth(1) == Some("0A")
    })
}

/// The processes that this one has started.
fn children(process: u32) -> Vec<u32> {
    let path = process_directory(process).join(format!("task/{process}/children"));
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process with this number is there that is one of Crossbar.io's. Its workers call
/// themselves so; a number may have been given to another process meanwhile.
fn is_ours(process: u32) -> bool {
    let path = process_directory(process).join("cmdline");
    fs::read(path).is_ok_and(|name| name.starts_with(b"crossbar-worker"))
}
