//! The driver between a scripted transport, session and broker, in virtual time.

mod settling;

use std::sync::{Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use broker_adapters::{Broker, Identity};
use bytes::Bytes;
use protocols::auth::{AuthRequest, Credentials, DenialKind};
use protocols::broker::{
    Address, DeliveryTag, Message, Outcome, Publication, SubscriptionId, Token,
};
use protocols::policy::Policy;
use protocols::session::{
    Close, CloseCause, CloseCode, Established, FrameKind, Once, Settled, Unit,
};
use protocols::text::Text;
use tokio::task::JoinHandle;

use super::*;
use crate::auth::{Login, Logins};
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;
use crate::hub::{self, Hub};
use crate::realm::Realms;
use protocols::wamp::registry::NodeId;

/// Everything the three scripted parts share with the test.
#[derive(Debug, Default)]
struct World {
    /// What the peer has sent; `None` ends the connection.
    input: VecDeque<Option<Unit>>,
    violation: Option<Violation>,
    /// After a violation nothing comes any more.
    broken: bool,
    /// Bytes of the longest frame that the peer takes, if it has said so.
    most_output: Option<usize>,
    /// Bytes queued, and whether the socket takes them.
    buffered: usize,
    written: u64,
    stuck: bool,
    output: Vec<String>,
    goodbye: Option<CloseCode>,
    probes: usize,
    /// How often the peer was asked what it has received, and whether it has answered.
    questions: usize,
    confirmed: bool,
    /// The link saw to others.
    attended: usize,
    established: bool,
    /// The broker's side.
    refusing: bool,
    /// The link takes publishes, and the broker does not.
    keeping: bool,
    denied: bool,
    login_pending: bool,
    submitted: Vec<Command>,
    events: VecDeque<Event>,
    link_dropped: bool,
    /// What the session was told.
    told: Vec<String>,
    /// Waits for an event before it ends because of a violation.
    waits: bool,
    ending: Option<Close>,
    /// Portions of input that it has left.
    left: u64,
    session_deadline: Option<Instant>,
    wakers: Vec<Waker>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn wait(&self, cx: &Context<'_>) {
        self.lock().wakers.push(cx.waker().clone());
    }

    /// Changes the world and lets the driver react until nothing moves any more.
    async fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock());
        let wakers = mem::take(&mut self.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn send(&self, words: &[&'static str]) {
        let units = words.iter().map(|word| {
            Some(Unit { kind: FrameKind::Text, bytes: Bytes::from_static(word.as_bytes()) })
        });
        let units: Vec<_> = units.collect();
        self.change(|world| world.input.extend(units)).await;
    }

    fn told(&self) -> Vec<String> {
        self.lock().told.clone()
    }

    fn submitted(&self) -> Vec<String> {
        self.lock().submitted.iter().map(describe).collect()
    }
}

fn describe(command: &Command) -> String {
    match command {
        Command::Publish { token, .. } => format!("publish {}", token.0),
        Command::Unsubscribe { token, .. } => format!("unsubscribe {}", token.0),
        Command::Settle { up_to, cumulative, verdict, .. } => {
            format!("settle {} {cumulative} {verdict:?}", up_to.0)
        }
        Command::Subscribe { token, .. } => format!("subscribe {}", token.0),
        Command::OpenInbox { .. } | Command::Bind { .. } | Command::Unbind { .. } => {
            "of an inbox".to_owned()
        }
        Command::DeclareExchange { token, .. } => format!("declare {}", token.0),
        Command::Resume { token, .. } => format!("resume {}", token.0),
    }
}

impl Transport for Shared {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Unit, TransportError>>> {
        if self.lock().broken {
            return Poll::Ready(None);
        }
        let violation = self.lock().violation.take();
        if let Some(violation) = violation {
            self.lock().broken = true;
            return Poll::Ready(Some(Err(violation.into())));
        }
        let next = self.lock().input.pop_front();
        let Some(unit) = next else {
            self.wait(cx);
            return Poll::Pending;
        };
        Poll::Ready(unit.map(Ok))
    }

    fn queue(&mut self, frame: OutFrame) {
        let mut world = self.lock();
        world.buffered += frame.bytes.len();
        world.output.push(String::from_utf8(frame.bytes.to_vec()).unwrap());
    }

    fn most_output(&self) -> usize {
        self.lock().most_output.unwrap_or(usize::MAX)
    }

    fn buffered(&self) -> usize {
        self.lock().buffered
    }

    fn written(&self) -> u64 {
        self.lock().written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.lock().stuck {
            self.wait(cx);
            return Poll::Pending;
        }
        let mut world = self.lock();
        world.written += u64::try_from(world.buffered).unwrap();
        world.buffered = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<()> {
        if self.lock().stuck {
            self.wait(cx);
            return Poll::Pending;
        }
        self.lock().goodbye = Some(close.code);
        Poll::Ready(())
    }

    fn establish(&mut self) {
        self.lock().established = true;
    }

    fn probe(&mut self) {
        self.lock().probes += 1;
    }

    fn ask(&mut self) -> bool {
        let mut world = self.lock();
        world.questions += 1;
        world.buffered += 1;
        true
    }

    fn take_confirmed(&mut self) -> bool {
        mem::take(&mut self.lock().confirmed)
    }

    fn take_heard(&mut self) -> bool {
        false
    }
}

/// Does what each unit's first word says; the second is a token.
impl Session for Shared {
    fn handle_input(&mut self, now: Instant, unit: Unit, actions: &mut Actions) {
        let words = String::from_utf8(unit.bytes.to_vec()).unwrap();
        self.lock().told.push(words.clone());
        for command in words.split(',') {
            let (word, number) = command.split_once(' ').unwrap_or((command, "0"));
            let token = Token(number.parse().unwrap());
            match word {
                "login" => {
                    let login = Text::from("ann");
                    let passcode = protocols::auth::Secret::new("x");
                    let credentials = Some(Credentials { login, passcode });
                    actions.auth = Some(AuthRequest { credentials, vhost: None, realm: None });
                }
                "publish" => actions.commands.push(publish(token)),
                "unsubscribe" => actions.commands.push(Command::Unsubscribe {
                    token,
                    subscription: SubscriptionId(1),
                    delete: false,
                }),
                "echo" => actions.frames.push(OutFrame::new(FrameKind::Text, unit.bytes.clone())),
                "bye" => actions.close = Some(close(CloseCode::Normal, CloseCause::Peer)),
                "more" => {
                    self.lock().left = token.0;
                    actions.more_input = true;
                }
                "deadline" => {
                    let seconds = Duration::from_secs(token.0);
                    self.lock().session_deadline = Some(now + seconds);
                }
                _ => panic!("unknown word {word}"),
            }
        }
    }

    fn resume_input(&mut self, _: Instant, actions: &mut Actions) {
        let mut world = self.lock();
        world.left -= 1;
        actions.more_input = world.left > 0;
        let left = world.left;
        world.told.push(format!("resumed, {left} left"));
        actions.commands.push(publish(Token(left)));
    }

    fn handle_event(&mut self, _: Instant, event: Event, actions: &mut Actions) {
        actions.close = self.lock().ending.take();
        if let Event::Down { error } = &event {
            let bytes = Bytes::from(format!("down: {error}"));
            actions.frames.push(OutFrame::new(FrameKind::Text, bytes));
            actions.close = Some(close(CloseCode::TryAgainLater, CloseCause::Broker));
        }
        if let Event::Confirmed { token, .. } = &event {
            self.lock().left = token.0;
            actions.more_input = true;
        }
        if let Event::Delivery { subscription, tag, .. } = event {
            let bytes = Bytes::from(format!("delivery {}", tag.0));
            let once = if subscription.0 == 1 { Once::Written } else { Once::Received };
            let settles = Some(Settled { subscription, tag, once });
            actions.frames.push(OutFrame { kind: FrameKind::Text, bytes, settles });
        }
    }

    fn handle_auth(&mut self, _: Instant, reply: AuthReply, actions: &mut Actions) {
        match reply {
            AuthReply::Granted(grant) => {
                self.lock().told.push(format!("granted {}", grant.user));
                actions.established = Some(Established { probe: Duration::from_secs(30) });
            }
            AuthReply::Denied(denial) => {
                let bytes = Bytes::from(format!("denied: {}", denial.text));
                actions.frames.push(OutFrame::new(FrameKind::Text, bytes));
                actions.close = Some(close(CloseCode::Policy, CloseCause::LoginRefused));
            }
        }
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Actions) {
        let mut world = self.lock();
        world.session_deadline = None;
        world.told.push("timeout".into());
    }

    fn handle_violation(&mut self, _: Instant, violation: Violation, actions: &mut Actions) {
        let bytes = Bytes::from(format!("error: {violation}"));
        actions.frames.push(OutFrame::new(FrameKind::Text, bytes));
        let code = violation.report().code;
        let close = Some(close(code, CloseCause::Violation(violation)));
        if self.lock().waits {
            self.lock().ending = close;
        } else {
            actions.close = close;
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.lock().session_deadline
    }

    fn set_reading(&mut self, _: Instant, reading: bool) {
        self.lock().told.push(format!("reading {reading}"));
    }

    fn start_drain(&mut self, _: Instant, actions: &mut Actions) {
        actions.frames.push(OutFrame::new(FrameKind::Text, Bytes::from_static(b"going")));
        actions.close = Some(close(CloseCode::GoingAway, CloseCause::Drain));
    }
}

fn publish(token: Token) -> Command {
    let to = Address::Queue(Text::from("q"));
    Command::Publish {
        token,
        to,
        message: Message::default(),
        queue: None,
        confirm: true,
        mandatory: false,
    }
}

fn close(code: CloseCode, cause: CloseCause) -> Close {
    Close { code, reason: Text::EMPTY, cause }
}

impl Broker for Shared {
    fn open(&self, _: Text, _: Identity) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
        let answer: Result<Box<dyn Link>, Denial> = if self.lock().denied {
            Err(Denial { kind: DenialKind::BadCredentials, text: Text::from("no") })
        } else {
            Ok(Box::new(FakeLink(self.clone())))
        };
        Box::pin(async move {
            std::future::poll_fn(|cx| {
                if self.lock().login_pending {
                    self.wait(cx);
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            answer
        })
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct FakeLink(Shared);

impl Link for FakeLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.lock().refusing {
            self.0.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn submit(&mut self, command: Command) {
        self.0.lock().submitted.push(command);
    }

    fn attend(&mut self, _: &mut Context<'_>) {
        self.0.lock().attended += 1;
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.lock().keeping {
            self.0.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let next = self.0.lock().events.pop_front();
        next.map_or_else(
            || {
                self.0.wait(cx);
                Poll::Pending
            },
            Poll::Ready,
        )
    }
}

impl Drop for FakeLink {
    fn drop(&mut self) {
        self.0.lock().link_dropped = true;
    }
}

const TUNING: Tuning = Tuning {
    handshake_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(30),
    publish_timeout: Duration::from_secs(60),
    close_timeout: Duration::from_secs(5),
    output_high_water: 16,
};

fn start(world: &Shared) -> (JoinHandle<End>, Drain) {
    let route = Route {
        name: "stomp".into(),
        path: "/ws".into(),
        protocols: Vec::new(),
        fallback: None,
        policy: Arc::new(Policy::default()),
        max_message_size: 1 << 20,
        logins: Logins {
            realms: [].into(),
            plain: Login {
                broker: Arc::new(world.clone()),
                vhost: Text::from("/"),
                default: None,
                loopback_users: Arc::new([]),
                service: None,
            },
        },
        hub: Hub::new(Arc::new(world.clone()), hub::Settings::FOR_TESTS),
        realms: Arc::new(Realms::new(NodeId(1), &[0; 32], [])),
        pending: Pending { bytes: 1 << 20, overflow: Overflow::Disconnect },
    };
    let drain = Drain::new(Duration::ZERO);
    let connection = Connection {
        session: Box::new(world.clone()),
        route: Arc::new(route),
        peer: [127, 0, 0, 1].into(),
        tuning: TUNING,
        drain: drain.clone(),
    };
    (tokio::spawn(Driver::new(world.clone(), connection)), drain)
}

async fn logged_in() -> (Shared, JoinHandle<End>, Drain) {
    let world = Shared::default();
    let (driver, drain) = start(&world);
    world.send(&["login"]).await;
    assert_eq!(world.told(), ["login", "granted ann"]);
    world.lock().told.clear();
    (world, driver, drain)
}

fn delivery(tag: u64) -> Event {
    delivery_of(1, tag)
}

/// Those of subscription 1 are settled once written, all others once received.
fn delivery_of(subscription: u64, tag: u64) -> Event {
    let publication = Publication {
        exchange: Text::EMPTY,
        routing_key: Text::EMPTY,
        message: Message::default(),
    };
    Event::Delivery {
        subscription: SubscriptionId(subscription),
        tag: DeliveryTag(tag),
        redelivered: false,
        publication: Arc::new(publication),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_a_login_is_decided() {
    let world = Shared::default();
    world.lock().login_pending = true;
    let (_driver, _) = start(&world);
    world.send(&["login", "echo"]).await;
    assert_eq!(world.told(), ["login"]);
    world.change(|world| world.login_pending = false).await;
    assert_eq!(world.told(), ["login", "granted ann", "echo"]);
    assert!(world.lock().established);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_told_before_the_connection_closes() {
    let world = Shared::default();
    world.lock().denied = true;
    let (driver, _) = start(&world);
    world.send(&["login"]).await;
    assert_eq!(world.lock().output, ["denied: no"]);
    assert_eq!(world.lock().goodbye, Some(CloseCode::Policy));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_publish_the_broker_does_not_take_stops_reading_and_nothing_overtakes_it() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["unsubscribe 1,publish 2,unsubscribe 3", "publish 4", "echo"]).await;
    assert_eq!(world.submitted(), ["unsubscribe 1"]);
    assert_eq!(world.told(), ["unsubscribe 1,publish 2,unsubscribe 3", "reading false"]);
    world.change(|world| world.refusing = false).await;
    assert_eq!(world.submitted(), ["unsubscribe 1", "publish 2", "unsubscribe 3", "publish 4"]);
    assert_eq!(world.told()[2..], ["reading true", "publish 4", "echo"]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_go_on_while_a_publish_is_held() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["publish 1"]).await;
    world.change(|world| world.events.push_back(delivery(1))).await;
    assert_eq!(world.lock().output, ["delivery 1"]);
    assert_eq!(world.submitted(), ["settle 1 true Accept"]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_accepted_only_once_it_was_written_and_a_run_at_once() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.stuck = true).await;
    world.change(|world| world.events.push_back(delivery(1))).await;
    assert_eq!(world.submitted(), [""; 0]);
    world.change(|world| world.stuck = false).await;
    assert_eq!(world.submitted(), ["settle 1 true Accept"]);
    world.change(|world| world.events.extend([delivery(2), delivery(3)])).await;
    assert_eq!(world.submitted()[1..], ["settle 3 true Accept"]);
}

#[tokio::test(start_paused = true)]
async fn above_the_high_water_mark_neither_broker_nor_peer_is_asked() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.stuck = true).await;
    world.change(|world| world.events.extend((1..=5).map(delivery))).await;
    world.send(&["echo"]).await;
    assert_eq!(world.lock().output, ["delivery 1", "delivery 2"]);
    assert_eq!(world.told(), ["reading false"]);
    world.change(|world| world.stuck = false).await;
    assert_eq!(world.lock().output.len(), 6);
    assert_eq!(world.told()[..3], ["reading false", "reading true", "echo"]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_without_end_do_not_keep_input_waiting() {
    let (world, _driver, _) = logged_in().await;
    let unit = Unit { kind: FrameKind::Text, bytes: Bytes::from_static(b"echo") };
    world
        .change(|world| {
            world.events.extend((1..=50).map(delivery));
            world.input.push_back(Some(unit));
        })
        .await;
    let place = world.lock().output.iter().position(|frame| frame == "echo");
    assert!(place.is_some_and(|place| place < 5), "{place:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut_and_one_that_takes_little_is_not() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.stuck = true).await;
    world.send(&["echo"]).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.change(|world| world.written += 1).await;
    }
    assert!(!driver.is_finished());
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(matches!(driver.await.unwrap(), End::WriteTimeout { .. }));
    assert!(world.lock().link_dropped);
}

#[tokio::test(start_paused = true)]
async fn a_peer_at_fault_is_told_and_the_goodbye_names_the_code() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.violation = Some(Violation::TextNotUtf8)).await;
    assert!(world.lock().output[0].starts_with("error: a text message must be UTF-8"));
    assert_eq!(world.lock().goodbye, Some(CloseCode::Invalid));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_longer_than_the_peer_takes_ends_the_session_which_says_why() {
    let (world, driver, _) = logged_in().await;
    world.lock().most_output = Some(100);
    // All three at once, each echoed whole.
    let words = format!("echo{}", ",echo".repeat(20));
    let words: &'static str = words.leak();
    world.send(&["echo", words, "echo"]).await;
    let told = format!(
        "error: this client takes messages of 100 bytes, and the next one for it has {}",
        words.len()
    );
    assert_eq!(world.lock().output, ["echo", told.as_str()]);
    assert_eq!(world.lock().goodbye, Some(CloseCode::TooBig));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_even_say_why_is_closed_all_the_same() {
    let (world, driver, _) = logged_in().await;
    world.lock().most_output = Some(3);
    world.send(&["echo"]).await;
    assert_eq!(world.lock().output, [""; 0]);
    assert_eq!(world.lock().goodbye, Some(CloseCode::TooBig));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_still_waits_for_the_broker_after_a_fault_has_its_say() {
    let (world, driver, _) = logged_in().await;
    world.lock().waits = true;
    world.change(|world| world.violation = Some(Violation::TextNotUtf8)).await;
    assert_eq!(world.lock().goodbye, None);
    assert!(!driver.is_finished());
    let confirmed = Event::Confirmed { token: Token(1), outcome: Outcome::Accepted };
    world.change(|world| world.events.push_back(confirmed)).await;
    assert_eq!(world.lock().goodbye, Some(CloseCode::Invalid));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn the_session_hears_of_its_deadlines() {
    let (world, _driver, _) = logged_in().await;
    world.send(&["deadline 10"]).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(world.told(), ["deadline 10"]);
    world.send(&["deadline 5"]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.told(), ["deadline 10", "deadline 5", "timeout"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_probed_and_then_closed() {
    let (world, driver, _) = logged_in().await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.lock().probes, 1);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.lock().output[0].starts_with("error: nothing was heard for 60000 ms"));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_goodbye() {
    let (world, driver, drain) = logged_in().await;
    drain.begin();
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
    assert_eq!(world.lock().output, ["going"]);
    assert_eq!(world.lock().goodbye, Some(CloseCode::GoingAway));
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_asked_for_before_it_left_is_still_done() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["publish 1,bye"]).await;
    assert!(!driver.is_finished());
    world.change(|world| world.refusing = false).await;
    assert_eq!(world.submitted(), ["publish 1"]);
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));

    let (world, driver, _) = logged_in().await;
    world.send(&["publish 1"]).await;
    world.change(|world| world.input.push_back(None)).await;
    assert_eq!(world.submitted(), ["publish 1"]);
    assert!(matches!(driver.await.unwrap(), End::PeerGone));
    assert!(world.lock().link_dropped);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_not_answered_before_the_broker_has_taken_what_came_before_it() {
    let ways: [fn(&mut World, bool); 2] =
        [|world, holds| world.refusing = holds, |world, holds| world.keeping = holds];
    for hold in ways {
        let (world, driver, _) = logged_in().await;
        world.change(|world| hold(world, true)).await;
        world.send(&["publish 1,echo,bye"]).await;
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(world.lock().written, 0);
        assert_eq!(world.lock().goodbye, None);
        assert!(!world.lock().link_dropped);
        world.change(|world| hold(world, false)).await;
        assert_eq!(world.submitted(), ["publish 1"]);
        assert!(world.lock().written > 0);
        assert_eq!(world.lock().goodbye, Some(CloseCode::Normal));
        assert!(matches!(driver.await.unwrap(), End::Closed(_)));

        let (world, driver, _) = logged_in().await;
        world.change(|world| hold(world, true)).await;
        world.send(&["publish 1,echo,bye"]).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(matches!(driver.await.unwrap(), End::NotTaken { why: "publish_timeout" }));
        assert_eq!(world.lock().written, 0);
        assert_eq!(world.lock().goodbye, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_not_answered_when_the_broker_is_lost_before_it_has_taken_all() {
    let ways: [fn(&mut World); 2] = [|world| world.refusing = true, |world| world.keeping = true];
    for hold in ways {
        let (world, driver, _) = logged_in().await;
        world.change(hold).await;
        world.send(&["publish 1,echo,bye"]).await;
        let error = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
        world.change(|world| world.events.push_back(Event::Down { error })).await;
        assert!(driver.is_finished(), "at once");
        assert!(matches!(driver.await.unwrap(), End::NotTaken { why: "broker" }));
        assert_eq!(world.lock().written, 0);
        assert_eq!(world.lock().goodbye, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_takes_is_cut_short_and_unwritten_deliveries_go_back() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.stuck = true).await;
    world.change(|world| world.events.push_back(delivery(1))).await;
    world.send(&["bye"]).await;
    assert!(!driver.is_finished());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
    assert!(world.submitted().is_empty());
    assert!(world.lock().link_dropped);
}

#[tokio::test(start_paused = true)]
async fn input_that_a_session_left_goes_before_new_input_and_is_held_back_too() {
    let (world, _driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["more 3", "echo"]).await;
    assert_eq!(world.told(), ["more 3", "resumed, 2 left", "reading false"]);
    world.change(|world| world.refusing = false).await;
    let rest = ["reading true", "resumed, 1 left", "resumed, 0 left", "echo"];
    assert_eq!(world.told()[3..], rest);
    assert_eq!(world.submitted(), ["publish 2", "publish 1", "publish 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_the_broker_holds_back_for_too_long_is_told_and_closed() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["publish 1"]).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(!driver.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.lock().output[0].starts_with("down: the broker has taken no message for 60000"));
    assert_eq!(world.lock().goodbye, Some(CloseCode::TryAgainLater));
    assert!(matches!(driver.await.unwrap(), End::Closed(_)));
    assert!(world.submitted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_read_is_still_probed_but_not_given_up() {
    let (world, driver, _) = logged_in().await;
    world.change(|world| world.refusing = true).await;
    world.send(&["publish 1"]).await;
    tokio::time::sleep(Duration::from_secs(58)).await;
    assert_eq!(world.lock().probes, 1);
    world.change(|world| world.refusing = false).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(!driver.is_finished());
}
