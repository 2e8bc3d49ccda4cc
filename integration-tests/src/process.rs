//! A gateway in a process of its own: for tests that kill it, or watch what it takes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::wait::within;

/// A running gateway. It is killed when it is dropped, and ends with this process.
#[derive(Debug)]
pub struct GatewayProcess {
    child: Child,
    address: SocketAddr,
}

impl GatewayProcess {
    /// Starts `gateway_process`, which is this program, with these arguments.
    pub async fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let mut child = Command::new(program.as_ref())
            .args(arguments)
            // One heap for all threads (malloc(3) of glibc), so that what one of them gives back serves the
            // others, and how much it has does not depend on which thread has done what.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program was built");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let line = within("the gateway's address", lines.next_line()).await;
        let line = line.expect("it can be read").expect("the gateway starts");
        Self { child, address: line.parse().expect("it says where it listens") }
    }

    /// Where it listens for WebSockets, at `/ws`.
    pub const fn ws_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once (SIGKILL): it says nothing to anybody, and the system ends its connections.
    pub fn start_kill(&mut self) {
        self.child.start_kill().expect("it runs");
    }

    /// KiB of memory that it has now, as Linux counts it (proc(5), `VmRSS`).
    pub fn resident(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|size| size.trim().strip_suffix(" kB"));
        size.and_then(|size| size.parse().ok()).expect("Linux says how much it has")
    }
}
