//! What the transport of a listener asks of its route: on a byte stream a client can name neither a path
//! nor a protocol, and a handshake of RawSocket says how long messages may be in powers of two.

use protocols::wamp::rawsocket::MaxLength;

use super::Check;
use crate::config::location::KeyPath;
use crate::config::problem::{Problem, quoted};
use crate::config::units::ByteSize;
use crate::config::{ListenerTransport, Route};

/// The least that a handshake of RawSocket can say.
const LEAST_LENGTH: ByteSize = ByteSize(MaxLength::MIN.bytes());

impl<'a> Check<'a> {
    fn transport_of(&self, route: &Route) -> Option<ListenerTransport> {
        self.config.listener.get(&route.listener).map(|listener| listener.transport)
    }

    /// Whether routes beside this one are told from it by their paths.
    pub(super) fn has_paths(&self, route: &Route) -> bool {
        self.transport_of(route).is_none_or(|transport| transport.sole_protocol().is_none())
    }

    /// The one route of a listener whose transport carries one protocol.
    pub(super) fn sole_route(&mut self, at: &KeyPath, route: &'a Route) {
        let Some(transport) = self.transport_of(route) else { return };
        let Some((word, protocol)) = transport.sole_protocol() else { return };
        if route.protocols.iter().any(|id| id != protocol) {
            let expected = format!("[\"{protocol}\"], all that transport = \"{word}\" carries");
            let got = format!("{:?}", route.protocols);
            self.add(at.join("protocols"), Problem::mismatch(expected, got));
        }
        let first = self.config.route.values().find(|other| other.listener == route.listener);
        if !first.is_some_and(|first| std::ptr::eq(first, route)) {
            let expected =
                format!("a listener of its own: one with transport = \"{word}\" has one route");
            self.add(at.join("listener"), Problem::mismatch(expected, quoted(&route.listener)));
        }
        if transport == ListenerTransport::WampRawsocket {
            self.length(at.concat(&["limits", "frame_size"]), route.limits.frame_size);
            if let Some(size) = route.max_message_size {
                self.length(at.join("max_message_size"), size);
            }
        }
    }

    fn length(&mut self, key: KeyPath, size: ByteSize) {
        if size < LEAST_LENGTH {
            let bound = format!("{LEAST_LENGTH}, the least that RawSocket can say");
            self.add(key, Problem::at_least(bound, size));
        }
    }
}
