//! `loadgen`: load on the gateway, on RabbitMQ's own Web-STOMP or on another router of WAMP, and what
//! became of it.
//!
//! It shares no code with what it measures: its WebSocket, STOMP and WAMP are written here, and do
//! only what a measurement needs. One thread serves all clients. Messages are encoded but for their
//! numbers before the clock runs, and go out many to a write. Every message that comes is checked:
//! it must be the next one of its publisher, unchanged.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

mod connection;
mod fault;
mod flags;
mod latency;
mod load;
mod sequence;
mod speech;
mod stomp;
mod usage;
mod wamp;
mod websocket;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use serde_json::{Value, json};

use fault::Fault;
use flags::Flags;
use load::{Counts, Load};
use usage::{Usage, Watched};

fn main() -> ExitCode {
    let flags = Flags::parse().checked().unwrap_or_else(|error| error.exit());
    match measure(&flags) {
        Ok((line, is_whole)) => {
            println!("{line}");
            if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(fault) => {
            eprintln!("loadgen: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// A moment: what was counted until then, and what each watched process used.
struct Moment {
    at: Instant,
    counts: Counts,
    usages: Vec<Usage>,
}

impl Moment {
    fn now(load: &Load<'_>, watched: &[Watched]) -> Result<Self, Fault> {
        let usages = watched.iter().map(Watched::usage).collect::<Result<_, _>>()?;
        Ok(Self { at: Instant::now(), counts: load.counts(), usages })
    }
}

/// The result, and whether every message came as it should.
fn measure(flags: &Flags) -> Result<(Value, bool), Fault> {
    let watched: Vec<Watched> = flags.cpu.iter().cloned().chain([Watched::own()]).collect();
    let mut load = Load::open(flags)?;
    load.run_to(flags.amount.warmup)?;
    let start = Moment::now(&load, &watched)?;
    load.forget_latencies();
    load.run_to(flags.amount.warmup + flags.amount.messages)?;
    let end = Moment::now(&load, &watched)?;
    let latencies = [0.5, 0.9, 0.99, 1.0].map(|part| load.latencies().percentile(part));
    load.finish()?;

    let seconds = (end.at - start.at).as_secs_f64();
    let deliveries = end.counts.deliveries - start.counts.deliveries;
    let mut cpu = serde_json::Map::new();
    let mut memory = serde_json::Map::new();
    for (it, (before, after)) in watched.iter().zip(start.usages.iter().zip(&end.usages)) {
        // A process may have ended meanwhile, and what it had used with it.
        let used = after.cpu.saturating_sub(before.cpu);
        cpu.insert(it.name.clone(), ratio(used, deliveries));
        memory.insert(it.name.clone(), json!(after.memory));
    }
    let [median, p90, p99, longest] = latencies;
    let Counts { lost, wrong, .. } = load.counts();
    let line = json!({
        "messages": end.counts.messages - start.counts.messages,
        "deliveries": deliveries,
        "lost": lost,
        "wrong": wrong,
        "seconds": seconds,
        "rate": deliveries as f64 / seconds,
        "latency_us": { "p50": median, "p90": p90, "p99": p99, "max": longest },
        "cpu_us_per_delivery": cpu,
        "memory": memory,
    });
    Ok((line, lost == 0 && wrong == 0))
}

/// `null` where nothing was delivered.
fn ratio(total: u64, count: u64) -> Value {
    json!((count != 0).then(|| total as f64 / count as f64))
}
