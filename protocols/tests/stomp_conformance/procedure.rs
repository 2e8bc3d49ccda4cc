//! Procedures: SEND to `/rpc/` is a call, SUBSCRIBE an offer. Destinations are the server's own.

use std::sync::Arc;

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, ExchangeKind, Message,
    Outcome, Properties, Publication, QueueOptions, SubscriptionId, Token, procedure,
};
use protocols::policy::Policy;
use protocols::session::CloseCode;
use protocols::wamp::uri;

use crate::client::{Client, WireFrame, sentence};

const ADD: &str = "/rpc/com.app.add";

fn at_exchange(key: &str) -> Address {
    Address::Exchange { name: "wamp.rpc".into(), key: key.into() }
}

/// The token of the declaration that is first among these.
fn declaration(commands: &mut Vec<Command>) -> Token {
    match commands.remove(0) {
        Command::DeclareExchange { token, name, kind } => {
            assert_eq!((&*name, kind), ("wamp.rpc", ExchangeKind::Direct));
            token
        }
        other => panic!("a declaration, not {other:?}"),
    }
}

impl Client {
    /// The call that was sent last: its token. It is the session's first.
    fn first_call(&mut self, key: &str) -> Token {
        let mut commands = self.commands();
        let token = declaration(&mut commands);
        self.pair.event(Event::Declared { token });
        self.pair.commands.extend(commands);
        self.call(key)
    }

    /// The call that was sent last: its token.
    fn call(&mut self, key: &str) -> Token {
        match self.command() {
            Command::Publish { token, to, queue: None, confirm: true, mandatory: true, .. } => {
                assert_eq!(to, at_exchange(key));
                token
            }
            other => panic!("a call, not {other:?}"),
        }
    }

    fn refuse(&mut self, token: Token, kind: BrokerErrorKind, text: &str) {
        self.pair.event(Event::Failed { token, error: BrokerError::new(kind, text) });
    }

    /// Offers a procedure, the first of the session; the token of the subscription, and its name.
    fn first_offer(&mut self, headers: &[(&str, &str)]) -> (Token, SubscriptionId) {
        self.send("SUBSCRIBE", &[&[("id", "0"), ("destination", ADD)], headers].concat());
        let mut commands = self.commands();
        let declared = declaration(&mut commands);
        self.pair.event(Event::Declared { token: declared });
        match commands.remove(0) {
            Command::Subscribe { token, subscription, .. } => (token, subscription),
            other => panic!("a subscribe, not {other:?}"),
        }
    }
}

fn soft(version: &str) -> Client {
    let mut client = Client::with_policy(Policy::default());
    client.connect(&[("accept-version", version), ("host", "/"), ("soft-errors", "true")]);
    client
}

fn code(frame: &WireFrame) -> &str {
    frame.header("code").unwrap()
}

#[test]
fn server_a_call_is_a_mandatory_publish_behind_the_declaration_of_its_exchange() {
    let mut client = Client::connected("1.2");
    let headers = [("destination", ADD), ("correlation-id", "c"), ("mandatory", "false")];
    client.send_body("SEND", &headers, b"[1,2]");
    let mut commands = client.commands();
    declaration(&mut commands);
    match &commands[..] {
        [Command::Publish { to, message, queue: None, confirm: true, mandatory: true, .. }] => {
            assert_eq!(*to, at_exchange("com.app.add"));
            assert_eq!(message.body, "[1,2]");
            assert_eq!(message.properties.correlation_id.as_deref(), Some("c"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_the_exchange_is_declared_once_in_a_session() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", ADD)]);
    let first = client.first_call("com.app.add");
    client.send("SEND", &[("destination", "/rpc/50%25.*")]);
    client.call("50%25.%2A");
    client.confirm(first, Outcome::Accepted);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", ADD)]);
    assert!(matches!(client.command(), Command::Subscribe { .. }));
    // A frame that is refused declares nothing.
    let mut client = soft("1.2");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", ADD), ("ack", "never")]);
    assert_eq!(code(&client.frame()), "bad_header");
    client.send("SEND", &[("destination", "/queue/a")]);
    assert!(matches!(client.command(), Command::Publish { .. }));
}

#[test]
fn server_a_call_of_a_transaction_is_made_at_its_end() {
    let mut client = Client::connected("1.2");
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("SEND", &[("destination", ADD), ("transaction", "t")]);
    assert_eq!(client.commands(), []);
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "done")]);
    let token = client.first_call("com.app.add");
    assert_eq!(client.receipts(), [""; 0]);
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["done"]);
}

#[test]
fn server_the_answer_to_a_call_comes_by_its_reply_to() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", ADD), ("reply-to", "/temp-queue/r")]);
    let mut commands = client.commands();
    let Command::Subscribe { subscription, from: Address::Private(queue), .. } = commands.remove(0)
    else {
        panic!("a queue for answers");
    };
    declaration(&mut commands);
    match commands.remove(0) {
        Command::Publish { message, .. } => assert_eq!(message.properties.reply_to, Some(queue)),
        other => panic!("{other:?}"),
    }
    let answer = client.deliver(subscription, 1);
    assert_eq!(answer.header("subscription"), Some("/temp-queue/r"));
}

