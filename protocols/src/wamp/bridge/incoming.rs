//! [`Incoming`]: calls from elsewhere to callees of this node.
//!
//! To the callees' sessions the bridge is a caller like others, with [`Calls`] of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::form::{self, Style};
use super::{Names, Output, Settings};
use crate::broker::{Address, Command, Outcome, Properties, Publication, Token};
use crate::text::Text;
use crate::wamp::access::Disclosure;
use crate::wamp::dealer::Dice;
use crate::wamp::id::{Id, RequestIds, RequestPlace};
use crate::wamp::message::{
    Call, CallOptions, Cancel, CancelMode, CancelOptions, Choice, Features, RequestType,
};
use crate::wamp::peers::{Notice, Realms};
use crate::wamp::realm::Principal;
use crate::wamp::refusal::{Reason, Refusal};
use crate::wamp::registry::Registry;
use crate::wamp::rpc::{Ask, Calls, Identity, Reply, Routing, calls};

/// Calls from elsewhere that have no final answer yet.
#[derive(Debug)]
pub(super) struct Incoming {
    settings: Arc<Settings>,
    realms: Arc<dyn Realms>,
    calls: Calls,
    requests: RequestIds,
    callers: HashMap<Id, Caller>,
    /// The calls of gateways, as those name them.
    of_gateways: HashMap<Name, Id>,
    /// Calls of gateways that are canceled and have not come yet, maybe because they went elsewhere, and
    /// until when that is remembered.
    canceled: HashMap<Name, Instant>,
    /// The same, in their order.
    canceled_at: VecDeque<(Instant, Name)>,
    /// The parts of results that say whether a caller's gateway is still there.
    probes: HashMap<Token, Id>,
    dice: Dice,
    nothing: Arc<Registry>,
    /// Empty between two calls.
    output: calls::Output,
}

/// What a gateway calls one of its calls: its queue of answers, and the correlation.
type Name = (Text, Text);

/// Calls that are remembered to be canceled. More are forgotten, the first of them first.
const MOST_CANCELED: usize = 1_000;

/// How often a part of a result must reach the caller's gateway, or the call is over: nobody else says that it
/// is lost.
const PROBE: Duration = Duration::from_secs(10);

/// Whom an answer goes to.
#[derive(Debug, Clone)]
struct Caller {
    reply_to: Option<Text>,
    correlation_id: Option<Text>,
    style: Style,
    /// Who calls, if the callee is to know.
    identity: Option<Identity>,
    /// When it was last known to be there.
    seen: Instant,
}

impl Caller {
    /// What a gateway calls its call.
    fn name(&self) -> Option<Name> {
        let is_gateway = self.style == Style::Gateway;
        is_gateway.then(|| Some((self.reply_to.clone()?, self.correlation_id.clone()?)))?
    }
}

impl Incoming {
    pub(super) fn new(
        settings: Arc<Settings>,
        principal: Arc<Principal>,
        realms: Arc<dyn Realms>,
    ) -> Self {
        Self {
            calls: Calls::new(settings.at, principal, Features::NONE, settings.rpc),
            requests: RequestIds::new(),
            callers: HashMap::new(),
            of_gateways: HashMap::new(),
            canceled: HashMap::new(),
            canceled_at: VecDeque::new(),
            probes: HashMap::new(),
            dice: Dice::new(&settings.random),
            nothing: Arc::new(Registry::new(settings.realm.clone())),
            output: calls::Output::default(),
            settings,
            realms,
        }
    }

