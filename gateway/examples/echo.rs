//! A sub-protocol of one's own: `echo` returns every text or binary message as it came.
//!
//! `cargo run --release --example echo -- 127.0.0.1:9001` serves it at `ws://127.0.0.1:9001/ws`,
//! also to clients that name no sub-protocol: that is how WebSocket conformance suites connect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::Gateway;
use gateway::config::{Config, Listener, Route, units::ByteSize};
use gateway::protocols::session::{Close, CloseCause, CloseCode, Established, OutFrame, Unit};
use gateway::protocols::violation::Violation;
use gateway::protocols::{Actions, Session, SessionSetup, Subprotocol};

pub(crate) struct Echo;

impl Subprotocol for Echo {
    fn id(&self) -> &'static str {
        "echo"
    }
    fn names(&self) -> &'static [&'static str] {
        &["echo"]
    }
    fn open(&self, _: SessionSetup) -> Box<dyn Session> {
        Box::new(Self)
    }
}

impl Session for Echo {
    fn handle_input(&mut self, _: Instant, unit: Unit, actions: &mut Actions) {
        // There is no login, so the first message lifts the bound on what may come before one.
        actions.established = Some(Established { probe: Duration::ZERO });
        actions.frames.push(OutFrame::new(unit.kind, unit.bytes));
    }
    fn handle_violation(&mut self, _: Instant, violation: Violation, actions: &mut Actions) {
        let (code, reason) = (violation.report().code, violation.to_string().into());
        actions.close = Some(Close { code, reason, cause: CloseCause::Violation(violation) });
    }
    fn start_drain(&mut self, _: Instant, actions: &mut Actions) {
        let (code, reason) = (CloseCode::GoingAway, "shutting down".into());
        actions.close = Some(Close { code, reason, cause: CloseCause::Drain });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let mut route = Route::between("web", &["echo"], "main");
    route.limits.frame_size = ByteSize(64 << 20);
    route.limits.frame_size_before_login = ByteSize(64 << 20);
    let mut config = Config::builtin();
    config.listener = [("web".into(), Listener::on(addr.parse()?))].into();
    config.route = [("echo".into(), route)].into();
    let running = Gateway::new(config).with_subprotocol(Arc::new(Echo)).start().await?;
    tokio::signal::ctrl_c().await?;
    running.drain().await;
    Ok(())
}
