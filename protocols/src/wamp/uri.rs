//! URIs of topics and procedures, patterns of them, and how they are written as routing keys.
//!
//! *Spec.* WAMP §URIs (loose and strict ones, and those that `wamp` begins), §Pattern-based
//! Subscription, §Pattern-based Registrations.
//!
//! As routing keys they are [escaped](key::escape): no URI is taken for a wildcard.

use std::borrow::Cow;

use super::message::MatchPolicy;
use crate::broker::key;
use crate::text::Text;
use crate::violation::shown;

/// Which URIs are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UriRules {
    /// Whether components are of `a` to `z`, `0` to `9` and `_` alone. If not, they may have any
    /// characters but blanks, dots, `#`, and control characters, which the specification does not
    /// rule out. Default false.
    pub strict: bool,
    /// Allowed bytes. Default 200, which leaves room in a routing key.
    pub max_length: usize,
}

impl Default for UriRules {
    fn default() -> Self {
        Self { strict: false, max_length: 200 }
    }
}

impl UriRules {
    /// Checks the URI of one topic, procedure or error.
    ///
    /// *Errors.* The first thing that is wrong with it.
    pub fn check(&self, uri: &str) -> Result<(), UriError> {
        self.check_pattern(uri, MatchPolicy::Exact)
    }

    /// Checks a pattern. Its components may be empty, unless it is to match exactly.
    ///
    /// *Errors.* The first thing that is wrong with it.
    pub fn check_pattern(&self, uri: &str, policy: MatchPolicy) -> Result<(), UriError> {
        if uri.len() > self.max_length {
            return Err(UriError::TooLong { limit: self.max_length, got: uri.len() });
        }
        if policy == MatchPolicy::Exact && uri.split('.').any(str::is_empty) {
            return Err(UriError::EmptyComponent { got: shown(uri) });
        }
        let is_bad = |character: &char| *character != '.' && !self.allows(*character);
        match uri.chars().find(is_bad) {
            Some(character) => Err(UriError::BadCharacter { character, got: shown(uri) }),
            None => Ok(()),
        }
    }

    fn allows(&self, character: char) -> bool {
        if self.strict {
            matches!(character, 'a'..='z' | '0'..='9' | '_')
        } else {
            // U+FEFF is a blank of regular expressions in JavaScript.
            let is_blank = character.is_whitespace() || character == '\u{feff}';
            character != '#' && !is_blank && !character.is_control()
        }
    }
}

/// What is wrong with a URI, for ERROR with `wamp.error.invalid_uri`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It has more bytes than allowed.
    #[error("a URI may have {limit} bytes, this one has {got}")]
    TooLong {
        /// Allowed bytes.
        limit: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// There is nothing before, after or between dots.
    #[error("the URI {got:?} has an empty component, which only patterns may have")]
    EmptyComponent {
        /// What came, cut to what can be shown.
        got: String,
    },
    /// A character that URIs may not have, here or anywhere.
    #[error("the URI {got:?} must not have the character {character:?}")]
    BadCharacter {
        /// The character.
        character: char,
        /// What came, cut to what can be shown.
        got: String,
    },
    /// It is allowed, but a routing key has no room for it.
    #[error("the URI takes {got} bytes as a routing key, which may have {limit}")]
    RoutingKeyTooLong {
        /// Allowed bytes.
        limit: usize,
        /// Bytes that it takes.
        got: usize,
    },
}

/// The first component of URIs that are the protocol's own.
const RESERVED: &str = "wamp";

/// Whether a URI is the protocol's own: clients must not publish to it or register it.
pub fn is_reserved(uri: &str) -> bool {
    uri.split('.').next() == Some(RESERVED)
}

/// Whether a text is one component of a loose URI.
pub fn is_component(text: &str) -> bool {
    !text.contains('.') && UriRules { strict: false, max_length: usize::MAX }.check(text).is_ok()
}

/// A topic or procedure, or a pattern of them. The URI has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// How it matches.
    pub policy: MatchPolicy,
    /// The URI, a part of one, or one with empty components.
    pub uri: Text,
}

impl Pattern {
    /// Whether a URI is one of those that the pattern stands for.
    ///
    /// A prefix is one of characters, not of components. A wildcard stands for one component, not
    /// for none. *Cost.* One pass over the URI.
    pub fn matches(&self, uri: &str) -> bool {
        match self.policy {
            MatchPolicy::Exact => self.uri == *uri,
            MatchPolicy::Prefix => uri.starts_with(self.uri.as_str()),
            MatchPolicy::Wildcard => {
                let mut components = uri.split('.');
                let is_matched = self.uri.split('.').all(|wanted| match components.next() {
                    Some(component) if wanted.is_empty() => !component.is_empty(),
                    component => component == Some(wanted),
                });
                is_matched && components.next().is_none()
            }
        }
    }