    /// A message for a procedure of this node.
    pub(super) fn on_call(
        &mut self,
        now: Instant,
        (procedure, was_delivered): (Text, bool),
        publication: &Publication,
        names: &mut Names,
        output: &mut Output,
    ) {
        let settings = Arc::clone(&self.settings);
        let request = self.requests.take();
        let is_gateway = settings.trust.holds(publication);
        let properties = &publication.message.properties;
        let caller = Caller {
            reply_to: properties.reply_to.as_ref().map(Text::detached),
            correlation_id: properties.correlation_id.as_ref().map(Text::detached),
            style: form::style(publication, is_gateway),
            identity: is_gateway.then(|| form::identity(publication)).flatten(),
            seen: now,
        };
        let wants_parts = is_gateway && form::wants_parts(publication);
        let is_canceled = caller.name().is_some_and(|name| self.take_canceled(now, &name));
        if let Some(name) = caller.name() {
            self.of_gateways.insert(name, request);
        }
        self.callers.insert(request, caller);
        let refused =
            |reason, sentence| Refusal::new((RequestType::CALL, request), reason, sentence);
        let payload = if is_canceled {
            let sentence = "the call was canceled before it came to the callee";
            Err(refused(Reason::Canceled, sentence.to_owned()))
        } else if was_delivered {
            let sentence = "the call was delivered before, and may have been run";
            Err(refused(Reason::Canceled, sentence.to_owned()))
        } else {
            form::arguments(publication, &settings.limits)
                .map_err(|why| refused(Reason::InvalidArgument, why))
        };
        let payload = match payload {
            Ok(payload) => payload,
            Err(refusal) => {
                self.output.replies.push(Reply::Refused(refusal));
                return self.say(now, names, output);
            }
        };
        let options = CallOptions {
            timeout: form::timeout(publication, is_gateway),
            receive_progress: Some(wants_parts),
            passthru: form::passthru(publication, is_gateway),
            ..CallOptions::default()
        };
        let call = Call { request, options, procedure, payload };
        let begun = self.with_routing(|calls, routing, output| {
            calls.on_call(now, RequestPlace::Next, call, routing, output)
        });
        debug_assert!(begun.is_ok(), "it is one call with an ID of its own: {begun:?}");
        self.say(now, names, output);
    }

    /// A gateway says that one of its calls is canceled, perhaps one that came here.
    pub(super) fn on_interrupt(
        &mut self,
        now: Instant,
        publication: &Publication,
        names: &mut Names,
        output: &mut Output,
    ) {
        let Properties { reply_to, correlation_id, .. } = &publication.message.properties;
        let (Some(reply_to), Some(correlation_id)) = (reply_to, correlation_id) else { return };
        let name = (reply_to.clone(), correlation_id.clone());
        let Some(mode) =
            form::mode(publication).filter(|_| self.settings.trust.holds_without_key(publication))
        else {
            return;
        };
        let Some(request) = self.of_gateways.get(&name).copied() else {
            return self.remember_canceled(now, &name);
        };
        if mode != Choice::Known(CancelMode::Kill)
            && let Some(caller) = self.callers.get_mut(&request)
        {
            // Nobody waits for the answer.
            caller.reply_to = None;
            self.of_gateways.remove(&name);
        }
        let options = CancelOptions { mode: Some(mode), ..CancelOptions::default() };
        self.calls.on_cancel(now, &Cancel { request, options }, &mut self.output);
        self.say(now, names, output);
    }

    fn remember_canceled(&mut self, now: Instant, name: &Name) {
        while let Some((until, first)) = self.canceled_at.front()
            && (*until <= now || self.canceled_at.len() >= MOST_CANCELED)
        {
            self.canceled.remove(first);
            self.canceled_at.pop_front();
        }
        let (until, name) =
            (now + self.settings.rpc.linger, (name.0.detached(), name.1.detached()));
        self.canceled.insert(name.clone(), until);
        self.canceled_at.push_back((until, name));
    }

    fn take_canceled(&mut self, now: Instant, name: &Name) -> bool {
        self.canceled.remove(name).is_some_and(|until| until > now)
    }

    /// A part of a result has reached the caller's gateway, or nobody.
    pub(super) fn on_confirmed(
        &mut self,
        now: Instant,
        token: Token,
        outcome: Outcome,
        names: &mut Names,
        output: &mut Output,
    ) {
        if outcome == Outcome::Unroutable {
            self.on_failed(now, token, names, output);
        } else {
            self.probes.remove(&token);
        }
    }

