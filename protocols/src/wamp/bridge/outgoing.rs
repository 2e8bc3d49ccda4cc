//! [`Outgoing`]: calls from this node to elsewhere.
//!
//! To the callers' sessions the bridge is a callee like others: of what is registered nowhere here, and of
//! the procedures that routes name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::form::{self, Form};
use super::{Names, Output, Settings};
use crate::broker::{
    Address, BrokerError, Command, Message, Outcome, Publication, Token, procedure,
};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{CancelMode, ErrorDetails, MatchPolicy};
use crate::wamp::payload::Payload;
use crate::wamp::refusal::Reason;
use crate::wamp::registry::registration_id;
use crate::wamp::rpc::{Answer, Ask, CallId, Invoke, ToCallee, ToCaller};
use crate::wamp::serializer::Serializer;
use crate::wamp::uri::{Pattern, routing_key};

/// A procedure that a plain AMQP worker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The procedure.
    pub uri: Text,
    /// Where the worker's queue is bound; empty for the default exchange.
    pub exchange: Text,
    /// By what; for the default exchange the name of the queue.
    pub key: Text,
    /// What the worker reads.
    pub form: Form,
    /// How long its answer is awaited, at most.
    pub timeout: Duration,
}

impl Route {
    /// What it is registered as in a realm.
    pub fn registration(&self, realm: &str) -> Id {
        registration_id(realm, &Pattern { policy: MatchPolicy::Exact, uri: self.uri.clone() })
    }
}

/// Calls that have left and have no answer yet.
#[derive(Debug)]
pub(super) struct Outgoing {
    settings: Arc<Settings>,
    /// That of the link.
    reply_queue: Text,
    routes: HashMap<Id, Route>,
    last: u64,
    pending: HashMap<u64, Pending>,
    by_call: HashMap<CallId, u64>,
    by_deadline: BTreeSet<(Instant, u64)>,
    /// Which calls the broker has not confirmed.
    unconfirmed: HashMap<Token, u64>,
}

#[derive(Debug)]
struct Pending {
    call: CallId,
    procedure: Text,
    /// A route leads to whoever answers it.
    is_routed: bool,
    /// Parts of the result so far.
    results: u64,
    /// How long something is awaited, anew after each part.
    within: Duration,
    deadline: Instant,
}

impl Outgoing {
    pub(super) fn new(settings: Arc<Settings>, routes: Vec<Route>) -> Self {
        let by_id = routes.into_iter().map(|route| (route.registration(&settings.realm), route));
        Self {
            routes: by_id.collect(),
            settings,
            reply_queue: Text::default(),
            last: 0,
            pending: HashMap::new(),
            by_call: HashMap::new(),
            by_deadline: BTreeSet::new(),
            unconfirmed: HashMap::new(),
        }
    }

    /// There is a link, with this queue for answers.
    pub(super) fn answer_to(&mut self, queue: Text) {
        self.reply_queue = queue;
    }

    pub(super) fn on_ask(
        &mut self,
        now: Instant,
        ask: ToCallee,
        names: &mut Names,
        output: &mut Output,
    ) {
        let call = ask.call;
        match ask.ask {
            Ask::Invoke(invoke) => self.send(now, call, &invoke, names, output),
            // It has not announced that it takes any.
            Ask::Continue { .. } => {}
            Ask::Interrupt { mode, reason } => {
                if let Some(number) = self.by_call.get(&call).copied() {
                    self.interrupt(number, mode, &reason, names, output);
                }
            }
        }
    }

    /// The caller does not want a result any more; with `kill` it waits for what the callee says to that.
    fn interrupt(
        &mut self,
        number: u64,
        mode: CancelMode,
        reason: &str,
        names: &mut Names,
        output: &mut Output,
    ) {
        let Some(pending) = self.pending.get(&number) else { return };
        let Pending { call, is_routed, results, .. } = *pending;
        let procedure = pending.procedure.clone();
        if is_routed || mode != CancelMode::Kill {
            self.take(number);
        }
        if is_routed && mode == CancelMode::Kill {
            let why = "the call was canceled; the worker that runs it is not told".to_owned();
            output.answers.push(ToCaller { call, answer: Answer::Canceled { why } });
        }
        // The gateway of the callee knows when that is, unless it has heard of the callee later.
        let is_known = reason == Reason::Timeout.uri() && results == 0;
        if !(is_routed || is_known || mode == CancelMode::Skip) {
            self.say_interrupt((number, &procedure), mode, names, output);
        }
    }