    /// Whether it stands for nothing but URIs that are the protocol's own.
    pub fn is_reserved(&self) -> bool {
        // A prefix of one component is that of others, too.
        is_reserved(&self.uri) && (self.policy != MatchPolicy::Prefix || self.uri.contains('.'))
    }

    /// Whether it stands for URIs that are the protocol's own, among others.
    pub fn may_be_reserved(&self) -> bool {
        match self.policy {
            MatchPolicy::Exact => is_reserved(&self.uri),
            MatchPolicy::Prefix => {
                // Either is the beginning of the other.
                RESERVED.starts_with(self.uri.as_str()) || is_reserved(&self.uri)
            }
            MatchPolicy::Wildcard => {
                matches!(self.uri.split('.').next(), Some("" | RESERVED))
            }
        }
    }

    /// The key of a binding through which all URIs come that it stands for.
    ///
    /// Through that of a prefix others come too, which start with its components but the last:
    /// routing keys are matched by words. Through that of a wildcard come keys with empty words,
    /// which are no URIs. So what comes is still to be [matched](Self::matches).
    ///
    /// *Errors.* The key is too long.
    pub fn binding_key(&self) -> Result<Text, UriError> {
        let key = match self.policy {
            MatchPolicy::Exact => return Ok(Text::from(&*routing_key(&self.uri)?)),
            MatchPolicy::Prefix => {
                let parents = self.uri.rfind('.').map_or("", |dot| &self.uri[..=dot]);
                format!("{}#", key::escape(parents))
            }
            MatchPolicy::Wildcard => {
                let words = self.uri.split('.');
                let words =
                    words.map(|word| if word.is_empty() { "*".into() } else { key::escape(word) });
                words.collect::<Vec<_>>().join(".")
            }
        };
        check_key(&key)?;
        Ok(Text::from(key))
    }
}

/// The routing key that stands for a URI.
///
/// *Errors.* The key is too long. *Cost.* No copy, unless a character must be escaped.
pub fn routing_key(uri: &str) -> Result<Cow<'_, str>, UriError> {
    let key = key::escape(uri);
    check_key(&key)?;
    Ok(key)
}

/// The text of which a routing key is [made](routing_key); `None` if it is made of none. It is still
/// to be [checked](UriRules::check): others publish too, with keys that stand for no URI.
pub fn uri_of(routing_key: &str) -> Option<Cow<'_, str>> {
    key::unescape(routing_key)
}

