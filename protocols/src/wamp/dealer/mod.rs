//! [`Dealer`]: the dealer of a realm, as far as it concerns one session.
//!
//! What the client says goes in, and what other sessions do; messages come out, and requests to
//! [the other sessions](super::peers). It puts together what the session [calls](Calls) and what it
//! [runs for others](Invocations) with its rights, its serializer, and what is registered at this
//! moment. Pure: no IO, no clock, no randomness.
//!
//! | clause (WAMP) | where |
//! |---|---|
//! | §Registering and Unregistering, §Registration Revocation | `register.rs` |
//! | §Calling and Invocations, and all that follows from it | here, [`rpc`](super::rpc) |
//! | §Session Meta API, §Registration Meta API, §Subscription Meta API: the calls | `meta.rs` |
//! | §Binary support in JSON: arguments of other sessions | `fit.rs` |
//!
//! # Choices that the specification leaves open
//! - How many calls a callee has, only its own session knows. One that takes no more says so, and
//!   another is asked.
//! - An ERROR that a callee makes up without a URI that is one does not reach the caller as it is.

mod dice;
mod fit;
mod meta;
mod register;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

pub(super) use dice::Dice;

use super::access::{Action, Rights};
use super::id::{Id, RequestPlace};
use super::message::{Call, Cancel, Error, Feature, Features, Role, Roles, Yield};
use super::payload::Payload;
use super::peers::{Notice, Realms, Request};
use super::pen::Pen;
use super::realm::{Principal, Settings};
use super::reason;
use super::refusal::Reason;
use super::registry::{Registry, SessionAt};
use super::rpc::{Calls, Invocations, Routing, RpcViolation, calls, invocations};
use super::uri::{UriRules, is_reserved};
use crate::broker::Token;
use crate::session::Actions;
use crate::text::Text;

/// What the dealer announces.
pub(super) const FEATURES: Features = Features::of(&[
    Feature::ProgressiveCallResults,
    Feature::ProgressiveCallInvocations,
    Feature::CallTimeout,
    Feature::CallCanceling,
    Feature::CallerIdentification,
    Feature::CallReroute,
    Feature::PatternBasedRegistration,
    Feature::SharedRegistration,
    Feature::RegistrationRevocation,
    Feature::RegistrationMetaApi,
    Feature::SessionMetaApi,
]);

/// Why something is refused, also as a sentence.
type Cause = (Reason, String);

/// What a session has registered, calls, and runs for others.
#[derive(Debug)]
pub(super) struct Dealer {
    at: SessionAt,
    realm: Text,
    realms: Arc<dyn Realms>,
    principal: Arc<Principal>,
    pen: Pen,
    uris: UriRules,
    /// What the client announced as a callee.
    features: Features,
    most_registrations: usize,
    calls: Calls,
    invocations: Invocations,
    /// What the realm has not answered.
    asked: HashMap<Token, Asked>,
    dice: Dice,
    /// What is registered where the realm is there no more.
    nothing: Arc<Registry>,
    /// Empty between two calls.
    outputs: (calls::Output, invocations::Output),
}

/// What an answer of the realm is for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Register { request: Id, concurrency: Option<NonZeroU32> },
    Unregister { request: Id, registration: Id },
}

/// Who a dealer is for.
#[derive(Debug)]
pub(super) struct Entrant<'a> {
    pub(super) realm: &'a Text,
    pub(super) principal: &'a Arc<Principal>,
    /// What the client announced.
    pub(super) roles: Roles,
    pub(super) pen: Pen,
    /// Random bits that nobody else knows.
    pub(super) random: &'a [u8; 32],
}

impl Dealer {
    /// Of a session that is about to be welcomed; `None` if the realm has no dealer.
    pub(super) fn open(
        realms: &Arc<dyn Realms>,
        entrant: &Entrant<'_>,
        settings: &Settings,
    ) -> Option<Self> {
        let Entrant { realm, principal, roles, pen, random } = entrant;
        realms.registry(realm)?;
        let at = SessionAt { node: realms.node(), session: principal.session };
        let features = |role| roles.features(role).unwrap_or(Features::NONE);
        let callee = features(Role::Callee);
        let rpc = settings.rpc;
        Some(Self {
            at,
            realm: Text::clone(realm),
            realms: Arc::clone(realms),
            principal: Arc::clone(principal),
            pen: *pen,
            uris: settings.uris,
            features: callee,
            most_registrations: rpc.most_registrations,
            calls: Calls::new(at, Arc::clone(principal), features(Role::Caller), rpc),
            invocations: Invocations::new(callee, rpc),
            asked: HashMap::new(),
            dice: Dice::new(random),
            nothing: Arc::new(Registry::new(Text::clone(realm))),
            outputs: Default::default(),
        })
    }

    /// The session is in.
    pub(super) fn enter(&self, actions: &mut Actions) {
        let (realm, at) = (self.realm.clone(), self.at);
        let principal = Arc::clone(&self.principal);
        actions.peers.push(Request::Enter { realm, at, principal });
    }