    /// To whichever gateway has the callee.
    fn say_interrupt(
        &self,
        (number, procedure): (u64, &Text),
        mode: CancelMode,
        names: &mut Names,
        output: &mut Output,
    ) {
        let message = form::interrupt(mode, procedure, self.own(number, Message::default()));
        output.commands.push(Command::Publish {
            token: names.token(),
            to: Address::Exchange {
                name: Text::from_static(procedure::INTERRUPT_EXCHANGE),
                key: Text::default(),
            },
            message,
            queue: None,
            confirm: false,
            mandatory: false,
        });
    }

    /// What an answer to the call with this number names it by: whoever has answered another call cannot say
    /// it.
    fn correlation(&self, number: u64) -> Text {
        // All that is hashed has one length, and only a part of the hash is told.
        let hash = Sha256::new()
            .chain_update(b"answers")
            .chain_update(self.settings.random)
            .chain_update(number.to_be_bytes())
            .finalize();
        let tag = hash.iter().take(8).fold(0, |tag, byte| tag << 8 | u64::from(*byte));
        Text::from(format!("{number:x}.{tag:016x}"))
    }

    /// A message about a call with this number, as this gateway's.
    fn own(&self, number: u64, mut message: Message) -> Message {
        let properties = &mut message.properties;
        properties.correlation_id = Some(self.correlation(number));
        properties.reply_to = Some(self.reply_queue.clone());
        properties.user_id = Some(self.settings.trust.own.clone());
        message
    }

