//! Headers of an event on its way between gateways.
//!
//! *Spec.* WAMP §Subscriber Black- and Whitelisting, §Publisher Exclusion, §Publisher
//! Identification, §Payload Passthru Mode: what PUBLISH says about those that get the event, and to
//! them.
//!
//! | header | AMQP | is |
//! |---|---|---|
//! | `wamp-uri` | text | the topic; the routing key says the same |
//! | `wamp-pub` | integer | the session that published |
//! | `wamp-exme` | flag | whether that session gets none; not there: it gets none |
//! | `wamp-elig`, `wamp-excl` | array of integers | sessions |
//! | `wamp-elig-authid`, `wamp-elig-authrole`, `wamp-excl-…` | array of texts | users and roles |
//! | `wamp-disclose` | flag | whether subscribers are told who published |
//! | `wamp-authid`, `wamp-authrole` | text | who that was; only there if they are told |
//! | `wamp-ppt` | table | `ppt_…`, under `scheme`, `serializer`, `cipher` and `keyid` |
//!
//! A list that is empty is there all the same: nobody is eligible by it.
//!
//! Whoever reads from the topic exchange sees what goes there, STOMP clients too. So the user and the role
//! are there only if they are disclosed; the session is there always, since its node may be any. What has
//! lists of subscribers goes [elsewhere](crate::broker::restricted).

use crate::broker::Value;
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{EventDetails, Passthru, PublishOptions};
use crate::wamp::realm::Principal;

/// In every message of a gateway's, calls included.
pub(in crate::wamp) const URI: &str = "wamp-uri";
const PUBLISHER: &str = "wamp-pub";
const EXCLUDE_ME: &str = "wamp-exme";
const ELIGIBLE: [&str; 3] = ["wamp-elig", "wamp-elig-authid", "wamp-elig-authrole"];
const EXCLUDED: [&str; 3] = ["wamp-excl", "wamp-excl-authid", "wamp-excl-authrole"];
const DISCLOSE: &str = "wamp-disclose";
pub(in crate::wamp) const AUTHID: &str = "wamp-authid";
pub(in crate::wamp) const AUTHROLE: &str = "wamp-authrole";
const PASSTHRU: &str = "wamp-ppt";

type Headers = [(Text, Value)];

/// The headers of an event.
pub(super) fn write(
    topic: &Text,
    options: &PublishOptions,
    publisher: &Principal,
    is_disclosed: bool,
) -> Vec<(Text, Value)> {
    let mut headers = Vec::with_capacity(4);
    let mut put = |name: &'static str, value| headers.push((Text::from_static(name), value));
    put(URI, Value::Text(topic.clone()));
    put(PUBLISHER, number(publisher.session));
    if options.exclude_me == Some(false) {
        put(EXCLUDE_ME, Value::Boolean(false));
    }
    let ids = |ids: &Option<Vec<Id>>| -> Option<Vec<Value>> {
        Some(ids.as_ref()?.iter().copied().map(number).collect())
    };
    let texts = |texts: &Option<Vec<Text>>| -> Option<Vec<Value>> {
        Some(texts.as_ref()?.iter().cloned().map(Value::Text).collect())
    };
    let lists = [
        (ELIGIBLE[0], ids(&options.eligible)),
        (ELIGIBLE[1], texts(&options.eligible_authid)),
        (ELIGIBLE[2], texts(&options.eligible_authrole)),
        (EXCLUDED[0], ids(&options.exclude)),
        (EXCLUDED[1], texts(&options.exclude_authid)),
        (EXCLUDED[2], texts(&options.exclude_authrole)),
    ];
    for (name, list) in lists {
        if let Some(list) = list {
            put(name, Value::Array(list));
        }
    }
    if is_disclosed {
        put(DISCLOSE, Value::Boolean(true));
        put(AUTHID, Value::Text(publisher.authid.clone()));
        put(AUTHROLE, Value::Text(publisher.authrole.clone()));
    }
    headers.extend(passthru_entry(&options.passthru));
    headers
}

/// The header that says how the payload is to be understood, if anything is to be said.
pub(in crate::wamp) fn passthru_entry(passthru: &Passthru) -> Option<(Text, Value)> {
    let table = passthru_table(passthru);
    (!table.is_empty()).then(|| (Text::from_static(PASSTHRU), Value::Table(table)))
}

fn passthru_table(passthru: &Passthru) -> Vec<(Text, Value)> {
    let Passthru { ppt_scheme, ppt_serializer, ppt_cipher, ppt_keyid } = passthru;
    let table = [
        ("scheme", ppt_scheme),
        ("serializer", ppt_serializer),
        ("cipher", ppt_cipher),
        ("keyid", ppt_keyid),
    ];
    let entry = |(name, value): (&'static str, &Option<Text>)| {
        Some((Text::from_static(name), Value::Text(value.clone()?)))
    };
    table.into_iter().filter_map(entry).collect()
}

