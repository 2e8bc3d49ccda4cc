//! Destinations: the text of a `destination` header to an [`Address`] of the broker port, and an
//! exchange and routing key back to a text.
//!
//! STOMP leaves destinations to the server; these are RabbitMQ's:
//!
//! | text | address |
//! |---|---|
//! | `/queue/<name>`, or a bare `<name>` without a slash | [`Address::Queue`] |
//! | `/amq/queue/<name>` | [`Address::ExistingQueue`] |
//! | `/topic/<routing key or pattern>` | [`Address::Topic`] |
//! | `/exchange/<name>[/<key>]` | [`Address::Exchange`] |
//! | `/reply-queue/<name>` | [`Address::ExistingQueue`]; the name is all that follows, as it is |
//! | `/rpc/<uri>` | [`Address::Exchange`], that of [`procedure`], with the key of the URI |
//! | `/temp-queue/<id>` | none: for the `reply-to` of SEND, see [`temporary`] |
//!
//! Each part between other slashes is percent-decoded (RFC 3986 §2.1), so that a name may hold a slash as
//! `%2F` and a percent sign as `%25`. What [`write()`] writes, [`parse`] reads back.

use std::borrow::Cow;
use std::fmt::Write;

use crate::broker::{Address, procedure, user};
use crate::stomp::gateways;
use crate::text::Text;
use crate::violation::{Violation, shown};

/// The prefixes, as named to a client that used another.
const VALID: &str = "/amq/queue, /exchange, /queue, /reply-queue, /rpc, /topic";

/// Begins a destination that names a queue as it is.
const REPLY_QUEUE: &str = "/reply-queue/";

/// Begins the `reply-to` of a SEND that asks for a queue of the session's own. Also begins the names
/// of the subscriptions to these.
pub(super) const TEMP_QUEUE: &str = "/temp-queue/";

/// The longest name or key that AMQP 0-9-1 can carry (a short string).
pub(super) const LONGEST_NAME: usize = 255;

/// The exchange behind `/topic`.
const TOPIC_EXCHANGE: &str = "amq.topic";

/// The address that `destination` names.
///
/// *Errors.* [`Violation::UnknownDestination`] for an unknown prefix,
/// [`Violation::InvalidDestination`] for a known one with a remainder that cannot be used,
/// [`Violation::DestinationRefused`] for what is [no client's](gateways).
/// *Cost.* No copy, unless something is percent-encoded.
pub(super) fn parse(destination: &Text, escapes: Escapes) -> Result<Address, Violation> {
    let parts = |kind| Parts { destination, kind, escapes };
    let Some(path) = destination.strip_prefix('/') else {
        if destination.contains('/') {
            return Err(unknown(destination));
        }
        return parts("queue").only(destination).map(Address::Queue);
    };
    let (prefix, rest) = path.split_once('/').unwrap_or((path, ""));
    match prefix {
        "queue" => parts("queue").only(rest).map(Address::Queue),
        "reply-queue" => parts("reply-queue").whole(rest).map(Address::ExistingQueue),
        "temp-queue" => Err(parts("SEND or SUBSCRIBE").invalid(ONLY_REPLY_TO)),
        "topic" => parts("topic").only(rest).map(Address::Topic),
        "exchange" => parts("exchange").exchange(rest),
        "rpc" => parts("rpc").procedure(rest),
        "amq" if rest == "queue" => parts("queue").only("").map(Address::ExistingQueue),
        "amq" if rest.starts_with("queue/") => {
            parts("queue").only(&rest["queue/".len()..]).map(Address::ExistingQueue)
        }
        _ => Err(unknown(destination)),
    }
}

/// One part of a destination of a user, decoded.
///
/// *Errors.* [`Violation::InvalidDestination`], with this hint if there is nothing, or more than one part.
pub(super) fn part(
    destination: &str,
    part: &str,
    hint: &'static str,
    escapes: Escapes,
) -> Result<Text, Violation> {
    let kind = "user";
    if part.is_empty() || part.contains('/') {
        return Err(Violation::InvalidDestination { got: shown(destination), kind, hint });
    }
    let part = Text::from(part);
    Parts { destination: &part, kind, escapes }.decoded(&part)
}