    /// There is no link: what is asked cannot be done.
    pub(super) fn refuse(&self, ask: ToCallee, output: &mut Output) {
        if matches!(ask.ask, Ask::Invoke(_)) {
            let sentence =
                "the broker, by which procedures elsewhere are called, cannot be reached now";
            fail(ask.call, Reason::Unavailable, sentence, output);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        call: CallId,
        invoke: &Invoke,
        names: &mut Names,
        output: &mut Output,
    ) {
        let limit = self.settings.rpc.most_calls;
        if self.pending.len() >= limit {
            let why = format!("{limit} calls to elsewhere wait for their answers already");
            return output.answers.push(ToCaller { call, answer: Answer::Unavailable { why } });
        }
        let number = self.last + 1;
        let is_routed = self.routes.contains_key(&invoke.registration);
        let (procedure, to, message, within) = match self.message(now, number, invoke) {
            Ok(message) => message,
            Err((reason, sentence)) => return fail(call, reason, &sentence, output),
        };
        self.last = number;
        let deadline = now + within;
        let token = names.token();
        self.unconfirmed.insert(token, number);
        self.by_call.insert(call, number);
        self.by_deadline.insert((deadline, number));
        let pending = Pending { call, procedure, is_routed, results: 0, within, deadline };
        self.pending.insert(number, pending);
        output.commands.push(Command::Publish {
            token,
            to,
            message,
            queue: None,
            confirm: true,
            mandatory: true,
        });
    }

    /// The procedure, where the call goes, what it is, and how long its answer is awaited.
    #[allow(clippy::type_complexity, reason = "read once, where it is written")]
    fn message(
        &self,
        now: Instant,
        number: u64,
        invoke: &Invoke,
    ) -> Result<(Text, Address, Message, Duration), (Reason, String)> {
        let settings = &*self.settings;
        let route = self.routes.get(&invoke.registration);
        let procedure = route.map(|route| &route.uri).or(invoke.procedure.as_ref());
        let Some(procedure) = procedure.cloned() else {
            return Err((Reason::NoSuchProcedure, "the procedure is not known".to_owned()));
        };
        let message = match route {
            Some(route) => form::to_worker(invoke, route.form, &settings.limits)?,
            None => form::to_gateway(invoke, &procedure),
        };
        let mut message = self.own(number, message);
        let within = route.map_or(invoke.within, |route| route.timeout.min(invoke.within));
        let left = invoke.until.saturating_duration_since(now);
        if left.is_zero() {
            // It has waited here. Its caller has been told, or will be at once.
            return Err((Reason::Timeout, "the call has not left in time".to_owned()));
        }
        let within = within.min(left);
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        message.properties.expiration = Some(Text::from(millis.to_string()));
        let to = match route {
            Some(Route { exchange, key, .. }) if exchange.is_empty() => {
                Address::ExistingQueue(key.clone())
            }
            Some(Route { exchange, key, .. }) => {
                Address::Exchange { name: exchange.clone(), key: key.clone() }
            }
            None => {
                let key = routing_key(&procedure)
                    .map_err(|error| (Reason::InvalidUri, error.to_string()))?;
                Address::Exchange {
                    name: Text::from_static(procedure::EXCHANGE),
                    key: Text::from(&*key),
                }
            }
        };
        Ok((procedure, to, message, within))
    }

    pub(super) fn on_confirmed(&mut self, token: Token, outcome: Outcome, output: &mut Output) {
        let Some(number) = self.unconfirmed.remove(&token) else { return };
        match outcome {
            Outcome::Accepted => {}
            Outcome::Unroutable => {
                if let Some(Pending { call, procedure, .. }) = self.take(number) {
                    let sentence = format!("no procedure {procedure:?} is registered");
                    fail(call, Reason::NoSuchProcedure, &sentence, output);
                }
            }
            Outcome::Rejected => {
                if let Some(Pending { call, .. }) = self.take(number) {
                    let why = "the broker has not taken the call".to_owned();
                    output.answers.push(ToCaller { call, answer: Answer::Unavailable { why } });
                }
            }
        }
    }

    /// False if it was not asked from here.
    pub(super) fn on_failed(
        &mut self,
        token: Token,
        error: &BrokerError,
        output: &mut Output,
    ) -> bool {
        let Some(number) = self.unconfirmed.remove(&token) else { return false };
        if let Some(Pending { call, .. }) = self.take(number) {
            fail(call, Reason::of_broker(error), &error.text, output);
        }
        true
    }

    /// The link is gone, and the queue of answers with it.
    pub(super) fn on_down(&mut self, error: &BrokerError, output: &mut Output) {
        self.unconfirmed.clear();
        self.by_call.clear();
        self.by_deadline.clear();
        for Pending { call, .. } in std::mem::take(&mut self.pending).into_values() {
            let sentence = format!("the call may have been run or not: {}", error.text);
            fail(call, Reason::NetworkFailure, &sentence, output);
        }
    }

    /// An answer, or a part of one. Of calls that are over nothing is heard.
    pub(super) fn on_reply(
        &mut self,
        now: Instant,
        publication: &Publication,
        output: &mut Output,
    ) {
        let Some(named) = publication.message.properties.correlation_id.as_deref() else { return };
        let number = named.split('.').next().and_then(|text| u64::from_str_radix(text, 16).ok());
        let Some(number) = number.filter(|number| self.correlation(*number) == *named) else {
            return;
        };
        let Some(pending) = self.pending.get_mut(&number) else { return };
        let (call, part) = (pending.call, pending.results);
        let answer = form::answer(publication, part, &self.settings.limits);
        pending.results += 1;
        if answer.is_final() {
            self.take(number);
        } else {
            self.by_deadline.remove(&(pending.deadline, number));
            pending.deadline = now + pending.within;
            self.by_deadline.insert((pending.deadline, number));
        }
        output.answers.push(ToCaller { call, answer });
    }

    fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.by_call.remove(&pending.call);
        self.by_deadline.remove(&(pending.deadline, number));
        Some(pending)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, names: &mut Names, output: &mut Output) {
        while let Some((_, number)) =
            self.by_deadline.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            let Some(Pending { call, procedure, is_routed, results, .. }) = self.take(number)
            else {
                continue;
            };
            if results > 0 && !is_routed {
                self.say_interrupt((number, &procedure), CancelMode::KillNoWait, names, output);
            }
            let sentence = format!("{procedure:?} has not answered in time");
            fail(call, Reason::Timeout, &sentence, output);
        }
    }
}

/// The caller's answer is an error of the router's.
fn fail(call: CallId, reason: Reason, sentence: &str, output: &mut Output) {
    let answer = Answer::Error {
        error: Text::from_static(reason.uri()),
        details: ErrorDetails::default(),
        payload: Payload::of_text(Serializer::Cbor, sentence),
    };
    output.answers.push(ToCaller { call, answer });
}
