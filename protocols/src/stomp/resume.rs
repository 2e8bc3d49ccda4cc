//! Sessions that another connection can go on with, on whatever node.
//!
//! | header | of | is |
//! |---|---|---|
//! | `resume` | CONNECT | how long the session is to stay without a connection, in milliseconds |
//! | `resume-token` | CONNECT | the session to go on with |
//! | `resume` | CONNECTED | how long it stays: what was asked for, or less |
//! | `resume-token` | CONNECTED | what to go on with it by |
//! | `resumed` | CONNECTED | whether it is the one that was asked for, or has begun with this connection |
//! | `x-gap:true` | MESSAGE | messages of this subscription may have been lost before this one |
//!
//! A subscription to a topic, an exchange or what is for the user has a queue that outlasts the connection.
//! Whoever connects with the token repeats its SUBSCRIBEs, and each goes on where it was: what was not
//! acknowledged comes again, marked as redelivered; with `auto`, what the client is not known to have received
//! ([`Once::Received`](crate::session::Once)). UNSUBSCRIBE and DISCONNECT give up what they end.
//!
//! A token is 128 random bits, and good for the login, the virtual host and the time that it was given to:
//! the broker's names are made of a hash of the four. With another time it is another session, for queues
//! stay as long as they were declared to. Only the server makes tokens up.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::auth::Secret;
use crate::broker::{Address, Lasting, QueueOptions, SubscriptionId, Value};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::queue;
use crate::text::Text;
use crate::violation::Violation;

/// How long a session stays.
const RESUME: &str = "resume";

/// Which one.
const TOKEN: &str = "resume-token";

/// What the broker calls the session; a client's subscriptions are counted from 1.
pub(super) const SESSION: SubscriptionId = SubscriptionId(0);

/// What a client asks for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    lifetime: Duration,
    token: Option<Secret>,
}

impl Wish {
    /// `None` if nothing is asked for, or nothing granted: at most so long.
    ///
    /// *Errors.* [`Violation::BadHeader`] if the time is no number; [`Violation::MissingHeader`] if there
    /// is none, but a token.
    pub(super) fn parse(frame: ClientFrame<'_>, most: Duration) -> Result<Option<Self>, Violation> {
        let token = frame.get(TOKEN).map(Secret::new);
        let Some(value) = frame.get(RESUME) else {
            return if token.is_some() { frame.require(RESUME).map(|_| None) } else { Ok(None) };
        };
        let millis = frame.number(RESUME, "a number of milliseconds", value)?;
        let lifetime = Duration::from_millis(millis).min(most);
        Ok((!lifetime.is_zero()).then_some(Self { lifetime, token }))
    }
}

/// A session on its way: the one that was asked for, and the one that begins otherwise.
#[derive(Debug)]
pub(super) struct Resuming {
    known: Option<Resumable>,
    fresh: Resumable,
}

impl Resuming {
    /// `fresh` is the token of one that begins. The others are those of the login.
    pub(super) fn new(wish: Wish, fresh: Secret, user: &str, vhost: &str) -> Self {
        let Wish { lifetime, token } = wish;
        let resumable = |token: Secret| {
            let time = lifetime.as_millis().to_string();
            let name = name([token.expose(), user, vhost, &time]);
            Resumable { name, token, lifetime }
        };
        Self { known: token.map(resumable), fresh: resumable(fresh) }
    }

    /// Names of the one to go on with, and of the one to begin; and how long they stay.
    pub(super) fn names(&self) -> (Option<Text>, Text, Duration) {
        let known = self.known.as_ref().map(|it| it.name.clone());
        (known, self.fresh.name.clone(), self.fresh.lifetime)
    }

    /// The one that it is.
    pub(super) fn settle(self, found: bool) -> Resumable {
        self.known.filter(|_| found).unwrap_or(self.fresh)
    }
}

/// A session that another connection can go on with.
#[derive(Debug)]
pub(super) struct Resumable {
    name: Text,
    token: Secret,
    lifetime: Duration,
}

