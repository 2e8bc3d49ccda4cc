//! The gateway under load, beside RabbitMQ's own Web-STOMP: which scenarios, on what, how often.
//!
//! The targets take turns within a round, so that whatever else the machine does falls on each of
//! them, and the median of the rounds counts. `integration-tests/bench/README.md` says how to read
//! the table.

mod table;

use std::net::SocketAddr;

use rabbitmq_node::{Node, Options, Vhost};
use serde_json::Value;

use crate::command::{Failure, Run};
use crate::gateway::{Gateway, before, binary};
use table::{Row, Sample};

/// How often each scenario runs on each target.
const ROUNDS: usize = 3;

/// The interval at which RabbitMQ collects statistics where nobody says otherwise. The node has it
/// shorter, for tests.
const DEFAULT_STATISTICS: &str = "application:set_env(rabbit, collect_statistics_interval, 5000)";

struct Scenario {
    /// As in the table.
    name: &'static str,
    /// What the load generator is told.
    arguments: &'static [&'static str],
    /// Messages that take RabbitMQ's Web-STOMP two seconds or so.
    messages: u32,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "topic 1:1", arguments: &["pubsub"], messages: 40_000 },
    Scenario { name: "topic 1:100", arguments: &["pubsub", "--fan-out=100"], messages: 600 },
    Scenario { name: "topic 1:1000", arguments: &["pubsub", "--fan-out=1000"], messages: 60 },
    Scenario { name: "receipts", arguments: &["receipts"], messages: 20_000 },
];

/// Something to put load on.
struct Target {
    /// As in the table.
    name: &'static str,
    address: SocketAddr,
    /// Login, passcode and virtual host.
    login: [String; 3],
    /// Processes whose processor time counts, each with its name.
    processes: Vec<(&'static str, u32)>,
    /// How many times the messages of a scenario it takes: fast targets need more of them for a
    /// measurement that is long enough.
    factor: u32,
}

/// Builds, starts everything, measures, prints the table.
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
    let embedded = Gateway::start("release", |run| run.env("GATEWAY_LOG__FILTER", "warn"))?;
    let rabbitmq = Gateway::start("release", |run| {
        before(run.env("GATEWAY_LOG__FILTER", "warn"), node.amqp_addr())
    })?;

    let measured = measure(&targets(&embedded, &rabbitmq, &node, &vhost));
    let stopped = [embedded.stop(), rabbitmq.stop()].into_iter().collect();
    let rows = measured?;
    let commit = Run::program("git").args(["describe", "--always", "--dirty"]).output()?;
    println!("\ncommit {}, median of {ROUNDS} rounds\n\n{}", commit.trim(), table::shown(&rows));
    stopped
}

fn targets(embedded: &Gateway, rabbitmq: &Gateway, node: &Node, vhost: &Vhost) -> [Target; 3] {
    let broker = ("rabbitmq", node.process().expect("the node was started"));
    let user = [vhost.user(), vhost.passcode(), vhost.name()].map(str::to_owned);
    let embedded = Target {
        name: "gateway, embedded broker",
        address: embedded.address(),
        login: ["guest", "guest", "/"].map(str::to_owned),
        processes: vec![("gateway", embedded.process())],
        factor: 10,
    };
    let rabbitmq = Target {
        name: "gateway on RabbitMQ",
        address: rabbitmq.address(),
        login: user.clone(),
        processes: vec![("gateway", rabbitmq.process()), broker],
        factor: 1,
    };
    let web_stomp = Target {
        name: table::YARDSTICK,
        address: node.web_stomp_addr(),
        login: user,
        processes: vec![broker],
        factor: 1,
    };
    [embedded, rabbitmq, web_stomp]
}

fn measure(targets: &[Target]) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = SCENARIOS
        .iter()
        .flat_map(|scenario| targets.iter().map(|target| Row::new(scenario.name, target.name)))
        .collect();
    for _ in 0..ROUNDS {
        let mut row = rows.iter_mut();
        for scenario in &SCENARIOS {
            for (target, row) in targets.iter().zip(&mut row) {
                row.samples.push(run(scenario, target)?);
            }
        }
    }
    Ok(rows)
}

/// One run of the load generator, which fails if a single message is lost.
fn run(scenario: &Scenario, target: &Target) -> Result<Sample, Failure> {
    let messages = scenario.messages * target.factor;
    let [login, passcode, vhost] = &target.login;
    let processes = target.processes.iter().map(|(name, pid)| format!("--cpu={name}={pid}"));
    let printed = Run::program(binary("release", "loadgen"))
        .args(scenario.arguments)
        .args([format!("--messages={messages}"), format!("--warmup={}", messages / 10)])
        .args([format!("--url=ws://{}/ws", target.address)])
        .args([format!("--login={login}"), format!("--passcode={passcode}")])
        .args([format!("--vhost={vhost}")])
        .args(processes)
        .output()?;
    let result: Value = serde_json::from_str(&printed)
        .map_err(|error| Failure::Unexpected(format!("loadgen printed no JSON: {error}")))?;
    let cpu = |name: &str| result["cpu_us_per_delivery"][name].as_f64();
    let rate = result["rate"].as_f64().expect("loadgen tells a rate");
    Ok(Sample { rate, gateway: cpu("gateway"), broker: cpu("rabbitmq") })
}
