//! The model of the client: what it has asked for, and what it may expect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocols::broker::{DeliveryTag, SubscriptionId, Token};

use crate::broker::{Said, Settled};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckMode {
    Auto,
    Client,
    ClientIndividual,
}

impl AckMode {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Client, Self::ClientIndividual];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }
}

/// A message the client was sent and may acknowledge.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) subscription: SubscriptionId,
    pub(crate) tag: DeliveryTag,
    pub(crate) id: String,
    pub(crate) message_id: String,
    pub(crate) cumulative: bool,
    pub(crate) held_by: Option<String>,
}

/// A frame of an open transaction.
#[derive(Debug)]
pub(crate) enum Held {
    Send { receipt: Option<String> },
    Ack { covers: Vec<DeliveryTag>, said: Said },
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) subscriptions: BTreeMap<String, (SubscriptionId, AckMode)>,
    pub(crate) given_up: BTreeSet<SubscriptionId>,
    pub(crate) received: Vec<Received>,
    pub(crate) transactions: BTreeMap<String, Vec<Held>>,
    /// Receipts that must come, in this order.
    pub(crate) receipts: VecDeque<String>,
    /// Which receipt an ERROR about this command must name.
    pub(crate) blamed: BTreeMap<Token, String>,
    last_name: u64,
}

impl Peer {
    /// A name that was not used before.
    pub(crate) fn new_name(&mut self) -> String {
        self.last_name += 1;
        format!("n{}", self.last_name)
    }

    /// What an ACK of this message covers now.
    pub(crate) fn covered(&self, message: &Received) -> Vec<DeliveryTag> {
        let is_covered = |it: &&Received| {
            it.subscription == message.subscription
                && it.held_by.is_none()
                && (it.tag == message.tag || (message.cumulative && it.tag < message.tag))
        };
        self.received.iter().filter(is_covered).map(|it| it.tag).collect()
    }

    /// The client has settled these.
    pub(crate) fn forget(&mut self, tags: &[DeliveryTag]) {
        self.received.retain(|it| !tags.contains(&it.tag));
    }

    /// As the broker must see it.
    pub(crate) fn settled(&self, tags: &[DeliveryTag], said: Said) -> Settled {
        let of = self.received.iter().filter(|it| tags.contains(&it.tag));
        of.map(|it| (it.subscription, it.tag, said)).collect()
    }
}
