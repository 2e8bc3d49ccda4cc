//! What comes between WELCOME and GOODBYE: requests, what callees answer, and what other sessions have
//! for this one.
//!
//! *Spec.* WAMP §Protocol Errors (what may come when), §IDs (the order of requests), §Error.

use super::{Phase, WampSession, unexpected};
use crate::broker::{SubscriptionId, Token};
use crate::session::Actions;
use crate::violation::Violation;
use crate::wamp::handshake::Member;
use crate::wamp::id::{Id, RequestPlace};
use crate::wamp::message::{
    Error, Message, Publish, Register, RequestType, Subscribe, Unregister, Unsubscribe,
};
use crate::wamp::peers::Notice;
use crate::wamp::refusal::{Reason, Refusal};

impl WampSession {
    /// A message between WELCOME and GOODBYE.
    pub(super) fn on_established(
        &mut self,
        message: Message,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let place = self.check_order(&message)?;
        match message {
            Message::Goodbye(_) => self.on_goodbye(actions),
            Message::Abort(_) => self.on_abort(actions),
            Message::Subscribe(_) | Message::Unsubscribe(_) | Message::Publish(_) => {
                self.on_pubsub(&message, actions);
            }
            Message::Call(_)
            | Message::Cancel(_)
            | Message::Register(_)
            | Message::Unregister(_)
            | Message::Yield(_) => return self.on_rpc(place, message, actions),
            Message::Error(Error { request_type: RequestType::INVOCATION, .. }) => {
                return self.on_rpc(place, message, actions);
            }
            Message::Error(_) => {
                return Err(unexpected(&message, "but to answer INVOCATION", "routers send it"));
            }
            Message::Hello(_) | Message::Authenticate(_) => {
                return Err(unexpected(&message, "in a session", "it is sent before WELCOME"));
            }
            _ => return Err(unexpected(&message, "from a client", "routers send it")),
        }
        Ok(())
    }

    /// What is for the dealer.
    fn on_rpc(
        &mut self,
        place: RequestPlace,
        message: Message,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let (now, token) = (self.now, self.next_token());
        let Phase::Established { member } = &mut self.phase else { return Ok(()) };
        let Member { dealer, rights, .. } = &mut **member;
        let Some(dealer) = dealer else {
            self.refuse_rpc(&message, actions);
            return Ok(());
        };
        match message {
            Message::Register(it) => dealer.on_register(&it, rights, token, actions),
            Message::Unregister(it) => dealer.on_unregister(&it, token, actions),
            Message::Call(it) => dealer.on_call(now, (place, it), rights, actions)?,
            Message::Cancel(it) => dealer.on_cancel(now, &it, actions),
            Message::Yield(it) => dealer.on_yield(now, it, actions)?,
            Message::Error(it) => dealer.on_error(now, it, actions)?,
            _ => {}
        }
        Ok(())
    }

    /// What other sessions have for this one, and the realm's answers.
    pub(super) fn on_notice(&mut self, notice: Notice, actions: &mut Actions) {
        let now = self.now;
        let Phase::Established { member } = &mut self.phase else { return };
        let Member { dealer: Some(dealer), rights, pubsub } = &mut **member else { return };
        match notice {
            Notice::Revoked { registration, reason } if dealer.would_wait(registration) => {
                self.lose_registration(&reason, actions);
            }
            Notice::Event { subscription, publication, event } => {
                if let Some(event) = pubsub.on_meta_event(subscription, publication, &event) {
                    self.pen.write_event(event, actions);
                }
            }
            Notice::TooSlow { subscription } => self.on_too_slow(subscription, actions),
            Notice::Killed(farewell) => self.on_killed(farewell, actions),
            _ => dealer.on_notice(now, notice, rights, actions),
        }
    }

    /// What happens in the realm comes no more on a subscription.
    fn on_too_slow(&mut self, subscription: Id, actions: &mut Actions) {
        let token = self.next_token();
        let Phase::Established { member } = &mut self.phase else { return };
        let ended = member.pubsub.on_too_slow(subscription, token, actions);
        self.report(actions);
        if let Some(message) = ended {
            self.say_or_end(message, actions);
        }
    }

    /// A request to the broker.
    fn on_pubsub(&mut self, message: &Message, actions: &mut Actions) {
        let token = self.next_token();
        let Phase::Established { member } = &mut self.phase else {
            return;
        };
        let Member { pubsub, rights, .. } = &mut **member;
        let answered = match message {
            Message::Subscribe(subscribe) => {
                self.shares = true;
                self.last_subscription += 1;
                let names = (token, SubscriptionId(self.last_subscription));
                pubsub.on_subscribe(subscribe, rights, names, actions)
            }
            Message::Unsubscribe(unsubscribe) => pubsub.on_unsubscribe(unsubscribe, token, actions),
            Message::Publish(publish) => {
                self.last_token += 1;
                let names = ([token, Token(self.last_token)], self.publications.next());
                pubsub.on_publish(publish, rights, names, actions).map(|()| None)
            }
            _ => Ok(None),
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(refusal) => refusal.to_message(self.pen.serializer),
        };
        if let Some(answer) = answer {
            self.send(answer, actions);
        }
        self.report(actions);
    }

    fn next_token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    /// The requests of a client are counted up by one from 1. A CALL may continue one before it.
    fn check_order(&mut self, message: &Message) -> Result<RequestPlace, Violation> {
        let checked = match message {
            Message::Call(it) => self.requests.check(it.request),
            Message::Publish(Publish { request, .. })
            | Message::Subscribe(Subscribe { request, .. })
            | Message::Unsubscribe(Unsubscribe { request, .. })
            | Message::Register(Register { request, .. })
            | Message::Unregister(Unregister { request, .. }) => {
                self.requests.check_next(*request).map(|()| RequestPlace::Next)
            }
            _ => Ok(RequestPlace::Next),
        };
        checked.map_err(|error| {
            Violation::OutOfSequence(format!("{}: {error}", message.message_type()))
        })
    }

    /// The realm has no dealer.
    fn refuse_rpc(&self, message: &Message, actions: &mut Actions) {
        let of = match message {
            Message::Call(it) => (RequestType::CALL, it.request),
            Message::Register(it) => (RequestType::REGISTER, it.request),
            Message::Unregister(it) => (RequestType::UNREGISTER, it.request),
            // They are about calls, of which there are none.
            _ => return,
        };
        let refusal = Refusal::new(of, Reason::NotSupported, "this realm has no dealer");
        self.send(refusal.to_error(self.pen.serializer), actions);
    }
}
