//! REGISTER and UNREGISTER, what the realm answers, and what it takes away.
//!
//! *Spec.* WAMP §Registering and Unregistering, §Pattern-based Registrations, §Shared Registration,
//! §Registration Revocation.
//!
//! # Choices that the specification leaves open
//! - A pattern that stands for procedures of the protocol's own, among others, can be registered: calls
//!   of those never come to it. One that is all about them cannot.
//! - After UNREGISTER no call comes any more, before UNREGISTERED neither: another callee gets it.

use std::num::NonZeroU32;

use super::{Asked, Cause, Dealer};
use crate::broker::Token;
use crate::session::Actions;
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::access::{Action, Rights};
use crate::wamp::id::Id;
use crate::wamp::message::{
    Choice, Feature, InvokePolicy, MatchPolicy, Register, RegisterOptions, Registered, RequestType,
    Unregister, Unregistered, UnregisteredDetails,
};
use crate::wamp::peers::{Notice, Request, Terms};
use crate::wamp::pubsub::Access;
use crate::wamp::refusal::{Reason, Refusal};
use crate::wamp::rpc::Limit;
use crate::wamp::uri::{Pattern, is_reserved};

impl Dealer {
    /// REGISTER. REGISTERED comes of a [notice](Self::on_registration).
    pub(in crate::wamp) fn on_register(
        &mut self,
        register: &Register,
        rights: &Rights,
        token: Token,
        actions: &mut Actions,
    ) {
        let Register { request, options, procedure } = register;
        let checked = self
            .check_room()
            .and_then(|()| self.pattern(options, procedure, rights))
            .and_then(|pattern| Ok((pattern, invoke_policy(options)?, concurrency(options)?)));
        let (pattern, invoke, concurrency) = match checked {
            Ok(checked) => checked,
            Err(cause) => return self.refuse(RequestType::REGISTER, *request, cause, actions),
        };
        let callee = Terms {
            wants_caller: options.disclose_caller == Some(true),
            keeps_timeouts: options.forward_timeout == Some(true),
            concurrency,
            features: self.features,
        };
        let force = options.force_reregister == Some(true);
        self.asked.insert(token, Asked::Register { request: *request, concurrency });
        actions.peers.push(Request::Register { token, pattern, invoke, callee, force });
    }

    /// UNREGISTER. UNREGISTERED comes of a [notice](Self::on_registration).
    pub(in crate::wamp) fn on_unregister(
        &mut self,
        unregister: &Unregister,
        token: Token,
        actions: &mut Actions,
    ) {
        let Unregister { request, registration } = *unregister;
        if !self.invocations.has_registered(registration) {
            return self.refuse_unregister(request, registration, actions);
        }
        self.invocations.on_unregistered(registration);
        self.asked.insert(token, Asked::Unregister { request, registration });
        actions.peers.push(Request::Unregister { token, registration });
    }

    /// What the realm says of registrations. To what was not asked, or not so, nothing is said.
    pub(super) fn on_registration(&mut self, notice: Notice, actions: &mut Actions) {
        match notice {
            Notice::Registered { token, registration, load } => {
                let Some(Asked::Register { request, concurrency }) = self.asked.remove(&token)
                else {
                    return;
                };
                let load = load.unwrap_or_default();
                let limit = concurrency.map(|most| Limit { most, load });
                self.invocations.on_registered(registration, limit);
                self.pen.write(Registered { request, registration }, actions);
            }
            Notice::NotRegistered { token, error } => {
                let Some(Asked::Register { request, .. }) = self.asked.remove(&token) else {
                    return;
                };
                let cause = (error.reason(), error.to_string());
                self.refuse(RequestType::REGISTER, request, cause, actions);
            }
            Notice::Unregistered { token } => {
                let Some(Asked::Unregister { request, .. }) = self.asked.remove(&token) else {
                    return;
                };
                self.pen.write(Unregistered { request: Some(request), details: None }, actions);
            }
            Notice::NotUnregistered { token } => {
                let Some(Asked::Unregister { request, registration }) = self.asked.remove(&token)
                else {
                    return;
                };
                self.refuse_unregister(request, registration, actions);
            }
            Notice::Revoked { registration, reason } => {
                self.on_revoked(registration, reason, actions);
            }
            _ => {}
        }
    }

