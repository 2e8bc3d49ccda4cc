//! [`Claims`]: the queues of what is registered here.
//!
//! A queue is bound to the exchange by the URI of its procedure, and has a name made of it. One that is
//! not shared is exclusive to the link: the broker refuses it to everybody else, so that of two nodes one
//! gets it, and it is free again as soon as the node is gone. One that is shared goes with the last node
//! that consumes it, maybe just when another has declared it: that one asks again.

use std::collections::HashMap;

use super::{Names, Outcome, Output, PREFETCH, queue_options};
use crate::broker::{
    Address, BrokerError, BrokerErrorKind, Command, SettleMode, SubscriptionId, Token, key,
    procedure as at_broker,
};
use crate::text::Text;
use crate::wamp::uri::routing_key;

/// How often a queue may go while it is asked for, each time with another node that gives it up.
const TRIES: u8 = 5;

/// What this node has claimed.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_procedure: HashMap<Text, Claim>,
    /// The procedures of subscriptions, those included that are being given up.
    procedures: HashMap<SubscriptionId, Text>,
    /// What the broker has not answered.
    asked: HashMap<Token, Asked>,
    has_link: bool,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    subscription: SubscriptionId,
    is_shared: Option<u16>,
    /// How often it may be asked for anew, as its queue goes with somebody else.
    tries: u8,
    /// The broker has said yes, now or on a link before.
    is_held: bool,
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

    pub(super) fn on_link(&mut self, names: &mut Names, output: &mut Output) {
        self.has_link = true;
        let claimed: Vec<_> = self.by_procedure.drain().collect();
        for (procedure, claim) in claimed {
            let subscription = names.subscription();
            let claim = Claim { subscription, tries: TRIES, ..claim };
            self.by_procedure.insert(procedure.clone(), claim);
            self.subscribe(&procedure, subscription, claim.is_shared, names, output);
        }
    }

    /// What was asked and not answered is refused; what is held is asked for on the next link.
    pub(super) fn on_down(&mut self, error: &BrokerError, output: &mut Output) {
        self.has_link = false;
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
        if !self.has_link {
            let error = BrokerError::new(
                BrokerErrorKind::Unavailable,
                "the broker, which says who has a procedure, cannot be reached now",
            );
            return output.outcomes.push(Outcome::Refused(procedure.clone(), error));
        }
        let subscription = names.subscription();
        let claim = Claim { subscription, is_shared, tries: TRIES, is_held: false };
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
        let Some(Claim { subscription, is_shared, .. }) = claim.filter(|_| self.has_link) else {
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
            && !std::mem::replace(&mut claim.is_held, true)
        {
            output.outcomes.push(Outcome::Claimed(procedure.clone()));
        }
    }

    pub(super) fn on_unsubscribed(&mut self, token: Token, output: &mut Output) {
        if let Some(Asked::Release(subscription)) = self.asked.remove(&token)
            && let Some(procedure) = self.procedures.remove(&subscription)
        {
            output.outcomes.push(Outcome::Released(procedure));
        }
    }

    pub(super) fn on_failed(
        &mut self,
        token: Token,
        error: &BrokerError,
        names: &mut Names,
        output: &mut Output,
    ) {
        match self.asked.remove(&token) {
            Some(Asked::Claim(subscription)) => {
                if error.kind != BrokerErrorKind::NotFound
                    || !self.ask_again(subscription, names, output)
                {
                    self.lose(subscription, error, output);
                }
            }
            Some(Asked::Release(subscription)) => {
                // It is given up all the same: nothing that comes from it is looked at.
                let procedure = self.procedures.remove(&subscription);
                output.outcomes.extend(procedure.map(Outcome::Released));
            }
            None => {}
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
