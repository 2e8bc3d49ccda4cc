//! Clauses about exchanges that links declare, and about queues of a link's own behind them.

use protocols::broker::{
    BrokerErrorKind, Command, Event, ExchangeKind, Outcome, QueueOptions, SettleMode,
    SubscriptionId, Token,
};

use crate::support::{Client, Fixture, exchange, existing, message, table, text};

const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];

/// A queue that others can name, and that is this link's alone.
fn own(name: &str) -> QueueOptions {
    let (durable, exclusive, auto_delete) = (Some(false), Some(true), Some(false));
    QueueOptions { name: Some(name.into()), durable, exclusive, auto_delete, ..Default::default() }
}

impl Client {
    /// Asks for an exchange.
    fn declare(&mut self, name: &str, kind: ExchangeKind) -> Token {
        let token = self.token();
        self.link.submit(Command::DeclareExchange { token, name: name.into(), kind });
        token
    }

    /// Has an exchange be there.
    async fn declared(&mut self, name: &str, kind: ExchangeKind) {
        let token = self.declare(name, kind);
        assert_eq!(self.answer(token).await, Event::Declared { token });
    }

    /// The kind of the refusal, and what it says.
    async fn declaration_refused(
        &mut self,
        name: &str,
        kind: ExchangeKind,
    ) -> (BrokerErrorKind, String) {
        let token = self.declare(name, kind);
        match self.answer(token).await {
            Event::Failed { error, .. } => (error.kind, error.text.to_string()),
            other => panic!("a refusal was expected, not {other:?}"),
        }
    }

    /// Asks for a queue of its own behind this exchange, with the key `k`.
    fn ask_for_own(&mut self, subscription: u64, name: &str, at: &str) -> Token {
        let token = self.token();
        self.link.submit(Command::Subscribe {
            token,
            subscription: SubscriptionId(subscription),
            from: exchange(at, "k"),
            queue: Box::new(own(name)),
            arguments: Vec::new(),
            prefetch: 10,
            settle: SettleMode::Manual,
        });
        token
    }
}

pub(crate) async fn a_declared_exchange_routes_by_its_kind(fixture: Fixture) {
    let mut client = fixture.client().await;
    for (kind, bound, key) in [
        (ExchangeKind::Direct, "k", "k"),
        (ExchangeKind::Fanout, "", "any"),
        (ExchangeKind::Topic, "k.*", "k.x"),
        (ExchangeKind::Headers, "", "any"),
    ] {
        let name = format!("by.{}", kind.name());
        client.declared(&name, kind).await;
        let all = table(&[("x-match", text("all"))]);
        let options = QueueOptions { binding: all, ..QueueOptions::default() };
        client.try_subscribe(exchange(&name, bound), &options, 10).await.unwrap();
        client.publish(exchange(&name, key), kind.name()).await;
        let delivery = client.delivery().await;
        assert_eq!((delivery.body(), &*delivery.publication.exchange), (kind.name(), &*name));
    }
    let other_key = client.try_publish(exchange("by.direct", "other"), message("m")).await;
    assert_eq!(other_key, Ok(Outcome::Unroutable));
}

