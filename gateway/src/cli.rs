//! The command line: which configuration to take, and whether to run or only to answer.

use std::path::PathBuf;

use clap::Parser;
use protocols::Registry;

use crate::config::{Config, ConfigErrors, Sources};

/// WebSocket gateway for STOMP clients in front of message brokers.
///
/// Without any flag it runs on the built-in configuration: STOMP at ws://127.0.0.1:15674/ws,
/// embedded broker, login guest with passcode guest from this host.
// No `Debug`: what `--set` sets may be a secret.
#[derive(Clone, Default, Parser)]
#[command(name = "gateway", version)]
pub struct Cli {
    /// Read this file instead of the built-in configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration and exit: 0 if it is valid, 2 if not.
    #[arg(long, conflicts_with = "print_config")]
    pub check: bool,

    /// Print the effective configuration as TOML, without secrets, and exit.
    #[arg(long)]
    pub print_config: bool,

    /// Set one key, over file and environment. Can be repeated.
    #[arg(long, value_name = "SECTION.NAME.KEY=VALUE")]
    pub set: Vec<String>,
}

/// What the command line asks for, given that the configuration is valid.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Run.
    Run(Box<Config>),
    /// Print this to standard output and exit with 0.
    Print(String),
}

impl Cli {
    /// Loads the configuration under the environment of this process and says what to do with it.
    ///
    /// *Errors.* Every problem of the configuration; the process should print them and exit
    /// with 2.
    pub fn request(self, registry: &Registry) -> Result<Request, ConfigErrors> {
        self.request_in(std::env::vars_os(), registry)
    }

    /// [`Cli::request`] under the given environment.
    ///
    /// *Errors.* As there.
    pub fn request_in<N, V>(
        self,
        environment: impl IntoIterator<Item = (N, V)>,
        registry: &Registry,
    ) -> Result<Request, ConfigErrors>
    where
        N: Into<std::ffi::OsString>,
        V: Into<std::ffi::OsString>,
    {
        // A name that is not UTF-8 is not one of ours.
        let env = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
            .collect();
        let sources = Sources { file: self.config, env, set: self.set };
        let config = Config::load(&sources, registry)?;
        if self.check {
            return Ok(Request::Print("configuration is valid\n".to_owned()));
        }
        if self.print_config {
            let text = config.to_toml().expect("every number of a valid configuration fits TOML");
            return Ok(Request::Print(text));
        }
        Ok(Request::Run(Box::new(config)))
    }
}
