//! [`Node`]: one RabbitMQ.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::api::{ADMINISTRATOR, Api};
use crate::installation;
use crate::ports::free_address;
use crate::supervisor::Supervisor;
use crate::tls::Certificates;
use crate::vhost::Vhost;
use crate::wait::{CEILING, eventually};

/// How much of the broker's log a failed start shows.
const SHOWN_LOG: usize = 8 << 10;

/// Stops the broker in order. The statistics' listener is taken out first: at the end of a stop it
/// waits five seconds for a process that has ended before it.
const STOP: &str = "gen_event:delete_handler(rabbit_event, rabbit_mgmt_db_handler, []), \
                    rabbit:stop(), erlang:halt(0, [{flush, false}])";

/// What a [`Node`] has besides AMQP and the HTTP API.
#[derive(Debug, Clone, Default)]
pub struct Options {
    plugins: Vec<&'static str>,
}

impl Options {
    /// With this plugin, e.g. `rabbitmq_web_stomp`.
    #[must_use]
    pub fn plugin(mut self, name: &'static str) -> Self {
        self.plugins.push(name);
        self
    }
}

/// A RabbitMQ with data and ports of its own, for AMQP with and without TLS. Everything of it ends
/// with this value or with the process, whichever is first; its data too.
#[derive(Debug)]
pub struct Node {
    supervisor: Arc<Mutex<Supervisor>>,
    directory: PathBuf,
    addresses: Addresses,
    certificates: Certificates,
    /// The broker's process; 0 while there is none.
    process: AtomicU32,
    vhosts: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    amqp: SocketAddr,
    tls: SocketAddr,
    http: SocketAddr,
    stomp: SocketAddr,
    web_stomp: SocketAddr,
    /// Where other Erlang nodes could connect.
    distribution: SocketAddr,
    /// Where they would ask for that.
    epmd: SocketAddr,
}

