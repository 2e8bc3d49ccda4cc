//! The gateway command as a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::command::{Failure, Run, root};

/// Time a server may take to listen, and to end after SIGTERM. The gateway's own grace is 10 s.
pub(crate) const CEILING: Duration = Duration::from_secs(30);

/// Where cargo puts this program of ours.
pub(crate) fn binary(profile: &str, name: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join(profile).join(name)
}

/// Tells a gateway that its broker is the RabbitMQ at this address.
pub(crate) fn before(gateway: Run, amqp: SocketAddr) -> Run {
    gateway
        .args(["--config", "gateway/config/rabbitmq.toml"])
        .env("GATEWAY_BROKER__MAIN__URL", format!("amqp://{amqp}"))
}

/// A running gateway. It is killed when it is dropped before it was stopped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts the one that was built with this profile, on free ports, and waits until it listens.
    /// `with` adds what it is told besides.
    pub(crate) fn start(profile: &str, with: impl FnOnce(Run) -> Run) -> Result<Self, Failure> {
        let address = free_address()?;
        let run = Run::program(binary(profile, "gateway"))
            .env("GATEWAY_LISTENER__WEB__BIND", address.to_string())
            .env("GATEWAY_ADMIN__BIND", free_address()?.to_string());
        let mut gateway = Self { child: with(run).start()?, address };
        gateway.await_listening()?;
        Ok(gateway)
    }

    /// Where it listens for WebSockets.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn await_listening(&mut self) -> Result<(), Failure> {
        let ended = poll(|| {
            if TcpStream::connect(self.address).is_ok() {
                return Some(None);
            }
            self.child.try_wait().ok().flatten().map(Some)
        });
        Err(Failure::Unexpected(match ended {
            Some(None) => return Ok(()),
            Some(Some(status)) => format!("the gateway ended with {status} before it listened"),
            None => format!("nothing listens on {} after {CEILING:?}", self.address),
        }))
    }

    /// SIGTERM must end it in order, with exit code 0.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        signal("TERM", self.child.id()).done()?;
        Err(Failure::Unexpected(match poll(|| self.child.try_wait().ok().flatten()) {
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("after SIGTERM the gateway ended with {status}"),
            None => format!("SIGTERM did not end the gateway within {CEILING:?}"),
        }))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Neither matters for a process that has ended.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: u32) -> Run {
    // The shell's own `kill`: the program of that name is not installed everywhere.
    Run::program("sh").args(["-c", &format!("kill -{name} {process}")])
}

/// An address on which nothing listens.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::Unexpected(format!("no free port: {error}")))
}

/// Asks until there is an answer or [`CEILING`] has passed.
pub(crate) fn poll<T>(mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = question();
        if answer.is_some() || start.elapsed() > CEILING {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