/// Bytes that headers take in AMQP 0-9-1 (§4.2.5.5).
pub(super) fn size(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Text(text) => 5 + text.len(),
        Value::Bytes(bytes) => 5 + bytes.len(),
        Value::Array(items) => 5 + items.iter().map(value_size).sum::<usize>(),
        Value::Table(entries) => 5 + size(entries),
        Value::Boolean(_) => 2,
        Value::Void => 1,
        Value::Integer(_) | Value::Double(_) | Value::Timestamp(_) | Value::Decimal { .. } => 9,
    }
}

/// Entries that the lists of an event may have, all together: each of its subscribers is looked up in them.
pub(super) const MOST_LISTED: usize = 256;

/// How many there are.
pub(super) fn listed(options: &PublishOptions) -> usize {
    let ids = [&options.eligible, &options.exclude];
    let texts = [
        &options.eligible_authid,
        &options.eligible_authrole,
        &options.exclude_authid,
        &options.exclude_authrole,
    ];
    let ids = ids.into_iter().flatten().map(|list| list.len());
    ids.chain(texts.into_iter().flatten().map(|list| list.len())).sum()
}

/// Whether an event is for some subscribers only, by more than that its publisher gets none.
pub(super) const fn is_restricted(options: &PublishOptions) -> bool {
    options.eligible.is_some()
        || options.eligible_authid.is_some()
        || options.eligible_authrole.is_some()
        || options.exclude.is_some()
        || options.exclude_authid.is_some()
        || options.exclude_authrole.is_some()
}

/// Whether a subscriber gets an event with these headers.
///
/// It does if it is not the publisher, or the publisher is not excluded; and it is on each list of
/// those that are eligible, and on none of those that are excluded. A list of which nobody knows what
/// it says leaves everybody out. *Cost.* One pass over the headers, and over each list; no
/// allocation.
pub(super) fn allow(headers: &Headers, receiver: &Principal) -> bool {
    let mut is_publisher = false;
    let mut excludes_publisher = true;
    for (name, value) in headers {
        let is_allowed = match name.as_str() {
            PUBLISHER => {
                is_publisher |= *value == number(receiver.session);
                true
            }
            EXCLUDE_ME => {
                excludes_publisher = *value != Value::Boolean(false);
                true
            }
            name if name.starts_with("wamp-") => {
                let place = |names: &[&str; 3]| names.iter().position(|known| name == *known);
                match (place(&ELIGIBLE), place(&EXCLUDED)) {
                    (Some(which), _) => lists(value, receiver, which) == Some(true),
                    (_, Some(which)) => lists(value, receiver, which) == Some(false),
                    (None, None) => true,
                }
            }
            _ => true,
        };
        if !is_allowed {
            return false;
        }
    }
    !(is_publisher && excludes_publisher)
}

/// Whether a list has the session (0), user (1) or role (2) of a subscriber on it; `None` if it is no
/// list.
fn lists(value: &Value, receiver: &Principal, which: usize) -> Option<bool> {
    let Value::Array(items) = value else { return None };
    if items.len() > MOST_LISTED {
        return None;
    }
    let wanted = match which {
        0 => return Some(items.contains(&number(receiver.session))),
        1 => &receiver.authid,
        _ => &receiver.authrole,
    };
    Some(items.iter().any(|item| matches!(item, Value::Text(text) if text == wanted)))
}

/// What an event says about its publisher and its payload.
pub(super) fn details(headers: &Headers) -> EventDetails {
    let mut details = EventDetails { passthru: passthru(headers), ..EventDetails::default() };
    if find(headers, DISCLOSE) == Some(&Value::Boolean(true)) {
        details.publisher = find(headers, PUBLISHER).and_then(id);
        details.publisher_authid = find(headers, AUTHID).and_then(text);
        details.publisher_authrole = find(headers, AUTHROLE).and_then(text);
    }
    details
}

/// How the payload is to be understood.
pub(in crate::wamp) fn passthru(headers: &Headers) -> Passthru {
    let Some(Value::Table(table)) = find(headers, PASSTHRU) else {
        return Passthru::default();
    };
    let entry = |name| find(table, name).and_then(text);
    Passthru {
        ppt_scheme: entry("scheme"),
        ppt_serializer: entry("serializer"),
        ppt_cipher: entry("cipher"),
        ppt_keyid: entry("keyid"),
    }
}

/// What a header says. Names need not be unique; the first counts.
pub(in crate::wamp) fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a Value> {
    headers.iter().find(|(known, _)| *known == *name).map(|(_, value)| value)
}

fn text(value: &Value) -> Option<Text> {
    if let Value::Text(text) = value { Some(text.clone()) } else { None }
}

pub(in crate::wamp) fn id(value: &Value) -> Option<Id> {
    let Value::Integer(number) = value else { return None };
    u64::try_from(*number).ok().and_then(Id::new)
}

/// IDs have no more than 54 bits.
pub(in crate::wamp) fn number(id: Id) -> Value {
    Value::Integer(i64::try_from(id.get()).unwrap_or(i64::MAX))
}