impl Node {
    /// The node that all tests of this process share; the first call starts it. It has to keep
    /// running: a test that stops its broker starts one of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(Options::default())).await
    }

    /// Starts a node; panics with the end of its log if it does not start.
    pub async fn start(options: Options) -> Self {
        let node = blocking(move || Self::prepare(&options)).await;
        node.start_again().await;
        node
    }

    /// All of a node but the broker's process.
    fn prepare(options: &Options) -> Self {
        let addresses = Addresses {
            amqp: free_address(),
            tls: free_address(),
            http: free_address(),
            stomp: free_address(),
            web_stomp: free_address(),
            distribution: free_address(),
            epmd: free_address(),
        };
        let (supervisor, directory) = Supervisor::start(&addresses.variables());
        let plugins = [&["rabbitmq_management"][..], &options.plugins].concat();
        installation::link(&directory.join("server"), &plugins);
        let certificates = Certificates::make(&directory);
        let write = |name: &str, text: String| {
            fs::write(directory.join(name), text).expect("the directory is ours");
        };
        write("rabbitmq.config", configuration(&addresses, &certificates));
        write("enabled_plugins", format!("[{}].\n", plugins.join(",")));
        let supervisor = Arc::new(Mutex::new(supervisor));
        let [process, vhosts] = [AtomicU32::new(0), AtomicU32::new(0)];
        Self { supervisor, directory, addresses, certificates, process, vhosts }
    }

    /// Starts the broker again after [`stop`](Self::stop) or [`kill`](Self::kill), with its data and
    /// at the same addresses.
    pub async fn start_again(&self) {
        assert!(self.process().is_none(), "the broker runs");
        let process = self.supervise(Supervisor::start_broker).await;
        self.process.store(process, Ordering::Relaxed);
        let check = format!("port-listener/{}", self.addresses.amqp.port());
        let ready = eventually("the broker", async || {
            assert!(!has_ended(process), "the broker has ended:\n{}", self.log());
            self.api().is_healthy(&check).await.filter(|healthy| *healthy)
        });
        // Before the ceiling of `eventually`, which does not know the log.
        if tokio::time::timeout(CEILING * 9 / 10, ready).await.is_err() {
            panic!("the broker does not start:\n{}", self.log());
        }
    }

    /// Stops the broker as an operator would: it closes connections and writes its data.
    pub async fn stop(&self) {
        let process = self.process().expect("the broker runs");
        self.evaluate(STOP);
        eventually("the broker's end", async || has_ended(process).then_some(())).await;
        self.kill().await;
    }

    /// Ends the broker's process at once.
    pub async fn kill(&self) {
        self.supervise(Supervisor::end_broker).await;
        self.process.store(0, Ordering::Relaxed);
    }

    /// The number of the broker's process, while there is one.
    pub fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|process| *process != 0)
    }

    /// Makes the broker believe that it has too little memory, or enough again. With too little, it
    /// reads no more from connections that publish.
    pub async fn set_memory_alarm(&self, alarmed: bool) {
        let mark = if alarmed { "{absolute, 1}" } else { "0.4" };
        self.evaluate(&format!("vm_memory_monitor:set_vm_memory_high_watermark({mark})"));
        eventually("the alarm", async || {
            let healthy = self.api().is_healthy("local-alarms").await?;
            (healthy != alarmed).then_some(())
        })
        .await;
    }

    /// Has the broker evaluate an Erlang expression. Does not wait for it.
    pub fn evaluate(&self, expression: &str) {
        // For reading too: opening a pipe to write waits for a reader, and there may be none.
        let pipe = fs::OpenOptions::new().read(true).write(true).open(self.directory.join("shell"));
        let written = pipe.and_then(|mut pipe| writeln!(pipe, "{expression}."));
        written.expect("the pipe to the broker is ours");
    }

    /// Waits until what was declared is on disk. RabbitMQ confirms messages in a durable queue before
    /// Mnesia has written that there is such a queue: a node that is killed right then has lost both.
    pub async fn sync(&self) {
        let done = self.directory.join("synced");
        let written = format!("file:write_file({:?}, <<>>)", done.display().to_string());
        self.evaluate(&format!("ok = mnesia:sync_log(), {written}"));
        eventually("the log on disk", async || fs::remove_file(&done).ok()).await;
    }

    /// A new virtual host with a new user who may do everything in it.
    pub async fn vhost(&self) -> Vhost {
        let number = self.vhosts.fetch_add(1, Ordering::Relaxed);
        Vhost::make(self, number).await
    }

    /// The HTTP API.
    pub const fn api(&self) -> Api {
        Api(self.addresses.http)
    }

    /// Where it listens for AMQP.
    pub const fn amqp_addr(&self) -> SocketAddr {
        self.addresses.amqp
    }

    /// Where it listens for AMQP over TLS.
    pub const fn tls_addr(&self) -> SocketAddr {
        self.addresses.tls
    }

    /// The PEM file of the authority that vouches for [`tls_addr`](Self::tls_addr), as `localhost`
    /// and as 127.0.0.1.
    pub fn authority(&self) -> &Path {
        &self.certificates.authority
    }

    /// Where the plugin `rabbitmq_stomp` listens.
    pub const fn stomp_addr(&self) -> SocketAddr {
        self.addresses.stomp
    }

    /// Where the plugin `rabbitmq_web_stomp` listens; its path is `/ws`.
    pub const fn web_stomp_addr(&self) -> SocketAddr {
        self.addresses.web_stomp
    }

    /// The end of what the broker has logged.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.join("output")).unwrap_or_default();
        let from = bytes.len().saturating_sub(SHOWN_LOG);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    async fn supervise<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Supervisor) -> T + Send + 'static,
    ) -> T {
        let supervisor = Arc::clone(&self.supervisor);
        blocking(move || task(&mut supervisor.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl Addresses {
    /// What the broker is told by its environment.
    fn variables(&self) -> [(&'static str, String); 6] {
        let name = format!("node-{}-{}@localhost", std::process::id(), self.amqp.port());
        // Few threads that do not spin: it shares the machine with the tests.
        let runtime = "+S 2:2 +SDcpu 1:1 +SDio 2 +sbwt none -start_epmd false";
        [
            ("RABBITMQ_NODENAME", name),
            ("RABBITMQ_DIST_PORT", self.distribution.port().to_string()),
            ("ERL_EPMD_PORT", self.epmd.port().to_string()),
            // The broker's Erlang shell listens to the supervisor's pipe.
            ("RABBITMQ_ALLOW_INPUT", "true".to_owned()),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", runtime.to_owned()),
        ]
    }
}

/// The configuration, as Erlang terms: RabbitMQ needs a second to read its own format.
fn configuration(addresses: &Addresses, certificates: &Certificates) -> String {
    let [amqp, tls, http, stomp, web_stomp] =
        [&addresses.amqp, &addresses.tls, &addresses.http, &addresses.stomp, &addresses.web_stomp]
            .map(SocketAddr::port);
    let (login, passcode) = ADMINISTRATOR;
    let [authority, certificate, key] =
        [&certificates.authority, &certificates.server, &certificates.key].map(|it| it.display());
    format!(
        r#"[
{{kernel, [{{inet_dist_use_interface, {{127, 0, 0, 1}}}}]}},
{{rabbit, [
    {{tcp_listeners, [{{"127.0.0.1", {amqp}}}]}},
    {{ssl_listeners, [{{"127.0.0.1", {tls}}}]}},
    {{ssl_options, [{{cacertfile, "{authority}"}}, {{certfile, "{certificate}"}},
                   {{keyfile, "{key}"}}]}},
    {{num_tcp_acceptors, 2}},
    {{num_ssl_acceptors, 1}},
    {{default_user, <<"{login}">>}},
    {{default_pass, <<"{passcode}">>}},
    {{default_user_tags, [administrator]}},
    {{disk_free_limit, 1000000}},
    {{collect_statistics_interval, 200}}]}},
{{rabbitmq_management, [
    {{listener, [{{ip, "127.0.0.1"}}, {{port, {http}}}]}},
    {{management_db_cache_multiplier, 0}},
    {{sample_retention_policies, [{{global, [{{605, 1}}]}}, {{basic, [{{605, 1}}]}},
                                 {{detailed, [{{10, 1}}]}}]}}]}},
{{rabbitmq_management_agent, [
    {{sample_retention_policies, [{{global, [{{605, 1}}]}}, {{basic, [{{605, 1}}]}},
                                 {{detailed, [{{10, 1}}]}}]}}]}},
{{rabbitmq_stomp, [{{tcp_listeners, [{{"127.0.0.1", {stomp}}}]}}]}},
{{rabbitmq_web_stomp, [{{tcp_config, [{{ip, "127.0.0.1"}}, {{port, {web_stomp}}}]}}]}}].
"#
    )
}

/// Whether this process of ours has ended; the supervisor has not asked for its result yet, so its
/// number still means it.
fn has_ended(process: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/stat")) else { return true };
    // What follows its name is its state (proc(5)).
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

async fn blocking<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(task).await {
        Ok(outcome) => outcome,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
