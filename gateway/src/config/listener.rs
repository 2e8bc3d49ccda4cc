//! `[listener.NAME]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Millis};
use super::values;

/// A socket that accepts connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    #[serde(deserialize_with = "values::address")]
    pub bind: SocketAddr,
    /// `websocket`, the default, `stomp-tcp` or `wamp-rawsocket`.
    #[serde(default, deserialize_with = "values::word")]
    pub transport: ListenerTransport,
    /// Connections at a time; one more is told so: with HTTP 503, an ERROR, or the refusal that
    /// RawSocket has for it. Default 10,000.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// From the accepted connection to the finished handshake, of WebSocket or RawSocket. Default 10 s.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Millis,
    /// With `stomp-tcp` and `wamp-rawsocket`: silence after which TCP asks whether the client is still there. Zero:
    /// never. Default 60 s.
    #[serde(default = "tcp_keepalive")]
    pub tcp_keepalive: Millis,
    /// With `wamp-rawsocket`: whether silent clients are asked for a sign of life by pings. Default
    /// `false`, for some end the connection then.
    #[serde(default)]
    pub rawsocket_pings: bool,
    /// A connection whose socket takes no byte for so long while output waits is cut. Default 30 s.
    #[serde(default = "write_timeout")]
    pub write_timeout: Millis,
    /// A client from whom the broker takes no message for so long is told so and closed. Default
    /// 60 s.
    #[serde(default = "publish_timeout")]
    pub publish_timeout: Millis,
    /// How long a closing connection may take to say goodbye. Default 5 s.
    #[serde(default = "close_timeout")]
    pub close_timeout: Millis,
    /// Bytes of output buffered for one connection before nothing more is read from the peer and
    /// the broker on its behalf. Default 256 KiB.
    #[serde(default = "output_high_water")]
    pub output_high_water: ByteSize,
    /// Bytes the operating system takes for one connection before the peer has acknowledged them;
    /// it may take up to twice as many. Default 256 KiB.
    #[serde(default = "socket_send_buffer")]
    pub socket_send_buffer: ByteSize,
}

impl Listener {
    /// A listener on this address, with the default of every other key.
    pub fn on(bind: SocketAddr) -> Self {
        Self {
            bind,
            transport: ListenerTransport::default(),
            max_connections: max_connections(),
            tcp_keepalive: tcp_keepalive(),
            rawsocket_pings: false,
            handshake_timeout: handshake_timeout(),
            write_timeout: write_timeout(),
            publish_timeout: publish_timeout(),
            close_timeout: close_timeout(),
            output_high_water: output_high_water(),
            socket_send_buffer: socket_send_buffer(),
        }
    }
}

/// What carries the units of a listener's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerTransport {
    /// WebSocket (RFC 6455).
    #[default]
    Websocket,
    /// STOMP frames, one after another, on plain TCP.
    StompTcp,
    /// Messages of WAMP in frames of RawSocket, on plain TCP.
    WampRawsocket,
}

impl ListenerTransport {
    /// Where a client can name neither a path nor a protocol: the word for the transport, and the one
    /// protocol that it carries.
    pub(super) const fn sole_protocol(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Websocket => None,
            Self::StompTcp => Some(("stomp-tcp", "stomp")),
            Self::WampRawsocket => Some(("wamp-rawsocket", "wamp")),
        }
    }
}

fn tcp_keepalive() -> Millis {
    Millis::seconds(60)
}

fn max_connections() -> usize {
    10_000
}

fn handshake_timeout() -> Millis {
    Millis::seconds(10)
}

fn write_timeout() -> Millis {
    Millis::seconds(30)
}

fn publish_timeout() -> Millis {
    Millis::seconds(60)
}

fn close_timeout() -> Millis {
    Millis::seconds(5)
}

fn output_high_water() -> ByteSize {
    ByteSize(256 << 10)
}

fn socket_send_buffer() -> ByteSize {
    ByteSize(256 << 10)
}
