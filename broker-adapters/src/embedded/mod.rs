//! The embedded broker: in this process, in memory, the default.
//!
//! AMQP 0-9-1's model (§2.1, §3.1) without its wire: virtual hosts with exchanges, queues and
//! bindings; consumers with prefetch; settlement. A command is carried out inside
//! [`Link::submit`], on the caller's thread: it routes, and pushes into the mailboxes of the links
//! that receive. There is no channel here, and no task but the one that waits for the deadlines of a
//! virtual host, while it has any (`timers.rs`).
//!
//! # What it promises
//! - Messages of one publisher are in one queue in the order in which they were submitted.
//! - A queue gets a message once, however many of its bindings fit.
//! - What is returned goes back to its old place. It is marked as redelivered if anyone has seen
//!   it: what never left the broker is not marked.
//! - Settling what is not outstanding is without effect.
//! - The queue of a subscription to a topic or an exchange that has no name of its own goes with the
//!   subscription, or with its link, whatever else [`protocols::broker::QueueOptions`] say.
//!
//! # What is bounded, and by what
//! - Messages, in all: [`Settings::memory_limit`]. Above it publishers wait, and nobody else.
//! - Messages on their way to one link: [`Settings::link_buffer`]. Above it they stay in their
//!   queues, or go to other consumers.
//! - Messages in the private queue of one subscription: [`Settings::private_queue_bytes`]. Above it
//!   the subscription is canceled, so that one slow reader cannot make every publisher wait.
//! - Messages in the queue of one lasting subscription: [`Settings::resume_messages`] and
//!   [`Settings::resume_bytes`]. Above either, and if nobody
//!   consumes while half of the memory is in use, the oldest go, for nobody may be there who could be told to hurry;
//!   whoever goes on learns that they are missing.
//! - Queues: [`Settings::max_queues`] for those that clients name, together with their bindings, and, apart from them, so that no
//!   one who makes up names keeps others from subscribing, [`Settings::max_private_queues`].
//!   A resumable session counts as a private queue, and so does each of its lasting ones, until they go.
//! - Exchanges that clients declare: [`MAX_EXCHANGES`]. They stay as long as the process does.
//! - Bindings: those of a private queue count as private queues but for the first, those of others as
//!   queues. A binding
//!   costs routing about 300 bytes for each word of its key.
//! - What a message costs at a topic exchange beside its deliveries: [`Settings::max_topic_words`]
//!   and [`Settings::max_topic_hashes`]. A pattern with one `#` or none costs it its own words at
//!   most; one with more, the square of half the words at worst.
//! - Dead letters that dead letters lead to: 1,000 copies for each operation, and ten more for each
//!   that the operation itself has led to. What is beyond is dropped, counted, and logged.
//! - Answers a link has not taken yet: one for each command it has submitted since.
//! - Arguments of one declaration and its binding: [`Settings::max_argument_bytes`].
//!
//! A message that waits in a queue owns its bytes. One that was handed to a consumer directly
//! shares the buffer it arrived in until it is settled; prefetch and `link_buffer` bound how many
//! there are, but not how large such a buffer is: that is the transport's bound on one unit.
//!
//! # Arguments
//! Those that RabbitMQ's classic queues have (`arguments.rs`): time to live, length, overflow,
//! dead-lettering, expiry, priorities, a single active consumer; and `x-priority` of a consumer. Messages expire and are
//! dead-lettered as there, with the same `x-death`. Quorum queues, streams and what belongs to them
//! are refused by name.
//!
//! # Resumable sessions
//! What a lasting subscription has not been given, and what it had and did not settle, is there for the
//! link that goes on with the session, in order (`resume.rs`). Whatever had to make room is told of
//! before the next delivery behind it, until that is settled (`gap.rs`); messages whose time was over
//! are not missing. Like everything here, sessions end with the process.
//!
//! # Deviations from AMQP 0-9-1 and RabbitMQ
//! - Nothing survives the process: `durable` and `persistent` are kept, compared and passed on.
//! - Exchanges are the predeclared ones, those of [`Settings::exchanges`], and what clients declare:
//!   durable ones, which stay.
//! - The headers `CC` and `BCC` mean nothing.
//! - A publisher that declares a queue which is there does not count as its user: `x-expires` looks
//!   for consumers alone.
//! - Words and `#` of a topic exchange's keys are bounded, see above; so are dead letters that dead
//!   letters lead to.
//! - Where dead letters go is 255 bytes long at most, exchange and key, as all names and keys are.

mod aftermath;
mod arguments;
mod consumers;
mod deaths;
mod declare;
mod effects;
mod exchange;
mod gap;
mod held;
mod link;
mod matcher;
mod memory;
mod notice;
mod outgoing;
mod owned;
mod queue;
mod ready;
mod refusals;
mod resume;
mod role;
mod shared;
mod timers;
mod topology;
mod users;
mod vhost;

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_core::future::BoxFuture;
use protocols::auth::{Credentials, Denial, DenialKind};
use protocols::broker::BrokerError;
use protocols::text::Text;

use crate::{Broker, Identity, Link};
use exchange::Exchange;
use link::EmbeddedLink;
use shared::Shared;
use users::Users;
use vhost::Vhost;

pub use protocols::broker::ExchangeKind;
pub use users::User;

/// Most exchanges that clients have declared, in all virtual hosts: the predeclared ones and
/// [`Settings::exchanges`] do not count. There is one for each purpose that several clients share, and not
/// one for each client.
pub const MAX_EXCHANGES: usize = 1_000;

