//! Destinations: the server's own naming, which is RabbitMQ's.

use protocols::broker::{Address, Command};

use crate::client::{Client, sentence};

fn address(destination: &str) -> Address {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", destination)]);
    match client.command() {
        Command::Publish { to, .. } => to,
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_each_prefix_is_its_address() {
    assert_eq!(address("/queue/a.b"), Address::Queue("a.b".into()));
    assert_eq!(address("bare"), Address::Queue("bare".into()));
    assert_eq!(address("/amq/queue/a"), Address::ExistingQueue("a".into()));
    assert_eq!(address("/reply-queue/a/b"), Address::ExistingQueue("a/b".into()));
    assert_eq!(address("/topic/a.b"), Address::Topic("a.b".into()));
    let exchange = |key: &str| Address::Exchange { name: "x".into(), key: key.into() };
    assert_eq!(address("/exchange/x"), exchange(""));
    assert_eq!(address("/exchange/x/k"), exchange("k"));
}

#[test]
fn server_names_are_percent_decoded() {
    assert_eq!(address("/queue/a%2Fb%25%C3%BC"), Address::Queue("a/b%ü".into()));
}

#[test]
fn server_the_same_destination_again_is_the_same_address() {
    let mut client = Client::connected("1.2");
    for destination in ["/queue/a", "/queue/a", "/topic/a", "/queue/a"] {
        client.send("SEND", &[("destination", destination)]);
    }
    let addresses: Vec<_> = client
        .commands()
        .into_iter()
        .map(|command| match command {
            Command::Publish { to, .. } => to,
            other => panic!("{other:?}"),
        })
        .collect();
    let queue = Address::Queue("a".into());
    let topic = Address::Topic("a".into());
    assert_eq!(addresses, [queue.clone(), queue.clone(), topic, queue]);
}

#[test]
fn server_an_unknown_prefix_is_refused_and_the_known_ones_are_named() {
    for destination in ["/", "/nowhere/a", "queue/a", "/amq/a"] {
        for verb in ["SEND", "SUBSCRIBE"] {
            let mut client = Client::connected("1.2");
            client.send(verb, &[("id", "0"), ("destination", destination)]);
            let error = client.policy_violation("Unknown destination");
            let sentence = sentence(&error);
            assert!(sentence.contains(destination), "{sentence}");
            for known in ["/queue", "/topic", "/exchange", "/amq/queue"] {
                assert!(sentence.contains(known), "{sentence}");
            }
            assert!(!sentence.ends_with("temp-queue"));
        }
    }
}

#[test]
fn server_an_unusable_remainder_is_refused() {
    for destination in [
        "",
        "/temp-queue/a",
        "/reply-queue/",
        "/queue/",
        "/queue/a/b",
        "/topic/a/b",
        "/exchange/",
        "/exchange//k",
        "/queue/%zz",
        "/rpc/",
        "/rpc/a..b",
        "/rpc/a%20b",
    ] {
        for verb in ["SEND", "SUBSCRIBE"] {
            let mut client = Client::connected("1.2");
            client.send(verb, &[("id", "0"), ("destination", destination)]);
            client.policy_violation("Invalid destination");
            assert_eq!(client.commands(), []);
        }
    }
}

#[test]
fn server_refuses_what_is_the_gateways_own() {
    let into = ("x-dead-letter-exchange", "wamp.restricted");
    let cases: [(&str, &[(&str, &str)]); 18] = [
        ("SUBSCRIBE", &[("destination", "/exchange/wamp.restricted/#")]),
        ("SUBSCRIBE", &[("destination", "/exchange/wamp.restricted/a.b"), ("ack", "client")]),
        ("SUBSCRIBE", &[("destination", "/exchange/wamp.restricted/a"), ("x-queue-name", "q")]),
        ("SUBSCRIBE", &[("destination", "/exchange/wamp%2Erestricted")]),
        ("SEND", &[("destination", "/exchange/wamp.restricted/a.b")]),
        // Nor by way of what a queue gives up.
        ("SEND", &[("destination", "/queue/q"), into]),
        ("SUBSCRIBE", &[("destination", "/queue/q"), into]),
        ("SUBSCRIBE", &[("destination", "/topic/t"), ("x-queue-name", "q"), into]),
        // What gateways tell each other.
        ("SUBSCRIBE", &[("destination", "/exchange/wamp.interrupt")]),
        ("SEND", &[("destination", "/exchange/wamp.interrupt")]),
        // Calls of a procedure that somebody else offers.
        ("SUBSCRIBE", &[("destination", "/exchange/wamp.rpc/com.app.add")]),
        ("SUBSCRIBE", &[("destination", "/queue/wamp.proc.e.com.app.add")]),
        ("SUBSCRIBE", &[("destination", "/amq/queue/wamp.proc.e.com.app.add")]),
        ("SUBSCRIBE", &[("destination", "/reply-queue/wamp.proc.e.com.app.add")]),
        ("SUBSCRIBE", &[("destination", "/topic/t"), ("x-queue-name", "wamp.proc.e.a")]),
        ("SUBSCRIBE", &[("destination", "/exchange/x/k"), ("x-queue-name", "wamp.proc.e.a")]),
        ("SEND", &[("destination", "/queue/wamp.proc.e.com.app.add")]),
        ("SEND", &[("destination", "/queue/wamp.node.1.rep")]),
    ];
    for (verb, headers) in cases {
        let mut client = Client::connected("1.2");
        client.send(verb, &[headers, &[("id", "0"), ("receipt", "r")]].concat());
        let error = client.policy_violation("access_refused");
        assert_eq!(error.header("receipt-id"), Some("r"), "{headers:?}");
        let body = String::from_utf8_lossy(&error.body).into_owned();
        assert!(body.contains("the gateways' own"), "{body}");
        assert!(client.commands().is_empty(), "{headers:?}");
    }
}