    /// UNREGISTERED without a request. *Order.* The client knows what that means: it
    /// [would not wait](Self::would_wait).
    fn on_revoked(&mut self, registration: Id, reason: Text, actions: &mut Actions) {
        if self.invocations.has_registered(registration) {
            self.invocations.on_unregistered(registration);
            let details =
                UnregisteredDetails { registration: Some(registration), reason: Some(reason) };
            self.pen.write(Unregistered { request: None, details: Some(details) }, actions);
        }
    }

    /// Whether the session has this registration, and the client cannot be told that it does not any
    /// more: it would wait for calls that do not come.
    pub(in crate::wamp) fn would_wait(&self, registration: Id) -> bool {
        !self.features.has(Feature::RegistrationRevocation)
            && self.invocations.has_registered(registration)
    }

    /// Whether one more registration may be asked for.
    fn check_room(&self) -> Result<(), Cause> {
        let limit = self.most_registrations;
        if self.invocations.registrations() + self.asked.len() >= limit {
            let sentence = format!("a session may have {limit} registrations");
            return Err((Reason::Unavailable, sentence));
        }
        Ok(())
    }

    /// What is to be registered, if it may be.
    fn pattern(
        &self,
        options: &RegisterOptions,
        procedure: &Text,
        rights: &Rights,
    ) -> Result<Pattern, Cause> {
        let policy = match &options.match_policy {
            None => MatchPolicy::Exact,
            Some(Choice::Known(policy)) => *policy,
            Some(Choice::Other(word)) => {
                let sentence = format!(
                    "procedures are not matched by {:?}, but exact, prefix or wildcard",
                    shown(word)
                );
                return Err((Reason::OptionNotAllowed, sentence));
            }
        };
        let uris = self.uris.check_pattern(procedure, policy);
        uris.map_err(|error| (Reason::InvalidUri, error.to_string()))?;
        if is_reserved(procedure) {
            let sentence = format!("{:?} is a procedure of the protocol's own", shown(procedure));
            return Err((Reason::InvalidUri, sentence));
        }
        let pattern = Pattern { policy, uri: procedure.detached() };
        if !Access::may(rights, Action::Register, &pattern) {
            let sentence = format!("this session may not register {:?}", shown(procedure));
            return Err((Reason::NotAuthorized, sentence));
        }
        Ok(pattern)
    }

    fn refuse_unregister(&self, request: Id, registration: Id, actions: &mut Actions) {
        let sentence = format!("this session has no registration with the ID {registration}");
        let cause = (Reason::NoSuchRegistration, sentence);
        self.refuse(RequestType::UNREGISTER, request, cause, actions);
    }

    pub(super) fn refuse(
        &self,
        request_type: RequestType,
        request: Id,
        (reason, sentence): Cause,
        actions: &mut Actions,
    ) {
        let refusal = Refusal::new((request_type, request), reason, sentence);
        self.pen.write(refusal.to_error(self.pen.serializer), actions);
    }
}

fn invoke_policy(options: &RegisterOptions) -> Result<InvokePolicy, Cause> {
    match &options.invoke {
        None => Ok(InvokePolicy::Single),
        Some(Choice::Known(policy)) => Ok(*policy),
        Some(Choice::Other(word)) => {
            let sentence = format!(
                "callees are not chosen by {:?}, but single, roundrobin, random, first or last",
                shown(word)
            );
            Err((Reason::OptionNotAllowed, sentence))
        }
    }
}

fn concurrency(options: &RegisterOptions) -> Result<Option<NonZeroU32>, Cause> {
    let Some(asked) = options.concurrency else { return Ok(None) };
    let limit = NonZeroU32::new(u32::try_from(asked).unwrap_or(u32::MAX));
    let zero = || (Reason::InvalidArgument, "concurrency must be at least 1".to_owned());
    limit.map(Some).ok_or_else(zero)
}
