//! The model of the broker: commands that wait for an answer, consumers, and what is outstanding.

use std::collections::{BTreeMap, BTreeSet};

use protocols::broker::{Command, DeliveryTag, SettleMode, SubscriptionId, Token, Verdict};

/// A settlement as the broker carried it out.
pub(crate) type Settled = BTreeSet<(SubscriptionId, DeliveryTag, Said)>;

/// A [`Verdict`] that can be put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    Accept,
    Requeue,
    Discard,
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept | Verdict::Skip => Self::Accept,
            Verdict::Requeue => Self::Requeue,
            Verdict::Discard => Self::Discard,
        }
    }
}

/// A command that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Confirm(Token),
    Subscribe(Token, SubscriptionId),
    Unsubscribe(Token, SubscriptionId),
}

impl Waiting {
    pub(crate) fn token(self) -> Token {
        let (Self::Confirm(token) | Self::Subscribe(token, _) | Self::Unsubscribe(token, _)) = self;
        token
    }
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) prefetch: usize,
    pub(crate) settle: SettleMode,
    pub(crate) is_running: bool,
    pub(crate) outstanding: BTreeSet<DeliveryTag>,
}

#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) consumers: BTreeMap<SubscriptionId, Consumer>,
    /// Publishes so far, and those that ask to be confirmed among them.
    pub(crate) published: usize,
    pub(crate) to_confirm: usize,
    tokens: BTreeSet<Token>,
    last_tag: u64,
}

impl Broker {
    /// Carries out a command; what it settled, for settlements.
    pub(crate) fn submit(&mut self, command: Command) -> Settled {
        match command {
            Command::Publish { token, confirm, mandatory, .. } => {
                assert!(self.tokens.insert(token), "a token is used once");
                assert!(!mandatory);
                self.published += 1;
                if confirm {
                    self.to_confirm += 1;
                    self.waiting.push(Waiting::Confirm(token));
                }
            }
            Command::Subscribe { token, subscription, prefetch, settle, .. } => {
                assert!(self.tokens.insert(token), "a token is used once");
                assert!(prefetch > 0);
                let consumer = Consumer {
                    prefetch: prefetch.into(),
                    settle,
                    is_running: false,
                    outstanding: BTreeSet::new(),
                };
                let before = self.consumers.insert(subscription, consumer);
                assert!(before.is_none(), "a subscription id is used once");
                self.waiting.push(Waiting::Subscribe(token, subscription));
            }
            Command::Unsubscribe { token, subscription, .. } => {
                assert!(self.tokens.insert(token), "a token is used once");
                assert!(self.consumers.contains_key(&subscription));
                self.waiting.push(Waiting::Unsubscribe(token, subscription));
            }
            Command::OpenInbox { .. } | Command::Bind { .. } | Command::Unbind { .. } => {
                panic!("inboxes are not a session's");
            }
            Command::Resume { .. } | Command::DeclareExchange { .. } => {
                panic!("no client asks for it");
            }
            Command::Settle { subscription, up_to, verdict, cumulative } => {
                return self.settle(subscription, up_to, verdict, cumulative);
            }
        }
        Settled::new()
    }

    /// Settles what must be outstanding.
    pub(crate) fn settle(
        &mut self,
        subscription: SubscriptionId,
        up_to: DeliveryTag,
        verdict: Verdict,
        cumulative: bool,
    ) -> Settled {
        let consumer = self.consumers.get_mut(&subscription).expect("a known subscription");
        assert!(consumer.outstanding.contains(&up_to), "{up_to:?} is settled once");
        let earlier = consumer.outstanding.range(..up_to).copied().filter(|_| cumulative);
        let tags: Vec<_> = earlier.chain([up_to]).collect();
        consumer.outstanding.retain(|tag| !tags.contains(tag));
        tags.into_iter().map(|tag| (subscription, tag, verdict.into())).collect()
    }

    /// A delivery for one of the running consumers that has room for it.
    pub(crate) fn deliver(&mut self, choose: usize) -> Option<(SubscriptionId, DeliveryTag)> {
        let mut ready: Vec<_> = self
            .consumers
            .iter_mut()
            .filter(|(_, it)| it.is_running && it.outstanding.len() < it.prefetch)
            .collect();
        if ready.is_empty() {
            return None;
        }
        let place = choose % ready.len();
        let (subscription, consumer) = &mut ready[place];
        self.last_tag += 1;
        let tag = DeliveryTag(self.last_tag);
        consumer.outstanding.insert(tag);
        Some((**subscription, tag))
    }
}
