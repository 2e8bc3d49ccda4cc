//! The `gateway` command: parses its arguments, runs the gateway, waits for a signal.
//!
//! Exit codes: 0 after an orderly stop, 1 if it could not start, 2 if the configuration is wrong.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use gateway::cli::{Cli, Request};
use gateway::config::{
    AnonymousFrom, Broker, Config, Endpoint, ListenerTransport, Realm, ServiceLogin, Verify,
};
use gateway::{Gateway, Running, StartError, telemetry};
use protocols::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

fn main() -> ExitCode {
    let config = match Cli::parse().request(&Registry::standard()) {
        Ok(Request::Run(config)) => *config,
        Ok(Request::Print(text)) => {
            say(io::stdout(), &text.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(errors) => {
            say(io::stderr(), &errors);
            return ExitCode::from(2);
        }
    };
    let _flow = match telemetry::init(&config.log) {
        Ok(flow) => flow,
        Err(error) => {
            say(io::stderr(), &error);
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(io::stderr(), &format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(config))
}

/// Writes a text and the end of its line. A stream that nobody reads is no fault of the gateway's:
/// what cannot be said is left unsaid.
fn say(mut stream: impl Write, text: &dyn Display) {
    let _ = stream.write_all(format!("{text}\n").as_bytes()).and_then(|()| stream.flush());
}

async fn run(config: Config) -> ExitCode {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            say(io::stderr(), &format!("cannot listen for signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let running = match Gateway::new(config.clone()).start().await {
        Ok(running) => running,
        Err(error) => {
            say(io::stderr(), &error);
            return ExitCode::from(if matches!(error, StartError::Config(_)) { 2 } else { 1 });
        }
    };
    say(io::stdout(), &welcome(&config, &running));
    wait(&mut terminate, &mut interrupt).await;
    tokio::select! {
        drained = running.drain() => info!(cut = drained.cut, "drained"),
        () = wait(&mut terminate, &mut interrupt) => warn!("stopped at once by a second signal"),
    }
    ExitCode::SUCCESS
}

async fn wait(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// What listens where, and how to try it.
fn welcome(config: &Config, running: &Running) -> String {
    let mut lines = format!("gateway {}\n", env!("CARGO_PKG_VERSION"));
    for route in config.route.values() {
        let Some(addr) = running.addr(&route.listener) else {
            continue;
        };
        let protocols = route.protocols.join(", ");
        let broker = config.broker.get(&route.broker).map_or_else(String::new, describe);
        let transport = config.listener.get(&route.listener).map(|listener| listener.transport);
        let url = match transport {
            Some(ListenerTransport::StompTcp) => format!("tcp://{addr}"),
            Some(ListenerTransport::WampRawsocket) => format!("rs://{addr}"),
            _ => format!("ws://{addr}{}", route.path),
        };
        let line = format!("  {url}  {protocols}, broker {broker}\n");
        lines.push_str(&line);
        for (name, realm) in config.realm.iter().filter(|(_, it)| it.broker == route.broker) {
            if route.protocols.iter().any(|id| id == "wamp") {
                lines.push_str(&format!("      realm {name}{}\n", describe_realm(realm)));
            }
        }
        let service = route.service_login.as_ref();
        if let Some(ServiceLogin { login, .. }) = service {
            lines.push_str(&format!("      at the broker every session is {login}\n"));
        }
        if service.is_some_and(|service| service.verify == Verify::None) {
            lines.push_str("      no client's login is verified\n");
        } else if let Some(login) = &route.default_login {
            lines.push_str(&format!("      clients that send no login are {login}\n"));
        }
    }
    if let Some(addr) = running.admin_addr() {
        lines.push_str(&format!("  http://{addr}  /livez, /readyz\n"));
    }
    lines.push_str("To try it: the snippets in README.md. To see every setting: --print-config.");
    lines
}

fn describe_realm(realm: &Realm) -> &'static str {
    match (&realm.anonymous, realm.anonymous_from) {
        (None, _) => "",
        (Some(_), AnonymousFrom::Loopback) => ", open to anonymous clients from this machine",
        (Some(_), AnonymousFrom::Anywhere) => ", open to anonymous clients",
    }
}

fn describe(broker: &Broker) -> String {
    let embedded = match broker {
        Broker::Embedded(embedded) => embedded,
        Broker::Rabbitmq(rabbitmq) => {
            let urls: Vec<_> = rabbitmq.url.iter().map(Endpoint::to_string).collect();
            return format!("RabbitMQ at {}", urls.join(", "));
        }
    };
    let user = |login: &String| match embedded.loopback_users.contains(login) {
        true => format!("{login} (from this machine only)"),
        false => login.clone(),
    };
    let users: Vec<_> = embedded.user.keys().map(user).collect();
    format!("embedded, in memory; users: {}", users.join(", "))
}
