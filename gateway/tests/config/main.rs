//! Configuration as an operator meets it: layers and their order, every refusal word for word, and
//! the texts that describe it.

mod guides;
mod rabbitmq;
mod realms;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gateway::cli::{Cli, Request};
use gateway::config::units::{ByteSize, Millis};
use gateway::config::{
    Action, Broker, Config, Disclose, Embedded, Exchange, ExchangeKind, LogFormat, Match, Outgoing,
    Realm, Role, RpcPayload, Rule, Sources, Stomp, Verify,
};
use protocols::auth::Secret;
use protocols::registry::SessionSetup;
use protocols::session::Session;
use protocols::stomp::compat::{Compat, Switch};
use protocols::{Registry, Subprotocol};

const BUILTIN: &str = include_str!("../../config/gateway.toml");
const DOCUMENT: &str = include_str!("../../docs/CONFIGURATION.md");

/// The least a file can say. Bad lines are put before it, so that they are the first lines.
const LEAST: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[route.stomp]
listener = "web"
protocols = ["stomp"]
broker = "main"
[broker.main]
kind = "embedded"
"#;

struct Given<'a> {
    file: Option<&'a str>,
    env: &'a [(&'a str, &'a str)],
    set: &'a [&'a str],
}

const NOTHING: Given<'static> = Given { file: None, env: &[], set: &[] };

impl Given<'_> {
    fn load(&self) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("gateway.toml");
        if let Some(text) = self.file {
            std::fs::write(&path, text).expect("a file");
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(*value));
        let sources = Sources {
            file: self.file.map(|_| path),
            env: self.env.iter().map(owned).collect(),
            set: self.set.iter().map(|set| (*set).to_owned()).collect(),
        };
        let shown_directory = format!("{}/", directory.path().display());
        Config::load(&sources, &Registry::standard())
            .map_err(|errors| errors.to_string().replace(&shown_directory, ""))
    }

    fn loaded(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn refusal(&self) -> String {
        match self.load() {
            Ok(_) => panic!("loaded {:?} under {:?} and {:?}", self.file, self.env, self.set),
            Err(errors) => errors,
        }
    }
}

fn file(text: &str) -> Given<'_> {
    Given { file: Some(text), ..NOTHING }
}

