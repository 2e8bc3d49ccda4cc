//! One connection: the session, the client, the broker, and what must hold between them.

use std::sync::Arc;
use std::time::Duration;

use protocols::auth::{AuthReply, Denial, DenialKind, Grant};
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Message, Outcome, Publication, SettleMode,
    SubscriptionId, Verdict,
};
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, FrameKind};
use protocols::stomp::Settings;
use protocols::stomp::Stomp;

use crate::broker::{Broker, Said, Settled, Waiting};
use crate::pair::{Pair, SESSION_ID};
use crate::peer::{AckMode, Held, Peer, Received};
use crate::random::Random;
use crate::wire::{WireFrame, frame};

/// The client promises a heart-beat this often, and is dead after two.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(crate) struct World {
    seed: u64,
    random: Random,
    pair: Pair,
    version: &'static str,
    peer: Peer,
    broker: Broker,
    /// How long the client has been silent while it was read; `None` while it is not.
    silence: Option<Duration>,
    is_leaving: bool,
    /// How long it has been leaving.
    leaving_for: Duration,
    /// The receipt that the ERROR names with which it will leave, if one.
    farewell: Option<Option<String>>,
    /// The end that the last step must have led to.
    must_close: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limits = Limits { subscriptions: 6, transactions: 3, ..Limits::default() };
        let stomp = Settings { prefetch: 5, max_prefetch: 8, ..Settings::default() };
        let version = random.of(&["1.0", "1.1", "1.2"]);
        Self {
            seed,
            random,
            pair: Pair::open(&Stomp, None, Policy { limits, stomp, ..Policy::default() }),
            version,
            peer: Peer::default(),
            broker: Broker::default(),
            silence: Some(Duration::ZERO),
            is_leaving: false,
            leaving_for: Duration::ZERO,
            farewell: None,
            must_close: false,
        }
    }

    /// Takes this many steps, or as many as the connection lives; how it ended, and how many it was.
    pub(crate) fn run(mut self, steps: usize) -> (String, usize) {
        self.connect();
        let mut taken = 0;
        while taken < steps && self.pair.close.is_none() {
            taken += 1;
            self.step();
            self.check();
        }
        let end = self.end();
        (end, taken)
    }

    fn connect(&mut self) {
        self.send(
            "CONNECT",
            &[("accept-version", self.version), ("heart-beat", "10000,10000")],
            b"",
        );
        assert!(self.pair.auth.take().is_some());
        if self.random.once_in(40) {
            let text = "no".into();
            self.pair.reply(AuthReply::Denied(Denial { kind: DenialKind::BadCredentials, text }));
            self.must_close = true;
            self.check();
            return;
        }
        let grant = Grant { user: "guest".into(), vhost: "/".into() };
        self.pair.reply(AuthReply::Granted(grant));
        assert!(self.pair.established.take().is_some());
        let connected = self.pair.frames.pop_front().expect("CONNECTED");
        assert_eq!(WireFrame::read(&connected).verb, "CONNECTED");
    }

    fn step(&mut self) {
        if self.is_leaving {
            return self.step_while_leaving();
        }
        match self.random.below(100) {
            0..=24 => self.send_message(),
            25..=39 => self.acknowledge(),
            40..=46 => self.subscribe(),
            47..=49 => self.unsubscribe(),
            50..=54 => self.begin(),
            55..=58 => self.end_transaction(),
            59..=76 => self.deliver(),
            77..=90 => self.answer(),
            91..=94 => self.pass_time(),
            95..=96 => self.toggle_reading(),
            97 => self.input(b"\n"),
            _ => self.something_rare(),
        }
    }

    fn step_while_leaving(&mut self) {
        match self.random.below(4) {
            0 => self.input(b"SEND\n\n\0 garbage"),
            1 => self.pass_time(),
            _ if self.broker.waiting.is_empty() => self.deliver(),
            _ => self.answer(),
        }
    }

    fn something_rare(&mut self) {
        match self.random.below(12) {
            0 => self.disconnect(),
            1 => self.invalid_frame(),
            2 => {
                self.pair.start_drain();
                self.is_leaving = true;
            }
            3 => {
                let error = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
                self.pair.event(Event::Down { error });
                self.must_close = true;
            }
            4 => self.cancel(),
            _ => self.pass_time(),
        }
    }

    // --- the client ---

    fn send_message(&mut self) {
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let transaction = self.open_transaction().filter(|_| self.random.once_in(3));
        let (published, to_confirm) = (self.broker.published, self.broker.to_confirm);
        let mut headers = vec![("destination", "/queue/a"), ("k", "v")];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        headers.extend(transaction.as_deref().map(|id| ("transaction", id)));
        let body = *self.random.of(&[&b""[..], b"text", b"\xff\xfe", b"a\n\nb"]);
        self.send("SEND", &headers, body);
        if let Some(id) = transaction {
            let held = Held::Send { receipt };
            self.peer.transactions.get_mut(&id).expect("open").push(held);
            assert_eq!(self.carry_out(), Settled::new());
            assert_eq!(self.broker.published, published);
            return;
        }
        let asks = usize::from(receipt.is_some());
        self.blame(receipt.clone());
        self.peer.receipts.extend(receipt);
        assert_eq!(self.carry_out(), Settled::new());
        assert_eq!(self.broker.published, published + 1);
        assert_eq!(self.broker.to_confirm, to_confirm + asks);
    }

    fn acknowledge(&mut self) {
        let free: Vec<Received> =
            self.peer.received.iter().filter(|it| it.held_by.is_none()).cloned().collect();
        if free.is_empty() {
            return;
        }
        let message = self.random.of(&free).clone();
        let (verb, requeue, said) = *self.random.of(&[
            ("ACK", None, Said::Accept),
            ("ACK", None, Said::Accept),
            ("NACK", None, Said::Requeue),
            ("NACK", Some("false"), Said::Discard),
        ]);
        let (verb, said) = if self.version == "1.0" { ("ACK", Said::Accept) } else { (verb, said) };
        let receipt = self.random.once_in(4).then(|| self.peer.new_name());
        let transaction = self.open_transaction().filter(|_| self.random.once_in(3));
        let mut headers = match self.version {
            "1.2" => vec![("id", message.message_id.as_str())],
            "1.1" => {
                vec![("message-id", message.message_id.as_str()), ("subscription", &message.id)]
            }
            _ => vec![("message-id", message.message_id.as_str())],
        };
        headers.extend(requeue.map(|requeue| ("requeue", requeue)));
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        headers.extend(transaction.as_deref().map(|id| ("transaction", id)));
        self.send(verb, &headers, b"");

        let covers = self.peer.covered(&message);
        self.peer.receipts.extend(receipt);
        if let Some(id) = transaction {
            for held in self.peer.received.iter_mut().filter(|it| covers.contains(&it.tag)) {
                held.held_by = Some(id.clone());
            }
            let held = Held::Ack { covers, said };
            self.peer.transactions.get_mut(&id).expect("open").push(held);
            assert_eq!(self.carry_out(), Settled::new());
            return;
        }
        let expected = self.peer.settled(&covers, said);
        self.peer.forget(&covers);
        assert_eq!(self.carry_out(), expected);
    }

    fn subscribe(&mut self) {
        let id = (*self.random.of(&["a", "b", "c@@", "d:e"])).to_owned();
        let waits_or_runs = self.broker.consumers.len() - self.over();
        let mode = *self.random.of(&AckMode::ALL);
        let prefetch = *self.random.of(&["1", "3", "0", "99"]);
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let on_wire = if self.version == "1.0" { id.clone() } else { id.replace(':', "\\c") };
        let mut headers = vec![
            ("id", on_wire.as_str()),
            ("destination", "/queue/a"),
            ("ack", mode.as_str()),
            ("prefetch-count", prefetch),
        ];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        let is_refused = self.peer.subscriptions.contains_key(&id) || waits_or_runs >= 6;
        if is_refused && !self.random.once_in(30) {
            return;
        }
        self.send("SUBSCRIBE", &headers, b"");
        if is_refused {
            return self.expect_violation(receipt);
        }
        let Some(Command::Subscribe { subscription, prefetch, .. }) = self.pair.commands.front()
        else {
            panic!("seed {}: {:?}", self.seed, self.pair.commands)
        };
        assert!(*prefetch <= 8);
        self.peer.subscriptions.insert(id, (*subscription, mode));
        self.blame(receipt.clone());
        self.peer.receipts.extend(receipt);
        assert_eq!(self.carry_out(), Settled::new());
    }

    fn unsubscribe(&mut self) {
        let Some(id) = self.peer.subscriptions.keys().next().cloned() else {
            return;
        };
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let on_wire = if self.version == "1.0" { id.clone() } else { id.replace(':', "\\c") };
        let mut headers = vec![("id", on_wire.as_str())];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        self.send("UNSUBSCRIBE", &headers, b"");
        let (subscription, _) = self.peer.subscriptions.remove(&id).expect("known");
        self.peer.given_up.insert(subscription);
        self.blame(receipt.clone());
        self.peer.receipts.extend(receipt);
        assert_eq!(self.carry_out(), Settled::new());
    }

    fn begin(&mut self) {
        if self.peer.transactions.len() >= 3 {
            return;
        }
        let id = self.peer.new_name();
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let mut headers = vec![("transaction", id.as_str())];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        self.send("BEGIN", &headers, b"");
        self.peer.transactions.insert(id, Vec::new());
        self.peer.receipts.extend(receipt);
    }

    fn end_transaction(&mut self) {
        let Some(id) = self.open_transaction() else {
            return;
        };
        let commits = !self.random.once_in(3);
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let mut headers = vec![("transaction", id.as_str())];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        let published = self.broker.published;
        self.send(if commits { "COMMIT" } else { "ABORT" }, &headers, b"");
        let frames = self.peer.transactions.remove(&id).expect("open");
        let mut expected = (0, Settled::new());
        if commits {
            for held in frames {
                self.expect_committed(held, receipt.as_deref(), &mut expected);
            }
        }
        for it in self.peer.received.iter_mut().filter(|it| it.held_by.as_ref() == Some(&id)) {
            it.held_by = None;
        }
        self.peer.receipts.extend(receipt);
        assert_eq!(self.carry_out(), expected.1, "seed {}", self.seed);
        assert_eq!(self.broker.published, published + expected.0);
    }

    fn expect_committed(
        &mut self,
        held: Held,
        of_commit: Option<&str>,
        (publishes, settled): &mut (usize, Settled),
    ) {
        match held {
            Held::Send { receipt } => {
                let blamed = receipt.clone().or_else(|| of_commit.map(str::to_owned));
                let of_sends = |command: &&Command| matches!(command, Command::Publish { .. });
                let sent = self.pair.commands.iter().filter(of_sends).nth(*publishes);
                let Some(Command::Publish { token, confirm, .. }) = sent else {
                    panic!("seed {}: a publish is missing", self.seed)
                };
                assert_eq!(*confirm, blamed.is_some());
                if let Some(blamed) = blamed {
                    self.peer.blamed.insert(*token, blamed);
                }
                *publishes += 1;
                self.peer.receipts.extend(receipt);
            }
            Held::Ack { covers, said } => {
                settled.extend(self.peer.settled(&covers, said));
                self.peer.forget(&covers);
            }
        }
    }

    fn disconnect(&mut self) {
        let receipt = self.random.once_in(2).then(|| self.peer.new_name());
        let headers: Vec<_> =
            receipt.as_deref().into_iter().map(|receipt| ("receipt", receipt)).collect();
        self.send("DISCONNECT", &headers, b"");
        self.peer.receipts.extend(receipt);
        self.is_leaving = true;
    }

    fn invalid_frame(&mut self) {
        let (verb, headers): (&str, &[(&str, &str)]) = *self.random.of(&[
            ("SEND", &[("receipt", "bad")][..]),
            ("SEND", &[("destination", "/nowhere"), ("receipt", "bad")]),
            ("SEND", &[("destination", "/queue/a"), ("transaction", "?"), ("receipt", "bad")]),
            ("ACK", &[("id", "?"), ("message-id", "?"), ("subscription", "?"), ("receipt", "bad")]),
            ("UNSUBSCRIBE", &[("id", "?"), ("receipt", "bad")]),
            ("COMMIT", &[("transaction", "?"), ("receipt", "bad")]),
            ("CONNECT", &[("receipt", "bad")]),
            ("MESSAGE", &[("receipt", "bad")]),
        ]);
        self.send(verb, headers, b"");
        self.expect_violation(Some("bad".to_owned()));
    }

    // --- the broker ---

    fn deliver(&mut self) {
        let choice = self.random.below(100);
        let Some((subscription, tag)) = self.broker.deliver(choice) else {
            return;
        };
        let body = *self.random.of(&[&b""[..], b"text", b"\xff\xfe", b"a\n\0b"]);
        let publication = Arc::new(Publication {
            exchange: "".into(),
            routing_key: "a".into(),
            message: Message { body: body.into(), ..Message::default() },
        });
        let redelivered = self.random.once_in(2);
        self.pair.event(Event::Delivery { subscription, tag, redelivered, publication });
        if self.is_leaving {
            assert!(self.pair.frames.is_empty() && self.pair.commands.is_empty());
            return;
        }
        if self.peer.given_up.contains(&subscription) {
            assert!(self.pair.frames.is_empty());
            assert_eq!(self.carry_out(), Settled::from([(subscription, tag, Said::Requeue)]));
            return;
        }
        let unit = self.pair.frames.pop_front().expect("a MESSAGE");
        let message = WireFrame::read(&unit);
        assert_eq!((message.verb.as_str(), message.body.as_slice()), ("MESSAGE", body));
        let is_text = std::str::from_utf8(body).is_ok();
        assert_eq!(message.kind == FrameKind::Text, is_text, "the client has sent text");
        let of = |(_, known): &(&String, &(SubscriptionId, AckMode))| known.0 == subscription;
        let (id, (_, mode)) = self.peer.subscriptions.iter().find(of).expect("a subscription");
        let (id, mode) = (id.clone(), *mode);
        let message_id = message.header("message-id").expect("an id").to_owned();
        let escaped = if self.version == "1.0" { id } else { id.replace(':', "\\c") };
        assert_eq!(message_id, format!("T_{escaped}@@{SESSION_ID}@@{}", tag.0));
        let settle = self.broker.consumers[&subscription].settle;
        if mode == AckMode::Auto {
            assert_eq!(settle, SettleMode::WhenWritten);
            assert!(
                unit.settles.is_some_and(|it| (it.subscription, it.tag) == (subscription, tag))
            );
            self.broker.settle(subscription, tag, Verdict::Accept, false);
            return;
        }
        assert_eq!((settle, unit.settles), (SettleMode::Manual, None));
        let cumulative = mode == AckMode::Client;
        let id = escaped;
        let received = Received { subscription, tag, id, message_id, cumulative, held_by: None };
        self.peer.received.push(received);
    }

    /// Answers one of the commands that wait, in any order between publishes and the others.
    fn answer(&mut self) {
        if self.broker.waiting.is_empty() {
            return;
        }
        let place = self.random.below(self.broker.waiting.len());
        let waiting = self.broker.waiting[place];
        let is_early = |earlier: &Waiting| {
            matches!((earlier, waiting),
            (Waiting::Subscribe(_, of), Waiting::Unsubscribe(_, it)) if *of == it)
        };
        if self.broker.waiting[..place].iter().any(is_early) {
            return;
        }
        self.broker.waiting.remove(place);
        let token = waiting.token();
        if self.random.once_in(300) {
            let error = BrokerError::new(BrokerErrorKind::AccessRefused, "no");
            self.pair.event(Event::Failed { token, error });
            let blamed = self.peer.blamed.get(&token).cloned();
            return self.expect_refusal(blamed);
        }
        match waiting {
            Waiting::Confirm(token) => {
                let outcome =
                    if self.random.once_in(300) { Outcome::Rejected } else { Outcome::Accepted };
                self.pair.event(Event::Confirmed { token, outcome });
                if outcome == Outcome::Rejected {
                    let blamed = self.peer.blamed.get(&token).cloned();
                    return self.expect_refusal(blamed);
                }
            }
            Waiting::Subscribe(token, subscription) => {
                self.consumer(subscription).is_running = true;
                self.pair.event(Event::Subscribed { token });
            }
            Waiting::Unsubscribe(token, subscription) => {
                self.consumer(subscription).is_running = false;
                self.pair.event(Event::Unsubscribed { token });
            }
        }
        self.peer.blamed.remove(&token);
    }

    fn cancel(&mut self) {
        let Some((_, (subscription, _))) = self.peer.subscriptions.iter().next() else {
            return;
        };
        let error = BrokerError::new(BrokerErrorKind::NotFound, "deleted");
        self.pair.event(Event::Canceled { subscription: *subscription, error });
        self.must_close = true;
    }

    fn consumer(&mut self, subscription: SubscriptionId) -> &mut crate::broker::Consumer {
        self.broker.consumers.get_mut(&subscription).expect("a known subscription")
    }

    /// Subscriptions that count no more: given up, stopped, and nothing of them outstanding.
    fn over(&self) -> usize {
        let is_stopping = |id: &SubscriptionId| {
            self.broker
                .waiting
                .iter()
                .any(|it| matches!(it, Waiting::Unsubscribe(_, of) if of == id))
        };
        let is_over = |id: &&SubscriptionId| {
            let outstanding = self.peer.received.iter().any(|it| it.subscription == **id);
            !is_stopping(id) && !outstanding
        };
        self.peer.given_up.iter().filter(is_over).count()
    }

    // --- time ---

    fn pass_time(&mut self) {
        let by = Duration::from_millis(self.random.below(6_000).try_into().expect("small"));
        self.pair.advance(by);
        if let Some(silence) = &mut self.silence {
            *silence += by;
        }
        if self.is_leaving {
            self.leaving_for += by;
            self.must_close |= self.leaving_for >= Limits::default().leave_timeout;
        }
        let is_expected = self.silence.is_some_and(|it| it >= 2 * HEARTBEAT) && !self.is_leaving;
        if is_expected {
            self.must_close = true;
        }
    }

    fn toggle_reading(&mut self) {
        let reading = self.silence.is_none();
        self.pair.set_reading(reading);
        self.silence = reading.then_some(Duration::ZERO);
    }

    // --- what both share ---

    fn open_transaction(&mut self) -> Option<String> {
        let open: Vec<_> = self.peer.transactions.keys().cloned().collect();
        (!open.is_empty()).then(|| self.random.of(&open).clone())
    }

    /// Sends a frame, cut into units anywhere. A client that is not read cannot.
    fn send(&mut self, verb: &str, headers: &[(&str, &str)], body: &[u8]) {
        if self.silence.is_none() {
            self.toggle_reading();
        }
        let bytes = frame(verb, headers, body);
        let mut rest = &bytes[..];
        while self.random.once_in(3) && rest.len() > 1 {
            let (unit, after) = rest.split_at(1 + self.random.below(rest.len() - 1));
            self.input(unit);
            assert!(self.pair.commands.is_empty() && self.pair.frames.is_empty());
            rest = after;
        }
        self.input(rest);
    }

    fn input(&mut self, bytes: &[u8]) {
        let is_text = std::str::from_utf8(bytes).is_ok();
        let kind = if is_text { FrameKind::Text } else { FrameKind::Binary };
        self.pair.input(kind, bytes.to_vec());
        if let Some(silence) = &mut self.silence {
            *silence = Duration::ZERO;
        }
    }

    /// The command that was just given is the one that this receipt is for.
    fn blame(&mut self, receipt: Option<String>) {
        let token = match self.pair.commands.back() {
            Some(
                Command::Publish { token, .. }
                | Command::Subscribe { token, .. }
                | Command::Unsubscribe { token, .. },
            ) => *token,
            other => panic!("seed {}: {other:?}", self.seed),
        };
        if let Some(receipt) = receipt {
            self.peer.blamed.insert(token, receipt);
        }
    }

    /// Hands what the session asked for to the broker; what was settled by it.
    fn carry_out(&mut self) -> Settled {
        let mut settled = Settled::new();
        while let Some(command) = self.pair.commands.pop_front() {
            for one in self.broker.submit(command) {
                assert!(settled.insert(one), "seed {}: {one:?} twice", self.seed);
            }
        }
        settled
    }

    /// The client was at fault: ERROR, once the receipts of what it did right are out.
    fn expect_violation(&mut self, receipt: Option<String>) {
        if self.peer.receipts.is_empty() {
            return self.expect_error(receipt);
        }
        assert!(self.pair.frames.is_empty(), "seed {}", self.seed);
        self.farewell = Some(receipt);
        self.is_leaving = true;
    }

    /// The broker refused: ERROR at once. If the client was at fault before, that is said.
    fn expect_refusal(&mut self, blamed: Option<String>) {
        let receipt = self.farewell.take().unwrap_or(blamed);
        self.expect_error(receipt);
    }

    fn expect_error(&mut self, receipt: Option<String>) {
        self.must_close = true;
        self.check_error(&WireFrame::read(self.pair.frames.back().expect("an ERROR")), receipt);
    }

    fn check_error(&self, error: &WireFrame, receipt: Option<String>) {
        assert_eq!(error.verb, "ERROR", "seed {}", self.seed);
        assert_eq!(error.header("receipt-id"), receipt.as_deref(), "seed {}", self.seed);
    }

    /// What must hold after each step.
    fn check(&mut self) {
        let seed = self.seed;
        for consumer in self.broker.consumers.values() {
            assert!(consumer.outstanding.len() <= consumer.prefetch, "seed {seed}");
        }
        while let Some(unit) = self.pair.frames.pop_front() {
            if unit.bytes == "\n" {
                continue;
            }
            let frame = WireFrame::read(&unit);
            match frame.verb.as_str() {
                "RECEIPT" => {
                    let expected = self.peer.receipts.pop_front();
                    assert_eq!(frame.header("receipt-id"), expected.as_deref(), "seed {seed}");
                }
                "ERROR" => {
                    assert!(self.pair.frames.is_empty(), "seed {seed}: ERROR is the last");
                    if let Some(receipt) = self.farewell.take() {
                        self.check_error(&frame, receipt);
                    }
                }
                other => panic!("seed {seed}: {other}"),
            }
        }
        assert!(self.pair.commands.is_empty(), "seed {seed}: {:?}", self.pair.commands);
        assert!(!self.pair.is_overdue(), "seed {seed}");
        let is_closed = self.pair.close.is_some();
        let says_goodbye = self.is_leaving && self.peer.receipts.is_empty();
        assert_eq!(
            is_closed,
            self.must_close || says_goodbye,
            "seed {seed}: {:?}",
            self.pair.close
        );
    }

    /// Answers what waits, and looks at what is left.
    fn end(mut self) -> String {
        if self.pair.close.is_none() {
            self.settle_up();
        }
        let Some(close) = self.pair.close.clone() else {
            return "still open".to_owned();
        };
        for _ in 0..10 {
            self.input(b"SEND\ndestination:/queue/a\nreceipt:r\n\n\0");
            self.answer_silently();
        }
        match close.cause {
            CloseCause::Peer => "Peer",
            CloseCause::Violation(_) => "Violation",
            CloseCause::LoginRefused => "LoginRefused",
            CloseCause::Broker => "Broker",
            CloseCause::Drain => "Drain",
            CloseCause::Killed => "Killed",
        }
        .to_owned()
    }

    /// Every receipt comes once every command is answered.
    fn settle_up(&mut self) {
        while let Some(waiting) = self.broker.waiting.pop() {
            let token = waiting.token();
            self.pair.event(match waiting {
                Waiting::Confirm(_) => Event::Confirmed { token, outcome: Outcome::Accepted },
                Waiting::Subscribe(..) => Event::Subscribed { token },
                Waiting::Unsubscribe(..) => Event::Unsubscribed { token },
            });
        }
        self.check();
        assert!(self.peer.receipts.is_empty(), "seed {}: {:?}", self.seed, self.peer.receipts);
    }

    /// A closed session is silent; the pair asserts it.
    fn answer_silently(&mut self) {
        if let Some(waiting) = self.broker.waiting.pop() {
            let token = waiting.token();
            self.pair.event(Event::Confirmed { token, outcome: Outcome::Accepted });
        }
        self.pair.advance(Duration::from_secs(1));
    }
}
