//! Free ports.
//!
//! They are taken below the range that systems give to outgoing connections (from 32768 on Linux).
//! A port in that range may become the other end of somebody's connection while the node that
//! listened there is stopped; and a client that tries to reach such a port again and again ends up
//! connected to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// How far apart two processes begin to look.
const STRIDE: u32 = 64;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address of the loopback interface that nobody listens on, never given twice to one process.
pub(crate) fn free_address() -> SocketAddr {
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = std::process::id().wrapping_mul(STRIDE);
        let port = FIRST + start.wrapping_add(offset) % COUNT;
        let port = u16::try_from(port).expect("30,000 is a port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port from {FIRST} on is free");
}