#[test]
fn server_a_call_that_nobody_could_take_says_which_it_was() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", ADD), ("receipt", "r")]);
    let token = client.first_call("com.app.add");
    client.confirm(token, Outcome::Unroutable);
    let error = client.refusal().error;
    assert_eq!((code(&error), error.header("receipt-id")), ("unroutable", Some("r")));
    assert_eq!(sentence(&error), "no procedure \"com.app.add\" is registered");

    let mut client = soft("1.2");
    client.send("SEND", &[("destination", "/rpc/a.*")]);
    let token = client.first_call("a.%2A");
    client.confirm(token, Outcome::Unroutable);
    let error = client.frame();
    assert_eq!((error.verb.as_str(), code(&error)), ("MESSAGE", "unroutable"));
    assert_eq!(sentence(&error), "no procedure \"a.*\" is registered");
    // Another message that reached no queue is no call.
    client.send("SEND", &[("destination", "/exchange/wamp.rpc/k"), ("mandatory", "true")]);
    let Command::Publish { token, .. } = client.command() else { panic!("a publish") };
    client.confirm(token, Outcome::Unroutable);
    assert_eq!(sentence(&client.frame()), "the message reached no queue");
}

#[test]
fn server_an_exchange_that_may_not_be_declared_may_be_there_all_the_same() {
    let mut client = soft("1.2");
    client.send("SEND", &[("destination", ADD), ("receipt", "first")]);
    let mut commands = client.commands();
    let declared = declaration(&mut commands);
    client.refuse(declared, BrokerErrorKind::AccessRefused, "ACCESS_REFUSED - not yours");
    assert_eq!(client.frames(), []);
    let Command::Publish { token, .. } = commands.remove(0) else { panic!("a publish") };
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["first"]);
    // Where it is missing, why it was not made is told too.
    client.send("SEND", &[("destination", ADD), ("receipt", "second")]);
    let token = client.call("com.app.add");
    client.refuse(token, BrokerErrorKind::NotFound, "NOT_FOUND - no exchange 'wamp.rpc'");
    let error = client.frame();
    assert_eq!((code(&error), error.header("receipt-id")), ("not_found", Some("second")));
    let expected = "there is no place for the procedure \"com.app.add\": NOT_FOUND - no exchange \
                    'wamp.rpc'; it was not made: ACCESS_REFUSED - not yours";
    assert_eq!(sentence(&error), expected);
}

#[test]
fn server_an_offer_is_an_exclusive_queue_of_the_procedures_name() {
    let mut client = Client::connected("1.2");
    let headers = [("id", "0"), ("destination", "/rpc/50%25"), ("prefetch-count", "7")];
    client.send("SUBSCRIBE", &[&headers[..], &[("ack", "client"), ("receipt", "r")]].concat());
    let mut commands = client.commands();
    declaration(&mut commands);
    let Command::Subscribe { token, from, queue, arguments, prefetch, .. } = commands.remove(0)
    else {
        panic!("a subscribe");
    };
    assert_eq!((from, arguments, prefetch), (at_exchange("50%25"), vec![], 7));
    let (durable, exclusive, auto_delete) = (Some(false), Some(true), Some(false));
    let name = Some("wamp.proc.e.50%25".into());
    let expected =
        QueueOptions { name, durable, exclusive, auto_delete, ..QueueOptions::default() };
    assert_eq!(*queue, expected);
    assert_eq!(client.receipts(), [""; 0]);
    client.pair.event(Event::Subscribed { token });
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn server_a_call_that_comes_says_which_procedure_and_where_the_answer_goes() {
    let mut client = Client::connected("1.2");
    let (token, subscription) = client.first_offer(&[]);
    client.pair.event(Event::Subscribed { token });
    let properties = Properties {
        correlation_id: Some("c-1".into()),
        reply_to: Some("answers-1".into()),
        ..Properties::default()
    };
    let message = Message { body: "[1,2]".into(), properties };
    let (exchange, routing_key) = ("wamp.rpc".into(), "com.app.add".into());
    let publication = Arc::new(Publication { exchange, routing_key, message });
    let (tag, redelivered) = (DeliveryTag(1), false);
    client.pair.event(Event::Delivery { subscription, tag, redelivered, publication });
    let call = client.frame();
    for (header, value) in [
        ("destination", ADD),
        ("subscription", "0"),
        ("correlation-id", "c-1"),
        ("reply-to", "/reply-queue/answers-1"),
    ] {
        assert_eq!(call.header(header), Some(value), "{call:?}");
    }
    client.send("SEND", &[("destination", "/reply-queue/answers-1"), ("correlation-id", "c-1")]);
    match client.command() {
        Command::Publish { to: Address::ExistingQueue(queue), mandatory: false, .. } => {
            assert_eq!(queue, "answers-1");
        }
        other => panic!("an answer, not {other:?}"),
    }
}

#[test]
fn server_an_offer_is_taken_back_with_its_queue() {
    let mut client = Client::connected("1.2");
    let (token, subscription) = client.first_offer(&[]);
    client.pair.event(Event::Subscribed { token });
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "r")]);
    let Command::Unsubscribe { token, subscription: ended, delete: true } = client.command() else {
        panic!("an unsubscribe that deletes");
    };
    assert_eq!((ended, client.receipts()), (subscription, vec![]));
    // Offering it again does not wait for that.
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", ADD)]);
    assert!(matches!(client.command(), Command::Subscribe { .. }));
    client.pair.event(Event::Unsubscribed { token });
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn server_a_second_offer_is_refused_as_registered_already() {
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    let mut client = Client::connected("1.2");
    let (token, _) = client.first_offer(&[("receipt", "r")]);
    client.refuse(token, BrokerErrorKind::ResourceLocked, locked);
    let error = client.refusal().error;
    assert_eq!((code(&error), error.header("receipt-id")), ("resource_locked", Some("r")));
    let expected = format!("the procedure \"com.app.add\" is registered already: {locked}");
    assert_eq!(sentence(&error), expected);

    let mut client = soft("1.2");
    let (token, _) = client.first_offer(&[]);
    client.refuse(token, BrokerErrorKind::ResourceLocked, locked);
    let error = client.frame();
    assert_eq!(code(&error), "resource_locked");
    assert_eq!(error.header("failed-subscription"), Some("0"));
    assert_eq!(sentence(&error), expected);
    // And it may be tried again.
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", ADD)]);
    assert!(matches!(client.command(), Command::Subscribe { .. }));
}