fn set<'a>(assignments: &'a [&'a str]) -> Given<'a> {
    Given { set: assignments, ..NOTHING }
}

fn embedded(config: &Config) -> &Embedded {
    let Broker::Embedded(broker) = &config.broker["main"] else {
        panic!("{config:?}");
    };
    broker
}

// ---- refusals -----------------------------------------------------------------------------------

/// Lines put before [`LEAST`], and the refusal, word for word.
const BAD_LINES: &[(&str, &str)] = &[
    ("[listner.web]", "gateway.toml:1: listner: unknown section; did you mean \"listener\"?"),
    (
        "[tls]\n[listener.b]\nbind = 'x:1'",
        "gateway.toml:1: tls: unknown section; \
         known: admin, broker, drain, listener, log, realm, route\n\
         gateway.toml:3: listener.b.bind: expected address:port, got \"x:1\"",
    ),
    ("[log]\nlevel = 'info'", "gateway.toml:2: log.level: unknown key; known: filter, format"),
    (
        "[log]\nformat = 'jsn'",
        "gateway.toml:2: log.format: expected \"text\" or \"json\", got \"jsn\"",
    ),
    ("[log]\nformat = 1", "gateway.toml:2: log.format: expected text in quotes, got 1"),
    (
        "[log]\nfilter = 'info,gateway=loud'",
        "gateway.toml:2: log.filter: expected a filter such as \"info\" or \"warn,gateway=debug\", \
         got \"info,gateway=loud\"",
    ),
    (
        "[log]\nfilter = 'inof'",
        "gateway.toml:2: log.filter: expected a filter such as \"info\" or \"warn,gateway=debug\", \
         got \"inof\"",
    ),
    ("log = 'debug'", "gateway.toml:1: log: expected a table, got text"),
    ("[admin]\nbind = true", "gateway.toml:2: admin.bind: expected text in quotes, got true"),
    (
        "[admin]\nbind = 'localhost:1'",
        "gateway.toml:2: admin.bind: expected address:port or \"off\", got \"localhost:1\"",
    ),
    (
        "[drain]\ngrace = 10",
        "gateway.toml:2: drain.grace: expected a time such as \"250ms\", \"10s\" or \"5m\", got 10",
    ),
    (
        "[drain]\ngrace = '10'",
        "gateway.toml:2: drain.grace: \
         expected a time such as \"250ms\", \"10s\" or \"5m\", got \"10\"",
    ),
    (
        "[drain]\ngrace = '9000h'",
        "gateway.toml:2: drain.grace: expected a time of at most \"8760h\", got \"9000h\"",
    ),
    (
        "[drain]\ngrace = '2s'\nspread = '3s'",
        "gateway.toml:3: drain.spread: expected at most grace (2s), got 3s",
    ),
    ("[drain\n", "gateway.toml:1: not valid TOML: unclosed table, expected `]`"),
    ("[log]\n[log]", "gateway.toml:2: not valid TOML: duplicate key"),
    (
        "[log]\nfilter = debug",
        "gateway.toml:2: not valid TOML: string values must be quoted, expected literal string",
    ),
    (
        "[listener.b]\nmax_connections = 5",
        "gateway.toml:1: listener.b.bind: missing; this key has no default",
    ),
    (
        "[route.b]\npath = '/b'",
        "gateway.toml:1: route.b.listener: missing; this key has no default\n\
         gateway.toml:1: route.b.protocols: missing; this key has no default\n\
         gateway.toml:1: route.b.broker: missing; this key has no default",
    ),
    (
        "[realm.r]",
        "gateway.toml:1: realm.r.broker: missing; this key has no default\n\
         gateway.toml:1: realm.r.login: missing; this key has no default\n\
         gateway.toml:1: realm.r.passcode: missing; this key has no default",
    ),
    ("[broker.b]", "gateway.toml:1: broker.b.kind: missing; this key has no default"),
    (
        "[broker.b]\nkind = 'embeded'",
        "gateway.toml:2: broker.b.kind: expected \"embedded\" or \"rabbitmq\", got \"embeded\"",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nspool = 5",
        "gateway.toml:3: broker.b.spool: unknown key; \
         known: exchange, link_buffer, loopback_users, max_argument_bytes, max_private_queues, \
         max_queues, max_topic_hashes, max_topic_words, memory_limit, private_queue_bytes, resume_bytes, resume_messages, user, vhosts",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.exchange.x]\nkind = 'topics'",
        "gateway.toml:4: broker.b.exchange.x.kind: \
         expected \"direct\" or \"fanout\" or \"topic\" or \"headers\", got \"topics\"",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.exchange.x]\nvhosts = ['/']",
        "gateway.toml:3: broker.b.exchange.x.kind: missing; this key has no default",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nmemory_limit = '64KB'",
        "gateway.toml:3: broker.b.memory_limit: \
         expected a number of bytes such as 65536, \"64KiB\" or \"4MiB\", got \"64KB\"",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nmemory_limit = -1",
        "gateway.toml:3: broker.b.memory_limit: \
         expected a number of bytes such as 65536, \"64KiB\" or \"4MiB\", got -1",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nmemory_limit = '2000GiB'",
        "gateway.toml:3: broker.b.memory_limit: expected at most \"1024GiB\", got \"2000GiB\"",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nmax_queues = 0",
        "gateway.toml:3: broker.b.max_queues: expected at least 1, got 0",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nmax_queues = 5000000000",
        "gateway.toml:3: broker.b.max_queues: expected at most 4294967295, got 5000000000",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nlink_buffer = 0",
        "gateway.toml:3: broker.b.link_buffer: expected at least 1 byte, got 0",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nvhosts = '/'",
        "gateway.toml:3: broker.b.vhosts: expected a list such as [\"a\", \"b\"], got \"/\"",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nvhosts = ['/', 7]",
        "gateway.toml:3: broker.b.vhosts: expected text in quotes, got 7",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nvhosts = []",
        "gateway.toml:3: broker.b.vhosts: expected at least one virtual host, got none",
    ),
    (
        "[broker.b]\nkind = 'embedded'\nvhosts = ['/', '/a', '/']",
        "gateway.toml:3: broker.b.vhosts: \"/\" is listed twice",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.user.ann]\npasscode = 12345",
        "gateway.toml:4: broker.b.user.ann.passcode: expected text in quotes, got a number",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.user.ann]\npascode = 'x'",
        "gateway.toml:4: broker.b.user.ann.pascode: unknown key; did you mean \"passcode\"?\n\
         gateway.toml:3: broker.b.user.ann.passcode: missing; this key has no default",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.user]\nann = 'hunter2'",
        "gateway.toml:4: broker.b.user.ann: expected a table, got text",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.user.ann]\npasscode = ''",
        "gateway.toml:4: broker.b.user.ann.passcode: expected a passcode, got an empty text",
    ),
    (
        "[broker.b]\nkind = 'embedded'\n[broker.b.user.'a b']\npasscode = 'x'\nvhosts = ['/b']",
        "gateway.toml:5: broker.b.user.\"a b\".vhosts: \
         there is no virtual host named \"/b\"; did you mean \"/\"?",
    ),
    (
        "[broker.Main]\nkind = 'embedded'",
        "gateway.toml:1: broker.Main: expected a name of a-z, 0-9, - and _, got \"Main\"",
    ),
    (
        "[listener.idle]\nbind = '127.0.0.1:0'",
        "gateway.toml:1: listener.idle: no route names this listener; \
         add a route with listener = \"idle\" or remove it",
    ),
    (
        "[admin]\nbind = '127.0.0.1:7'\n[listener.b]\nbind = '0.0.0.0:7'\n\
         [route.b]\nlistener = 'b'\nprotocols = ['stomp']\nbroker = 'main'",
        "gateway.toml:2: admin.bind: 127.0.0.1:7 is taken by listener.b.bind",
    ),
    (
        "[route.b]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'\npath = '/b'\n\
         default_login = 'guest'",
        "gateway.toml:6: route.b.default_login: \
         works only together with default_passcode, which is not set",
    ),
    (
        "[route.b]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'\npath = '/b'\n\
         default_passcode = 'guest'",
        "gateway.toml:6: route.b.default_passcode: \
         works only together with default_login, which is not set",
    ),
    (
        "[route.b]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'\npath = '/b'\n\
         [route.b.service_login]\nverify = 'broker'",
        "gateway.toml:6: route.b.service_login.login: missing; this key has no default",
    ),
    (
        "[route.b]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'\npath = '/b'\n\
         service_login = { login = '', passcode = '' }",
        "gateway.toml:6: route.b.service_login.login: expected a login, got an empty text\n\
         gateway.toml:6: route.b.service_login.passcode: expected a passcode, got an empty text",
    ),
    (
        "[listener.b]\nbind = '127.0.0.1:0'\ntransport = 'wamp-rawsockets'",
        "gateway.toml:3: listener.b.transport: expected \"websocket\" or \"stomp-tcp\" or \
         \"wamp-rawsocket\", got \"wamp-rawsockets\"",
    ),
    (
        "[listener.b]\nbind = '127.0.0.1:0'\ntransport = 'stomp-tcp'\n\
         [route.b]\nlistener = 'b'\nprotocols = ['stomp', 'wamp']\nbroker = 'main'\n\
         [realm.r]\nbroker = 'main'\nlogin = 'guest'\npasscode = 'guest'",
        "gateway.toml:6: route.b.protocols: expected [\"stomp\"], all that \
         transport = \"stomp-tcp\" carries, got [\"stomp\", \"wamp\"]",
    ),
    (
        "[listener.b]\nbind = '127.0.0.1:0'\ntransport = 'wamp-rawsocket'\n\
         [route.b]\nlistener = 'b'\nprotocols = ['stomp']\nbroker = 'main'\n\
         max_message_size = 511\n[route.b.limits]\nframe_size = 500\n\
         frame_size_before_login = 500\n\
         [route.c]\nlistener = 'b'\nprotocols = ['wamp']\nbroker = 'main'\n\
         [realm.r]\nbroker = 'main'\nlogin = 'guest'\npasscode = 'guest'",
        "gateway.toml:6: route.b.protocols: expected [\"wamp\"], all that \
         transport = \"wamp-rawsocket\" carries, got [\"stomp\"]\n\
         gateway.toml:10: route.b.limits.frame_size: \
         expected at least 512, the least that RawSocket can say, got 500\n\
         gateway.toml:8: route.b.max_message_size: \
         expected at least 512, the least that RawSocket can say, got 511\n\
         gateway.toml:13: route.c.listener: expected a listener of its own: \
         one with transport = \"wamp-rawsocket\" has one route, got \"b\"",
    ),
    (
        "[route.a]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'",
        "gateway.toml:7: route.stomp.path: listener \"web\" serves path \"/ws\" for route.a already",
    ),
];