/// The name that a `reply-to` gives to a queue of the session's own; `None` if it means another.
///
/// *Errors.* [`Violation::InvalidDestination`] for such a one without a name.
pub(super) fn temporary(reply_to: &str) -> Result<Option<&str>, Violation> {
    let Some(name) = reply_to.strip_prefix(TEMP_QUEUE) else {
        return Ok(None);
    };
    if name.is_empty() || name.contains('/') {
        let (kind, hint) = ("temp-queue", "write /temp-queue/<name>");
        return Err(Violation::InvalidDestination { got: shown(reply_to), kind, hint });
    }
    Ok(Some(name))
}

/// Begins the `reply-to` of a MESSAGE, where it would mean nothing else: what names a queue as AMQP
/// does can be replied to.
pub(super) fn reply_prefix(reply_to: &str) -> &'static str {
    let known = ["/exchange", "/topic", "/queue", "/amq/queue", REPLY_QUEUE];
    if known.iter().any(|prefix| reply_to.starts_with(prefix)) { "" } else { REPLY_QUEUE }
}

/// Appends the destination of a message that was published to `exchange` with `key`.
///
/// *Order.* The inverse of [`parse`], for every exchange that clients may name, and every key.
pub(super) fn write(exchange: &str, key: &str, out: &mut String) {
    match exchange {
        "" => {
            out.push_str("/queue/");
            encode(key, out);
        }
        TOPIC_EXCHANGE => match user::name_of(key) {
            Some(name) => {
                out.push_str("/user/queue/");
                encode(name, out);
            }
            None => {
                out.push_str("/topic/");
                encode(key, out);
            }
        },
        _ if exchange == procedure::EXCHANGE
            && let Some(uri) = procedure::uri_of(key) =>
        {
            out.push_str("/rpc/");
            encode(&uri, out);
        }
        _ => {
            out.push_str("/exchange/");
            encode(exchange, out);
            if !key.is_empty() {
                out.push('/');
                encode(key, out);
            }
        }
    }
}

/// What stands for a byte that cannot stand for itself in a part of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `%HH` is any byte (RFC 3986 §2.1).
    Bytes,
    /// `%2F` is a slash, and any other `%` is itself, as with RabbitMQ's plugin.
    Slashes,
}

/// Remembers the last destination it parsed: most clients send to one over and over.
#[derive(Debug)]
pub(super) struct LastDestination {
    last: Option<(Text, Address)>,
    escapes: Escapes,
}

impl LastDestination {
    /// Nothing yet.
    pub(super) const fn new(escapes: Escapes) -> Self {
        Self { last: None, escapes }
    }

    /// What is decoded in a destination.
    pub(super) const fn escapes(&self) -> Escapes {
        self.escapes
    }

    /// As [`parse`]. The address does not keep the buffer alive that `destination` points into.
    pub(super) fn parse(&mut self, destination: &str) -> Result<Address, Violation> {
        if let Some((known, address)) = &self.last
            && known == destination
        {
            return Ok(address.clone());
        }
        let destination = Text::from(destination);
        let address = parse(&destination, self.escapes)?;
        self.last = Some((destination, address.clone()));
        Ok(address)
    }
}

/// What `/temp-queue/` is for.
const ONLY_REPLY_TO: &str = "/temp-queue/<name> is for the reply-to of SEND: the replies come \
     without SUBSCRIBE";

fn unknown(destination: &str) -> Violation {
    Violation::UnknownDestination { got: shown(destination), valid: VALID }
}

/// Reads the parts of one destination.
struct Parts<'a> {
    destination: &'a Text,
    kind: &'static str,
    escapes: Escapes,
}