    /// CALL.
    ///
    /// *Errors.* What breaks the protocol.
    pub(super) fn on_call(
        &mut self,
        now: Instant,
        (place, call): (RequestPlace, Call),
        rights: &Rights,
        actions: &mut Actions,
    ) -> Result<(), RpcViolation> {
        let is_in_parts = place == RequestPlace::Before || call.options.progress == Some(true);
        if is_reserved(&call.procedure) && !is_in_parts {
            self.on_meta_call(&call, rights, actions);
            return Ok(());
        }
        let outcome = self.with_routing(rights, |calls, routing, output| {
            calls.on_call(now, place, call, routing, output)
        });
        self.say(actions);
        outcome
    }

    /// CANCEL.
    pub(super) fn on_cancel(&mut self, now: Instant, cancel: &Cancel, actions: &mut Actions) {
        self.calls.on_cancel(now, cancel, &mut self.outputs.0);
        self.say(actions);
    }

    /// YIELD.
    ///
    /// *Errors.* What breaks the protocol.
    pub(super) fn on_yield(
        &mut self,
        now: Instant,
        answer: Yield,
        actions: &mut Actions,
    ) -> Result<(), RpcViolation> {
        let outcome = self.invocations.on_yield(now, answer, &mut self.outputs.1);
        self.say(actions);
        outcome
    }

    /// ERROR that answers an INVOCATION.
    ///
    /// Clients of others may end their sessions for a URI that is none.
    ///
    /// *Errors.* What breaks the protocol.
    pub(super) fn on_error(
        &mut self,
        now: Instant,
        mut answer: Error,
        actions: &mut Actions,
    ) -> Result<(), RpcViolation> {
        let loose = UriRules { strict: false, ..self.uris };
        if let Err(error) = loose.check(&answer.error) {
            let sentence = format!("the callee has failed, but not said why in a URI: {error}");
            answer.error = Text::from_static(reason::INVALID_URI);
            answer.payload = Payload::of_text(self.pen.serializer, &sentence);
        }
        let outcome = self.invocations.on_error(now, answer, &mut self.outputs.1);
        self.say(actions);
        outcome
    }

    /// Something comes from the realm, or through it from another session.
    pub(super) fn on_notice(
        &mut self,
        now: Instant,
        notice: Notice,
        rights: &Rights,
        actions: &mut Actions,
    ) {
        match notice {
            Notice::Registered { .. }
            | Notice::NotRegistered { .. }
            | Notice::Unregistered { .. }
            | Notice::NotUnregistered { .. }
            | Notice::Revoked { .. } => self.on_registration(notice, actions),
            Notice::Answered { request, answer } => self.on_answered(request, answer, actions),
            // The session itself sees to them.
            Notice::Event { .. } | Notice::TooSlow { .. } | Notice::Killed(_) => {}
            Notice::Ask(ask) => self.on_ask(now, ask),
            Notice::Answer(answer) => self.on_answer(now, answer, rights),
            Notice::AskUndelivered(call) => self.with_routing(rights, |calls, routing, output| {
                calls.on_undelivered(now, call, routing, output);
            }),
            Notice::AnswerUndelivered(call) => {
                self.invocations.on_undelivered(now, call, &mut self.outputs.1);
            }
            Notice::Gone(gone) => {
                self.calls.on_gone(gone, &mut self.outputs.0);
                self.invocations.on_gone(now, gone, &mut self.outputs.1);
            }
        }
        self.say(actions);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (calls, invocations) = (self.calls.next_timeout(), self.invocations.next_timeout());
        calls.into_iter().chain(invocations).min()
    }

    /// The time has come that [`next_timeout`](Self::next_timeout) named.
    pub(super) fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        self.calls.handle_timeout(now, &mut self.outputs.0);
        self.invocations.handle_timeout(now, &mut self.outputs.1);
        self.say(actions);
    }

    /// The session ends.
    pub(super) fn leave(mut self, actions: &mut Actions) {
        actions.peers.extend(self.calls.leave().into_iter().map(Request::Ask));
        actions.peers.extend(self.invocations.leave().into_iter().map(Request::Answer));
        actions.peers.push(Request::Leave);
    }

    /// By what calls are routed at this moment.
    fn with_routing<T>(
        &mut self,
        rights: &Rights,
        run: impl FnOnce(&mut Calls, &Routing<'_>, &mut calls::Output) -> T,
    ) -> T {
        let registry = self.realms.registry(&self.realm);
        let routing = Routing {
            registry: registry.as_ref().unwrap_or(&self.nothing),
            uris: self.uris,
            may_call: &|procedure| rights.may(Action::Call, procedure),
            // Only its own session knows.
            random: self.dice.roll(),
        };
        run(&mut self.calls, &routing, &mut self.outputs.0)
    }

    /// To the client and to other sessions, whatever came out.
    fn say(&mut self, actions: &mut Actions) {
        let (calls, invocations) = &mut self.outputs;
        for reply in calls.replies.drain(..) {
            self.pen.write(reply.into_message(self.pen.serializer), actions);
        }
        for message in invocations.messages.drain(..) {
            self.pen.write(message, actions);
        }
        actions.peers.extend(calls.asks.drain(..).map(Request::Ask));
        actions.peers.extend(invocations.answers.drain(..).map(Request::Answer));
    }
}