#[test]
fn a_bad_file_is_refused_with_place_expectation_and_what_came() {
    for (lines, refusal) in BAD_LINES {
        assert_eq!(file(&format!("{lines}{LEAST}")).refusal(), *refusal, "for {lines}");
    }
}

/// Assignments over the built-in configuration, and the refusal after `--set KEY: `.
const BAD_ASSIGNMENTS: &[(&str, &str)] = &[
    ("route.stomp.brokr=main", "unknown key; did you mean \"broker\"?"),
    ("route.stomp.broker=mian", "there is no broker named \"mian\"; did you mean \"main\"?"),
    ("route.stomp.listener=tcp", "there is no listener named \"tcp\"; known: web"),
    (
        "route.stomp.path=ws",
        "expected a path such as \"/ws\", percent-encoded, without \"?\" and \"#\", got \"ws\"",
    ),
    (
        "route.stomp.path=/ws?a",
        "expected a path such as \"/ws\", percent-encoded, without \"?\" and \"#\", got \"/ws?a\"",
    ),
    (
        "route.stomp.path=/a b",
        "expected a path such as \"/ws\", percent-encoded, without \"?\" and \"#\", got \"/a b\"",
    ),
    ("route.stomp.protocols=[]", "expected at least one protocol, got none"),
    ("route.stomp.protocols=stomp", "expected a list such as [\"a\", \"b\"], got \"stomp\""),
    (
        "route.stomp.protocols=['stmp']",
        "there is no protocol named \"stmp\"; did you mean \"stomp\"?",
    ),
    ("route.stomp.protocols=['stomp', 'stomp']", "\"stomp\" is listed twice"),
    ("route.stomp.vhost=/other", "there is no virtual host of \"main\" named \"/other\"; known: /"),
    (
        "route.stomp.compat=plugin",
        "expected \"rabbitmq\", or a list of switches such as [\"open-after-error\"], got \"plugin\"",
    ),
    (
        "route.stomp.compat=['escape']",
        "expected \"open-after-error\" or \"connection-acks\" or \"restarted-transactions\" or \
         \"ignored-bodies\" or \"escapes\" or \"slash-escapes\" or \"prefetch\" or \"durable-names\" \
         or \"persistent-queues\" or \"fewer-arguments\" or \"nack-in-1.0\" or \
         \"own-queues\" or \"any-subprotocol\", got \"escape\"",
    ),
    ("route.stomp.max_message_size=0", "expected at least 1 byte, got 0"),
    (
        "route.stomp.limits.frame_size=1KiB",
        "expected at least frame_size_before_login (64KiB), got 1KiB",
    ),
    ("route.stomp.limits.frame_size_before_login=0", "expected at least 1 byte, got 0"),
    ("route.stomp.limits.header_count=0", "expected at least 1, got 0"),
    ("route.stomp.limits.header_count=-1", "expected a whole number, got -1"),
    ("route.stomp.limits.header_count=1.5", "expected a whole number, got 1.5"),
    ("route.stomp.limits.login_timeout=0s", "expected at least 1ms, got 0s"),
    ("route.stomp.stomp.heartbeat_min=99ms", "expected at least 100ms, got 99ms"),
    ("route.stomp.stomp.heartbeat_max=999ms", "expected at least heartbeat_min (1s), got 999ms"),
    ("route.stomp.stomp.heartbeat_default=1ms", "expected at least heartbeat_min (1s), got 1ms"),
    ("route.stomp.stomp.heartbeat_default=5m", "expected at most heartbeat_max (1m), got 5m"),
    ("route.stomp.stomp.prefetch=0", "expected at least 1, got 0"),
    ("route.stomp.stomp.prefetch=70000", "expected a whole number up to 65535, got 70000"),
    ("route.stomp.stomp.max_prefetch=99", "expected at least prefetch (100), got 99"),
    ("route.stomp.stomp.max_resume=169h", "expected at most 168h, got 169h"),
    ("route.stomp.stomp.outgoing=txt", "expected \"auto\" or \"text\" or \"binary\", got \"txt\""),
    ("route.stomp.stomp.server_header=yes", "expected true or false, got \"yes\""),
    ("listener.web.max_connections=many", "expected a whole number, got \"many\""),
    ("listener.web.socket_send_buffer=0", "expected at least 1 byte, got 0"),
    ("listener.web.socket_send_buffer=1GiB", "expected at most 512MiB, got 1GiB"),
    ("listener.web.max_connections=007", "expected a whole number, got \"007\""),
    ("listener.web.bind.port=1", "listener.web.bind: expected text in quotes, got a table"),
    ("listener=web", "expected a table, got text"),
    ("route.stomp.service_login=svc:hunter2", "expected a table, got text"),
    ("broker.main.user=ann:hunter2", "expected a table, got text"),
    (
        "broker.main.loopback_users=['gest']",
        "there is no user of \"main\" named \"gest\"; did you mean \"guest\"?",
    ),
    ("broker.main.loopback_users=['guest', 'guest']", "\"guest\" is listed twice"),
    ("broker.main.kind=rabbit", "expected \"embedded\" or \"rabbitmq\", got \"rabbit\""),
    ("logg.filter=info", "logg: unknown section; did you mean \"log\"?"),
];

