//! Procedures by their names at a broker: whoever calls one, and whoever offers it, in whatever protocol,
//! meets there.
//!
//! | | is |
//! |---|---|
//! | a call | published to the exchange [`EXCHANGE`] (direct, durable) with the [`routing_key`] of the URI |
//! | an offer | a queue of its link's own called as [`queue`] says, bound there with the same key |
//!
//! Only one link has such a queue, so the broker decides who offers a procedure.
//!
//! *Spec.* WAMP §URIs: words between dots, none of them empty, without blanks and `#`. Routing keys are
//! [escaped](super::key).

use std::borrow::Cow;

use super::key;
use crate::text::Text;

/// Where calls are published.
pub const EXCHANGE: &str = "wamp.rpc";

/// The exchange through which all gateways hear that calls are canceled: which of them has the callee is not
/// known.
pub const INTERRUPT_EXCHANGE: &str = "wamp.interrupt";

/// The longest URI, in bytes.
pub const LONGEST_URI: usize = 200;

/// Begins the names of queues that gateways get answers by.
pub const NODE_QUEUES: &str = "wamp.node.";

/// Begins the names of queues of procedures.
const QUEUES: &str = "wamp.proc.";

/// Begins the name of the queue of an offer.
const QUEUE: &str = "wamp.proc.e.";

/// The longest key that leaves room for that.
const LONGEST_KEY: usize = key::LONGEST - QUEUE.len();

/// The first word of URIs that are WAMP's own: nobody offers these.
const RESERVED: &str = "wamp";

/// The routing key of a procedure. *Cost.* No copy, unless a character must be escaped.
///
/// *Errors.* What would be right.
pub fn routing_key(uri: &str) -> Result<Cow<'_, str>, &'static str> {
    if uri.len() > LONGEST_URI {
        return Err("the URI of a procedure may have 200 bytes");
    }
    if uri.split('.').any(str::is_empty) {
        return Err("the URI of a procedure is words between dots, none of them empty");
    }
    if uri.contains(|character: char| character == '#' || character.is_whitespace()) {
        return Err("the URI of a procedure has no blanks and no #");
    }
    let key = key::escape(uri);
    if key.len() > LONGEST_KEY {
        return Err("the URI of a procedure may have 243 bytes, where % and * count threefold");
    }
    Ok(key)
}

/// The procedure of which this is the routing key; `None` if it is that of none.
pub fn uri_of(key: &str) -> Option<Cow<'_, str>> {
    let uri = key::unescape(key)?;
    // What is no URI has no key, though escapes would make one of it.
    routing_key(&uri).is_ok().then_some(uri)
}

/// The queue of an offer of the procedure with this key.
pub fn queue(key: &str) -> Text {
    Text::from([QUEUE, key].concat())
}

/// Whether a queue is one of a procedure, or of answers to a gateway, by its name.
pub fn is_queue(name: &str) -> bool {
    name.starts_with(QUEUES) || name.starts_with(NODE_QUEUES)
}

/// Whether the procedure with this key is WAMP's own.
pub fn is_reserved(key: &str) -> bool {
    key.split('.').next() == Some(RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_that_of_one_procedure() {
        for (uri, key) in [
            ("com.app.add", "com.app.add"),
            ("a.*", "a.%2A"),
            ("50%", "50%25"),
            ("%2A", "%252A"),
            ("a/b.ü", "a/b.ü"),
        ] {
            assert_eq!(routing_key(uri).unwrap(), key);
            assert_eq!(uri_of(key).unwrap(), uri);
        }
        for foreign in ["", "a..b", "a.*", "#", "50%", "%2a", "%4", "%é", "%23", "a b"] {
            assert_eq!(uri_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for uri in ["", ".", "a.", ".a", "a..b", "a b", "a\u{a0}b", "a.#", "\n"] {
            assert!(routing_key(uri).is_err(), "{uri:?}");
        }
        let (longest, stars) = ("a".repeat(LONGEST_URI), "*".repeat(81));
        assert!(routing_key(&longest).is_ok() && routing_key(&stars).is_ok());
        assert_eq!(queue(&routing_key(&stars).unwrap()).len(), 255);
        assert!(routing_key(&format!("{longest}a")).is_err());
        assert!(routing_key(&format!("{stars}*")).is_err());
    }

    #[test]
    fn what_begins_with_wamp_is_wamps_own() {
        assert!(is_reserved("wamp") && is_reserved("wamp.session.count"));
        assert!(!is_reserved("wampum.x") && !is_reserved("com.wamp"));
    }
}
