//! [`Claims`]: the queues of what is registered here.
//!
//! A queue is bound to the exchange by the URI of its procedure, and has a name made of it. One that is
//! not shared is exclusive to the link: the broker refuses it to everybody else, so that of two nodes one
//! gets it, and it is free again as soon as the node is gone. One that is shared goes with the last node
//! that consumes it, maybe just when another has declared it: that one asks again.
//!
//! After a lost link the broker may not know yet that the node is gone, and keep its queues from itself. So
//! what it had it asks for again for a [while](GRACE).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Names, Outcome, Output, PREFETCH, queue_options};
use crate::broker::{
    Address, BrokerError, BrokerErrorKind, Command, SettleMode, SubscriptionId, Token, key,
    procedure as at_broker,
};
use crate::text::Text;
use crate::wamp::uri::routing_key;

/// How often a queue may go while it is asked for, each time with another node that gives it up.
const TRIES: u8 = 30;

/// How long a node asks for what it had and somebody else seems to have. RabbitMQ sees within two heart-beats,
/// of 60 seconds by default, that a connection is lost.
const GRACE: Duration = Duration::from_secs(150);

/// How long it waits until it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// What this node has claimed.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_procedure: HashMap<Text, Claim>,
    /// The procedures of subscriptions, those included that are being given up.
    procedures: HashMap<SubscriptionId, Text>,
    /// What the broker has not answered.
    asked: HashMap<Token, Asked>,
    /// What is to be asked for again, and when.
    retries: BTreeSet<(Instant, Text)>,
    is_open: bool,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    subscription: SubscriptionId,
    is_shared: Option<u16>,
    /// How often it may be asked for anew, as its queue goes with somebody else.
    tries: u8,
    /// The broker has said yes, now or on a link before.
    is_held: bool,
    /// Until when it is asked for again, of what was held on a link before.
    regained_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Claim(SubscriptionId),
    Release(SubscriptionId),
}

impl Claims {
    /// The procedure that a subscription is for.
    pub(super) fn procedure(&self, subscription: SubscriptionId) -> Option<&Text> {
        self.procedures.get(&subscription)
    }

    pub(super) fn on_open(&mut self, now: Instant, names: &mut Names, output: &mut Output) {
        self.is_open = true;
        let claimed: Vec<_> = self.by_procedure.drain().collect();
        for (procedure, claim) in claimed {
            let subscription = names.subscription();
            let regained_until = Some(now + GRACE);
            let claim = Claim { subscription, tries: TRIES, regained_until, ..claim };
            self.by_procedure.insert(procedure.clone(), claim);
            self.subscribe(&procedure, subscription, claim.is_shared, names, output);
        }
    }

    /// What was asked and not answered is refused; what is held is asked for on the next link.
    pub(super) fn on_down(&mut self, error: &BrokerError, output: &mut Output) {
        self.is_open = false;
        self.retries.clear();
        let procedures = std::mem::take(&mut self.procedures);
        for asked in std::mem::take(&mut self.asked).into_values() {
            let (Asked::Claim(subscription) | Asked::Release(subscription)) = asked;
            let Some(procedure) = procedures.get(&subscription).cloned() else { continue };
            match asked {
                Asked::Release(_) => output.outcomes.push(Outcome::Released(procedure)),
                Asked::Claim(_) if !self.is_held(&procedure) => {
                    self.by_procedure.remove(&procedure);
                    output.outcomes.push(Outcome::Refused(procedure, error.clone()));
                }
                Asked::Claim(_) => {}
            }
        }
    }

    fn is_held(&self, procedure: &Text) -> bool {
        self.by_procedure.get(procedure).is_some_and(|claim| claim.is_held)
    }

    pub(super) fn claim(
        &mut self,
        procedure: &Text,
        is_shared: Option<u16>,
        names: &mut Names,
        output: &mut Output,
    ) {
        if !self.is_open {
            let error = BrokerError::new(
                BrokerErrorKind::Unavailable,
                "the broker, which says who has a procedure, cannot be reached now",
            );
            return output.outcomes.push(Outcome::Refused(procedure.clone(), error));
        }
        let subscription = names.subscription();
        let claim =
            Claim { subscription, is_shared, tries: TRIES, is_held: false, regained_until: None };
        self.by_procedure.insert(procedure.clone(), claim);
        self.subscribe(procedure, subscription, is_shared, names, output);
    }

    fn subscribe(
        &mut self,
        procedure: &Text,
        subscription: SubscriptionId,
        is_shared: Option<u16>,
        names: &mut Names,
        output: &mut Output,
    ) {
        let key = match routing_key(procedure) {
            Ok(key) if at_broker::queue(&key).len() <= key::LONGEST => Text::from(&*key),
            _ => {
                self.by_procedure.remove(procedure);
                let text = "the URI is too long for the name of a queue";
                let error = BrokerError::new(BrokerErrorKind::PreconditionFailed, text);
                return output.outcomes.push(Outcome::Refused(procedure.clone(), error));
            }
        };
        let token = names.token();
        self.asked.insert(token, Asked::Claim(subscription));
        self.procedures.insert(subscription, procedure.clone());
        output.commands.push(Command::Subscribe {
            token,
            subscription,
            from: Address::Exchange {
                name: Text::from_static(at_broker::EXCHANGE),
                key: key.clone(),
            },
            queue: Box::new(queue_options(at_broker::queue(&key), is_shared)),
            arguments: Vec::new(),
            prefetch: PREFETCH,
            settle: SettleMode::Manual,
        });
    }