#[test]
fn a_bad_flag_is_refused_with_the_flag_in_front() {
    for (assignment, refusal) in BAD_ASSIGNMENTS {
        let (key, _) = assignment.split_once('=').unwrap();
        let expected = format!("--set {key}: {refusal}");
        assert_eq!(set(&[assignment]).refusal(), expected, "for {assignment}");
    }
}

/// A variable over the built-in configuration, and the refusal after `environment NAME: `.
const BAD_VARIABLES: &[(&str, &str, &str)] = &[
    ("GATEWAY_LISTENER__WEB__BIND", "nowhere", "expected address:port, got \"nowhere\""),
    (
        "GATEWAY_LISTENER__WEB__MAX_CONECTIONS",
        "5",
        "unknown key; did you mean \"max_connections\"?",
    ),
    ("GATEWAY_LISTENER__WEB__MAX_CONNECTIONS", "", "expected a whole number, got \"\""),
    (
        "GATEWAY_LISTENER__TCP__MAX_CONNECTIONS",
        "5",
        "listener.tcp.bind: missing; this key has no default",
    ),
    (
        "GATEWAY__X",
        "1",
        "expected one underscore before the section, as in GATEWAY_LISTENER__WEB__BIND",
    ),
    (
        "GATEWAY___LOG__FILTER",
        "info",
        "expected one underscore before the section, as in GATEWAY_LISTENER__WEB__BIND",
    ),
    ("GATEWAY_LOGG__FILTER", "info", "logg: unknown section; did you mean \"log\"?"),
    (
        "GATEWAY_LOG_FILTER",
        "info",
        "expected two underscores between section, name and key, as in GATEWAY_LISTENER__WEB__BIND",
    ),
    (
        "GATEWAY_ROUTE__STOMP__STOMP__PREFETCH",
        "x",
        "expected a whole number up to 65535, got \"x\"",
    ),
];

