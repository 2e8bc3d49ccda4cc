//! Routing keys of what is for one user alone: `gw.user.<user>.<name>` on the topic exchange.
//!
//! The user is one word of the key: dots, wildcards, percent signs and what is not printable ASCII are
//! written `%HH`. Whoever distributes messages keeps these from everybody else, whatever patterns they have
//! subscribed to; a backend publishes to such a key with plain AMQP.

use std::borrow::Cow;
use std::fmt::Write;

use crate::broker::{Publication, Value};
use crate::text::Text;

/// Begins every such key.
const PREFIX: &str = "gw.user.";

/// The key of what is called `name` for this user; `name` may be a pattern.
pub fn key(user: &str, name: &str) -> Text {
    let mut key = String::with_capacity(PREFIX.len() + user.len() + 1 + name.len());
    key.push_str(PREFIX);
    for byte in user.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'#' | b'%') {
            key.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(key, "%{byte:02X}");
        }
    }
    key.push('.');
    key.push_str(name);
    Text::from(key)
}

/// Whether a message with this key is for one user alone, or a pattern can only be meant for such.
pub fn is_private(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// What a private key calls the message, without the user.
pub fn name_of(key: &str) -> Option<&str> {
    let (_, name) = key.strip_prefix(PREFIX)?.split_once('.')?;
    Some(name)
}

/// Whether a subscription to this pattern may get a message with this key, which it fits.
pub fn is_visible(pattern: &str, key: &str) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX) else {
        return true;
    };
    let user = rest.split('.').next().unwrap_or_default().len();
    let own = &key[..PREFIX.len() + user];
    pattern.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a subscription to this pattern may get this message, which it fits.
pub fn may_get(pattern: &str, publication: &Publication) -> bool {
    keys_are(publication, |key| is_visible(pattern, key))
}

/// Whether a message is for no user alone.
pub fn is_for_all(publication: &Publication) -> bool {
    keys_are(publication, |key| !is_private(key))
}

/// Whether a message is for no user alone but this one.
pub fn is_for(user: &str, publication: &Publication) -> bool {
    keys_are(publication, |key| !is_private(key) || key.starts_with(self::key(user, "").as_str()))
}

/// Whether all keys are so that a message was sent to at exchanges; at the default one they are names of
/// queues. A queue that gives it up may send it elsewhere, under any key: `x-death` says what it was
/// sent to before. Any exchange: which one topics live in is the operator's to say.
fn keys_are(publication: &Publication, accepts: impl Fn(&str) -> bool) -> bool {
    if !publication.exchange.is_empty() && !accepts(&publication.routing_key) {
        return false;
    }
    let mut headers = publication.message.properties.headers.iter();
    let deaths = headers.find(|(name, _)| *name == *DEATHS).map(|(_, value)| items(value));
    deaths.unwrap_or_default().iter().all(|death| {
        let exchange = field(death, "exchange").and_then(text);
        let keys = field(death, "routing-keys").map(items).unwrap_or_default();
        exchange.is_some_and(|exchange| exchange.is_empty())
            || keys.iter().filter_map(text).all(|key| accepts(&key))
    })
}

/// What queues gave a message up, and what it was sent to before.
pub const DEATHS: &str = "x-death";

fn items(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

fn field<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Table(entries) = table else { return None };
    entries.iter().find(|(known, _)| *known == *name).map(|(_, value)| value)
}

/// Keys need not be UTF-8, and how one begins says what it is.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text.as_str())),
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Message, Properties};

    fn dead_letter(exchange: &str, key: Value) -> Publication {
        let keys = Value::Array(vec![Value::Text("other".into()), key]);
        let death = Value::Table(vec![
            ("count".into(), Value::Integer(1)),
            ("exchange".into(), Value::Text(exchange.into())),
            ("routing-keys".into(), keys),
        ]);
        let headers = [("x-death".into(), Value::Array(vec![Value::Void, death]))];
        let properties =
            Properties { headers: headers.into_iter().collect(), ..Properties::default() };
        let message = Message { properties, ..Message::default() };
        Publication { exchange: Text::EMPTY, routing_key: "evil".into(), message }
    }

    #[test]
    fn what_was_for_a_user_stays_so_when_a_queue_gives_it_up() {
        for (exchange, key, is_private) in [
            ("amq.topic", Value::Text("gw.user.ann.news".into()), true),
            ("amq.topic", Value::Bytes(b"gw.user.ann.\xff"[..].into()), true),
            ("amq.topic", Value::Text("gw.users".into()), false),
            ("elsewhere", Value::Text("gw.user.ann.news".into()), true),
            ("", Value::Text("gw.user.ann.news".into()), false),
            ("amq.topic", Value::Void, false),
        ] {
            let publication = dead_letter(exchange, key);
            assert_eq!(is_for_all(&publication), !is_private, "{publication:?}");
            assert_eq!(is_for("bob", &publication), !is_private, "{publication:?}");
            assert!(is_for("ann", &publication), "{publication:?}");
            assert_eq!(may_get("evil", &publication), !is_private, "{publication:?}");
            assert!(may_get("gw.user.ann.#", &publication), "{publication:?}");
        }
    }

    #[test]
    fn what_is_for_a_user_is_so_at_every_exchange_that_has_a_name() {
        let of = |exchange: &str, key: &str| Publication {
            exchange: exchange.into(),
            routing_key: key.into(),
            message: Message::default(),
        };
        for exchange in ["amq.topic", "elsewhere"] {
            let private = of(exchange, "gw.user.a%2Eb.news");
            assert!(!is_for_all(&private) && !is_for("a", &private) && is_for("a.b", &private));
        }
        assert!(is_for_all(&of("", "gw.user.ann.news")));
        assert!(is_for_all(&of("amq.topic", "news")));
    }

    #[test]
    fn a_user_is_one_word() {
        assert_eq!(key("ann", "news"), "gw.user.ann.news");
        assert_eq!(key("a.b", "c"), "gw.user.a%2Eb.c");
        assert_eq!(key("*", "#"), "gw.user.%2A.#");
        assert_eq!(key("a%2Eb ü", "c"), "gw.user.a%252Eb%20%C3%BC.c");
        assert_ne!(key("a", "b.c"), key("a.b", "c"));
    }

    #[test]
    fn what_is_for_a_user_is_seen_by_patterns_of_that_user_alone() {
        for (pattern, key, expected) in [
            ("#", "news", true),
            ("#", "gw.user.ann.news", false),
            ("gw.#", "gw.user.ann.news", false),
            ("gw.user.*.news", "gw.user.ann.news", false),
            ("gw.user.#", "gw.user.ann.news", false),
            ("gw.user.ann.news", "gw.user.ann.news", true),
            ("gw.user.ann.*", "gw.user.ann.news", true),
            ("gw.user.ann.#", "gw.user.ann.a.b", true),
            ("gw.user.anna.#", "gw.user.ann.news", false),
            ("gw.user.an.#", "gw.user.ann.news", false),
            ("gw.user.ann", "gw.user.ann", false),
            ("gw.#", "gw.users", true),
        ] {
            assert_eq!(is_visible(pattern, key), expected, "{pattern} {key}");
        }
        assert_eq!(name_of("gw.user.a%2Eb.c.d"), Some("c.d"));
        assert_eq!(name_of("gw.user.a"), None);
    }
}
