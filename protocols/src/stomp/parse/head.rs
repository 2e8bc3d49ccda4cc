//! The head of a whole frame: UTF-8 checked, escapes resolved.
//!
//! *Spec.* STOMP 1.2 §Value Encoding: header names and values, except those of CONNECT and
//! CONNECTED, are escaped; an undefined escape is a fatal error. [`Escaping::Every`] exempts none.

use bytes::Bytes;
use memchr::memchr;

use super::progress::{Progress, place};
use crate::stomp::encode::Escaping;
use crate::stomp::frame::{HeaderLine, Verb};
use crate::text::Text;
use crate::violation::{Violation, shown};

/// Head and body of the frame that `bytes` hold, the parsing of which is complete. If the head had
/// to be unescaped, the lines are changed to say where its headers are now.
///
/// *Errors.* `HeadNotUtf8`, `BadEscape`. *Cost.* No copy, unless the head holds a backslash.
#[inline]
pub(super) fn head_and_body(
    mut bytes: Bytes,
    verb: Verb,
    progress: &mut Progress,
    escaping: Escaping,
) -> Result<(Text, Bytes), Violation> {
    let (head, body) = (progress.head_len(), progress.body_len);
    let body = if body == 0 { Bytes::new() } else { bytes.slice(head..head + body) };
    bytes.truncate(head);
    let head = Text::from_utf8(bytes)
        .map_err(|error| Violation::HeadNotUtf8 { at: error.valid_up_to() })?;
    let escaped = match escaping {
        Escaping::None => false,
        Escaping::V11 | Escaping::V12 => !is_never_escaped(verb),
        Escaping::Every => true,
    };
    if escaped && memchr(b'\\', head.as_bytes()).is_some() {
        return Ok((unescape(&head, &mut progress.lines)?, body));
    }
    Ok((head, body))
}

/// STOMP 1.2 §Value Encoding exempts CONNECT and CONNECTED; STOMP is another word for CONNECT.
const fn is_never_escaped(verb: Verb) -> bool {
    matches!(verb, Verb::Connect | Verb::Stomp | Verb::Connected)
}

/// A head in which the headers of `head` lie unescaped, at the places that `lines` are changed to.
fn unescape(head: &str, lines: &mut [HeaderLine]) -> Result<Text, Violation> {
    let mut unescaped = String::with_capacity(head.len());
    for line in lines {
        let (start, colon, end) = (line.start as usize, line.colon as usize, line.end as usize);
        line.start = place(unescaped.len());
        push_unescaped(&mut unescaped, &head[start..colon])?;
        line.colon = place(unescaped.len());
        unescaped.push(':');
        push_unescaped(&mut unescaped, &head[colon + 1..end])?;
        line.end = place(unescaped.len());
    }
    Ok(Text::from(unescaped))
}

fn push_unescaped(to: &mut String, mut part: &str) -> Result<(), Violation> {
    while let Some(backslash) = memchr(b'\\', part.as_bytes()) {
        let (clean, escape) = part.split_at(backslash);
        to.push_str(clean);
        to.push(match escape.as_bytes().get(1) {
            Some(b'n') => '\n',
            Some(b'c') => ':',
            Some(b'\\') => '\\',
            Some(b'r') => '\r',
            _ => return Err(bad_escape(escape)),
        });
        part = &escape[2..];
    }
    to.push_str(part);
    Ok(())
}

fn bad_escape(escape: &str) -> Violation {
    let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
    Violation::BadEscape { got: shown(&escape[..end]), allowed: r"\n, \r, \c and \\" }
}
