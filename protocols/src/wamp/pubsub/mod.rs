//! The broker of WAMP, as far as it concerns one session: SUBSCRIBE, UNSUBSCRIBE and PUBLISH go in,
//! and commands for the AMQP broker and answers come out. Pure: no IO, no clock, no randomness.
//!
//! Events do not come through here: a subscription is one that sessions share, and its [`EventEncoder`]
//! writes EVENT wherever the message is distributed. That SUBSCRIBED comes before the first EVENT is seen
//! to there: the hub makes a session a member of a topic in the same step in which it answers the join,
//! and both come through one mailbox, in order.
//!
//! | clause (WAMP) | where |
//! |---|---|
//! | §Subscribing and Unsubscribing, §Pattern-based Subscription, §Subscription Revocation | `subscribe.rs` |
//! | §Publishing, §Acknowledge, §Publisher Identification | `publish.rs` |
//! | §Subscriber Black- and Whitelisting, §Publisher Exclusion, §Payload Passthru Mode | `headers.rs` |
//! | §Event | `event.rs`, `foreign.rs` |
//! | §Meta API: what happens in the realm | `meta.rs` |
//! | §Error | [`refusal`](super::refusal) |
//!
//! # Deviations
//! - A prefix that ends before the second component is refused, unless the realm allows it.
//! - A topic that is subscribed to has no more words than whoever distributes allows.
//!
//! # What is not done
//! - Nothing is retained: `retain` is refused, and to `get_retained` nothing comes first.
//! - Subscriptions are not sharded: `nkey` is refused. `rkey` says nothing where there are no shards.
//! - Whether the peer has the role of a subscriber or publisher, and whether its requests are counted
//!   right, is the session's business.

mod event;
pub(in crate::wamp) mod foreign;
pub(in crate::wamp) mod headers;
mod meta;
mod publish;
mod realm;
mod subscribe;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use event::EventEncoder;
pub use realm::{Access, Most, Realm, Trust};
use subscribe::Subscription;
pub use subscribe::subscription_id;

use super::id::Id;
use super::message::{Message, Published, RequestType, Unsubscribed};
use super::peers::Request;
use super::realm::Principal;
use super::refusal::{Reason, Refusal};
use super::serializer::Serializer;
use crate::broker::restricted::{Declaration, EXCHANGE};
use crate::broker::{BrokerError, Event, Outcome, Token};

/// What a session has subscribed to, and what it waits for.
#[derive(Debug)]
pub struct PubSub {
    realm: Arc<Realm>,
    principal: Arc<Principal>,
    serializer: Serializer,
    most: Most,
    /// By the ID that the peer knows.
    subscriptions: BTreeMap<Id, Subscription>,
    /// What has not been answered, by the broker or whoever distributes.
    asked: HashMap<Token, Asked>,
    /// SUBSCRIBEs that wait for a join that others wait for too.
    waiting: usize,
    /// Where events go that are for some subscribers only.
    restricted: Declaration,
    /// What the realm has not been told of the subscriptions.
    requests: Vec<Request>,
}

/// What an answer is for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// All SUBSCRIBEs that wait for this subscription.
    Join { subscription: Id },
    /// UNSUBSCRIBE.
    Leave { request: Id },
    /// PUBLISH with `acknowledge`.
    Publish { request: Id, publication: Id, is_restricted: bool },
}

impl PubSub {
    /// Of a session that has just been welcomed.
    pub fn new(
        realm: Arc<Realm>,
        principal: Arc<Principal>,
        serializer: Serializer,
        most: Most,
    ) -> Self {
        let (subscriptions, asked) = (BTreeMap::new(), HashMap::new());
        let (waiting, restricted, requests) = (0, Declaration::default(), Vec::new());
        Self {
            realm,
            principal,
            serializer,
            most,
            subscriptions,
            asked,
            waiting,
            restricted,
            requests,
        }
    }