pub(crate) async fn an_exchange_that_is_there_stays_as_it_is(fixture: Fixture) {
    let mut first = fixture.client().await;
    first.declared("shared", ExchangeKind::Direct).await;
    first.subscribe(exchange("shared", "k"), 10).await;
    let mut second = fixture.client().await;
    second.declared("shared", ExchangeKind::Direct).await;
    second.publish(exchange("shared", "k"), "m").await;
    assert_eq!(first.delivery().await.body(), "m");
    // It needs nobody who uses it.
    drop((first, second));
    let mut later = fixture.client().await;
    let at = exchange("shared", "k");
    while later.try_publish(at.clone(), message("m")).await != Ok(Outcome::Unroutable) {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn an_exchange_of_another_kind_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    for there in KINDS {
        let name = format!("of.{}", there.name());
        client.declared(&name, there).await;
        for asked in KINDS.into_iter().filter(|asked| *asked != there) {
            let (kind, text) = client.declaration_refused(&name, asked).await;
            assert_eq!(kind, BrokerErrorKind::PreconditionFailed);
            let expected = format!(
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{name}' in vhost \
                 '{}': received '{}' but current is '{}'",
                fixture.vhost(),
                asked.name(),
                there.name()
            );
            assert_eq!(text, expected);
        }
    }
}

pub(crate) async fn names_of_the_brokers_own_exchanges_are_reserved(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.declared("amq.topic", ExchangeKind::Topic).await;
    let (kind, text) = client.declaration_refused("amq.mine", ExchangeKind::Direct).await;
    assert_eq!(kind, BrokerErrorKind::AccessRefused);
    let expected = "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_eq!(text, expected);
    let (kind, text) = client.declaration_refused("", ExchangeKind::Direct).await;
    assert_eq!(kind, BrokerErrorKind::AccessRefused);
    assert_eq!(text, "ACCESS_REFUSED - operation not permitted on the default exchange");
    let long = "x".repeat(256);
    let (kind, _) = client.declaration_refused(&long, ExchangeKind::Direct).await;
    assert_eq!(kind, BrokerErrorKind::PreconditionFailed);
}

pub(crate) async fn what_is_asked_for_after_an_exchange_finds_it(fixture: Fixture) {
    let mut publisher = fixture.client().await;
    // By a channel that is open already.
    let outcome = publisher.try_publish(exchange("amq.fanout", ""), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    let declared = publisher.declare("calls", ExchangeKind::Direct);
    let published = publisher.token();
    publisher.link.submit(Command::Publish {
        token: published,
        to: exchange("calls", "k"),
        message: message("m"),
        queue: None,
        confirm: true,
        mandatory: true,
    });
    assert_eq!(publisher.event().await, Event::Declared { token: declared });
    let unroutable = Event::Confirmed { token: published, outcome: Outcome::Unroutable };
    assert_eq!(publisher.event().await, unroutable);

    let mut consumer = fixture.client().await;
    let declared = consumer.declare("answers", ExchangeKind::Direct);
    let subscribed = consumer.ask_for_own(999, "own", "answers");
    assert_eq!(consumer.event().await, Event::Declared { token: declared });
    assert_eq!(consumer.event().await, Event::Subscribed { token: subscribed });
    publisher.publish(exchange("answers", "k"), "m").await;
    assert_eq!(consumer.delivery().await.body(), "m");
}

pub(crate) async fn what_waits_for_an_exchange_goes_on_if_that_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.declared("calls", ExchangeKind::Fanout).await;
    let declared = client.declare("calls", ExchangeKind::Direct);
    let subscribed = client.ask_for_own(999, "own", "calls");
    assert!(matches!(client.event().await, Event::Failed { token, .. } if token == declared));
    assert_eq!(client.event().await, Event::Subscribed { token: subscribed });
}

pub(crate) async fn what_waits_for_an_exchange_is_published_when_its_link_has_left(
    fixture: Fixture,
) {
    let mut consumer = fixture.client().await;
    consumer.declared("calls", ExchangeKind::Fanout).await;
    consumer.subscribe(exchange("calls", ""), 10).await;
    let mut leaver = fixture.client().await;
    leaver.declare("calls", ExchangeKind::Fanout);
    let token = leaver.token();
    leaver.link.submit(Command::Publish {
        token,
        to: exchange("calls", ""),
        message: message("m"),
        queue: None,
        confirm: false,
        mandatory: false,
    });
    drop(leaver);
    assert_eq!(consumer.delivery().await.body(), "m");
}

pub(crate) async fn an_exclusive_queue_is_free_for_others_once_it_is_deleted(fixture: Fixture) {
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    let at = exchange("amq.direct", "k");
    let mine = first.try_subscribe(at.clone(), &own("mine"), 1).await.unwrap();
    for _ in 0..2 {
        let error = second.try_subscribe(at.clone(), &own("mine"), 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::ResourceLocked, "{error}");
    }
    let deleted = first.unsubscribe_and_delete(mine).await;
    assert!(matches!(deleted, Event::Unsubscribed { .. }), "{deleted:?}");
    second.try_subscribe(at.clone(), &own("mine"), 1).await.unwrap();
    // Whoever had it before has it no more: it stays when that link leaves.
    drop(first);
    let mut third = fixture.client().await;
    let error = third.try_subscribe(at.clone(), &own("mine"), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::ResourceLocked, "{error}");
    third.publish(at, "m").await;
    assert_eq!(second.delivery().await.body(), "m");
}

pub(crate) async fn an_exclusive_queue_that_is_asked_for_again_at_once_is_a_new_one(
    fixture: Fixture,
) {
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    let subscribed = client.ask_for_own(900, "mine", "amq.direct");
    assert_eq!(client.answer(subscribed).await, Event::Subscribed { token: subscribed });
    for round in 901..906 {
        let unsubscribed = client.token();
        let subscription = SubscriptionId(round - 1);
        let token = unsubscribed;
        client.link.submit(Command::Unsubscribe { token, subscription, delete: true });
        let subscribed = client.ask_for_own(round, "mine", "amq.direct");
        assert_eq!(client.event().await, Event::Unsubscribed { token: unsubscribed });
        assert_eq!(client.event().await, Event::Subscribed { token: subscribed });
        let error =
            other.try_subscribe(exchange("amq.direct", "k"), &own("mine"), 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::ResourceLocked, "{error}");
        other.publish(exchange("amq.direct", "k"), "m").await;
        let delivery = client.delivery().await;
        assert_eq!((delivery.body(), delivery.subscription), ("m", SubscriptionId(round)));
        client.accept(&delivery);
    }
}

pub(crate) async fn a_refused_subscription_leaves_no_queue_of_its_own(fixture: Fixture) {
    let mut client = fixture.client().await;
    let missing = exchange("missing", "k");
    let error = client.try_subscribe(missing, &own("mine"), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::NotFound, "{error}");
    let there = client.try_publish(existing("mine"), message("m")).await;
    assert_eq!(there, Ok(Outcome::Unroutable));
    let mut other = fixture.client().await;
    other.try_subscribe(exchange("amq.direct", "k"), &own("mine"), 1).await.unwrap();
}