#[test]
fn server_a_second_offer_of_the_same_client_is_refused_alike() {
    let mut client = Client::connected("1.2");
    let (token, _) = client.first_offer(&[]);
    client.pair.event(Event::Subscribed { token });
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", ADD), ("receipt", "r")]);
    let error = client.violation("resource_locked", CloseCode::Policy);
    assert_eq!((code(&error), error.header("receipt-id")), ("resource_locked", Some("r")));
    assert!(sentence(&error).contains("registered already"), "{error:?}");
    assert_eq!(client.commands(), []);

    let mut client = soft("1.2");
    let (token, _) = client.first_offer(&[]);
    client.pair.event(Event::Subscribed { token });
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", ADD)]);
    assert_eq!(code(&client.frame()), "resource_locked");
    // Another procedure is another.
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/rpc/com.app.sub")]);
    assert!(matches!(client.command(), Command::Subscribe { .. }));
}

#[test]
fn server_what_is_said_of_the_queue_of_a_procedure_is_refused() {
    for (header, value) in [
        ("durable", "true"),
        ("persistent", "false"),
        ("exclusive", "false"),
        ("auto-delete", "true"),
        ("x-queue-name", "q"),
        ("x-message-ttl", "1"),
        ("x-priority", "1"),
        ("x-stream-offset", "first"),
        ("x-bind-x-match", "all"),
    ] {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", ADD), (header, value)]);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains("left out"), "{error:?}");
        assert_eq!(client.commands(), []);
    }
}

#[test]
fn server_procedures_of_wamp_and_of_users_are_not_offered() {
    for destination in ["/rpc/wamp", "/rpc/wamp.session.count", "/rpc/gw.user.ann.news"] {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", destination)]);
        client.policy_violation("access_refused");
        assert_eq!(client.commands(), []);
    }
    // Calling is whoever answers' business.
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/rpc/wamp.session.count")]);
    client.first_call("wamp.session.count");
}

#[test]
fn server_an_offer_that_the_broker_ends_is_told() {
    let mut client = Client::connected("1.2");
    let (token, subscription) = client.first_offer(&[]);
    client.pair.event(Event::Subscribed { token });
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "lost");
    client.pair.event(Event::Canceled { subscription, error });
    assert_eq!(code(&client.refusal().error), "broker_unavailable");
}

proptest::proptest! {
    // Whoever speaks WAMP writes a procedure as it writes a topic: they must meet.
    #[test]
    fn server_the_key_of_a_procedure_is_that_of_wamp(uri in "[a-c.%*#2A5 ü]{0,12}") {
        let known = uri::UriRules::default().check(&uri).ok();
        let expected = known.and_then(|()| uri::routing_key(&uri).ok());
        let key = procedure::routing_key(&uri).ok();
        proptest::prop_assert_eq!(&key, &expected);
        if let Some(key) = &key {
            proptest::prop_assert_eq!(procedure::uri_of(key), Some(uri.as_str().into()));
            proptest::prop_assert_eq!(uri::uri_of(key), Some(uri.as_str().into()));
        }
    }
}
