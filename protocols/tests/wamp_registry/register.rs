//! WAMP §Registering and Unregistering, §Shared Registration, §Registration Revocation.

use protocols::text::Text;
use protocols::wamp::message::InvokePolicy::{self, First, RoundRobin, Single};
use protocols::wamp::message::MatchPolicy::{Exact, Prefix};
use protocols::wamp::refusal::Reason;
use protocols::wamp::registry::{
    Callee, Conflict, Delta, NodeId, RegisterError, Registered, Registry, Removal, Timestamp,
    registration_id,
};

use super::{COLLIDING, REALM, at, callee, names, pattern, register, registry};

fn conflict(outcome: Result<Registered, RegisterError>) -> Conflict {
    let error = outcome.unwrap_err();
    assert_eq!(error.reason(), Reason::ProcedureAlreadyExists);
    match error {
        RegisterError::AlreadyExists { conflict, .. } => conflict,
        error => panic!("{error}"),
    }
}

fn force(
    registry: &mut Registry,
    invoke: InvokePolicy,
    session: u64,
    may_replace: impl Fn(&Callee) -> bool,
) -> Result<Registered, RegisterError> {
    registry.register(pattern(Exact, "a.b"), invoke, callee(session, 50), Some(&may_replace))
}

/// §IDs: of router scope, and here the same on all nodes.
#[test]
fn an_id_is_a_hash_of_the_realm_and_the_pattern() {
    // The last eight bytes of what `sha256sum` says of `reg|realm1|exact|com.app.add`.
    let hash = 0x4f53_7af4_a8bc_f225_u64;
    let id = registration_id(REALM, &pattern(Exact, "com.app.add"));
    assert_eq!(id.get(), (hash & ((1 << 53) - 1)) + 1);
    assert_ne!(id, registration_id(REALM, &pattern(Prefix, "com.app.add")));
    assert_ne!(id, registration_id("realm2", &pattern(Exact, "com.app.add")));
}

#[test]
fn two_procedures_with_one_id_are_two_registrations() {
    let (realm, uris) = COLLIDING;
    let mut registry = Registry::new(Text::from_static(realm));
    let [first, second] = uris.map(|uri| pattern(Exact, uri));
    let id = registration_id(realm, &first);
    assert_eq!((id.get(), registration_id(realm, &second)), (468_366_652_103_939, id));
    register(&mut registry, &second, First, 20, 1).unwrap();
    let registered = register(&mut registry, &first, First, 10, 1).unwrap();
    assert_eq!(registered.registration, id);
    assert_eq!(names(&registered.deltas), [("on_create", 10), ("on_register", 10)]);
    for (procedure, session) in [(&first, 10), (&second, 20)] {
        let found = registry.best_match(&procedure.uri).unwrap();
        assert_eq!(found.callees().map(|callee| callee.at).collect::<Vec<_>>(), [at(session)]);
        assert_eq!(registry.get_of(at(session), id), Some(found));
        assert_eq!(registry.get_for(&procedure.uri, id), Some(found));
    }
    assert_eq!(*registry.get(id).unwrap().pattern(), first);

    // It could not say which of them it unregisters.
    for (procedure, session) in [(&first, 20), (&second, 10)] {
        let error = register(&mut registry, procedure, First, session, 1).unwrap_err();
        let uri = procedure.uri.to_string();
        assert_eq!(error, RegisterError::IdTaken { uri, registration: id });
        assert_eq!(error.reason(), Reason::OptionNotAllowed);
    }
    let deltas = registry.unregister(at(10), id).unwrap();
    assert_eq!(names(&deltas), [("on_unregister", 10), ("on_delete", 10)]);
    assert_eq!(*registry.get(id).unwrap().pattern(), second);
    registry.leave(at(20));
    assert_eq!(registry, Registry::new(Text::from_static(realm)));
}

/// §Registering: "the procedure is already registered".
#[test]
fn what_is_not_shared_has_one_callee() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    let registered = register(&mut registry, &procedure, Single, 10, 1).unwrap();
    assert_eq!(names(&registered.deltas), [("on_create", 10), ("on_register", 10)]);
    let before = registry.clone();
    for (session, invoke, expected) in [
        (11, Single, Conflict::NotShared),
        (10, Single, Conflict::SameSession),
        (11, First, Conflict::OtherPolicy { there: "single", asked: "first" }),
    ] {
        assert_eq!(conflict(register(&mut registry, &procedure, invoke, session, 2)), expected);
    }
    assert_eq!(registry, before);
    // The same URI matched in another way is another registration.
    let other = register(&mut registry, &pattern(Prefix, "a.b"), Single, 11, 2).unwrap();
    assert_ne!(other.registration, registered.registration);
}

/// §Shared Registration: all callees have one policy; each is one but once.
#[test]
fn what_is_shared_has_callees_of_one_policy() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    let first = register(&mut registry, &procedure, RoundRobin, 10, 5).unwrap();
    let second = register(&mut registry, &procedure, RoundRobin, 11, 6).unwrap();
    assert_eq!(first.registration, second.registration);
    assert_eq!(names(&second.deltas), [("on_register", 11)]);
    let other = conflict(register(&mut registry, &procedure, First, 12, 7));
    assert_eq!(other, Conflict::OtherPolicy { there: "roundrobin", asked: "first" });
    let twice = conflict(register(&mut registry, &procedure, RoundRobin, 11, 7));
    assert_eq!(twice, Conflict::SameSession);
}