const fn check_key(key: &str) -> Result<(), UriError> {
    if key.len() > key::LONGEST {
        return Err(UriError::RoutingKeyTooLong { limit: key::LONGEST, got: key.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    fn pattern(policy: MatchPolicy, uri: &str) -> Pattern {
        Pattern { policy, uri: Text::from(uri) }
    }

    #[test]
    fn loose_and_strict_uris_differ_in_their_characters() {
        let loose = UriRules::default();
        let strict = UriRules { strict: true, ..loose };
        for good in ["a", "com.myapp.topic_1", "0.1.2"] {
            assert_eq!((loose.check(good), strict.check(good)), (Ok(()), Ok(())), "{good}");
        }
        for only_loose in ["Com.App", "a-b", "ä.🦀", "a.*", "50%"] {
            assert_eq!(loose.check(only_loose), Ok(()), "{only_loose}");
            let error = strict.check(only_loose);
            assert!(matches!(error, Err(UriError::BadCharacter { .. })), "{only_loose}");
        }
        for (bad, character) in [
            ("a b", ' '),
            ("a.#", '#'),
            ("a\u{a0}b", '\u{a0}'),
            ("a\u{feff}", '\u{feff}'),
            ("\0a", '\0'),
            ("a\u{1b}[2J", '\u{1b}'),
            ("a\u{7f}", '\u{7f}'),
        ] {
            let got = bad.to_owned();
            assert_eq!(loose.check(bad), Err(UriError::BadCharacter { character, got }));
        }
    }

    #[test]
    fn only_patterns_may_have_empty_components() {
        let rules = UriRules::default();
        for uri in ["", ".", "a.", ".a", "a..b"] {
            let got = uri.to_owned();
            assert_eq!(rules.check(uri), Err(UriError::EmptyComponent { got }));
            assert_eq!(rules.check_pattern(uri, Prefix), Ok(()));
            assert_eq!(rules.check_pattern(uri, Wildcard), Ok(()));
        }
        let short = UriRules { max_length: 3, ..rules };
        assert_eq!(short.check("a.b"), Ok(()));
        assert_eq!(short.check("a.bc"), Err(UriError::TooLong { limit: 3, got: 4 }));
    }

    #[test]
    fn a_prefix_is_of_characters_and_a_wildcard_is_one_component() {
        assert!(pattern(Exact, "a.b").matches("a.b"));
        assert!(!pattern(Exact, "a.b").matches("a.b.c"));
        for (uri, is_matched) in [
            ("com.app.emergency", true),
            ("com.app.emer", true),
            ("com.app.emer.x", true),
            ("com.app", false),
        ] {
            assert_eq!(pattern(Prefix, "com.app.emer").matches(uri), is_matched, "{uri}");
        }
        for (uri, is_matched) in [
            ("a.b.c", true),
            ("a.xyz.c", true),
            ("a.c", false),
            ("a.b.b.c", false),
            ("a..c", false),
        ] {
            assert_eq!(pattern(Wildcard, "a..c").matches(uri), is_matched, "{uri}");
        }
        assert!(pattern(Wildcard, ".b.").matches("a.b.c"));
        assert!(!pattern(Wildcard, "a.b").matches("a.b.c"));
        assert!(pattern(Wildcard, "").matches("a"));
    }

    #[test]
    fn what_the_protocol_keeps_for_itself_is_found_in_patterns_too() {
        assert!(is_reserved("wamp") && is_reserved("wamp.error.x"));
        assert!(!is_reserved("wampum.x") && !is_reserved("com.wamp"));
        for (policy, uri) in [
            (Prefix, ""),
            (Prefix, "wa"),
            (Prefix, "wamp.session"),
            (Wildcard, ""),
            (Wildcard, ".x"),
            (Wildcard, "wamp."),
        ] {
            assert!(pattern(policy, uri).may_be_reserved(), "{uri}");
        }
        for (policy, uri) in [(Prefix, "wampum"), (Prefix, "com"), (Wildcard, "com.")] {
            assert!(!pattern(policy, uri).may_be_reserved(), "{uri}");
            assert!(!pattern(policy, uri).is_reserved(), "{uri}");
        }
        for (policy, uri, is_wholly) in [
            (Exact, "wamp", true),
            (Exact, "wamp.session.on_join", true),
            (Prefix, "wamp.", true),
            (Prefix, "wamp.s", true),
            (Wildcard, "wamp..on_join", true),
            (Prefix, "wamp", false),
            (Prefix, "", false),
            (Wildcard, "..on_join", false),
        ] {
            assert_eq!(pattern(policy, uri).is_reserved(), is_wholly, "{uri}");
        }
    }

    #[test]
    fn a_routing_key_is_that_of_one_uri() {
        for (uri, key) in [("a.b", "a.b"), ("a.*", "a.%2A"), ("50%", "50%25"), ("%2A", "%252A")] {
            assert_eq!(routing_key(uri).unwrap(), key);
            assert_eq!(uri_of(key).unwrap(), uri);
        }
        assert_eq!(uri_of("%23").unwrap(), "#");
        for foreign in ["a.*", "#", "50%", "%2a", "%4", "%é"] {
            assert_eq!(uri_of(foreign), None, "{foreign}");
        }
        let stars = "*".repeat(100);
        let error = UriError::RoutingKeyTooLong { limit: 255, got: 300 };
        assert_eq!(routing_key(&stars), Err(error));
    }

    #[test]
    fn a_pattern_has_a_binding_key_through_which_all_of_it_comes() {
        for (policy, uri, key) in [
            (Exact, "a.b.c", "a.b.c"),
            (Exact, "a.*", "a.%2A"),
            (Wildcard, "a..c", "a.*.c"),
            (Wildcard, ".b", "*.b"),
            (Wildcard, "a.", "a.*"),
            (Wildcard, "*.", "%2A.*"),
            (Prefix, "a.b.c", "a.b.#"),
            (Prefix, "a.b.", "a.b.#"),
            (Prefix, "a", "#"),
            (Prefix, "", "#"),
            (Prefix, "*.b", "%2A.#"),
        ] {
            assert_eq!(pattern(policy, uri).binding_key().unwrap(), key);
        }
    }
}
