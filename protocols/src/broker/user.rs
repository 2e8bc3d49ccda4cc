//! Routing keys of what is for one user alone: `gw.user.<user>.<name>` on the topic exchange.
//!
//! The user is one word of the key: dots, wildcards, percent signs and what is not printable ASCII are
//! written `%HH`. Whoever distributes messages keeps these from everybody else, whatever patterns they have
//! subscribed to; a backend publishes to such a key with plain AMQP.

use std::fmt::Write;

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

#[cfg(test)]
mod tests {
    use super::*;

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