#[test]
fn the_order_of_callees_is_that_of_registering_even_within_a_millisecond() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    for (session, now) in [(30, 7), (12, 7), (21, 3)] {
        register(&mut registry, &procedure, First, session, now).unwrap();
    }
    let registration = registry.lookup(&procedure).unwrap();
    let order: Vec<_> = registration.callees().map(|it| (it.at, it.registered.0)).collect();
    assert_eq!(order, [(at(30), 7), (at(12), 8), (at(21), 9)]);
    assert_eq!(registration.created(), Timestamp(7));
}

#[test]
fn the_message_is_not_kept_for_its_uri() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    register(&mut registry, &procedure, Single, 10, 1).unwrap();
    let kept = &registry.lookup(&procedure).unwrap().pattern().uri;
    assert_ne!(kept.as_ptr(), procedure.uri.as_ptr());
}

/// §Unregistering: "no such registration".
#[test]
fn only_a_callee_can_unregister() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    let id = register(&mut registry, &procedure, First, 10, 1).unwrap().registration;
    register(&mut registry, &procedure, First, 11, 2).unwrap();
    assert!(registry.unregister(at(12), id).is_err());
    assert_eq!(names(&registry.unregister(at(10), id).unwrap()), [("on_unregister", 10)]);
    let error = registry.unregister(at(10), id).unwrap_err();
    assert_eq!(error.to_string(), format!("session 10 is not registered under {id}"));
    let last = registry.unregister(at(11), id).unwrap();
    assert_eq!(names(&last), [("on_unregister", 11), ("on_delete", 11)]);
    assert_eq!(registry, super::registry());
}

#[test]
fn a_session_or_node_leaves_all_that_it_has_registered() {
    let mut registry = registry();
    for (policy, uri, session) in
        [(Exact, "a", 10), (Prefix, "b", 10), (Exact, "a", 11), (Exact, "c", 20)]
    {
        register(&mut registry, &pattern(policy, uri), First, session, 1).unwrap();
    }
    let mut left = registry.clone();
    let deltas = names(&left.leave(at(10)));
    assert_eq!(deltas.iter().filter(|(name, _)| *name == "on_unregister").count(), 2);
    assert_eq!(deltas.iter().filter(|(name, _)| *name == "on_delete").count(), 1);
    assert_eq!(left.leave(at(10)), []);
    assert_eq!(left.of_session(at(10)).count(), 0);

    let mut left = registry.clone();
    let deltas = left.leave_node(NodeId(1));
    assert_eq!(deltas.len(), 5);
    assert!(left.best_match("a").is_none() && left.best_match("c").is_some());
    assert_eq!(left.leave_node(NodeId(3)), []);
}

/// §Registration Revocation, for `force_reregister`.
#[test]
fn a_session_of_the_same_user_can_take_the_place_of_the_others() {
    let mut registry = registry();
    let procedure = pattern(Exact, "a.b");
    for session in [10, 11] {
        register(&mut registry, &procedure, First, session, 1).unwrap();
    }
    let before = registry.clone();
    let refused = conflict(force(&mut registry, Single, 12, |other| other.at == at(10)));
    assert_eq!(refused, Conflict::NotReplaceable { callee: at(11) });
    let refused = conflict(force(&mut registry, Single, 21, |_| true));
    assert_eq!(refused, Conflict::OnOtherNode { callee: at(10) });
    assert_eq!(conflict(force(&mut registry, First, 10, |_| true)), Conflict::SameSession);
    assert_eq!(registry, before);

    let registered = force(&mut registry, Single, 12, |_| true).unwrap();
    let expected = [
        ("on_unregister", 10),
        ("on_unregister", 11),
        ("on_delete", 11),
        ("on_create", 12),
        ("on_register", 12),
    ];
    assert_eq!(names(&registered.deltas), expected);
    let revoked =
        |delta: &&Delta| matches!(delta, Delta::CalleeRemoved { cause: Removal::Revoked, .. });
    assert_eq!(registered.deltas.iter().filter(revoked).count(), 2);
    let registration = registry.lookup(&procedure).unwrap();
    assert_eq!((registration.invoke(), registration.created()), (Single, Timestamp(50)));
    assert_eq!(registration.callees().len(), 1);
}

#[test]
fn a_session_takes_nobodys_place_where_nobody_is() {
    let mut registry = registry();
    let registered = force(&mut registry, Single, 10, |_| false).unwrap();
    assert_eq!(names(&registered.deltas), [("on_create", 10), ("on_register", 10)]);
}

#[test]
fn what_is_in_the_way_is_said_in_a_sentence() {
    let mut registry = registry();
    let procedure = pattern(Prefix, "a.b");
    register(&mut registry, &procedure, First, 10, 1).unwrap();
    let said = |invoke, session| {
        register(&mut registry.clone(), &procedure, invoke, session, 2).unwrap_err().to_string()
    };
    let start = r#""a.b" (prefix) is registered already "#;
    assert_eq!(said(First, 10), format!("{start}by this session"));
    let policy = r#"with the invocation policy "first", not "single""#;
    assert_eq!(said(Single, 11), format!("{start}{policy}"));
}
