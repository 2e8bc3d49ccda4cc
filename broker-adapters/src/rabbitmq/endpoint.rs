//! [`Endpoint`]: where a RabbitMQ listens.

use std::fmt;
use std::str::FromStr;

/// Where a RabbitMQ listens. Written `amqp://host:port` or `amqps://host:port`; the port may be
/// missing (5672, 5671 with TLS).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Whether to speak TLS.
    pub tls: bool,
    /// A name, or an address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What is wrong with a URL that should name an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither `amqp` nor `amqps`.
    #[error("a URL that starts with \"amqp://\" or \"amqps://\" is needed")]
    Scheme,
    /// A login does not belong here.
    #[error("no login belongs here: clients bring their own, or the route has a service_login")]
    Login,
    /// A virtual host does not belong here.
    #[error("no path belongs here: the virtual host is the client's or the route's vhost")]
    Path,
    /// No host.
    #[error("a host is missing")]
    Host,
    /// Not a port.
    #[error("a port from 1 to 65535 is needed")]
    Port,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let (tls, rest) = match (url.strip_prefix("amqp://"), url.strip_prefix("amqps://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(EndpointError::Scheme),
        };
        if rest.contains('@') {
            return Err(EndpointError::Login);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(EndpointError::Path);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(EndpointError::Host)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if host.is_empty() {
            return Err(EndpointError::Host);
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)?,
            None if !port.is_empty() => return Err(EndpointError::Port),
            None if tls => 5671,
            None => 5672,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (url, shown) in [
            ("amqp://localhost", "amqp://localhost:5672"),
            ("amqps://mq.example.org/", "amqps://mq.example.org:5671"),
            ("amqp://127.0.0.1:5673", "amqp://127.0.0.1:5673"),
            ("amqp://[::1]:5673", "amqp://[::1]:5673"),
            ("amqps://[::1]", "amqps://[::1]:5671"),
        ] {
            assert_eq!(url.parse::<Endpoint>().map(|it| it.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn what_does_not_belong_there_is_named() {
        for (url, error) in [
            ("localhost", EndpointError::Scheme),
            ("http://localhost", EndpointError::Scheme),
            ("amqp://guest:guest@localhost", EndpointError::Login),
            ("amqp://localhost/%2f", EndpointError::Path),
            ("amqp://localhost?heartbeat=5", EndpointError::Path),
            ("amqp://", EndpointError::Host),
            ("amqp://:5672", EndpointError::Host),
            ("amqp://[::1", EndpointError::Host),
            ("amqp://[::1]5672", EndpointError::Port),
            ("amqp://localhost:0", EndpointError::Port),
            ("amqp://localhost:65536", EndpointError::Port),
            ("amqp://localhost:amqp", EndpointError::Port),
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(error), "{url}");
        }
    }
}
