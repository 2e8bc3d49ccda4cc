//! The gateway under load, beside others that do the same: RabbitMQ's own Web-STOMP, and Crossbar.io
//! for WAMP. Here is which scenarios, on what, how often.
//!
//! The targets take turns within a round, so that whatever else the machine does falls on each of
//! them, and the median of the rounds counts. `integration-tests/bench/README.md` says how to read
//! the tables.

mod crossbar;
mod table;

use std::net::SocketAddr;

use rabbitmq_node::{Node, Options, Vhost};
use serde_json::Value;

use crate::command::{Failure, Run};
use crate::gateway::{Gateway, binary};
use crossbar::Crossbar;
use table::{Row, Sample};

/// How often each scenario runs on each target.
const ROUNDS: usize = 3;

/// The interval at which RabbitMQ collects statistics where nobody says otherwise. The node has it
/// shorter, for tests.
const DEFAULT_STATISTICS: &str = "application:set_env(rabbit, collect_statistics_interval, 5000)";

const EMBEDDED: &str = "gateway, embedded broker";
const RABBITMQ: &str = "gateway on RabbitMQ";
const WEB_STOMP: &str = "RabbitMQ's Web-STOMP";
const CROSSBAR: &str = "Crossbar.io";

struct Scenario {
    /// As in the table.
    name: &'static str,
    /// What the load generator is told.
    arguments: &'static [&'static str],
    /// Messages that take the gateway on the embedded broker, on RabbitMQ, and the target that they
    /// are compared with, a second or two.
    messages: [u32; 3],
}

const STOMP: [Scenario; 4] = [
    Scenario { name: "topic 1:1", arguments: &["pubsub"], messages: [400_000, 40_000, 40_000] },
    Scenario {
        name: "topic 1:100",
        arguments: &["pubsub", "--fan-out=100"],
        messages: [6_000, 6_000, 600],
    },
    Scenario {
        name: "topic 1:1000",
        arguments: &["pubsub", "--fan-out=1000"],
        messages: [600, 600, 60],
    },
    Scenario { name: "receipts", arguments: &["receipts"], messages: [200_000, 20_000, 20_000] },
];

const WAMP: [Scenario; 6] = [
    Scenario {
        name: "topic 1:1, JSON",
        arguments: &["pubsub", "--wamp=json"],
        messages: [300_000, 40_000, 10_000],
    },
    Scenario {
        name: "topic 1:1, MessagePack",
        arguments: &["pubsub", "--wamp=msgpack"],
        messages: [300_000, 40_000, 10_000],
    },
    Scenario {
        name: "topic 1:100, JSON",
        arguments: &["pubsub", "--fan-out=100", "--wamp=json"],
        messages: [15_000, 15_000, 900],
    },
    Scenario {
        name: "topic 1:100, MessagePack",
        arguments: &["pubsub", "--fan-out=100", "--wamp=msgpack"],
        messages: [15_000, 15_000, 900],
    },
    Scenario {
        name: "calls, JSON",
        arguments: &["rpc", "--wamp=json"],
        messages: [150_000, 150_000, 7_000],
    },
    Scenario {
        name: "calls, MessagePack",
        arguments: &["rpc", "--wamp=msgpack"],
        messages: [150_000, 150_000, 7_000],
    },
];

/// Something to put load on.
struct Target<'a> {
    /// As in the table.
    name: &'static str,
    url: String,
    /// What the load generator is told besides, to be let in.
    login: Vec<String>,
    /// Processes that are watched, each with its name.
    processes: Vec<(&'static str, u32)>,
    /// Which of the numbers of messages it takes.
    place: usize,
    /// In whose network it is, if not in the machine's.
    network: Option<&'a Crossbar>,
}

/// Builds, starts everything, measures, prints the tables.
pub(crate) fn quick() -> Result<(), Failure> {
    let packages = ["-p", "gateway", "-p", "integration-tests"];
    let build = Run::cargo().args(["build", "--release"]).args(packages);
    build.args(["--bin", "gateway", "--bin", "loadgen"]).done()?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Unexpected(format!("no runtime: {error}")))?;
    let (node, vhost) = runtime.block_on(async {
        let node = Node::start(Options::default().plugin("rabbitmq_web_stomp")).await;
        node.evaluate(DEFAULT_STATISTICS);
        let vhost = node.vhost().await;
        (node, vhost)
    });
    let stomp = beside(&STOMP, Some(Target::web_stomp(&node, &vhost)), &node, &vhost)?;
    let crossbar = Crossbar::start()
        .inspect_err(|failure| eprintln!("xtask: {CROSSBAR} is left out: {failure}"))
        .ok();
    let wamp = beside(&WAMP, crossbar.as_ref().map(Target::crossbar), &node, &vhost);
    let stopped = crossbar.map_or(Ok(()), Crossbar::stop);
    let wamp = wamp?;

    let commit = Run::program("git").args(["describe", "--always", "--dirty"]).output()?;
    println!("\ncommit {}, median of {ROUNDS} rounds", commit.trim());
    println!("\nSTOMP\n\n{}", table::shown(&stomp, WEB_STOMP, "Web-STOMP"));
    println!("WAMP\n\n{}", table::shown(&wamp, CROSSBAR, CROSSBAR));
    stopped
}