/// How an embedded broker is set up.
///
/// *Shape.* Wherever bytes of messages are counted, each message counts as its body and all its
/// texts, the routing key and properties included, and what it takes to hold them: 536 bytes more,
/// and 72 for each header, or value in one (on 64-bit systems). A body of 100 bytes counts as some 670.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its virtual hosts. Default `/`.
    pub vhosts: Vec<Text>,
    /// Exchanges beside the predeclared ones. Default none.
    pub exchanges: Vec<DeclaredExchange>,
    /// Who may log in. Default nobody.
    pub users: Vec<User>,
    /// Bytes of messages held, ready and outstanding, at which publishers are held back; they go on
    /// below nine tenths of it. Default 256 MiB.
    pub memory_limit: usize,
    /// Bytes of messages on their way to one link at a time; one message more is let in. Default
    /// 1 MiB.
    pub link_buffer: usize,
    /// Bytes ready in the private queue of one subscription above which the subscription is canceled
    /// as too slow, counted with 536 bytes for each message beside its own: with the default,
    /// 64 MiB, some 100,000 messages of 100 bytes.
    pub private_queue_bytes: usize,
    /// Most messages that wait in the queue of one lasting subscription: with one more the oldest makes
    /// room, and the subscriber is told. Default 10,000.
    pub resume_messages: usize,
    /// Most bytes of such messages, likewise, counted as in a private queue. Default 4 MiB: nobody may
    /// come for them, and what waits in all queues holds publishers back.
    pub resume_bytes: usize,
    /// Most queues at a time that clients have named, in all virtual hosts. Default 100,000.
    pub max_queues: usize,
    /// Most private queues at a time, in all virtual hosts: subscriptions to topics and exchanges, lasting
    /// ones and resumable sessions themselves included. Default 100,000.
    pub max_private_queues: usize,
    /// Most words of a routing key or pattern of a topic exchange. Default 32.
    pub max_topic_words: usize,
    /// Most `#` in a pattern of a topic exchange. Default 4.
    pub max_topic_hashes: usize,
    /// Most bytes of the arguments of one queue and its binding, names and 72 bytes for each
    /// included (on 64-bit systems). Default 4 KiB.
    pub max_argument_bytes: usize,
}

/// An exchange that is there from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredExchange {
    /// Its name: not empty, and nothing that begins with `amq.`.
    pub name: Text,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Clients may not publish to it: what reaches it was dead-lettered.
    pub internal: bool,
    /// Virtual hosts it is in; `None` for all.
    pub vhosts: Option<Vec<Text>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vhosts: vec![Text::from_static("/")],
            exchanges: Vec::new(),
            users: Vec::new(),
            memory_limit: 256 << 20,
            link_buffer: 1 << 20,
            private_queue_bytes: 64 << 20,
            resume_messages: 10_000,
            resume_bytes: 4 << 20,
            max_queues: 100_000,
            max_private_queues: 100_000,
            max_topic_words: 32,
            max_topic_hashes: 4,
            max_argument_bytes: 4 << 10,
        }
    }
}

/// A broker in this process. Clones are handles to the same one.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    users: Users,
    vhosts: BTreeMap<Text, Arc<Vhost>>,
    link_buffer: usize,
    next_link: AtomicU64,
}

/// Names a link. Unique in its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LinkId(u64);

impl LinkId {
    /// No link is that.
    const NONE: Self = Self(u64::MAX);
}

impl Embedded {
    /// A broker with nothing in it but the exchanges of each virtual host.
    pub fn new(settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(&settings));
        let Settings { vhosts, exchanges, users, link_buffer, .. } = settings;
        let vhost = |name: Text| {
            let is_here = |it: &&DeclaredExchange| {
                it.vhosts.as_ref().is_none_or(|vhosts| vhosts.contains(&name))
            };
            let exchange =
                |it: &DeclaredExchange| (it.name.clone(), Exchange::new(it.kind, it.internal));
            let exchanges = exchanges.iter().filter(is_here).map(exchange);
            let vhost = Vhost::new(name.clone(), Arc::clone(&shared), exchanges);
            (name.clone(), Arc::new(vhost))
        };
        let vhosts = vhosts.into_iter().map(vhost).collect();
        let users = Users::new(users);
        Self(Arc::new(Inner { users, vhosts, link_buffer, next_link: AtomicU64::new(0) }))
    }

    fn link(&self, vhost: &Text, credentials: &Credentials) -> Result<EmbeddedLink, Denial> {
        let Inner { users, vhosts, link_buffer, next_link } = &*self.0;
        let user = users.check(credentials)?;
        let accessible = vhosts.get(vhost).filter(|_| user.may_use(vhost));
        let vhost = accessible.ok_or_else(|| Denial {
            kind: DenialKind::VhostRefused,
            text: Text::from(format!("Virtual host '{vhost}' access denied")),
        })?;
        let id = LinkId(next_link.fetch_add(1, Ordering::Relaxed));
        Ok(EmbeddedLink::new(id, user.login.clone(), Arc::clone(vhost), *link_buffer))
    }
}

impl Broker for Embedded {
    fn open(
        &self,
        vhost: Text,
        identity: Identity,
    ) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
        let opened = self.link(&vhost, &identity.credentials);
        Box::pin(future::ready(opened.map(|link| -> Box<dyn Link> { Box::new(link) })))
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(future::ready(()))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&Text> = self.0.vhosts.keys().collect();
        f.debug_struct("Embedded").field("vhosts", &names).finish_non_exhaustive()
    }
}
