//! Fuzz targets: plain functions of bytes that panic when an invariant breaks.
//!
//! `cargo fuzz run NAME` (nightly) searches for such bytes. `cargo test` (stable) replays the
//! corpus of every target in [`TARGETS`], and mutations of it. A new target is a function here, a
//! row in the table, a file in `fuzz_targets/` with its `[[bin]]`, and a directory in `corpus/`.

mod stomp_decoder;
mod stomp_session;
mod wamp_message;
mod wamp_rawsocket;
mod wamp_session;

pub use stomp_decoder::stomp_decoder;
pub use stomp_session::stomp_session;
pub use wamp_message::{wamp_cbor, wamp_json, wamp_msgpack};
pub use wamp_rawsocket::wamp_rawsocket;
pub use wamp_session::wamp_session;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Of its binary, and of its directory in `corpus/`.
    pub name: &'static str,
    /// Panics when an invariant breaks.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 7] = [
    Target { name: "stomp_decoder", run: stomp_decoder },
    Target { name: "stomp_session", run: stomp_session },
    Target { name: "wamp_cbor", run: wamp_cbor },
    Target { name: "wamp_json", run: wamp_json },
    Target { name: "wamp_msgpack", run: wamp_msgpack },
    Target { name: "wamp_rawsocket", run: wamp_rawsocket },
    Target { name: "wamp_session", run: wamp_session },
];

/// Runs a target on the files that the program's arguments name, so that what libFuzzer found can
/// be looked into without it.
///
/// *Errors.* A file that cannot be read.
pub fn run_files(run: fn(&[u8])) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path)?);
    }
    Ok(())
}