/// Measures new gateways beside another target, if it is there.
fn beside(
    scenarios: &[Scenario],
    other: Option<Target<'_>>,
    node: &Node,
    vhost: &Vhost,
) -> Result<Vec<Row>, Failure> {
    let embedded = Gateway::start("release", quiet)?;
    let rabbitmq =
        Gateway::start("release", |run| on_rabbitmq(quiet(run), node.amqp_addr(), vhost))?;
    let gateways = [
        Target::gateway(EMBEDDED, &embedded, 0),
        Target::gateway(RABBITMQ, &rabbitmq, 1).with_broker(node, vhost),
    ];
    let measured = measure(scenarios, &gateways.iter().chain(&other).collect::<Vec<_>>());
    let stopped: Result<(), _> = [embedded.stop(), rabbitmq.stop()].into_iter().collect();
    measured.and_then(|rows| stopped.map(|()| rows))
}

fn quiet(gateway: Run) -> Run {
    gateway.env("GATEWAY_LOG__FILTER", "warn")
}

/// Tells a gateway that its broker is this RabbitMQ, and that the realm is in this virtual host.
fn on_rabbitmq(gateway: Run, amqp: SocketAddr, vhost: &Vhost) -> Run {
    gateway
        .args(["--config", "integration-tests/bench/rabbitmq.toml"])
        .env("GATEWAY_BROKER__MAIN__URL", format!("amqp://{amqp}"))
        .env("GATEWAY_REALM__REALM1__VHOST", vhost.name())
        .env("GATEWAY_REALM__REALM1__LOGIN", vhost.user())
        .env("GATEWAY_REALM__REALM1__PASSCODE", vhost.passcode())
}

impl<'a> Target<'a> {
    fn gateway(name: &'static str, gateway: &Gateway, place: usize) -> Self {
        Self {
            name,
            url: format!("ws://{}/ws", gateway.address()),
            login: Vec::new(),
            processes: vec![("gateway", gateway.process())],
            place,
            network: None,
        }
    }

    fn web_stomp(node: &Node, vhost: &Vhost) -> Self {
        let web_stomp = Self {
            name: WEB_STOMP,
            url: format!("ws://{}/ws", node.web_stomp_addr()),
            login: Vec::new(),
            processes: Vec::new(),
            place: 2,
            network: None,
        };
        web_stomp.with_broker(node, vhost)
    }

    fn crossbar(crossbar: &'a Crossbar) -> Self {
        Self {
            name: CROSSBAR,
            url: crossbar.url(),
            login: Vec::new(),
            processes: vec![("crossbar", crossbar.process())],
            place: 2,
            network: Some(crossbar),
        }
    }

    /// With this RabbitMQ behind it, as whose user clients of STOMP log in.
    fn with_broker(mut self, node: &Node, vhost: &Vhost) -> Self {
        self.processes.push(("rabbitmq", node.process().expect("the node was started")));
        self.login = vec![
            format!("--login={}", vhost.user()),
            format!("--passcode={}", vhost.passcode()),
            format!("--vhost={}", vhost.name()),
        ];
        self
    }
}

fn measure(scenarios: &[Scenario], targets: &[&Target<'_>]) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = scenarios
        .iter()
        .flat_map(|scenario| targets.iter().map(|target| Row::new(scenario.name, target.name)))
        .collect();
    for _ in 0..ROUNDS {
        let mut row = rows.iter_mut();
        for scenario in scenarios {
            for (target, row) in targets.iter().zip(&mut row) {
                row.samples.push(run(scenario, target)?);
            }
        }
    }
    Ok(rows)
}

/// One run of the load generator, which fails if a single message is lost.
fn run(scenario: &Scenario, target: &Target<'_>) -> Result<Sample, Failure> {
    let messages = scenario.messages[target.place];
    let processes = target.processes.iter().map(|(name, pid)| format!("--cpu={name}={pid}"));
    let loadgen = binary("release", "loadgen");
    let loadgen = match target.network {
        None => Run::program(loadgen),
        Some(crossbar) => crossbar.beside(&loadgen),
    };
    let printed = loadgen
        .args(scenario.arguments)
        .args([format!("--messages={messages}"), format!("--warmup={}", messages / 10)])
        .args([format!("--url={}", target.url)])
        .args(&target.login)
        .args(processes)
        .output()?;
    let result: Value = serde_json::from_str(&printed)
        .map_err(|error| Failure::Unexpected(format!("loadgen printed no JSON: {error}")))?;
    let milliseconds = |part: &str| result["latency_us"][part].as_f64().map(|it| it / 1000.0);
    let memory = target.processes.iter().filter_map(|(name, _)| result["memory"][name].as_f64());
    Ok(Sample {
        rate: result["rate"].as_f64().expect("loadgen tells a rate"),
        median: milliseconds("p50"),
        p99: milliseconds("p99"),
        cpu: table::PROCESSES.map(|(name, _)| result["cpu_us_per_delivery"][name].as_f64()),
        memory: memory.sum::<f64>() / f64::from(1 << 20),
    })
}