#[test]
fn a_bad_variable_is_refused_with_its_name_in_front() {
    for (name, value, refusal) in BAD_VARIABLES {
        let refused = Given { env: &[(name, value)], ..NOTHING }.refusal();
        assert_eq!(refused, format!("environment {name}: {refusal}"));
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![b'a', 0xFF]);
    let env = vec![("GATEWAY_LOG__FILTER".to_owned(), value)];
    let sources = Sources { env, ..Sources::default() };
    let refused = Config::load(&sources, &Registry::standard()).unwrap_err();
    assert_eq!(refused.to_string(), "environment GATEWAY_LOG__FILTER: expected UTF-8 text");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_named() {
    let sources = Sources { file: Some("/nowhere/at/all.toml".into()), ..Sources::default() };
    let refused = Config::load(&sources, &Registry::standard()).unwrap_err().to_string();
    assert!(refused.starts_with("/nowhere/at/all.toml: cannot be read: "), "{refused}");
}

#[test]
fn a_file_that_says_nothing_is_told_what_it_needs() {
    assert_eq!(
        file("").refusal(),
        "gateway.toml: listener: expected at least one table [listener.NAME]\n\
         gateway.toml: route: expected at least one table [route.NAME]"
    );
}

#[test]
fn an_assignment_without_a_value_is_refused() {
    assert_eq!(set(&["log.filter"]).refusal(), "--set: expected SECTION.NAME.KEY=VALUE");
}

#[test]
fn problems_of_all_sources_and_tables_come_in_one_go() {
    let text = format!(
        "[drain]\ngrace = 5\nspred = '1s'\n[listener.b]\nbind = 7\nclose_timeout = 8\n{LEAST}"
    );
    let given = Given {
        file: Some(&text),
        env: &[("GATEWAY_ADMIN__BIND", "here")],
        set: &["log.colour=true", "route.stomp.limits.transactions=few"],
    };
    assert_eq!(
        given.refusal(),
        "gateway.toml:5: listener.b.bind: expected text in quotes, got 7\n\
         gateway.toml:6: listener.b.close_timeout: \
         expected a time such as \"250ms\", \"10s\" or \"5m\", got 8\n\
         --set route.stomp.limits.transactions: expected a whole number, got \"few\"\n\
         environment GATEWAY_ADMIN__BIND: expected address:port or \"off\", got \"here\"\n\
         gateway.toml:2: drain.grace: expected a time such as \"250ms\", \"10s\" or \"5m\", got 5\n\
         gateway.toml:3: drain.spred: unknown key; did you mean \"spread\"?\n\
         --set log.colour: unknown key; known: filter, format"
    );
}

#[test]
fn sources_that_cannot_be_understood_come_in_one_go_too() {
    let given =
        Given { file: Some("=\n"), env: &[("GATEWAY_DRAIN_GRACE", "5s")], set: &["nothing"] };
    let refused = given.refusal();
    let places: Vec<_> =
        refused.lines().filter_map(|line| line.split_once(": ")).map(|it| it.0).collect();
    assert_eq!(places, ["gateway.toml:1", "environment GATEWAY_DRAIN_GRACE", "--set"]);
}

#[test]
fn a_default_that_another_key_makes_wrong_is_located_at_its_table() {
    let text = format!("{LEAST}[route.stomp.limits]\nframe_size_before_login = '5MiB'\n");
    assert_eq!(
        file(&text).refusal(),
        "gateway.toml:10: route.stomp.limits.frame_size: \
         expected at least frame_size_before_login (5MiB), got 4MiB"
    );
}

#[test]
fn a_default_login_its_broker_would_refuse_is_refused() {
    let with = |assignments: &[&str]| set(assignments).refusal();
    assert_eq!(
        with(&["route.stomp.default_login=gest", "route.stomp.default_passcode=guest"]),
        "--set route.stomp.default_login: there is no user of \"main\" named \"gest\"; \
         did you mean \"guest\"?"
    );
    assert_eq!(
        with(&["route.stomp.default_login=guest", "route.stomp.default_passcode=hunter2"]),
        "--set route.stomp.default_passcode: user \"guest\" of broker \"main\" has another passcode"
    );
    assert_eq!(
        with(&[
            "route.stomp.default_login=guest",
            "route.stomp.default_passcode=guest",
            "broker.main.vhosts=['/', '/a']",
            "broker.main.user.guest.vhosts=['/a']",
            "realm.realm1.vhost=/a",
        ]),
        "--set route.stomp.default_login: \
         user \"guest\" of broker \"main\" may not use virtual host \"/\""
    );
}

#[test]
fn exchanges_of_the_embedded_broker_are_declared_by_name() {
    let text = |name: &str, vhost: &str| {
        format!(
            "[broker.main]\nkind = 'embedded'\n[broker.main.exchange.{name}]\nkind = 'headers'\n\
             vhosts = ['{vhost}']\n[listener.web]\nbind = '127.0.0.1:0'\n\
             [route.a]\nlistener = 'web'\nprotocols = ['stomp']\nbroker = 'main'"
        )
    };
    let config = file(&text("orders", "/")).loaded();
    let expected = Exchange {
        kind: ExchangeKind::Headers,
        internal: false,
        vhosts: Some(vec!["/".to_owned()]),
    };
    assert_eq!(embedded(&config).exchange["orders"], expected);
    let refusal = |name, vhost| file(&text(name, vhost)).refusal();
    assert_eq!(
        refusal("orders", "/a"),
        "gateway.toml:5: broker.main.exchange.orders.vhosts: there is no virtual host named \"/a\"; \
         did you mean \"/\"?"
    );
    assert_eq!(
        refusal("'amq.mine'", "/"),
        "gateway.toml:3: broker.main.exchange.\"amq.mine\": \
         expected a name that does not begin with \"amq.\", got \"amq.mine\""
    );
}

#[test]
fn addresses_clash_by_port_and_reach_but_never_on_port_zero() {
    let second = |bind: &str, other: &str| {
        let text = format!(
            "[admin]\nbind = 'off'\n[listener.a]\nbind = '{bind}'\n[listener.b]\nbind = '{other}'\n\
             [route.a]\nlistener = 'a'\nprotocols = ['stomp']\nbroker = 'main'\n\
             [route.b]\nlistener = 'b'\nprotocols = ['stomp']\nbroker = 'main'\n{LEAST}"
        );
        file(&text).load().map(|_| ())
    };
    let taken = |address: &str| {
        Err(format!("gateway.toml:6: listener.b.bind: {address} is taken by listener.a.bind"))
    };
    assert_eq!(second("127.0.0.1:7", "127.0.0.1:7"), taken("127.0.0.1:7"));
    assert_eq!(second("0.0.0.0:7", "10.0.0.1:7"), taken("10.0.0.1:7"));
    assert_eq!(second("[::1]:7", "[::]:7"), taken("[::]:7"));
    assert_eq!(second("127.0.0.1:7", "127.0.0.2:7"), Ok(()));
    assert_eq!(second("0.0.0.0:7", "[::1]:7"), Ok(()));
    assert_eq!(second("0.0.0.0:0", "0.0.0.0:0"), Ok(()));
}

#[test]
fn a_configuration_from_code_is_checked_by_key() {
    let mut config = Config::builtin();
    config.route.get_mut("stomp").unwrap().broker = "main2".to_owned();
    config.listener.get_mut("web").unwrap().max_connections = usize::MAX;
    let refused = config.validate(&Registry::standard()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "listener.web.max_connections: expected at most 4294967295, got {}\n\
             route.stomp.broker: there is no broker named \"main2\"; did you mean \"main\"?",
            usize::MAX
        )
    );
    assert_eq!(refused.iter().count(), 2);
}

#[test]
fn a_protocol_of_an_embedder_is_known_once_it_is_registered() {
    struct Echo;
    impl Subprotocol for Echo {
        fn id(&self) -> &'static str {
            "echo"
        }
        fn names(&self) -> &'static [&'static str] {
            &["echo"]
        }
        fn open(&self, _: SessionSetup) -> Box<dyn Session> {
            unreachable!("configuration opens no session")
        }
    }
    let mut config = Config::builtin();
    config.route.get_mut("stomp").unwrap().protocols = vec!["echo".to_owned()];
    config.validate(&Registry::standard().with(Arc::new(Echo))).unwrap();
    config.validate(&Registry::standard()).unwrap_err();
}

// ---- layers -------------------------------------------------------------------------------------

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file_which_wins_over_defaults() {
    let text = format!("[log]\nfilter = 'warn'\n{LEAST}");
    let env = [("GATEWAY_LOG__FILTER", "debug"), ("PATH", "/bin"), ("GATEWAY_LOG__FORMAT", "json")];
    let set = ["log.filter=error", "log.filter=trace"];
    let filter = |given: Given<'_>| given.loaded().log.filter;
    assert_eq!(filter(file(LEAST)), "info");
    assert_eq!(filter(file(&text)), "warn");
    assert_eq!(filter(Given { env: &env, ..file(&text) }), "debug");
    assert_eq!(filter(Given { env: &env, set: &set[..1], ..file(&text) }), "error");
    assert_eq!(filter(Given { env: &env, set: &set, ..file(&text) }), "trace");
    assert_eq!(Given { env: &env, ..file(&text) }.loaded().log.format, LogFormat::Json);
}

