//! Realms and their users and rules: every refusal word for word, and what they mean.

use gateway::config::Config;
use protocols::auth::Secret;
use protocols::text::Text;
use protocols::wamp::access::{Action, Disclosure};
use protocols::wamp::auth::Method;
use protocols::wamp::id::Id;
use protocols::wamp::realm::{Principal, Realm};

use super::{LEAST, file, set};

/// Assignments over the built-in file, and what is said of them.
pub(super) const BAD: &[(&str, &str)] = &[
    ("realm.realm1.brokr=main", "unknown key; did you mean \"broker\"?"),
    ("realm.realm1.broker=mian", "there is no broker named \"mian\"; did you mean \"main\"?"),
    (
        "realm.realm1.vhost=/a",
        "there is no virtual host of \"main\" named \"/a\"; did you mean \"/\"?",
    ),
    (
        "realm.realm1.login=gest",
        "there is no user of \"main\" named \"gest\"; did you mean \"guest\"?",
    ),
    ("realm.realm1.login=", "expected a login, got an empty text"),
    ("realm.realm1.passcode=x", "user \"guest\" of broker \"main\" has another passcode"),
    ("realm.realm1.passcode=", "expected a passcode, got an empty text"),
    (
        "realm.realm1.anonymous=anonymos",
        "there is no role of \"realm1\" named \"anonymos\"; did you mean \"anonymous\"?",
    ),
    (
        "realm.realm1.broker_tickets=member",
        "there is no role of \"realm1\" named \"member\"; known: anonymous",
    ),
    ("realm.realm1.anonymous_from=here", "expected \"loopback\" or \"anywhere\", got \"here\""),
    ("realm.realm1.calls_buffer=0", "expected at least 1 byte, got 0"),
    ("realm.realm1.rpc.a.uri=a", "missing; this key has no default"),
    ("realm.realm1.max_body_size=0", "expected at least 1 byte, got 0"),
    ("realm.realm1.trusted_logins=['a', 'a']", "\"a\" is listed twice"),
    ("realm.realm1.user.ann.ticket=t", "missing; this key has no default"),
    (
        "realm.realm1.role.anonymous.rule.everything.match=exact",
        "the URI \"\" has an empty component, which only patterns may have",
    ),
    (
        "realm.realm1.role.anonymous.rule.everything.uri=a b",
        "the URI \"a b\" must not have the character ' '",
    ),
    (
        "realm.realm1.role.anonymous.rule.everything.allow=[]",
        "expected something to allow or deny, got nothing",
    ),
    (
        "realm.realm1.role.anonymous.rule.everything.allow=['cal']",
        "expected \"call\" or \"publish\" or \"register\" or \"subscribe\", got \"cal\"",
    ),
    ("route.stomp.wamp.max_uri_length=256", "expected at most 255, got 256"),
    ("route.stomp.wamp.max_depth=3", "expected at least 4, got 3"),
    ("route.stomp.wamp.max_depth=101", "expected at most 100, got 101"),
    ("route.stomp.wamp.max_values=0", "expected at least 1, got 0"),
    ("route.stomp.wamp.calls=0", "expected at least 1, got 0"),
    ("route.stomp.wamp.max_call_timeout=59s", "expected at least call_timeout (1m), got 59s"),
    ("route.stomp.wamp.max_transcoded=0", "expected at least 1 byte, got 0"),
];

#[test]
fn a_bad_realm_is_refused_with_the_key_what_was_expected_and_what_came() {
    for (assignment, refusal) in BAD {
        let refused = set(&[assignment]).refusal();
        assert!(refused.ends_with(&format!(": {refusal}")), "{assignment}: {refused}");
    }
}

#[test]
fn a_user_of_a_realm_has_a_role_and_something_to_prove_itself_with() {
    let user = |keys: &str| {
        let role = "[realm.r.role.member.rule.a]\nuri = 'a'\nallow = ['call']";
        let realm = "[realm.r]\nbroker = 'main'\nlogin = 'guest'\npasscode = 'guest'";
        file(&format!("{realm}\n[realm.r.user.ann]\n{keys}\n{role}{LEAST}")).load().map(|_| ())
    };
    let refused = |text: &str| Err(format!("gateway.toml:{text}"));
    user("role = 'member'\nticket = 't'").unwrap();
    user("role = 'member'\nsecret = 's'\nsalt = 'x'\nkeylen = 32").unwrap();
    assert_eq!(
        user("role = 'nobody'\nticket = 't'"),
        refused(
            "6: realm.r.user.ann.role: there is no role of \"r\" named \"nobody\"; known: member"
        )
    );
    assert_eq!(
        user("role = 'member'"),
        refused("5: realm.r.user.ann.ticket: expected a ticket, a secret or both, got none")
    );
    assert_eq!(
        user("role = 'member'\nticket = ''"),
        refused("7: realm.r.user.ann.ticket: expected a secret, got an empty text")
    );
    assert_eq!(
        user("role = 'member'\nticket = 't'\nsalt = 'x'"),
        refused("8: realm.r.user.ann.salt: works only together with secret, which is not set")
    );
}

