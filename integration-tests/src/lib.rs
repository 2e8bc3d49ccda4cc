//! The gateway from outside: what the tests in `tests/` start and speak with.
//!
//! [`TestGateway`] runs a whole gateway in the test's process, on ports of its own, and [`GatewayProcess`] one
//! that can be killed. [`RawWs`], [`StompClient`], [`WampClient`] and [`RawSocketClient`] are clients written
//! from the specifications, so that a test can also send what no library would: they share no code with the
//! gateway, and must never use `protocols`, a WebSocket library or one for WAMP.
//!
//! Everything here panics where a test would fail: a reply that does not come within [`CEILING`],
//! a connection that ends too early, a frame that breaks its specification.

mod gateway;
mod http;
mod process;
mod raw_socket;
mod raw_ws;
mod realm;
mod scripts;
mod stomp;
mod wait;
mod wamp;
mod world;

pub use gateway::{Settings, TestGateway};
pub use http::{HttpReply, Request, http_exchange};
pub use process::GatewayProcess;
pub use raw_socket::{RawSocketClient, frame_type, raw_frame};
pub use raw_ws::{Closing, Frame, Length, RawWs, opcode};
pub use realm::{REALM, serve_rawsocket, serve_wamp};
pub use scripts::{node_script, python, python_script};
pub use stomp::{Incoming, StompClient, StompFrame, frame_bytes};
pub use wait::{CEILING, within};
pub use wamp::{
    Invocation, Login, Payload, Serializer, WampClient, WampError, WampEvent, WampMessage, binary,
    code,
};
pub use world::World;