    /// A part of a result was refused. False if it was not asked about.
    pub(super) fn on_failed(
        &mut self,
        now: Instant,
        token: Token,
        names: &mut Names,
        output: &mut Output,
    ) -> bool {
        let Some(request) = self.probes.remove(&token) else { return false };
        if let Some(caller) = self.callers.get_mut(&request) {
            caller.reply_to = None;
            self.calls.on_cancel(
                now,
                &Cancel { request, options: CancelOptions::default() },
                &mut self.output,
            );
            self.say(now, names, output);
        }
        true
    }

    pub(super) fn on_notice(
        &mut self,
        now: Instant,
        notice: Notice,
        names: &mut Names,
        output: &mut Output,
    ) {
        match notice {
            Notice::Answer(answer) => self.with_routing(|calls, routing, output| {
                calls.on_answer(now, answer, routing, output);
            }),
            Notice::AskUndelivered(call) => self.with_routing(|calls, routing, output| {
                calls.on_undelivered(now, call, routing, output);
            }),
            Notice::Gone(gone) => self.calls.on_gone(gone, &mut self.output),
            _ => {}
        }
        self.say(now, names, output);
    }

    /// Nobody can be answered any more. Those who called hear of it from elsewhere.
    pub(super) fn on_down(&mut self) {
        self.of_gateways.clear();
        self.probes.clear();
        for caller in self.callers.values_mut() {
            caller.reply_to = None;
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.calls.next_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, names: &mut Names, output: &mut Output) {
        self.calls.handle_timeout(now, &mut self.output);
        self.say(now, names, output);
    }

    /// What is registered here alone: what is not, came from where it would go.
    fn with_routing<T>(
        &mut self,
        run: impl FnOnce(&mut Calls, &Routing<'_>, &mut calls::Output) -> T,
    ) -> T {
        let registry = self.realms.registry(&self.settings.realm);
        let registry = registry.map(|registry| registry.without_fallback());
        let routing = Routing {
            registry: registry.as_ref().unwrap_or(&self.nothing),
            uris: self.settings.uris,
            // The broker has let the caller publish to the exchange.
            may_call: &|_| Some(Disclosure::Allow),
            random: self.dice.roll(),
        };
        run(&mut self.calls, &routing, &mut self.output)
    }

    fn say(&mut self, now: Instant, names: &mut Names, output: &mut Output) {
        for mut ask in self.output.asks.drain(..) {
            if let Ask::Invoke(invoke) = &mut ask.ask {
                let caller = self.callers.get(&ask.call.request);
                invoke.caller = caller.and_then(|caller| caller.identity.clone());
            }
            output.asks.push(ask);
        }
        let replies = std::mem::take(&mut self.output.replies);
        for reply in replies {
            let request = reply.request();
            let caller = if reply.is_final() {
                let caller = self.callers.remove(&request);
                if let Some(name) = caller.as_ref().and_then(Caller::name) {
                    self.of_gateways.remove(&name);
                }
                caller
            } else {
                self.callers.get(&request).cloned()
            };
            let Some(Caller { reply_to: Some(to), correlation_id, style, seen, .. }) = caller
            else {
                continue;
            };
            let is_probe =
                style == Style::Gateway && !reply.is_final() && now.duration_since(seen) >= PROBE;
            let mut message = form::reply(reply, style, &self.settings.limits);
            message.properties.correlation_id = correlation_id;
            message.properties.user_id = Some(self.settings.trust.own.clone());
            let token = names.token();
            if is_probe && let Some(caller) = self.callers.get_mut(&request) {
                caller.seen = now;
                self.probes.insert(token, request);
            }
            output.commands.push(Command::Publish {
                token,
                to: Address::ExistingQueue(to),
                message,
                queue: None,
                // A caller that is gone does not miss it.
                confirm: is_probe,
                mandatory: is_probe,
            });
        }
    }
}
