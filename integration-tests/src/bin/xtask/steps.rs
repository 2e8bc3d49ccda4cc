//! The steps, in the order in which `cargo xtask test` runs them: what is fast to fail comes first.

use crate::command::{Failure, Run};
use crate::install::Need;
use crate::{quick, smoke};

/// Something to check.
pub(crate) struct Step {
    /// How it is called on the command line.
    pub(crate) name: &'static str,
    /// What it does, for people.
    pub(crate) about: &'static str,
    /// What has to be there first.
    pub(crate) needs: &'static [Need],
    /// Whether `cargo xtask test` runs it.
    pub(crate) in_test: bool,
    /// Does it.
    pub(crate) run: fn() -> Result<(), Failure>,
}

/// All of them.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the code is formatted",
        needs: &[Need::Rustfmt],
        in_test: true,
        run: fmt,
    },
    Step {
        name: "clippy",
        about: "the lints are satisfied",
        needs: &[Need::Clippy],
        in_test: true,
        run: clippy,
    },
    Step {
        name: "unit",
        about: "the tests of all crates, and each benchmark once",
        needs: &[Need::RabbitMq],
        in_test: true,
        run: unit,
    },
    Step {
        name: "doc",
        about: "the documentation builds and its links lead somewhere",
        needs: &[],
        in_test: true,
        run: doc,
    },
    Step {
        name: "fuzz",
        about: "the fuzz targets build and replay their corpus",
        needs: &[],
        in_test: true,
        run: fuzz,
    },
    Step {
        name: "interop",
        about: "clients that others wrote, RabbitMQ's plugin as the measure, and an outage of RabbitMQ",
        needs: &[Need::RabbitMq, Need::PythonPackages, Need::NodePackages, Need::Chromium],
        in_test: true,
        run: interop,
    },
    Step {
        name: "compose",
        about: "docker-compose.yml is valid",
        needs: &[Need::DockerCompose],
        in_test: true,
        run: compose,
    },
    Step {
        name: "smoke",
        about: "the gateway command serves the README's snippets, on both brokers, and stops",
        needs: &[Need::RabbitMq, Need::PythonPackages, Need::NodePackages],
        in_test: true,
        run: smoke::smoke,
    },
    Step {
        name: "bench",
        about: "the benchmarks, measured",
        needs: &[],
        in_test: false,
        run: bench,
    },
    Step {
        name: "bench --quick",
        about: "the gateway under load, beside RabbitMQ's Web-STOMP and Crossbar.io, in some six minutes",
        needs: &[Need::RabbitMq],
        in_test: false,
        run: quick::quick,
    },
];

/// Those with benchmarks.
const BENCHED: [&str; 6] = ["-p", "protocols", "-p", "broker-adapters", "-p", "gateway"];

const FUZZ: &str = "protocols/fuzz/Cargo.toml";

fn fmt() -> Result<(), Failure> {
    Run::cargo().args(["fmt", "--all", "--check"]).done()?;
    Run::cargo().args(["fmt", "--manifest-path", FUZZ, "--check"]).done()
}

fn clippy() -> Result<(), Failure> {
    let everything = ["clippy", "--workspace", "--all-targets", "--all-features"];
    Run::cargo().args(everything).args(["--", "-D", "warnings"]).done()
}

fn unit() -> Result<(), Failure> {
    Run::cargo().args(["test", "--workspace", "--no-fail-fast"]).done()?;
    Run::cargo().args(["test"]).args(BENCHED).args(["--bench", "*"]).done()
}

fn doc() -> Result<(), Failure> {
    Run::cargo()
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .done()
}

fn fuzz() -> Result<(), Failure> {
    Run::cargo().args(["test", "--manifest-path", FUZZ, "--target-dir", "target/fuzz"]).done()
}

fn interop() -> Result<(), Failure> {
    let test = |name: &str, threads: &str| {
        Run::cargo()
            .args(["test", "-p", "integration-tests", "--features", "interop", "--test", name])
            .args(["--", "--nocapture", "--test-threads", threads])
            .done()
    };
    test("interop", "1")?;
    test("wamp_interop", "1")?;
    test("differential", "2")?;
    // Most of the time of each is spent without its broker.
    test("outage", "4")
}

fn compose() -> Result<(), Failure> {
    let check = |profile: &[&str]| {
        let file = ["-f", "docker-compose.yml"];
        Run::program("docker-compose").args(file).args(profile).args(["config", "-q"]).done()
    };
    check(&[])?;
    check(&["--profile", "rabbitmq"])
}

fn bench() -> Result<(), Failure> {
    Run::cargo().args(["bench"]).args(BENCHED).args(["--bench", "*"]).done()
}
