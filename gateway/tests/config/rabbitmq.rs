//! Configuration of a RabbitMQ, and of service logins.

use std::path::Path;

use gateway::config::units::{ByteSize, Millis};
use gateway::config::{Config, Rabbitmq, ServiceLogin, Verify};
use protocols::auth::Secret;

use crate::{
    Broker, Given, NOTHING, document_describes, each_key_has_a_comment, file, keys_named,
    known_keys, set, uncommented,
};

const EXAMPLE: &str = include_str!("../../config/rabbitmq.toml");

/// The least a file with a RabbitMQ can say, but for the broker's keys.
const LEAST: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[route.stomp]
listener = "web"
protocols = ["stomp"]
broker = "main"
"#;

/// Keys of the broker, and the refusal of the first of them after `gateway.toml:3: broker.main.`.
const BAD_KEYS: &[(&str, &str)] = &[
    ("url = 'localhost'", "url: a URL that starts with \"amqp://\" or \"amqps://\" is needed"),
    (
        "url = 'http://guest:hunter2@localhost'",
        "url: a URL that starts with \"amqp://\" or \"amqps://\" is needed",
    ),
    (
        "url = 'amqp://guest:hunter2@localhost'",
        "url: no login belongs here: clients bring their own, or the route has a service_login",
    ),
    (
        "url = 'amqp://localhost/%2f'",
        "url: no path belongs here: the virtual host is the client's or the route's vhost",
    ),
    ("url = 'amqp://'", "url: a host is missing"),
    ("url = 'amqp://localhost:0'", "url: a port from 1 to 65535 is needed"),
    (
        "url = ['amqp://a', 'amqp://guest:hunter2@b']",
        "url: URL 2: no login belongs here: clients bring their own, or the route has a \
         service_login",
    ),
    ("url = ['amqp://a', 7]", "url: expected text in quotes, got 7"),
    ("url = []", "url: expected at least one URL, got none"),
    ("url = ['amqp://a', 'amqp://a:5672']", "url: \"amqp://a:5672\" is listed twice"),
    ("url = 5672", "url: expected a URL such as \"amqp://localhost\", or a list of them, got 5672"),
    (
        "url = '[amqp://guest:hunter2@a]'",
        "url: expected a URL such as \"amqp://localhost\", or a list of them, got text",
    ),
    (
        "tls_ca = 'ca.pem'\nurl = 'amqp://a'",
        "tls_ca: works only together with a url that starts with \"amqps://\", which is not set",
    ),
    (
        "tls_ca = 'missing.pem'\nurl = 'amqps://a'",
        "tls_ca: expected a PEM file of certificate authorities, got \"missing.pem\": \
         I/O error: No such file or directory (os error 2)",
    ),
    ("connect_timeout = '0s'\nurl = 'amqp://a'", "connect_timeout: expected at least 1ms, got 0s"),
    ("heartbeat = '999ms'\nurl = 'amqp://a'", "heartbeat: expected at least 1s, got 999ms"),
    ("heartbeat = '1500ms'\nurl = 'amqp://a'", "heartbeat: expected whole seconds, got 1500ms"),
    ("heartbeat = '65536s'\nurl = 'amqp://a'", "heartbeat: expected at most 65535s, got 65536s"),
    ("login_cache = '0s'\nurl = 'amqp://a'", "login_cache: expected at least 1ms, got 0s"),
    ("idle_timeout = '0s'\nurl = 'amqp://a'", "idle_timeout: expected at least 1ms, got 0s"),
    ("max_identities = 0\nurl = 'amqp://a'", "max_identities: expected at least 1, got 0"),
    (
        "publish_frame_size = 8191\nurl = 'amqp://a'",
        "publish_frame_size: expected at least 8KiB, got 8191",
    ),
    (
        "publish_frame_size = '129KiB'\nurl = 'amqp://a'",
        "publish_frame_size: expected at most 128KiB, got 129KiB",
    ),
    ("window_messages = 0\nurl = 'amqp://a'", "window_messages: expected at least 1, got 0"),
    ("window_bytes = 0\nurl = 'amqp://a'", "window_bytes: expected at least 1 byte, got 0"),
    ("shared_channels = 0\nurl = 'amqp://a'", "shared_channels: expected at least 1, got 0"),
    (
        "shared_channels = 2048\nurl = 'amqp://a'",
        "shared_channels: expected at most 2047, got 2048",
    ),
    (
        "recovery_timeout = '0s'\nurl = 'amqp://a'",
        "recovery_timeout: expected at least 1ms, got 0s",
    ),
    ("inbox_expires = '0s'\nurl = 'amqp://a'", "inbox_expires: expected at least 1ms, got 0s"),
    (
        "inbox_expires = '4294968s'\nurl = 'amqp://a'",
        "inbox_expires: expected at most 4294967s, got 4294968s",
    ),
    ("inbox_prefetch = 0\nurl = 'amqp://a'", "inbox_prefetch: expected at least 1, got 0"),
    ("inbox_messages = 0\nurl = 'amqp://a'", "inbox_messages: expected at least 1, got 0"),
    ("resume_messages = 0\nurl = 'amqp://a'", "resume_messages: expected at least 1, got 0"),
    ("resume_bytes = 0\nurl = 'amqp://a'", "resume_bytes: expected at least 1 byte, got 0"),
    ("topic_exchange = ''\nurl = 'amqp://a'", "topic_exchange: expected a name, got an empty text"),
    ("queue_prefix = ''\nurl = 'amqp://a'", "queue_prefix: expected a name, got an empty text"),
    (
        "queue_prefix = 'amq.gen-'\nurl = 'amqp://a'",
        "queue_prefix: expected a prefix other than \"amq.\", which RabbitMQ keeps for itself, \
         got \"amq.gen-\"",
    ),
    (
        "loopback_users = ['guest', 'guest']\nurl = 'amqp://a'",
        "loopback_users: \"guest\" is listed twice",
    ),
    (
        "vhosts = ['/']\nurl = 'amqp://a'",
        "vhosts: unknown key; known: connect_timeout, heartbeat, \
         idle_timeout, inbox_expires, inbox_messages, inbox_prefetch, login_cache, loopback_users, max_identities, publish_frame_size, \
         queue_prefix, recovery_timeout, resume_bytes, resume_messages, shared_channels, tls_ca, \
         topic_exchange, url, window_bytes, window_messages",
    ),
];