#[test]
fn a_procedure_that_a_worker_answers_is_named_once_and_leads_somewhere() {
    let routes = |routes: &str| {
        let realm = "[realm.r]\nbroker = 'main'\nlogin = 'guest'\npasscode = 'guest'";
        file(&format!("{realm}\n{routes}{LEAST}")).load().map(|_| ())
    };
    let route = |name: &str, uri: &str, key: &str| {
        format!("[realm.r.rpc.{name}]\nuri = '{uri}'\nkey = '{key}'\n")
    };
    routes(&(route("a", "a.b", "q") + &route("b", "a.c", "q"))).unwrap();
    routes(&(route("a", "a.b", "") + "exchange = 'workers'")).unwrap();
    assert_eq!(
        routes(&(route("a", "a.b", "q") + &route("b", "a.b", "p"))).unwrap_err(),
        "gateway.toml:9: realm.r.rpc.b.uri: \"a.b\" is listed twice"
    );
    assert_eq!(
        routes(&route("a", "a.b", "")).unwrap_err(),
        "gateway.toml:7: realm.r.rpc.a.key: \
         expected the name of a queue, or an exchange, got an empty text"
    );
    let refused = routes(&route("a", "a b", "q")).unwrap_err();
    assert!(refused.starts_with("gateway.toml:6: realm.r.rpc.a.uri: the URI \"a b\""), "{refused}");
    assert_eq!(
        routes(&route("a", "wamp.session.count", "q")).unwrap_err(),
        "gateway.toml:6: realm.r.rpc.a.uri: URIs that begin with \"wamp.\" are the protocol's own"
    );
}

#[test]
fn a_route_that_speaks_wamp_serves_a_realm() {
    let text = LEAST.replace("[\"stomp\"]", "['wamp']");
    assert_eq!(
        file(&text).refusal(),
        "gateway.toml:6: route.stomp.protocols: expected a table [realm.NAME] with broker = \"main\", \
         got \"wamp\" and no realm"
    );
    let realm = "[realm.'com.example']\nbroker = 'main'\nlogin = 'guest'\npasscode = 'guest'\n";
    assert!(file(&format!("{realm}{text}")).loaded().realm.contains_key("com.example"));
    let refused = file(&format!("{}{text}", realm.replace("com.example", "a..b"))).refusal();
    assert_eq!(
        refused,
        "gateway.toml:1: realm.\"a..b\": the URI \"a..b\" has an empty component, which only patterns \
         may have"
    );
}

fn meaning(config: &Config) -> std::sync::Arc<Realm> {
    config.realm["realm1"].meaning("realm1", &Secret::new("random"))
}

#[test]
fn what_a_realm_says_reaches_the_sessions() {
    let realm = meaning(&Config::builtin());
    let nobody = realm.anonymous.as_ref().unwrap();
    assert_eq!((nobody.role.as_str(), nobody.from_anywhere), ("anonymous", false));
    assert!(realm.takes(Method::Anonymous, true) && !realm.takes(Method::Anonymous, false));
    assert!(!realm.takes(Method::Ticket, true) && !realm.takes(Method::Wampcra, true));
    assert_eq!(realm.body_size, 16 << 20);

    let realm = meaning(
        &set(&[
            "realm.realm1.anonymous_from=anywhere",
            "realm.realm1.broker_tickets=anonymous",
            "realm.realm1.broad_prefixes=true",
            "realm.realm1.trusted_logins=['other']",
            "realm.realm1.max_body_size=7",
            "realm.realm1.user.ann.role=anonymous",
            "realm.realm1.user.ann.secret=s",
        ])
        .loaded(),
    );
    for method in Method::ALL {
        assert!(realm.takes(method, false), "{method:?}");
    }
    assert_eq!(realm.body_size, 7);
    assert!(realm.broad_prefixes);
    assert_eq!(realm.trusted, [Text::from_static("other")]);
}

#[test]
fn rules_allow_and_deny_what_they_list() {
    let role = "realm.realm1.role.anonymous.rule";
    let config = set(&[
        &format!("{role}.everything.allow=['publish']"),
        &format!("{role}.everything.disclose=always"),
        &format!("{role}.mine.uri=user.{{authid}}."),
        &format!("{role}.mine.match=prefix"),
        &format!("{role}.mine.allow=['call']"),
        &format!("{role}.mine.deny=['publish']"),
    ])
    .loaded();
    let principal = Principal {
        session: Id::MIN,
        authid: "ann".into(),
        authrole: "anonymous".into(),
        authmethod: "ticket",
        authprovider: "static",
    };
    let rights = meaning(&config).roles["anonymous"].of(&principal);
    assert_eq!(rights.may(Action::Publish, "a.b"), Some(Disclosure::Always));
    assert_eq!(rights.may(Action::Subscribe, "a.b"), None);
    assert_eq!(rights.may(Action::Call, "user.ann.x"), Some(Disclosure::Allow));
    assert_eq!(rights.may(Action::Publish, "user.ann.x"), None);
    assert_eq!(rights.may(Action::Call, "user.bob.x"), None);
}