impl Resumable {
    /// What CONNECTED says of it.
    pub(super) fn headers(&self, found: bool) -> [(&'static str, String); 3] {
        [
            (TOKEN, self.token.expose().to_owned()),
            (RESUME, self.lifetime.as_millis().to_string()),
            ("resumed", found.to_string()),
        ]
    }

    /// How the queue of a subscription lasts that the client calls so.
    pub(super) fn lasting(&self, id: &str, from: &Address, binding: &[(Text, Value)]) -> Lasting {
        let (exchange, key) = match from {
            Address::Exchange { name, key } => (name.as_str(), key.as_str()),
            Address::Topic(name)
            | Address::Queue(name)
            | Address::ExistingQueue(name)
            | Address::Private(name) => ("", name.as_str()),
        };
        let mut binding: Vec<_> = binding.iter().map(|(name, value)| [name, text(value)]).collect();
        // Whatever the order of the headers is, they mean the same.
        binding.sort_unstable();
        let parts = [id, exchange, key].into_iter().chain(binding.into_iter().flatten());
        let name = format!("{}-{}", self.name, name(parts));
        Lasting { name: Text::from(name), lifetime: self.lifetime }
    }
}

/// What a header of SUBSCRIBE said.
fn text(value: &Value) -> &str {
    if let Value::Text(text) = value { text } else { "" }
}

/// A name that is always the same for these, and another for all others.
fn name<'a>(parts: impl IntoIterator<Item = &'a str>) -> Text {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Text::from(BASE64URL_NOPAD.encode(&hash.finalize()[..16]))
}

/// Whether the subscription lasts: it takes from a topic or an exchange, and says nothing of its queue.
///
/// *Errors.* [`Violation::BadHeader`] if it wants a queue that goes with the connection: messages would
/// be lost without a word.
pub(super) fn lasts(
    frame: ClientFrame<'_>,
    from: &Address,
    options: &QueueOptions,
    arguments: &[(Text, Value)],
) -> Result<bool, Violation> {
    if !matches!(from, Address::Topic(_) | Address::Exchange { .. }) {
        return Ok(false);
    }
    if options.name.is_some() {
        // Its client has named it, and goes on with it by that name.
        if options.auto_delete == Some(false) && options.exclusive != Some(true) {
            return Ok(false);
        }
        let expected = "false in a session with `resume`, for a queue with a name";
        let got = frame.get("auto-delete").unwrap_or_default();
        return Err(frame.bad("auto-delete", expected, got));
    }
    let flags = [("exclusive", options.exclusive), ("auto-delete", options.auto_delete)];
    let flag = flags.into_iter().find(|(_, flag)| *flag == Some(true)).map(|(header, _)| header);
    let argument =
        || options.arguments.iter().chain(arguments).find_map(|(it, _)| queue::header(it));
    if let Some(header) = flag.or_else(argument) {
        let expected = "left out in a session with `resume`, unless the queue has a name \
                        (x-queue-name, or durable:true) and says auto-delete:false";
        return Err(frame.bad(header, expected, frame.get(header).unwrap_or_default()));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumable(token: &str, user: &str, vhost: &str) -> Resumable {
        resumable_for(60, token, user, vhost)
    }

    fn resumable_for(seconds: u64, token: &str, user: &str, vhost: &str) -> Resumable {
        let lifetime = Duration::from_secs(seconds);
        let wish = Wish { lifetime, token: Some(Secret::new(token)) };
        Resuming::new(wish, Secret::new("fresh"), user, vhost).settle(true)
    }

    #[test]
    fn a_name_belongs_to_token_user_virtual_host_and_time_together() {
        let one = resumable("token", "ann", "/").name;
        assert_eq!(one, resumable("token", "ann", "/").name);
        for other in [
            resumable("token", "bob", "/"),
            resumable("token", "ann", "v"),
            resumable("tokena", "nn", "/"),
            resumable("other", "ann", "/"),
            resumable_for(61, "token", "ann", "/"),
        ] {
            assert_ne!(one, other.name);
        }
        assert!(!one.contains("token"), "whoever sees the name cannot go on with it");
    }

    #[test]
    fn a_subscription_is_named_by_session_id_destination_and_binding_together() {
        let session = resumable("token", "ann", "/");
        let topic = |key: &str| Address::Topic(key.into());
        let exchange =
            |name: &str, key: &str| Address::Exchange { name: name.into(), key: key.into() };
        let [a, b] =
            [("a", "1"), ("b", "2")].map(|(name, it)| (name.into(), Value::Text(it.into())));
        let bound = |binding: &[_]| session.lasting("0", &topic("a.b"), binding);
        assert_eq!(bound(&[a.clone(), b.clone()]), bound(&[b.clone(), a.clone()]));
        let one = session.lasting("0", &topic("a.b"), &[]);
        assert_eq!(one, session.lasting("0", &topic("a.b"), &[]));
        for other in [
            session.lasting("1", &topic("a.b"), &[]),
            session.lasting("0", &topic("a.c"), &[]),
            session.lasting("0", &exchange("x", "a.b"), &[]),
            bound(std::slice::from_ref(&a)),
            bound(&[a, b]),
            resumable("other", "ann", "/").lasting("0", &topic("a.b"), &[]),
        ] {
            assert_ne!(one.name, other.name);
        }
        assert!(one.name.len() <= 45);
    }
}