    /// Subscriptions of the session, those that are not answered included.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// What an event says to the peer, in order. `None`: it is none of what was asked for here.
    ///
    /// A subscription that has ended by itself is told by UNSUBSCRIBED without a request. A peer that has
    /// not announced `subscription_revocation` does not know what that means: its session ends instead, or
    /// it would wait for events that do not come.
    ///
    /// A PUBLISH without `acknowledge` is not told of anything, its failure neither: that is none of
    /// these.
    pub fn on_event(&mut self, event: &Event) -> Option<Vec<Message>> {
        if self.restricted.on_event(event) {
            return Some(Vec::new());
        }
        match event {
            Event::Subscribed { token } => match self.asked.remove(token)? {
                Asked::Join { subscription } => Some(self.on_joined(subscription)),
                other => self.misfit(*token, other),
            },
            Event::Unsubscribed { token } => match self.asked.remove(token)? {
                Asked::Leave { request } => {
                    let unsubscribed = Unsubscribed { request: Some(request), details: None };
                    Some(vec![unsubscribed.into()])
                }
                other => self.misfit(*token, other),
            },
            Event::Confirmed { token, outcome } => match self.asked.remove(token)? {
                asked @ Asked::Publish { request, publication, is_restricted } => {
                    let judged = if is_restricted { self.restricted.judge(Ok(())) } else { Ok(()) };
                    Some(match judged {
                        Ok(()) => self.on_confirmed(request, publication, *outcome),
                        Err(error) => self.on_failed(asked, &error),
                    })
                }
                other => self.misfit(*token, other),
            },
            Event::Failed { token, error } => {
                let Some(asked) = self.asked.remove(token) else {
                    // Nobody wants to know what became of it. If the exchange is gone, that is noted.
                    if error.text.contains(EXCHANGE) {
                        drop(self.restricted.judge(Err(error.clone())));
                    }
                    return None;
                };
                let is_restricted = matches!(asked, Asked::Publish { is_restricted: true, .. });
                let judged = is_restricted.then(|| self.restricted.judge(Err(error.clone())));
                let judged = judged.and_then(Result::err);
                Some(self.on_failed(asked, judged.as_ref().unwrap_or(error)))
            }
            Event::Canceled { subscription, error } => self.on_canceled(*subscription, error),
            Event::Down { error } => Some(self.on_down(error)),
            Event::Delivery { .. }
            | Event::Declared { .. }
            | Event::Gap { .. }
            | Event::Resumed { .. } => None,
        }
    }

    fn on_confirmed(&self, request: Id, publication: Id, outcome: Outcome) -> Vec<Message> {
        match outcome {
            // That nobody subscribes is no error.
            Outcome::Accepted | Outcome::Unroutable => {
                vec![Published { request, publication }.into()]
            }
            Outcome::Rejected => {
                let sentence = "the broker has not taken the event";
                let of = (RequestType::PUBLISH, request);
                self.told([Refusal::new(of, Reason::Unavailable, sentence)])
            }
        }
    }

    fn on_failed(&mut self, asked: Asked, error: &BrokerError) -> Vec<Message> {
        let reason = Reason::of_broker(error);
        let (request_type, requests) = match asked {
            Asked::Join { subscription } => {
                (RequestType::SUBSCRIBE, self.give_up_joining(subscription))
            }
            Asked::Leave { request } => (RequestType::UNSUBSCRIBE, [request].into_iter().collect()),
            Asked::Publish { request, .. } => {
                (RequestType::PUBLISH, [request].into_iter().collect())
            }
        };
        self.told(
            requests.into_iter().map(|it| Refusal::new((request_type, it), reason, &error.text)),
        )
    }

    /// The link is gone, and whoever waits for its answers is told that nobody knows the outcome. What is
    /// shared goes on: it has links of its own.
    fn on_down(&mut self, error: &BrokerError) -> Vec<Message> {
        let mut requests: Vec<Id> = Vec::new();
        self.asked.retain(|_, asked| match asked {
            Asked::Publish { request, .. } => {
                requests.push(*request);
                false
            }
            Asked::Join { .. } | Asked::Leave { .. } => true,
        });
        requests.sort_unstable();
        let sentence = format!("the broker may have the event or not: {}", error.text);
        self.told(requests.into_iter().map(|request| {
            Refusal::new((RequestType::PUBLISH, request), Reason::NetworkFailure, &sentence)
        }))
    }

    fn told(&self, refusals: impl IntoIterator<Item = Refusal>) -> Vec<Message> {
        refusals.into_iter().filter_map(|refusal| refusal.to_message(self.serializer)).collect()
    }

    /// Whether so many wait for answers that no more may.
    fn is_busy(&self) -> bool {
        self.asked.len() + self.waiting >= self.most.unanswered
    }

    /// An answer that does not go with what was asked: the adapter's fault. It is not taken for one.
    fn misfit(&mut self, token: Token, asked: Asked) -> Option<Vec<Message>> {
        debug_assert!(false, "{token:?} was for {asked:?}");
        self.asked.insert(token, asked);
        None
    }
}
