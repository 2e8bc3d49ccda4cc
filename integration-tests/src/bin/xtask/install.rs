//! What the steps need beyond the Rust toolchain, and how it gets here.
//!
//! Packages of other languages stay under `target/interop` and `target/bench`; only what comes from Debian changes the
//! system, which takes root. Whatever is there already is used as it is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Failure, Run, root};

/// Something a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// `cargo fmt`.
    Rustfmt,
    /// `cargo clippy`.
    Clippy,
    /// `docker-compose`, to check its file; no Docker daemon is involved.
    DockerCompose,
    /// RabbitMQ, which tests start as nodes of their own; its service stays as it is.
    RabbitMq,
    /// The Python clients, in a virtual environment.
    PythonPackages,
    /// The Node clients.
    NodePackages,
    /// A browser, which tests run without a window.
    Chromium,
}

impl Need {
    /// Installs it, unless it is there.
    pub(crate) fn install(self) -> Result<(), Failure> {
        match self {
            Self::Rustfmt => rust_component("rustfmt", "fmt"),
            Self::Clippy => rust_component("clippy", "clippy"),
            Self::DockerCompose => docker_compose(),
            Self::RabbitMq => rabbitmq(),
            Self::PythonPackages => python_packages(),
            Self::NodePackages => node_packages(),
            Self::Chromium => chromium(),
        }
    }
}

/// Where the Python interpreter with the packages is.
pub(crate) fn python() -> PathBuf {
    root().join("target/interop/venv/bin/python")
}

/// Where the Node packages are; scripts that use them must be in this directory.
pub(crate) fn node_directory() -> PathBuf {
    root().join("target/interop/node")
}

fn rust_component(component: &str, subcommand: &str) -> Result<(), Failure> {
    if Run::cargo().args([subcommand, "--version"]).succeeds() {
        return Ok(());
    }
    println!("installing {component}, a component of the Rust toolchain (needs no special right)");
    Run::program("rustup").args(["component", "add", component]).done()
}

fn docker_compose() -> Result<(), Failure> {
    if Run::program("docker-compose").args(["version"]).succeeds() {
        return Ok(());
    }
    debian_packages("docker-compose", &["docker-compose"])
}

fn rabbitmq() -> Result<(), Failure> {
    let packages = &["rabbitmq-server", "openssl"];
    let is_there = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists()
        || Run::program("sh").args(["-c", "command -v rabbitmq-server"]).succeeds();
    if is_there && Run::program("openssl").args(["version"]).succeeds() {
        return Ok(());
    }
    // Debian enables and starts the service of a package that it installs. The tests do not use it,
    // and nobody asked for a broker on this machine's network. So it is masked first: that is a
    // link, which needs no systemd to be there. `systemctl unmask rabbitmq-server` undoes it.
    if !is_there {
        let units = "/etc/systemd/system";
        let mask = format!("mkdir -p {units} && ln -sf /dev/null {units}/rabbitmq-server.service");
        as_root("RabbitMQ", packages)?.args(["sh", "-c", &mask]).done()?;
    }
    debian_packages("RabbitMQ", packages)
}

fn chromium() -> Result<(), Failure> {
    if Run::program("/usr/bin/chromium").args(["--version"]).succeeds() {
        return Ok(());
    }
    debian_packages("Chromium", &["chromium"])
}

fn python_packages() -> Result<(), Failure> {
    let can_make_environments = ["-c", "import ensurepip, venv"];
    if !Run::program("python3").args(can_make_environments).succeeds() {
        debian_packages("Python 3 with venv", &["python3", "python3-venv"])?;
    }

    let requirements = root().join("integration-tests/interop/python/requirements.txt");
    virtual_environment("target/interop/venv", &requirements, &[])
}

/// Installs Crossbar.io, unless it is there; returns the command. No step needs it: `bench --quick` is
/// without it where this fails.
///
/// It is in an environment of its own, since it pins old versions of what the clients use. Only wheels
/// are installed, so that nothing is built or run by it; some packages that it names have none, and
/// none of those is needed to route messages.
pub(crate) fn crossbar() -> Result<PathBuf, Failure> {
    let requirements = root().join("integration-tests/bench/crossbar/requirements.txt");
    let environment = "target/bench/crossbar/venv";
    virtual_environment(environment, &requirements, &["--no-deps", "--only-binary", ":all:"])?;
    Ok(root().join(environment).join("bin/crossbar"))
}

/// Makes a virtual environment with these packages, unless it has them.
fn virtual_environment(
    environment: &str,
    requirements: &Path,
    options: &[&str],
) -> Result<(), Failure> {
    let directory = root().join(environment);
    let stamp = directory.join("installed");
    if is_current(&stamp, requirements)? {
        return Ok(());
    }
    println!("installing Python packages into {environment} (needs no special right)");
    Run::program("python3").args(["-m", "venv", "--clear"]).args([&directory]).done()?;
    Run::program(directory.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(options)
        .args(["--requirement"])
        .args([requirements])
        .done()?;
    copy(requirements, &stamp)
}

fn node_packages() -> Result<(), Failure> {
    let has_node = Run::program("node").args(["--version"]).succeeds();
    if !has_node || !Run::program("npm").args(["--version"]).succeeds() {
        debian_packages("Node with npm", &["nodejs", "npm"])?;
    }

    let source = root().join("integration-tests/interop/node");
    let directory = node_directory();
    let lock = source.join("package-lock.json");
    let stamp = directory.join("installed");
    if is_current(&stamp, &lock)? {
        return Ok(());
    }
    println!("installing Node packages into target/interop/node (needs no special right)");
    fs::create_dir_all(&directory).map_err(Failure::file(&directory))?;
    for name in ["package.json", "package-lock.json"] {
        copy(&source.join(name), &directory.join(name))?;
    }
    Run::program("npm").args(["ci", "--no-audit", "--no-fund"]).within(&directory).done()?;
    copy(&lock, &stamp)
}

/// Whether `stamp`, written after the last installation, equals the list of what to install.
fn is_current(stamp: &Path, wanted: &Path) -> Result<bool, Failure> {
    let wanted = fs::read(wanted).map_err(Failure::file(wanted))?;
    Ok(fs::read(stamp).is_ok_and(|installed| installed == wanted))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(Failure::file(from))
}

/// Installs Debian packages.
fn debian_packages(what: &'static str, packages: &[&str]) -> Result<(), Failure> {
    println!("installing {what}: Debian packages {} (needs root)", packages.join(" "));
    let apt = || as_root(what, packages).map(|run| run.args(["apt-get", "-q"]));
    apt()?.args(["update"]).done()?;
    apt()?.args(["install", "-y", "--no-install-recommends"]).args(packages).done()
}

/// A command that runs its arguments as root, or by `sudo` where that asks no password.
fn as_root(what: &'static str, packages: &[&str]) -> Result<Run, Failure> {
    if is_root() {
        Ok(Run::program("env"))
    } else if Run::program("sudo").args(["-n", "true"]).succeeds() {
        Ok(Run::program("sudo").args(["-n"]))
    } else {
        let list = packages.join(" ");
        let remedy = format!("installing it needs root; run `sudo apt-get install -y {list}` once");
        Err(Failure::Missing { what, remedy })
    }
}

fn is_root() -> bool {
    Run::program("sh").args(["-c", "test \"$(id -u)\" = 0"]).succeeds()
}