impl Parts<'_> {
    /// The one part that is allowed, and needed.
    fn only(&self, rest: &str) -> Result<Text, Violation> {
        if rest.is_empty() {
            return Err(self.invalid("a name is missing"));
        }
        if rest.contains('/') {
            return Err(self.invalid("it has one part; write %2F for a slash in a name"));
        }
        self.decoded(rest)
    }

    /// All of it, undecoded.
    fn whole(&self, rest: &str) -> Result<Text, Violation> {
        if rest.is_empty() || rest.len() > LONGEST_NAME {
            return Err(self.invalid("the name of a queue is needed, of at most 255 bytes"));
        }
        Ok(self.destination.slice(rest))
    }

    /// An exchange, and a key if there is one.
    fn exchange(&self, rest: &str) -> Result<Address, Violation> {
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(self.invalid("the name of an exchange is missing"));
        }
        if key.contains('/') {
            return Err(self.invalid("it has two parts at most; write %2F for a slash in a key"));
        }
        let (name, key) = (self.decoded(name)?, self.decoded(key)?);
        gateways::check_exchange(self.destination, &name)?;
        Ok(Address::Exchange { name, key })
    }

    /// A procedure by its URI.
    fn procedure(&self, rest: &str) -> Result<Address, Violation> {
        let uri = self.only(rest)?;
        let key = match procedure::routing_key(&uri).map_err(|hint| self.invalid(hint))? {
            Cow::Borrowed(_) => uri,
            Cow::Owned(key) => Text::from(key),
        };
        Ok(Address::Exchange { name: Text::from_static(procedure::EXCHANGE), key })
    }

    /// Decodes one part.
    fn decoded(&self, part: &str) -> Result<Text, Violation> {
        let text = if !part.contains('%') {
            self.destination.slice(part)
        } else if self.escapes == Escapes::Slashes {
            Text::from(part.replace("%2F", "/"))
        } else {
            percent_decode(part)
                .ok_or_else(|| self.invalid("write %25 for a percent sign, %HH for other bytes"))?
        };
        if text.len() > LONGEST_NAME {
            return Err(self.invalid("a name may have 255 bytes (AMQP 0-9-1 short string)"));
        }
        Ok(text)
    }

    fn invalid(&self, hint: &'static str) -> Violation {
        Violation::InvalidDestination { got: shown(self.destination), kind: self.kind, hint }
    }
}

/// `None` if a `%` is not followed by two hexadecimal digits, or the result is not UTF-8.
fn percent_decode(part: &str) -> Option<Text> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (&[high, low], after) = rest.split_first_chunk()?;
        bytes.push(hex_digit(high)? << 4 | hex_digit(low)?);
        rest = after;
    }
    Text::from_utf8(bytes.into()).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Encodes slashes, percent signs, control characters and whatever is not ASCII.
