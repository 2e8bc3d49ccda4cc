//! Where log lines go: standard error, as text or JSON. Standard output is left to what the
//! operator asked for.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` does not parse.
    #[error("log.filter: {0}")]
    Filter(#[from] ParseError),
    /// This process logs already.
    #[error("logging has been set up already in this process")]
    AlreadySet(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends what passes the filter to standard error, from now on and for the whole process.
///
/// *Errors.* The filter does not parse, or the process has a `tracing` subscriber already.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::AlreadySet)
}

/// Parses a filter; every directive must be understood.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(text)
}