/// Every refusal of [`BAD_KEYS`], as it is shown.
pub(crate) fn refusals() -> impl Iterator<Item = String> {
    BAD_KEYS.iter().map(|(_, refusal)| format!("gateway.toml:3: broker.main.{refusal}"))
}

fn with_keys(keys: &str) -> String {
    format!("[broker.main]\nkind = 'rabbitmq'\n{keys}{LEAST}")
}

fn rabbitmq(config: &Config) -> &Rabbitmq {
    let Broker::Rabbitmq(broker) = &config.broker["main"] else {
        panic!("{config:?}");
    };
    broker
}

#[test]
fn a_bad_key_of_a_rabbitmq_is_refused_with_place_and_reason_and_without_any_secret() {
    for ((keys, _), refusal) in BAD_KEYS.iter().zip(refusals()) {
        let refused = file(&with_keys(keys)).refusal();
        assert_eq!(refused, refusal, "for {keys}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn names_are_as_long_as_amqp_takes_them() {
    for (key, longest) in [("topic_exchange", 255), ("queue_prefix", 128)] {
        let keys = |length| format!("{key} = '{}'\nurl = 'amqp://a'", "n".repeat(length));
        file(&with_keys(&keys(longest))).loaded();
        let got = longest + 1;
        let expected = format!(
            "gateway.toml:3: broker.main.{key}: expected at most {longest} bytes, got {got}"
        );
        assert_eq!(file(&with_keys(&keys(got))).refusal(), expected);
    }
}

#[test]
fn a_rabbitmq_needs_a_url() {
    let refused = file(&with_keys("")).refusal();
    assert_eq!(refused, "gateway.toml:1: broker.main.url: missing; this key has no default");
}

#[test]
fn a_bad_url_is_refused_without_its_login_wherever_it_comes_from() {
    let text = with_keys("url = 'amqp://a'");
    let sentence =
        "no login belongs here: clients bring their own, or the route has a service_login";
    for (value, reason) in [
        ("amqp://guest:hunter2@b", sentence.to_owned()),
        ("['amqp://b', 'amqp://guest:hunter2@b']", format!("URL 2: {sentence}")),
        (
            "[amqp://guest:hunter2@b",
            "expected a URL such as \"amqp://localhost\", or a list of them, got text".to_owned(),
        ),
    ] {
        let env = [("GATEWAY_BROKER__MAIN__URL", value)];
        let refused = Given { env: &env, ..file(&text) }.refusal();
        assert_eq!(refused, format!("environment GATEWAY_BROKER__MAIN__URL: {reason}"));
        let assignment = format!("broker.main.url={value}");
        let refused = Given { set: &[&assignment], ..file(&text) }.refusal();
        assert_eq!(refused, format!("--set broker.main.url: {reason}"));
    }
}

#[test]
fn one_url_or_a_list_of_them_is_taken_from_every_source() {
    let urls = |given: Given<'_>| {
        let config = given.loaded();
        rabbitmq(&config).url.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let one = with_keys("url = 'amqp://a'");
    let many = with_keys("url = ['amqp://a', 'amqps://b:7']");
    assert_eq!(urls(file(&one)), ["amqp://a:5672"]);
    assert_eq!(urls(file(&many)), ["amqp://a:5672", "amqps://b:7"]);
    for (value, expected) in [
        ("amqp://c", ["amqp://c:5672"].as_slice()),
        ("['amqp://c', 'amqp://[::1]']", &["amqp://c:5672", "amqp://[::1]:5672"]),
    ] {
        let env = [("GATEWAY_BROKER__MAIN__URL", value)];
        assert_eq!(urls(Given { env: &env, ..file(&many) }), expected);
        let assignment = format!("broker.main.url={value}");
        assert_eq!(urls(Given { set: &[&assignment], ..file(&one) }), expected);
    }
}

/// Every key of a RabbitMQ but `kind` and `url`, and what it can be set to.
const OTHERS: &[(&str, &str)] = &[
    ("tls_ca", "tests/config/ca.pem"),
    ("connect_timeout", "1s"),
    ("heartbeat", "2s"),
    ("login_cache", "3s"),
    ("idle_timeout", "4s"),
    ("max_identities", "5"),
    ("publish_frame_size", "9KiB"),
    ("window_messages", "7"),
    ("window_bytes", "8"),
    ("shared_channels", "9"),
    ("recovery_timeout", "10s"),
    ("inbox_expires", "11s"),
    ("inbox_messages", "12"),
    ("inbox_prefetch", "15"),
    ("resume_messages", "16"),
    ("resume_bytes", "17"),
    ("topic_exchange", "13"),
    ("queue_prefix", "14"),
    ("loopback_users", "[]"),
];

#[test]
fn variables_and_flags_reach_every_key_of_a_rabbitmq() {
    let mut keys: Vec<_> = OTHERS.iter().map(|(key, _)| *key).chain(["kind", "url"]).collect();
    keys.sort_unstable();
    assert_eq!(keys, keys_of_rabbitmq());

    let expected = Rabbitmq {
        url: vec!["amqps://a".parse().unwrap()],
        tls_ca: Some("tests/config/ca.pem".into()),
        connect_timeout: Millis::seconds(1),
        heartbeat: Millis::seconds(2),
        login_cache: Millis::seconds(3),
        idle_timeout: Millis::seconds(4),
        max_identities: 5,
        publish_frame_size: ByteSize(9 << 10),
        window_messages: 7,
        window_bytes: ByteSize(8),
        shared_channels: 9,
        recovery_timeout: Millis::seconds(10),
        inbox_expires: Millis::seconds(11),
        inbox_messages: 12,
        inbox_prefetch: 15,
        resume_messages: 16,
        resume_bytes: ByteSize(17),
        topic_exchange: "13".to_owned(),
        queue_prefix: "14".to_owned(),
        loopback_users: Vec::new(),
    };
    let text = with_keys("url = 'amqps://a'");
    let variable = |key: &str| format!("GATEWAY_BROKER__MAIN__{}", key.to_uppercase());
    let names: Vec<_> = OTHERS.iter().map(|(key, _)| variable(key)).collect();
    let values = OTHERS.iter().map(|(_, value)| *value);
    let env: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    let config = Given { env: &env, ..file(&text) }.loaded();
    assert_eq!(rabbitmq(&config), &expected);

    let assignment = |(key, value): &(&str, &str)| format!("broker.main.{key}={value}");
    let assignments: Vec<_> = OTHERS.iter().map(assignment).collect();
    let set: Vec<_> = assignments.iter().map(String::as_str).collect();
    let config = Given { set: &set, ..file(&text) }.loaded();
    assert_eq!(rabbitmq(&config), &expected);
}

#[test]
fn a_whole_rabbitmq_can_come_from_the_environment() {
    let env = [
        ("GATEWAY_BROKER__OTHER__KIND", "rabbitmq"),
        ("GATEWAY_BROKER__OTHER__URL", "amqp://mq"),
        ("GATEWAY_ROUTE__STOMP__BROKER", "other"),
        ("GATEWAY_REALM__REALM1__BROKER", "other"),
        ("GATEWAY_ROUTE__STOMP__VHOST", "only RabbitMQ knows"),
    ];
    let config = Given { env: &env, ..NOTHING }.loaded();
    let expected = Rabbitmq { url: vec!["amqp://mq".parse().unwrap()], ..Rabbitmq::default() };
    assert_eq!(config.broker["other"], Broker::Rabbitmq(expected));
}

#[test]
fn a_publisher_must_be_held_back_before_its_receipts_are_too_many() {
    let text = with_keys("url = 'amqp://a'");
    let with = |assignments: &[&str]| Given { set: assignments, ..file(&text) }.load();
    with(&["route.stomp.limits.pending_receipts=1064"]).unwrap();
    assert_eq!(
        with(&["route.stomp.limits.pending_receipts=1063"]).unwrap_err(),
        "--set route.stomp.limits.pending_receipts: expected at least 1064, \
         which is window_messages of broker \"main\" (1000) and 64 more, got 1063"
    );
    assert_eq!(
        with(&["broker.main.window_messages=10000"]).unwrap_err(),
        "gateway.toml:6: route.stomp.limits.pending_receipts: expected at least 10064, \
         which is window_messages of broker \"main\" (10000) and 64 more, got 10000"
    );
}

#[test]
fn a_broker_that_is_away_must_be_noticed_before_the_client_is_blamed() {
    let text = with_keys("url = 'amqp://a'\nconnect_timeout = '10s'");
    assert_eq!(
        file(&text).refusal(),
        "gateway.toml:7: route.stomp.limits.login_timeout: \
         expected more than connect_timeout of broker \"main\" (10s), got 10s"
    );
    let set = ["route.stomp.limits.login_timeout=10001ms"];
    Given { set: &set, ..file(&text) }.loaded();
}

// ---- service logins -----------------------------------------------------------------------------

#[test]
fn a_service_login_is_read_from_every_source() {
    let text = with_keys("url = 'amqp://a'");
    let service = |given: Given<'_>| given.loaded().route["stomp"].service_login.clone();
    assert_eq!(service(file(&text)), None);

    let table = format!("{text}[route.stomp.service_login]\nlogin = 'svc'\npasscode = 'hunter2'\n");
    let expected = ServiceLogin {
        login: "svc".to_owned(),
        passcode: Secret::new("hunter2"),
        verify: Verify::Broker,
    };
    assert_eq!(service(file(&table)), Some(expected));

    let env = [
        ("GATEWAY_ROUTE__STOMP__SERVICE_LOGIN__LOGIN", "007"),
        ("GATEWAY_ROUTE__STOMP__SERVICE_LOGIN__PASSCODE", "12345"),
    ];
    let set = ["route.stomp.service_login.verify=none"];
    let expected = ServiceLogin {
        login: "007".to_owned(),
        passcode: Secret::new("12345"),
        verify: Verify::None,
    };
    assert_eq!(service(Given { env: &env, set: &set, ..file(&text) }), Some(expected));
}

#[test]
fn a_bad_service_login_is_refused() {
    let with = |key: &str, value: &str| {
        let login = ["route.stomp.service_login.login=guest".to_owned()];
        let passcode = ["route.stomp.service_login.passcode=guest".to_owned()];
        let bad = [format!("route.stomp.service_login.{key}={value}")];
        let all = [login, passcode, bad].concat();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        set(&all).refusal()
    };
    assert_eq!(
        with("verify", "nobody"),
        "--set route.stomp.service_login.verify: expected \"broker\" or \"none\", got \"nobody\""
    );
    assert_eq!(
        with("passcode", "hunter2"),
        "--set route.stomp.service_login.passcode: user \"guest\" of broker \"main\" has another \
         passcode"
    );
    assert_eq!(
        with("login", "gest"),
        "--set route.stomp.service_login.login: there is no user of \"main\" named \"gest\"; \
         did you mean \"guest\"?"
    );
}

// ---- files and documents ------------------------------------------------------------------------

/// The keys of a RabbitMQ, sorted.
pub(crate) fn keys_of_rabbitmq() -> Vec<String> {
    let text = with_keys("there-is-no-such-key = 1\nurl = 'amqp://a'");
    let refused = file(&text).refusal();
    let mut keys: Vec<_> = known_keys(&refused).chain(["kind"]).map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn the_example_is_valid_and_names_every_key_of_a_rabbitmq_with_its_default() {
    assert_eq!(keys_named(EXAMPLE, "broker.main"), keys_of_rabbitmq());
    each_key_has_a_comment(EXAMPLE);

    let localhost = vec!["amqp://localhost".parse().unwrap()];
    let defaults = Rabbitmq { url: localhost, ..Rabbitmq::default() };
    let config = file(EXAMPLE).loaded();
    assert_eq!(rabbitmq(&config), &defaults);
    assert_eq!(config.route["stomp"].service_login, None);

    // A file of authorities asks for a broker that speaks TLS.
    let text = uncommented(EXAMPLE);
    let set = ["broker.main.url=amqps://localhost", "broker.main.tls_ca=tests/config/ca.pem"];
    let config = Given { set: &set, ..file(&text) }.loaded();
    let broker = rabbitmq(&config);
    let expected = Rabbitmq { url: broker.url.clone(), tls_ca: broker.tls_ca.clone(), ..defaults };
    assert_eq!(broker, &expected);
    assert_eq!(broker.tls_ca.as_deref(), Some(Path::new("tests/config/ca.pem")));
    let service = config.route["stomp"].service_login.as_ref().unwrap();
    assert_eq!(service.verify, Verify::Broker);
}

#[test]
fn what_is_printed_of_a_rabbitmq_loads_again() {
    let config =
        file(&with_keys("url = ['amqp://a', 'amqps://b']\ntls_ca = 'tests/config/ca.pem'"))
            .loaded();
    assert_eq!(file(&config.to_toml().unwrap()).loaded(), config);
}

#[test]
fn the_document_describes_every_key_of_a_rabbitmq() {
    document_describes("## `[broker.NAME]` of a RabbitMQ", &keys_of_rabbitmq());
}