    pub(super) fn release(&mut self, procedure: &Text, names: &mut Names, output: &mut Output) {
        let claim = self.by_procedure.remove(procedure);
        let is_asked = |claim: &Claim| self.procedures.contains_key(&claim.subscription);
        let Some(Claim { subscription, is_shared, .. }) = claim.filter(is_asked) else {
            self.retries.retain(|(_, it)| it != procedure);
            return output.outcomes.push(Outcome::Released(procedure.clone()));
        };
        let token = names.token();
        self.asked.insert(token, Asked::Release(subscription));
        // One that is shared may have another node's callees.
        let delete = is_shared.is_none();
        output.commands.push(Command::Unsubscribe { token, subscription, delete });
    }

    pub(super) fn on_subscribed(&mut self, token: Token, output: &mut Output) {
        let Some(Asked::Claim(subscription)) = self.asked.remove(&token) else { return };
        let Some(procedure) = self.procedures.get(&subscription) else { return };
        if let Some(claim) = self.by_procedure.get_mut(procedure)
            && claim.subscription == subscription
        {
            claim.regained_until = None;
            if !std::mem::replace(&mut claim.is_held, true) {
                output.outcomes.push(Outcome::Claimed(procedure.clone()));
            }
        }
    }

    pub(super) fn on_unsubscribed(&mut self, token: Token, output: &mut Output) {
        if let Some(Asked::Release(subscription)) = self.asked.remove(&token)
            && let Some(procedure) = self.procedures.remove(&subscription)
        {
            output.outcomes.push(Outcome::Released(procedure));
        }
    }

    /// Whether the broker has not answered this yet.
    pub(super) fn has_asked(&self, token: Token) -> bool {
        self.asked.contains_key(&token)
    }

    /// False if it was not asked from here.
    pub(super) fn on_failed(
        &mut self,
        now: Instant,
        token: Token,
        error: &BrokerError,
        names: &mut Names,
        output: &mut Output,
    ) -> bool {
        match self.asked.remove(&token) {
            Some(Asked::Claim(subscription)) => {
                let goes_on = match error.kind {
                    BrokerErrorKind::NotFound => self.ask_again(subscription, names, output),
                    BrokerErrorKind::ResourceLocked => self.ask_later(now, subscription),
                    _ => false,
                };
                if !goes_on {
                    self.lose(subscription, error, output);
                }
                true
            }
            Some(Asked::Release(subscription)) => {
                // It is given up all the same: nothing that comes from it is looked at.
                let procedure = self.procedures.remove(&subscription);
                output.outcomes.extend(procedure.map(Outcome::Released));
                true
            }
            None => false,
        }
    }

    /// What this node had seems to be somebody's, maybe its own of before. False if that is not asked for
    /// again.
    fn ask_later(&mut self, now: Instant, subscription: SubscriptionId) -> bool {
        let Some(procedure) = self.procedures.get(&subscription) else { return false };
        let claim = self.by_procedure.get(procedure);
        let claim = claim.filter(|it| it.subscription == subscription);
        let until = claim.and_then(|claim| claim.regained_until);
        if until.is_none_or(|until| until <= now) {
            return false;
        }
        let procedure = self.procedures.remove(&subscription);
        self.retries.extend(procedure.map(|procedure| (now + PAUSE, procedure)));
        true
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, names: &mut Names, output: &mut Output) {
        while let Some((at, _)) = self.retries.first()
            && *at <= now
            && let Some((_, procedure)) = self.retries.pop_first()
        {
            let Some(claim) = self.by_procedure.get_mut(&procedure) else { continue };
            claim.subscription = names.subscription();
            let Claim { subscription, is_shared, .. } = *claim;
            self.subscribe(&procedure, subscription, is_shared, names, output);
        }
    }

    /// The queue went before it was consumed. False if that is not asked for again.
    fn ask_again(
        &mut self,
        subscription: SubscriptionId,
        names: &mut Names,
        output: &mut Output,
    ) -> bool {
        let Some(procedure) = self.procedures.get(&subscription).cloned() else { return false };
        let claim = self.by_procedure.get_mut(&procedure);
        let Some(claim) = claim.filter(|it| it.subscription == subscription && it.tries > 0) else {
            return false;
        };
        let Some(policy) = claim.is_shared else { return false };
        claim.tries -= 1;
        claim.subscription = names.subscription();
        let subscription_anew = claim.subscription;
        self.procedures.remove(&subscription);
        self.subscribe(&procedure, subscription_anew, Some(policy), names, output);
        true
    }

    pub(super) fn on_canceled(
        &mut self,
        subscription: SubscriptionId,
        error: BrokerError,
        output: &mut Output,
    ) {
        self.lose(subscription, &error, output);
    }

    fn lose(&mut self, subscription: SubscriptionId, error: &BrokerError, output: &mut Output) {
        let Some(procedure) = self.procedures.get(&subscription).cloned() else { return };
        let is_current =
            self.by_procedure.get(&procedure).is_some_and(|it| it.subscription == subscription);
        if !is_current {
            // It is being given up: that is answered for itself.
            return;
        }
        self.procedures.remove(&subscription);
        let was_held = self.by_procedure.remove(&procedure).is_some_and(|claim| claim.is_held);
        let outcome = if was_held { Outcome::Lost } else { Outcome::Refused };
        output.outcomes.push(outcome(procedure, error.clone()));
    }
}