#[test]
fn variables_and_flags_reach_every_type_of_key() {
    let config = Given {
        env: &[
            ("GATEWAY_LISTENER__WEB__BIND", "[::1]:0"),
            ("GATEWAY_LISTENER__WEB__MAX_CONNECTIONS", "12"),
            ("GATEWAY_LISTENER__WEB__OUTPUT_HIGH_WATER", "4096"),
            ("GATEWAY_ROUTE__STOMP__STOMP__SERVER_HEADER", "true"),
            ("GATEWAY_ROUTE__STOMP__STOMP__OUTGOING", "binary"),
            ("GATEWAY_ROUTE__STOMP__MAX_MESSAGE_SIZE", "5MiB"),
            ("GATEWAY_BROKER__MAIN__VHOSTS", "['/', '/b']"),
        ],
        set: &["admin.bind=off", "drain.grace=1500ms", "route.stomp.stomp.prefetch=7"],
        ..NOTHING
    }
    .loaded();
    let listener = &config.listener["web"];
    let route = &config.route["stomp"];
    assert_eq!(listener.bind, "[::1]:0".parse().unwrap());
    assert_eq!(listener.max_connections, 12);
    assert_eq!(listener.output_high_water, ByteSize(4_096));
    assert_eq!(route.max_message_size(), 5 << 20);
    let stomp =
        Stomp { server_header: true, outgoing: Outgoing::Binary, prefetch: 7, ..Stomp::default() };
    assert_eq!(route.stomp, stomp);
    assert_eq!(embedded(&config).vhosts, ["/", "/b"]);
    assert_eq!(config.admin.bind, None);
    assert_eq!(config.drain.grace, Millis(Duration::from_millis(1_500)));
}

#[test]
fn a_passcode_that_looks_like_a_number_or_a_list_stays_the_text_it_is() {
    for passcode in ["12345", "007", "1e5", "true", "['a']", "a=b", " x "] {
        let given = Given {
            env: &[
                ("GATEWAY_BROKER__MAIN__USER__ANN__PASSCODE", passcode),
                ("GATEWAY_ROUTE__STOMP__DEFAULT_LOGIN", "007"),
                ("GATEWAY_ROUTE__STOMP__DEFAULT_PASSCODE", passcode),
            ],
            set: &[&format!("broker.main.user.007.passcode={passcode}")],
            ..NOTHING
        };
        let config = given.loaded();
        let expected = Secret::new(passcode);
        assert_eq!(embedded(&config).user["ann"].passcode, expected);
        assert_eq!(embedded(&config).user["007"].passcode, expected);
        assert_eq!(config.route["stomp"].default_login.as_deref(), Some("007"));
        assert_eq!(config.route["stomp"].default_passcode, Some(expected));
    }
}

#[test]
fn variables_of_orchestrators_are_passed_over() {
    let env = [
        ("GATEWAY_PORT", "tcp://10.0.0.1:15674"),
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_PORT_15674_TCP_ADDR", "10.0.0.1"),
        ("GATEWAY_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ("GATEWAY_ADMIN_PORT", "tcp://10.0.0.2:15679"),
    ];
    assert_eq!(Given { env: &env, ..NOTHING }.loaded(), Config::builtin());
}

#[test]
fn a_user_named_anywhere_takes_the_place_of_the_default_user() {
    let env = [("GATEWAY_BROKER__MAIN__USER__ANN__PASSCODE", "x")];
    let logins =
        |given: Given<'_>| embedded(&given.loaded()).user.keys().cloned().collect::<Vec<_>>();
    assert_eq!(logins(file(LEAST)), ["guest"]);
    assert_eq!(logins(Given { env: &env, ..file(LEAST) }), ["ann"]);
    assert_eq!(logins(Given { env: &env, ..NOTHING }), ["ann", "guest"]);
}

// ---- what is shown ------------------------------------------------------------------------------

const SECRETS: Given<'static> = Given {
    file: None,
    env: &[
        ("GATEWAY_BROKER__MAIN__USER__ANN__PASSCODE", "hunter2"),
        ("GATEWAY_ROUTE__STOMP__DEFAULT_LOGIN", "ann"),
        ("GATEWAY_ROUTE__STOMP__DEFAULT_PASSCODE", "hunter2"),
        ("GATEWAY_ADMIN__BIND", "off"),
        ("GATEWAY_ROUTE__STOMP__SERVICE_LOGIN__LOGIN", "ann"),
        ("GATEWAY_ROUTE__STOMP__SERVICE_LOGIN__PASSCODE", "hunter2"),
        ("GATEWAY_ROUTE__STOMP__MAX_MESSAGE_SIZE", "123"),
        ("GATEWAY_REALM__REALM1__DECOY_KEY", "hunter2"),
        ("GATEWAY_REALM__REALM1__USER__BOB__ROLE", "anonymous"),
        ("GATEWAY_REALM__REALM1__USER__BOB__TICKET", "hunter2"),
        ("GATEWAY_REALM__REALM1__USER__BOB__SECRET", "hunter2"),
    ],
    set: &["broker.main.user.ann.vhosts=['/']", "route.stomp.limits.transaction_bytes=1234"],
};

#[test]
fn what_is_printed_loads_again_as_the_same_configuration_but_for_the_secrets() {
    let config = SECRETS.loaded();
    let printed = config.to_toml().unwrap();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(printed.matches("passcode = \"[redacted]\"\n").count(), 5, "{printed}");
    assert_eq!(printed.matches("= \"[redacted]\"\n").count(), 8, "{printed}");

    let mut again = file(&printed).loaded();
    let Broker::Embedded(broker) = again.broker.get_mut("main").unwrap() else {
        panic!("{printed}");
    };
    broker.user.get_mut("guest").unwrap().passcode = Secret::new("guest");
    broker.user.get_mut("ann").unwrap().passcode = Secret::new("hunter2");
    let route = again.route.get_mut("stomp").unwrap();
    route.default_passcode = Some(Secret::new("hunter2"));
    route.service_login.as_mut().unwrap().passcode = Secret::new("hunter2");
    let realm = again.realm.get_mut("realm1").unwrap();
    realm.passcode = Secret::new("guest");
    realm.decoy_key = Some(Secret::new("hunter2"));
    let bob = realm.user.get_mut("bob").unwrap();
    bob.ticket = Some(Secret::new("hunter2"));
    bob.secret = Some(Secret::new("hunter2"));
    assert_eq!(again, config);
}

