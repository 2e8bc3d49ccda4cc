//! `[admin]`, `[drain]` and `[log]`: what concerns the process as a whole.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::units::Millis;
use super::values;

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port; `None`, written `"off"`: no admin listener. Default `127.0.0.1:15679`.
    #[serde(
        deserialize_with = "values::address_or_off",
        serialize_with = "values::show_address_or_off"
    )]
    pub bind: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { bind: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 15_679))) }
    }
}

/// How the gateway stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Time over which the goodbyes are spread. Default 1 s.
    pub spread: Millis,
    /// Time after which what is left is cut. Default 10 s.
    pub grace: Millis,
}

impl Default for Drain {
    fn default() -> Self {
        Self { spread: Millis::seconds(1), grace: Millis::seconds(10) }
    }
}

/// What is logged, to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A `tracing` filter. Default `info`.
    pub filter: String,
    /// `text` or `json`. Default `text`.
    #[serde(deserialize_with = "values::word")]
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
