//! Against a RabbitMQ.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use lapin::options::BasicPublishOptions;
use protocols::auth::{Credentials, DenialKind, Secret};
use protocols::broker::BrokerErrorKind;
use rabbitmq_node::{Cut, Node, Permissions, Proxy, Vhost, eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::rabbitmq::Endpoint;

fn at(address: SocketAddr) -> Endpoint {
    Endpoint { tls: false, host: address.ip().to_string(), port: address.port() }
}

fn settings(addresses: impl IntoIterator<Item = SocketAddr>) -> Settings {
    Settings { endpoints: addresses.into_iter().map(at).collect(), ..Settings::default() }
}

fn pool(settings: Settings) -> Arc<Pool> {
    Pool::new(Arc::new(settings))
}

fn login(login: &str, passcode: &str) -> Identity {
    Credentials { login: login.into(), passcode: Secret::new(passcode) }.into()
}

fn owner(vhost: &Vhost) -> Identity {
    login(vhost.user(), vhost.passcode())
}

async fn open(pool: &Arc<Pool>, vhost: &Vhost) -> Result<Lease, Denial> {
    pool.open(vhost.name().into(), &owner(vhost)).await
}

fn denied(outcome: Result<Lease, Denial>) -> (DenialKind, String) {
    let denial = outcome.err().expect("a refusal");
    (denial.kind, denial.text.to_string())
}

/// A virtual host, and a proxy before its node to count connections and to cut them.
async fn behind_a_proxy() -> (Vhost, Proxy) {
    let vhost = Node::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    (vhost, proxy)
}

/// A pool that has looked for RabbitMQ, and a count of the connections it has made since.
async fn counted(settings: Settings, proxy: &Proxy) -> (Arc<Pool>, impl Fn() -> u64) {
    let pool = pool(settings);
    eventually("RabbitMQ", async || pool.ready().ok()).await;
    let before = proxy.accepted();
    (pool, move || proxy.accepted() - before)
}

async fn publish(channel: &Channel, exchange: &str) -> lapin::Result<()> {
    let options = BasicPublishOptions::default();
    let properties = lapin::BasicProperties::default();
    let publish =
        channel.amqp().basic_publish(exchange.into(), "key".into(), options, b"x", properties);
    publish.await?.await.map(drop)
}

#[tokio::test]
async fn a_wrong_login_is_refused_and_never_joins_the_connection_of_the_right_one() {
    let (vhost, proxy) = behind_a_proxy().await;
    let (pool, made) = counted(settings([proxy.addr()]), &proxy).await;
    let _lease = open(&pool, &vhost).await.expect("the owner may in");
    let _again = open(&pool, &vhost).await.expect("the owner may in");
    assert_eq!(made(), 1);

    let refused = |user| (DenialKind::BadCredentials, format!("Access refused for user '{user}'"));
    let name = Text::from(vhost.name());
    for passcode in ["", "wrong", "passcode"] {
        let outcome = pool.open(name.clone(), &login(vhost.user(), passcode)).await;
        assert_eq!(denied(outcome), refused(vhost.user()));
    }
    let outcome = pool.open(name, &login("nobody", vhost.passcode())).await;
    assert_eq!(denied(outcome), refused("nobody"));
    assert_eq!(made(), 5);
}

#[tokio::test]
async fn a_virtual_host_that_is_missing_or_closed_to_the_user_is_refused() {
    let vhost = Node::shared().await.vhost().await;
    let pool = pool(settings([vhost.amqp_addr()]));
    let refused = |name| (DenialKind::VhostRefused, format!("Virtual host '{name}' access denied"));
    let outcome = pool.open("nowhere".into(), &owner(&vhost)).await;
    assert_eq!(denied(outcome), refused("nowhere"));
    vhost.exclude(vhost.user()).await;
    assert_eq!(denied(open(&pool, &vhost).await), refused(vhost.name()));
    vhost.permit(vhost.user(), Permissions::NONE).await;
    assert!(open(&pool, &vhost).await.is_ok());
}

#[tokio::test]
async fn an_old_passcode_is_refused_and_who_is_in_stays() {
    let (vhost, proxy) = behind_a_proxy().await;
    let strict = Settings { login_cache: Duration::ZERO, ..settings([proxy.addr()]) };
    let (strict, lenient) = (pool(strict), pool(settings([proxy.addr()])));
    let lease = open(&strict, &vhost).await.expect("the owner may in");
    let channel = lease.channel(Side::Publish).await.expect("a channel");
    let _lease = open(&lenient, &vhost).await.expect("the owner may in");

    vhost.set_passcode(vhost.user(), "another").await;
    let expected = format!("Access refused for user '{}'", vhost.user());
    let outcome = open(&strict, &vhost).await;
    assert_eq!(denied(outcome), (DenialKind::BadCredentials, expected.clone()));
    publish(&channel, "").await.expect("who is in may go on");
    let renewed = login(vhost.user(), "another");
    assert!(strict.open(vhost.name().into(), &renewed).await.is_ok());
    assert!(open(&lenient, &vhost).await.is_ok(), "the open connection vouches for a while");

    // What was lost cannot be had again.
    proxy.cut(Cut::Reset).await;
    let error = eventually("a refusal", async || {
        lease
            .channel(Side::Publish)
            .await
            .err()
            .filter(|it| it.kind != BrokerErrorKind::Unavailable)
    });
    assert_eq!(error.await, BrokerError::new(BrokerErrorKind::AccessRefused, expected));
    // A lost connection vouches for nobody.
    eventually("a refusal", async || open(&lenient, &vhost).await.err()).await;
}

#[tokio::test]
async fn a_login_that_is_still_good_leaves_no_second_connection() {
    let (vhost, proxy) = behind_a_proxy().await;
    let strict = Settings { login_cache: Duration::ZERO, ..settings([proxy.addr()]) };
    let (pool, made) = counted(strict, &proxy).await;
    let _leases = [
        open(&pool, &vhost).await.expect("the owner may in"),
        open(&pool, &vhost).await.expect("the owner may in"),
        open(&pool, &vhost).await.expect("the owner may in"),
    ];
    assert_eq!(made(), 3);
    eventually("the probes' end", async || (proxy.open() == 1).then_some(())).await;
}

#[tokio::test]
async fn many_at_once_share_one_connection_of_each_side() {
    let (vhost, proxy) = behind_a_proxy().await;
    let (pool, made) = counted(settings([proxy.addr()]), &proxy).await;
    let leases = try_join_all((0..100).map(|_| open(&pool, &vhost))).await;
    let leases = leases.expect("the owner may in");
    assert_eq!(made(), 1);
    let channels = try_join_all(leases.iter().map(|lease| lease.channel(Side::Publish))).await;
    let channels = channels.expect("channels");
    assert_eq!(made(), 2);
    let confirmed = channels.iter().map(|channel| publish(channel, ""));
    assert!(join_all(confirmed).await.iter().all(Result::is_ok));

    let wrong = login(vhost.user(), "wrong");
    let outcomes = join_all((0..100).map(|_| pool.open(vhost.name().into(), &wrong))).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(made(), 3);
}

#[tokio::test]
async fn connections_say_what_they_are_for() {
    let vhost = Node::shared().await.vhost().await;
    let pool = pool(settings([vhost.amqp_addr()]));
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let [publish, consume] = [lease.channel(Side::Publish), lease.channel(Side::Consume)]
        .map(async |channel| channel.await.expect("a channel"));
    assert_eq!(publish.await.frame_size(), 16 << 10);
    assert_eq!(consume.await.frame_size(), 128 << 10);
    let mut names = eventually("two connections", async || {
        let connections = vhost.connections().await;
        (connections.len() == 2).then(|| {
            connections
                .into_iter()
                .map(|it| it.client_properties)
                .map(|it| {
                    assert_eq!(it["product"], "gateway");
                    it["connection_name"].to_string()
                })
                .collect::<Vec<_>>()
        })
    })
    .await;
    names.sort();
    assert_eq!(names, ["\"gateway consume\"", "\"gateway publish\""]);
}

#[tokio::test]
async fn identities_are_bounded_and_a_refused_one_takes_no_place() {
    let vhost = Node::shared().await.vhost().await;
    let few = Settings {
        max_identities: 1,
        idle_timeout: Duration::from_millis(10),
        ..settings([vhost.amqp_addr()])
    };
    let pool = pool(few);
    let wrong = login(vhost.user(), "wrong");
    let outcome = pool.open(vhost.name().into(), &wrong).await;
    assert_eq!(denied(outcome).0, DenialKind::BadCredentials);
    let lease = eventually("a place", async || open(&pool, &vhost).await.ok()).await;
    let (kind, text) = denied(pool.open(vhost.name().into(), &wrong).await);
    assert_eq!(kind, DenialKind::Unavailable);
    assert!(text.contains("max_identities = 1"), "{text}");
    assert!(open(&pool, &vhost).await.is_ok(), "it is the one that has a place");
    drop(lease);
    eventually("a place", async || {
        let outcome = pool.open(vhost.name().into(), &wrong).await;
        (denied(outcome).0 == DenialKind::BadCredentials).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whom_nobody_uses_makes_room_and_who_is_not_in_takes_none() {
    let vhost = Node::shared().await.vhost().await;
    for user in ["one", "two"] {
        vhost.set_passcode(user, "secret").await;
        vhost.permit(user, Permissions::ALL).await;
    }
    let pool = pool(Settings { max_identities: 1, ..settings([vhost.amqp_addr()]) });
    let name = || Text::from(vhost.name());
    // Far from its `idle_timeout`.
    drop(open(&pool, &vhost).await.expect("a login"));
    let one = pool.open(name(), &login("one", "secret")).await.expect("the room of the first");
    eventually("the end of the first one's connection", async || {
        let connections = vhost.connections().await;
        (connections.len() == 1 && connections[0].user == "one").then_some(())
    })
    .await;
    drop(one);

    let at_the_door = Login::new(name(), login("two", "wrong").credentials).expect("a login");
    let at_the_door = pool.lease(at_the_door, false).expect("a try");
    let two = pool.open(name(), &login("two", "secret")).await.expect("the only place");
    assert_eq!(denied(open(&pool, &vhost).await).0, DenialKind::Unavailable);
    drop((at_the_door, two));
    assert!(open(&pool, &vhost).await.is_ok());
}

#[tokio::test]
async fn a_service_login_that_is_refused_later_is_worth_another_try() {
    let (vhost, proxy) = behind_a_proxy().await;
    let pool = pool(settings([proxy.addr()]));
    let service = Identity { is_service: true, ..owner(&vhost) };
    let lease = pool.open(vhost.name().into(), &service).await.expect("a login");
    let channel = lease.channel(Side::Consume).await.expect("a channel");
    vhost.set_passcode(vhost.user(), "changed").await;
    let lost = channel.disturbed();
    proxy.cut(Cut::Reset).await;
    within("the loss", lost).await;
    let error = lease.channel(Side::Consume).await.err().expect("the passcode is another now");
    assert_eq!(error.kind, BrokerErrorKind::Unavailable);
    assert!(!error.text.contains(vhost.user()), "{error}");
}

#[tokio::test]
async fn a_limit_for_connections_is_told_in_rabbitmqs_words() {
    let vhost = Node::shared().await.vhost().await;
    let strict = Settings { login_cache: Duration::ZERO, ..settings([vhost.amqp_addr()]) };
    let pool = pool(strict);
    vhost.limit("max-connections", 1).await;
    let lease = open(&pool, &vhost).await.expect("the first is let in");
    eventually("a count", async || (vhost.connections().await.len() == 1).then_some(())).await;
    let sentence = |user| {
        format!(
            "NOT_ALLOWED - access to vhost '{}' refused for user '{user}': connection limit (1) is \
             reached",
            vhost.name()
        )
    };
    let error = lease.channel(Side::Publish).await.err().expect("a refusal");
    let expected = BrokerError::new(BrokerErrorKind::Unavailable, sentence(vhost.user()));
    assert_eq!(error, expected);

    let other = format!("{}-other", vhost.user());
    vhost.set_passcode(&other, "x").await;
    vhost.permit(&other, Permissions::ALL).await;
    let outcome = pool.open(vhost.name().into(), &login(&other, "x")).await;
    assert_eq!(denied(outcome), (DenialKind::Unavailable, sentence(&other)));
    // RabbitMQ has checked the passcode before it counts, and the connection that is needed is open.
    assert!(open(&pool, &vhost).await.is_ok());
    assert_eq!(vhost.connections().await.len(), 1);
}

#[tokio::test]
async fn where_channels_run_out_another_connection_is_opened() {
    let (vhost, proxy) = behind_a_proxy().await;
    let (pool, made) = counted(settings([proxy.addr()]), &proxy).await;
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let first = lease.channel(Side::Publish).await.expect("a channel");
    let max = usize::from(first.channel_max());
    let channels = try_join_all((1..max).map(|_| lease.channel(Side::Publish))).await;
    let channels = channels.expect("channels");
    assert_eq!(made(), 2);
    let more = try_join_all((0..3).map(|_| lease.channel(Side::Publish))).await.expect("channels");
    assert_eq!(made(), 3);
    let last = [&first, &channels[max - 2], &more[2]];
    assert!(join_all(last.map(|channel| publish(channel, ""))).await.iter().all(Result::is_ok));
}

/// Publishes until RabbitMQ tells that it takes nothing, which it does when it gets a message.
async fn until_held_back(channel: &Channel) {
    eventually("connection.blocked", async || {
        // What is not written now is written when RabbitMQ takes messages again.
        drop(publish(channel, "").now_or_never());
        channel.is_blocked().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_held_back_says_so_and_can_be_closed() {
    let node = Node::start(rabbitmq_node::Options::default()).await;
    let vhost = node.vhost().await;
    let pool = pool(settings([vhost.amqp_addr()]));
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let channel = lease.channel(Side::Publish).await.expect("a channel");
    for _ in 0..2 {
        assert!(!channel.is_blocked());
        let blocked = channel.disturbed();
        node.set_memory_alarm(true).await;
        until_held_back(&channel).await;
        within("the news", blocked).await;
        let consume = lease.channel(Side::Consume).await.expect("others go on");
        assert!(!consume.is_blocked() && channel.is_open());

        let unblocked = channel.disturbed();
        node.set_memory_alarm(false).await;
        within("connection.unblocked", unblocked).await;
        assert!(!channel.is_blocked() && channel.is_open());
    }
    node.set_memory_alarm(true).await;
    until_held_back(&channel).await;
    drop((channel, lease));
    within("the end", pool.close()).await;
}

#[tokio::test]
async fn tls_needs_an_authority_to_trust() {
    let node = Node::shared().await;
    let vhost = node.vhost().await;
    let endpoint = Endpoint { tls: true, ..at(node.tls_addr()) };
    let trusting = Settings {
        endpoints: vec![Endpoint { host: "localhost".to_owned(), ..endpoint.clone() }],
        tls_ca: Some(node.authority().to_owned()),
        ..Settings::default()
    };
    for host in ["localhost", "127.0.0.1"] {
        let endpoints = vec![Endpoint { host: host.to_owned(), ..endpoint.clone() }];
        let pool = pool(Settings { endpoints, ..trusting.clone() });
        let lease = open(&pool, &vhost).await.expect("the owner may in");
        let channel = lease.channel(Side::Publish).await.expect("a channel");
        publish(&channel, "").await.expect("it is written");
        drop((channel, lease));
        within("the end", pool.close()).await;
    }
    let missing = Some("/nowhere/authority.pem".into());
    for (tls_ca, why) in [(None, "certificate"), (missing, "/nowhere/authority.pem")] {
        let pool = pool(Settings { tls_ca, ..trusting.clone() });
        assert_eq!(denied(open(&pool, &vhost).await).0, DenialKind::Unavailable);
        let login = Login::new(vhost.name().into(), owner(&vhost).credentials).expect("plain");
        match pool.connect(&login, Side::Consume).await {
            Err(Failure::Away(said)) => {
                assert!(said.contains("amqps://localhost") && said.contains(why), "{said}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("nothing vouches for this server"),
        }
    }
}

#[tokio::test]
async fn endpoints_are_tried_in_turn_and_the_one_that_worked_comes_first() {
    let (vhost, first) = behind_a_proxy().await;
    let second = Proxy::start(vhost.amqp_addr()).await;
    first.refuse().await;
    let (pool, made) = counted(settings([first.addr(), second.addr()]), &second).await;
    let lease = open(&pool, &vhost).await.expect("the second endpoint is there");
    first.accept().await;
    let before = first.accepted();
    let channel = lease.channel(Side::Publish).await.expect("a channel");
    assert_eq!((first.accepted(), made()), (before, 2));

    let lost = channel.disturbed();
    second.refuse().await;
    second.cut(Cut::Reset).await;
    within("the loss", lost).await;
    assert!(!channel.is_open());
    let channel = lease.channel(Side::Publish).await.expect("the first endpoint is there");
    publish(&channel, "").await.expect("it is written");
    assert!(first.open() > 0);
}

#[tokio::test]
async fn who_gives_up_at_a_silent_endpoint_leaves_the_next_one_to_others() {
    let vhost = Node::shared().await.vhost().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addresses = [silent.local_addr().expect("an address"), vhost.amqp_addr()];
    // Far longer than any client waits for its login.
    let connect_timeout = Duration::from_secs(3_600);
    let pool = pool(Settings { connect_timeout, ..settings(addresses) });
    tokio::select! {
        _ = open(&pool, &vhost) => panic!("the first endpoint is silent"),
        accepted = silent.accept() => drop(accepted.expect("somebody who tries")),
    }
    within("the second endpoint", open(&pool, &vhost)).await.expect("a login");
}

#[tokio::test]
async fn a_broker_that_is_away_is_named_to_the_operator_only() {
    let (vhost, proxy) = behind_a_proxy().await;
    proxy.refuse().await;
    let pool = pool(settings([proxy.addr()]));
    let (kind, text) = denied(open(&pool, &vhost).await);
    assert_eq!(kind, DenialKind::Unavailable);
    assert_eq!(text, "the broker cannot be reached now");
    let error = pool.ready().expect_err("nobody is there");
    let expected = format!("amqp://{}: Connection refused", proxy.addr());
    assert!(error.text.starts_with(&expected), "{error}");

    proxy.accept().await;
    eventually("RabbitMQ", async || pool.ready().ok()).await;
    let lease = eventually("a login", async || open(&pool, &vhost).await.ok()).await;
    let channel = lease.channel(Side::Consume).await.expect("a channel");
    proxy.refuse().await;
    proxy.cut(Cut::Reset).await;
    eventually("the news", async || pool.ready().err()).await;
    assert!(!channel.is_open());
    proxy.accept().await;
    let again = async || lease.channel(Side::Consume).await.ok();
    assert!(eventually("a channel", again).await.is_open());
    assert_eq!(pool.ready(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_while_a_connection_is_lost_gets_an_answer() {
    let (vhost, proxy) = behind_a_proxy().await;
    let pool = pool(settings([proxy.addr()]));
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let ask = || lease.channel(Side::Publish);
    for _ in 0..3 {
        let channel = within("a channel", eventually("a channel", async || ask().await.ok())).await;
        let lost = channel.disturbed();
        let asking = async || {
            for _ in 0..200 {
                if ask().await.is_err() {
                    break;
                }
            }
        };
        let asking = join_all((0..4).map(|_| asking()));
        within("answers", async { tokio::join!(proxy.cut(Cut::Reset), asking) }).await;
        within("the loss", lost).await;
    }
}

/// Listens and never answers. Counts who speaks AMQP, until somebody says that it is enough.
async fn mute(listener: TcpListener) -> usize {
    let mut count = 0;
    loop {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut said = Vec::new();
        // Returns at the end of the connection only.
        socket.read_to_end(&mut said).await.expect("an end in order");
        match said.as_slice() {
            b"AMQP\0\0\x09\x01" => count += 1,
            b"enough" => return count,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_silent_peer_is_given_up_and_not_asked_again_at_once() {
    let vhost = Node::shared().await.vhost().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let count = tokio::spawn(mute(listener));
    let limit = Duration::from_millis(200);
    let pool = pool(Settings { connect_timeout: limit, ..settings([address]) });
    for _ in 0..2 {
        assert_eq!(denied(open(&pool, &vhost).await).0, DenialKind::Unavailable);
    }
    let mut last = TcpStream::connect(address).await.expect("it listens");
    last.write_all(b"enough").await.expect("it reads");
    drop(last);
    // The look whether RabbitMQ is there, and one login.
    assert_eq!(within("the count", count).await.expect("no panic"), 2);
}

#[tokio::test]
async fn what_nobody_uses_is_closed() {
    let (vhost, proxy) = behind_a_proxy().await;
    let short = Settings { idle_timeout: Duration::from_millis(10), ..settings([proxy.addr()]) };
    let (pool, made) = counted(short, &proxy).await;
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let channel = lease.channel(Side::Publish).await.expect("a channel");
    let clone = lease.clone();
    drop((lease, channel));
    publish(&clone.channel(Side::Publish).await.expect("a channel"), "").await.expect("in use");
    assert_eq!(made(), 2);
    drop(clone);
    eventually("the end", async || (proxy.open() == 0).then_some(())).await;
    assert!(pool.ready().is_ok(), "it is known to be there");
    assert!(open(&pool, &vhost).await.is_ok());
}

#[tokio::test]
async fn a_mistake_before_leaving_does_not_hurt_others() {
    let (vhost, proxy) = behind_a_proxy().await;
    let (pool, made) = counted(settings([proxy.addr()]), &proxy).await;
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let other = lease.channel(Side::Publish).await.expect("a channel");
    for _ in 0..100 {
        let channel = lease.channel(Side::Publish).await.expect("a channel");
        publish(&channel, "no such exchange").await.expect("it is written");
        drop(channel);
        publish(&other, "").await.expect("it is written");
    }
    assert!(other.is_open());
    assert_eq!(made(), 2);
}

#[tokio::test]
async fn a_refused_message_is_known_to_its_channel() {
    let vhost = Node::shared().await.vhost().await;
    let pool = pool(settings([vhost.amqp_addr()]));
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let [channel, other] = [lease.channel(Side::Publish), lease.channel(Side::Publish)];
    let (channel, other) = (channel.await.expect("a channel"), other.await.expect("a channel"));
    let disturbed = channel.disturbed();
    publish(&channel, "nowhere").await.expect("it is written");
    within("the refusal", disturbed).await;
    let text = format!("NOT_FOUND - no exchange 'nowhere' in vhost '{}'", vhost.name());
    assert_eq!(channel.refusal(), Some(BrokerError::new(BrokerErrorKind::NotFound, text)));
    assert!(!channel.is_open());
    assert!(other.is_open() && other.refusal().is_none());
}

#[tokio::test]
async fn links_of_a_service_login_share_confirming_channels() {
    let vhost = Node::shared().await.vhost().await;
    let pool = pool(Settings { shared_channels: 2, ..settings([vhost.amqp_addr()]) });
    let service = Identity { is_service: true, ..owner(&vhost) };
    let lease = pool.open(vhost.name().into(), &service).await.expect("the owner may in");
    let shared = try_join_all((0..4).map(|_| lease.shared_channel())).await.expect("channels");
    assert!(shared.iter().all(|it| it.channel.amqp().status().confirm()));
    assert!(!Arc::ptr_eq(&shared[0], &shared[1]));
    assert!(Arc::ptr_eq(&shared[0], &shared[2]) && Arc::ptr_eq(&shared[1], &shared[3]));

    publish(&shared[0].channel, "nowhere").await.expect_err("no such exchange");
    assert!(!shared[0].channel.is_open());
    let anew = lease.shared_channel().await.expect("a channel");
    assert!(!Arc::ptr_eq(&anew, &shared[0]) && anew.channel.is_open());
    let same = lease.shared_channel().await.expect("a channel");
    assert!(Arc::ptr_eq(&same, &shared[1]));
}

#[tokio::test]
async fn a_pool_that_closes_lets_links_finish_and_leaves_nothing_open() {
    let (vhost, proxy) = behind_a_proxy().await;
    let pool = pool(settings([proxy.addr()]));
    let lease = open(&pool, &vhost).await.expect("the owner may in");
    let closing = Arc::clone(&pool);
    let last = async move {
        while open(&closing, &vhost).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let channel = lease.channel(Side::Publish).await.expect("a channel");
        publish(&channel, "").await.expect("it is written");
        vhost
    };
    let last = pool.tracker().spawn(last);
    within("the end", pool.close()).await;
    let vhost = last.await.expect("it was waited for");
    eventually("the end", async || (proxy.open() == 0).then_some(())).await;
    let (kind, text) = denied(open(&pool, &vhost).await);
    assert_eq!((kind, text.as_str()), (DenialKind::Unavailable, "the gateway is shutting down"));
}