#[test]
fn debug_output_of_a_configuration_holds_no_secret() {
    let shown = format!("{:?}", SECRETS.loaded());
    assert!(shown.contains("ann") && shown.contains("[redacted]"));
    assert!(!shown.contains("hunter2"));
}

#[test]
fn refusals_show_no_secret_wherever_it_was_put() {
    for assignment in [
        "broker.main.user.ann=hunter2",
        "broker.main.user=hunter2",
        "broker.main=hunter2",
        "broker.main.user.ann.passcode.x=hunter2",
        "broker.main.user.ann.pass=hunter2",
        "route.stomp.default_passcode=hunter2",
        "route.stomp.service_login=hunter2",
        "route.stomp.service_login.passcode=hunter2",
        "route.stomp.service_login.passcode.x=hunter2",
        "realm.realm1.user.ann=hunter2",
        "realm.realm1.user.ann.ticket.x=hunter2",
        "realm.realm1.user.ann.secret=hunter2",
        "realm.realm1.passcode=hunter2",
        "realm.realm1.decoy_key.x=hunter2",
        "hunter2",
    ] {
        let refused = set(&[assignment]).refusal();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

// ---- the command line ---------------------------------------------------------------------------

fn request(arguments: &[&str]) -> Result<Request, String> {
    let arguments = ["gateway"].iter().chain(arguments);
    let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
    let environment = [("GATEWAY_DRAIN__GRACE", "7s")];
    cli.request_in(environment, &Registry::standard()).map_err(|errors| errors.to_string())
}

#[test]
fn the_command_line_runs_checks_or_prints() {
    let Ok(Request::Run(config)) = request(&["--set", "log.filter=warn"]) else {
        panic!("nothing else was asked for");
    };
    assert_eq!((config.log.filter.as_str(), config.drain.grace), ("warn", Millis::seconds(7)));

    let valid = Request::Print("configuration is valid\n".to_owned());
    assert_eq!(request(&["--check"]), Ok(valid));
    assert_eq!(
        request(&["--check", "--set", "log.filtr=warn"]),
        Err("--set log.filtr: unknown key; did you mean \"filter\"?".to_owned())
    );

    let printed = Request::Print(config.to_toml().unwrap());
    assert_eq!(request(&["--print-config", "--set", "log.filter=warn"]), Ok(printed));
    request(&["--check", "--print-config"]).unwrap_err();
}

#[test]
fn a_file_given_on_the_command_line_stands_in_for_the_built_in_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    std::fs::write(&path, LEAST.replace("127.0.0.1:0", "127.0.0.3:0")).unwrap();
    let Ok(Request::Run(config)) = request(&["--config", path.to_str().unwrap()]) else {
        panic!("the file is valid");
    };
    assert_eq!(config.listener["web"].bind, "127.0.0.3:0".parse().unwrap());
}

#[test]
fn compat_is_all_of_it_or_a_list() {
    let compat = |given: &str| {
        let config = set(&[&format!("route.stomp.compat={given}")]).loaded();
        let printed = file(&config.to_toml().unwrap()).loaded();
        assert_eq!(printed.route["stomp"].compat, config.route["stomp"].compat);
        config.route["stomp"].compat
    };
    assert_eq!(compat("rabbitmq"), Compat::RABBITMQ);
    assert_eq!(compat("[]"), Compat::NONE);
    let two = Compat::NONE.with(Switch::Escapes).with(Switch::OpenAfterError);
    assert_eq!(compat("['open-after-error', 'escapes']"), two);
}

#[test]
fn the_first_set_up_of_logging_holds_and_a_second_is_refused() {
    let log = Config::builtin().log;
    let _flow = gateway::telemetry::init(&log).unwrap();
    gateway::telemetry::init(&log).unwrap_err();
}

// ---- files and documents ------------------------------------------------------------------------

/// Every table there is, as in the built-in file.
const TABLES: &[&str] = &[
    "listener.web",
    "route.stomp",
    "route.stomp.service_login",
    "route.stomp.limits",
    "route.stomp.stomp",
    "route.stomp.wamp",
    "broker.main",
    "broker.main.exchange.orders",
    "broker.main.user.guest",
    "realm.realm1",
    "realm.realm1.rpc.sum",
    "realm.realm1.user.ann",
    "realm.realm1.role.anonymous.rule.everything",
    "admin",
    "drain",
    "log",
];

/// The keys of a table that are no tables themselves, as a refusal lists them.
fn keys_of(table: &str) -> Vec<String> {
    let refused = set(&[&format!("{table}.there-is-no-such-key=1")]).refusal();
    let kind = (table == "broker.main").then_some("kind");
    let tables: &[&str] = match table {
        "realm.realm1" => &["role", "rpc", "user"],
        "realm.realm1.rpc.sum" => &[],
        _ => &["exchange", "limits", "service_login", "stomp", "user", "wamp"],
    };
    known_keys(&refused)
        .chain(kind)
        .filter(|key| !tables.contains(key))
        .map(str::to_owned)
        .collect()
}

/// The keys that the refusal of an unknown one lists.
fn known_keys(refusal: &str) -> impl Iterator<Item = &str> {
    let (_, known) = refusal.split_once("unknown key; known: ").expect("a list of keys");
    known.lines().next().expect("a line").split(", ")
}

/// What follows the line `heading`, up to the next line that starts with `next`.
fn part<'a>(text: &'a str, heading: &str, next: &str) -> &'a str {
    let line = format!("\n{heading}\n");
    let (_, rest) = text.split_once(&line).unwrap_or_else(|| panic!("no {heading}"));
    rest.find(&format!("\n{next}")).map_or(rest, |end| &rest[..end])
}

/// Splits `key = value`, commented out or not.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    (!key.contains(' ')).then_some((key, value))
}

/// A file with the keys and tables that it leaves commented out.
fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| match (line.strip_prefix("# ["), assignment(line)) {
            (Some(table), _) => format!("[{table}\n"),
            (None, Some((key, value))) => format!("{key} = {value}\n"),
            (None, None) => format!("{line}\n"),
        })
        .collect()
}

