//! How a text that is no pattern is written as a routing key.
//!
//! *Spec.* AMQP 0-9-1 §3.1.3.3: in the key of a binding to a topic exchange `*` and `#` stand for words. So
//! they, and the `%` that escapes them, are written `%2A`, `%23` and `%25`: each key is made of at most one
//! text, and none is a pattern.

use std::borrow::Cow;

/// The longest routing key, and name of a queue, in bytes (AMQP 0-9-1 §4.2.5.3: short strings).
pub const LONGEST: usize = 255;

const ESCAPES: [(char, &str); 3] = [('%', "%25"), ('*', "%2A"), ('#', "%23")];

/// The key that is made of a text; not held against [`LONGEST`]. *Cost.* No copy, unless a character must
/// be escaped.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPES.map(|(character, _)| character)) {
        return Cow::Borrowed(text);
    }
    let mut key = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match ESCAPES.iter().find(|(escaped, _)| *escaped == character) {
            Some((_, escape)) => key.push_str(escape),
            None => key.push(character),
        }
    }
    Cow::Owned(key)
}

/// The text of which a key is made; `None` if it is made of none.
pub fn unescape(key: &str) -> Option<Cow<'_, str>> {
    if key.contains(['*', '#']) {
        return None;
    }
    let mut parts = key.split('%');
    let first = parts.next()?;
    if first.len() == key.len() {
        return Some(Cow::Borrowed(key));
    }
    let mut text = String::from(first);
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        let escaped = ESCAPES.iter().find(|(_, escape)| escape[1..] == *code);
        text.push(escaped?.0);
        text.push_str(rest);
    }
    Some(Cow::Owned(text))
}