fn encode(name: &str, out: &mut String) {
    if name.bytes().all(stands_for_itself) {
        return out.push_str(name);
    }
    for byte in name.bytes() {
        if stands_for_itself(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'/' && byte != b'%'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(destination: &str) -> Result<Address, Violation> {
        parse(&Text::from(destination), Escapes::Bytes)
    }

    fn written(exchange: &str, key: &str) -> String {
        let mut out = String::new();
        write(exchange, key, &mut out);
        out
    }

    #[test]
    fn each_prefix_is_its_address() {
        assert_eq!(parsed("/queue/a.b"), Ok(Address::Queue("a.b".into())));
        assert_eq!(parsed("a"), Ok(Address::Queue("a".into())));
        assert_eq!(parsed("/amq/queue/a"), Ok(Address::ExistingQueue("a".into())));
        assert_eq!(parsed("/topic/a.*.#"), Ok(Address::Topic("a.*.#".into())));
        let exchange =
            |name: &str, key: &str| Address::Exchange { name: name.into(), key: key.into() };
        assert_eq!(parsed("/exchange/x"), Ok(exchange("x", "")));
        assert_eq!(parsed("/exchange/x/"), Ok(exchange("x", "")));
        assert_eq!(parsed("/exchange/x/k"), Ok(exchange("x", "k")));
        assert_eq!(parsed("/rpc/com.app.add"), Ok(exchange("wamp.rpc", "com.app.add")));
        assert_eq!(parsed("/rpc/50%25.*"), Ok(exchange("wamp.rpc", "50%25.%2A")));
    }

    #[test]
    fn a_reply_queue_is_named_as_it_is() {
        assert_eq!(parsed("/reply-queue/a/b%2F"), Ok(Address::ExistingQueue("a/b%2F".into())));
        for known in ["/queue/a", "/amq/queue/a", "/topic/a", "/exchange/a", "/reply-queue/a"] {
            assert_eq!(reply_prefix(known), "", "{known}");
        }
        for other in ["a", "amq.gen-a", "/temp-queue/a", "/other/a", ""] {
            assert_eq!(reply_prefix(other), "/reply-queue/", "{other}");
        }
    }

    #[test]
    fn a_temporary_queue_has_one_name() {
        assert_eq!(temporary("/temp-queue/a"), Ok(Some("a")));
        for other in ["/queue/a", "a", "temp-queue/a"] {
            assert_eq!(temporary(other), Ok(None));
        }
        for none in ["/temp-queue/", "/temp-queue/a/b"] {
            assert!(matches!(temporary(none), Err(Violation::InvalidDestination { .. })));
        }
    }

    #[test]
    fn parts_are_percent_decoded() {
        assert_eq!(parsed("/queue/a%2Fb%2fc%25"), Ok(Address::Queue("a/b/c%".into())));
        assert_eq!(parsed("/topic/%C3%BC"), Ok(Address::Topic("ü".into())));
        assert_eq!(parsed("a%2Fb"), Ok(Address::Queue("a/b".into())));
    }

    #[test]
    fn only_slashes_are_decoded_for_those_who_want_it_so() {
        let parsed = |text: &str| parse(&text.into(), Escapes::Slashes);
        assert_eq!(parsed("/queue/a%2Fb%2fc%25%"), Ok(Address::Queue("a/b%2fc%25%".into())));
        assert_eq!(parsed("a%20%2F"), Ok(Address::Queue("a%20/".into())));
    }

    #[test]
    fn a_known_prefix_with_an_unusable_remainder_is_invalid() {
        let long = format!("/queue/{}", "q".repeat(256));
        for destination in [
            "",
            "/queue",
            "/queue/",
            "/queue/a/b",
            "/queue//",
            "/topic",
            "/topic/a/b",
            "/exchange",
            "/exchange/",
            "/exchange//k",
            "/exchange/x/k/l",
            "/amq/queue",
            "/amq/queue/",
            "/amq/queue/a/b",
            "/queue/%",
            "/queue/%2",
            "/queue/%zz",
            "/queue/%FF",
            "/queue/%+1",
            "/temp-queue",
            "/temp-queue/a",
            "/reply-queue",
            "/reply-queue/",
            "/rpc",
            "/rpc/",
            "/rpc/a/b",
            "/rpc/a..b",
            "/rpc/a.",
            "/rpc/a b",
            "/rpc/a%23",
            &format!("/rpc/{}", "p".repeat(201)),
            &long,
        ] {
            let got = parsed(destination);
            assert!(
                matches!(got, Err(Violation::InvalidDestination { .. })),
                "{destination}: {got:?}"
            );
        }
    }

    #[test]
    fn the_exchanges_of_gateways_are_no_clients() {
        for destination in [
            "/exchange/wamp.interrupt",
            "/exchange/wamp.restricted",
            "/exchange/wamp.restricted/a.#",
            "/exchange/wamp%2erestricted/a",
        ] {
            let got = parsed(destination);
            assert!(matches!(got, Err(Violation::DestinationRefused { .. })), "{got:?}");
        }
        assert!(parsed("/exchange/wamp.restricted.x/a").is_ok());
        assert!(parsed("/queue/wamp.restricted").is_ok());
    }

    #[test]
    fn an_unknown_prefix_is_unknown() {
        for destination in ["/", "//", "queue/a", "/queues/a", "/amq/a", "/Queue/a"] {
            let got = parsed(destination);
            assert!(
                matches!(got, Err(Violation::UnknownDestination { .. })),
                "{destination}: {got:?}"
            );
        }
    }

    #[test]
    fn the_destination_of_a_message_names_exchange_and_key() {
        assert_eq!(written("", "q"), "/queue/q");
        assert_eq!(written("amq.topic", "a.b"), "/topic/a.b");
        assert_eq!(written("x", "k"), "/exchange/x/k");
        assert_eq!(written("x", ""), "/exchange/x");
        assert_eq!(written("wamp.rpc", "50%25.%2A/b"), "/rpc/50%25.*%2Fb");
        assert_eq!(written("wamp.rpc", "a.*"), "/exchange/wamp.rpc/a.*");
        assert_eq!(written("", "a/b%ü\n\u{7f}"), "/queue/a%2Fb%25%C3%BC%0A%7F");
    }

    #[test]
    fn the_last_destination_is_parsed_once() {
        let mut last = LastDestination::new(Escapes::Bytes);
        let Ok(Address::Queue(first)) = last.parse("/queue/a") else { panic!("a queue") };
        let Ok(Address::Queue(second)) = last.parse("/queue/a") else { panic!("a queue") };
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_eq!(last.parse("/queue/b"), Ok(Address::Queue("b".into())));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(
            exchange in ".{0,20}|wamp\\.rpc",
            key in ".{1,20}|([ab.]|%2[0-9A-F]){1,9}",
        ) {
            let parsed = parsed(&written(&exchange, &key));
            let expected = match exchange.as_str() {
                "" => Address::Queue(key.into()),
                TOPIC_EXCHANGE => Address::Topic(key.into()),
                _ => Address::Exchange { name: exchange.into(), key: key.into() },
            };
            proptest::prop_assert_eq!(parsed, Ok(expected));
        }
    }
}