/// The keys that a file has in a table, commented out or not.
fn keys_named(text: &str, table: &str) -> Vec<String> {
    let text = uncommented(text);
    let assignments = part(&text, &format!("[{table}]"), "[").lines().filter_map(assignment);
    let mut keys: Vec<_> = assignments.map(|(key, _)| key.to_owned()).collect();
    keys.sort();
    keys
}

#[test]
fn the_built_in_file_names_every_key_and_states_its_default_but_for_logins_and_the_realm() {
    for table in TABLES {
        let mut keys = keys_of(table);
        keys.sort();
        assert_eq!(keys_named(BUILTIN, table), keys, "[{table}]");
    }
    let least = LEAST.replace("127.0.0.1:0", "127.0.0.1:15674");
    let mut expected = file(&least).loaded();
    let route = expected.route.get_mut("stomp").unwrap();
    route.default_login = Some("guest".to_owned());
    route.default_passcode = Some(Secret::new("guest"));
    route.protocols = vec!["stomp".to_owned(), "wamp".to_owned()];
    expected.realm.insert("realm1".to_owned(), built_in_realm());
    assert_eq!(Config::builtin(), expected);
}

/// Open to anonymous clients of this host, who may do everything.
fn built_in_realm() -> Realm {
    use Action::{Call, Publish, Register, Subscribe};
    let everything = Rule {
        uri: String::new(),
        policy: Match::Prefix,
        allow: [Call, Publish, Register, Subscribe].into(),
        deny: [].into(),
        disclose: Disclose::Allow,
    };
    let role = Role { rule: [("everything".to_owned(), everything)].into() };
    let mut realm = Realm::at("main", "guest", "guest");
    realm.anonymous = Some("anonymous".to_owned());
    realm.role.insert("anonymous".to_owned(), role);
    realm
}

#[test]
fn every_key_of_the_built_in_file_has_a_comment_of_its_own() {
    each_key_has_a_comment(BUILTIN);
}

fn each_key_has_a_comment(text: &str) {
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        if assignment(pair[1]).is_some() {
            let comment = pair[0].strip_prefix("# ").is_some_and(|text| text.ends_with('.'));
            assert!(comment && assignment(pair[0]).is_none(), "above {}: {}", pair[1], pair[0]);
        }
    }
}

#[test]
fn what_the_built_in_file_leaves_commented_out_is_valid_too() {
    let text = uncommented(BUILTIN);
    let config = file(&text).loaded();
    let unset = Config::builtin().route["stomp"].max_message_size();
    assert_eq!(config.route["stomp"].max_message_size, Some(ByteSize(unset)));
    assert_eq!(config.route["stomp"].default_login.as_deref(), Some("guest"));
    let service = config.route["stomp"].service_login.as_ref().unwrap();
    assert_eq!((service.login.as_str(), service.verify), ("guest", Verify::Broker));
    assert_eq!(embedded(&config).exchange["orders"].kind, ExchangeKind::Topic);
    let sum = &config.realm["realm1"].rpc["sum"];
    assert_eq!((sum.payload, sum.exchange.as_str()), (RpcPayload::Envelope, ""), "the defaults");
    assert_eq!(sum.timeout, Millis::seconds(30));
    let ann = &config.realm["realm1"].user["ann"];
    assert_eq!((ann.iterations, ann.keylen), (1_000, 32), "the defaults");
}

#[test]
fn the_document_describes_every_key() {
    for table in TABLES {
        let name = table
            .replace("listener.web", "listener.NAME")
            .replace("route.stomp", "route.NAME")
            .replace("broker.main", "broker.NAME")
            .replace("realm1", "NAME")
            .replace("rpc.sum", "rpc.ROUTE")
            .replace("user.ann", "user.AUTHID")
            .replace("anonymous.rule.everything", "ROLE.rule.NAME")
            .replace("orders", "NAME")
            .replace("guest", "LOGIN");
        let kind = if *table == "broker.main" { " of the embedded broker" } else { "" };
        document_describes(&format!("## `[{name}]`{kind}"), &keys_of(table));
    }
}

fn document_describes(heading: &str, keys: &[String]) {
    let section = part(DOCUMENT, heading, "## ");
    for key in keys {
        let row = format!("\n| `{key}` | ");
        assert_eq!(section.matches(&row).count(), 1, "{heading}: {key}");
    }
}

#[test]
fn the_refusals_shown_in_the_document_are_real() {
    let of_lines = BAD_LINES.iter().map(|(_, refusal)| (*refusal).to_owned());
    let of_flags = BAD_ASSIGNMENTS.iter().map(|(assignment, refusal)| {
        format!("--set {}: {refusal}", assignment.split_once('=').unwrap().0)
    });
    let of_variables =
        BAD_VARIABLES.iter().map(|(name, _, refusal)| format!("environment {name}: {refusal}"));
    let of_rabbitmq = rabbitmq::refusals();
    let real: Vec<_> = of_lines.chain(of_flags).chain(of_variables).chain(of_rabbitmq).collect();

    let shown = part(part(DOCUMENT, "## Refusals", "## "), "```text", "```");
    assert!(shown.lines().count() >= 5);
    for line in shown.lines() {
        assert!(real.iter().any(|refusal| refusal == line), "{line}");
    }
}

#[test]
fn the_production_example_is_valid_once_it_is_given_its_passcodes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/production.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let env = [
        ("GATEWAY_BROKER__MAIN__USER__BROWSER__PASSCODE", "1"),
        ("GATEWAY_BROKER__MAIN__USER__ORDERS__PASSCODE", "2"),
    ];
    let config = Given { env: &env, ..file(&text) }.loaded();
    let broker = embedded(&config);
    assert!(!broker.user.contains_key("guest") && broker.loopback_users.is_empty());
    assert!(config.listener["public"].bind.ip().is_unspecified());
    assert!(config.route.values().all(|route| route.default_login.is_none()));

    let refused = file(&text).refusal();
    assert_eq!(refused.matches(".passcode: missing; this key has no default").count(), env.len());
}
