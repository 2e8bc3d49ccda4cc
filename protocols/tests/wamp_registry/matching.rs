//! WAMP §Pattern-based Registrations: which registration a call is for.

use protocols::wamp::message::InvokePolicy::Single;
use protocols::wamp::message::MatchPolicy::{self, Exact, Prefix, Wildcard};
use protocols::wamp::registry::{MOST_SHAPES, RegisterError, Registry};

use super::{pattern, register, registry};
use protocols::wamp::refusal::Reason;

fn with(patterns: &[(MatchPolicy, &str)]) -> Registry {
    let mut registry = registry();
    for (session, (policy, uri)) in (10..).zip(patterns) {
        register(&mut registry, &pattern(*policy, uri), Single, session, 1).unwrap();
    }
    registry
}

fn best<'a>(registry: &'a Registry, procedure: &str) -> Option<(MatchPolicy, &'a str)> {
    let pattern = registry.best_match(procedure)?.pattern();
    Some((pattern.policy, &pattern.uri))
}

/// The examples of §Pattern-based Registrations. In one of them a prefix of characters is not taken
/// for a prefix, though §Prefix Matching has `com.myapp.myobject1-mysubobject1` match
/// `com.myapp.myobject1`: that one is held against the wildcards alone.
#[test]
fn the_specifications_examples() {
    let patterns = [
        (Exact, "a1.b2.c3.d4.e55"),
        (Prefix, "a1.b2.c3"),
        (Prefix, "a1.b2.c3.d4"),
        (Wildcard, "a1.b2..d4.e5"),
        (Wildcard, "a1.b2.c33..e5"),
        (Wildcard, "a1.b2..d4.e5..g7"),
        (Wildcard, "a1.b2..d4..f6.g7"),
    ];
    let registry = with(&patterns);
    for (procedure, chosen) in [
        ("a1.b2.c3.d4.e55", Some(patterns[0])),
        ("a1.b2.c3.d98.e74", Some(patterns[1])),
        ("a1.b2.c3.d4.e325", Some(patterns[2])),
        ("a1.b2.c55.d4.e5", Some(patterns[3])),
        ("a1.b2.c33.d4.e5", Some(patterns[1])),
        ("a1.b2.c88.d4.e5.f6.g7", Some(patterns[5])),
        ("a2.b2.c2.d2.e2", None),
    ] {
        assert_eq!(best(&registry, procedure), chosen, "{procedure}");
    }
    assert_eq!(best(&with(&patterns[3..]), "a1.b2.c33.d4.e5"), Some(patterns[4]));

    let registry = with(&[(Prefix, "com.myapp.myobject1")]);
    for (procedure, is_matched) in [
        ("com.myapp.myobject1.myprocedure1", true),
        ("com.myapp.myobject1-mysubobject1", true),
        ("com.myapp.myobject1.mysubobject1.myprocedure1", true),
        ("com.myapp.myobject1", true),
        ("com.myapp.myobject2", false),
        ("com.myapp.myobject", false),
    ] {
        assert_eq!(registry.best_match(procedure).is_some(), is_matched, "{procedure}");
    }
    let registry = with(&[(Wildcard, "com.myapp..myprocedure1")]);
    for (procedure, is_matched) in [
        ("com.myapp.myobject1.myprocedure1", true),
        ("com.myapp.myobject2.myprocedure1", true),
        ("com.myapp.myobject1.myprocedure1.mysubprocedure1", false),
        ("com.myapp.myobject1.myprocedure2", false),
        ("com.myapp2.myobject1.myprocedure1", false),
    ] {
        assert_eq!(registry.best_match(procedure).is_some(), is_matched, "{procedure}");
    }
}

#[test]
fn an_exact_one_wins_against_a_prefix_and_that_against_a_wildcard() {
    let uri = "com.app.add";
    let mut registry =
        with(&[(Exact, uri), (Prefix, uri), (Prefix, "com"), (Wildcard, "com.app.")]);
    for expected in [(Exact, uri), (Prefix, uri), (Prefix, "com"), (Wildcard, "com.app.")] {
        assert_eq!(best(&registry, uri), Some(expected));
        let found = registry.best_match(uri).unwrap().clone();
        let at = found.callees().next().unwrap().at;
        registry.unregister(at, found.id()).unwrap();
    }
    assert_eq!(best(&registry, uri), None);
    assert_eq!(registry, super::registry());
}

#[test]
fn a_prefix_is_of_characters() {
    let registry = with(&[(Prefix, "com.app.emer"), (Prefix, "com.ä"), (Prefix, "")]);
    for (procedure, prefix) in [
        ("com.app.emergency", "com.app.emer"),
        ("com.app.emer", "com.app.emer"),
        ("com.app.eme", ""),
        ("com.äö", "com.ä"),
        // Its first byte is that of the other letter.
        ("com.ö", ""),
    ] {
        assert_eq!(best(&registry, procedure), Some((Prefix, prefix)), "{procedure}");
    }
}

#[test]
fn the_best_wildcard_may_be_found_only_after_a_better_one_failed() {
    let registry = with(&[
        (Wildcard, "a.b.c.d"),
        (Wildcard, "a.b..x"),
        (Wildcard, "a..c."),
        (Wildcard, "..."),
        (Wildcard, ""),
    ]);
    for (procedure, wildcard) in [
        ("a.b.c.d", Some("a.b.c.d")),
        ("a.b.c.x", Some("a.b..x")),
        ("a.b.c.e", Some("a..c.")),
        ("a.b.e.e", Some("...")),
        ("z", Some("")),
        ("a.b.c", None),
        ("a.b.c.d.e", None),
        ("a.b..x", None),
        ("", None),
    ] {
        let expected = wildcard.map(|uri| (Wildcard, uri));
        assert_eq!(best(&registry, procedure), expected, "{procedure}");
    }
}

#[test]
fn the_work_for_a_call_is_bounded_by_the_shapes_of_wildcards() {
    let mut registry = registry();
    // Each combination of seven components that are empty or not.
    let uri = |shape: usize| {
        let components = (0..7).map(|at| if shape >> at & 1 == 0 { "x" } else { "" });
        components.collect::<Vec<_>>().join(".")
    };
    for shape in 0..MOST_SHAPES {
        register(&mut registry, &pattern(Wildcard, &uri(shape)), Single, 10, 1).unwrap();
    }
    let before = registry.clone();
    let one_more = pattern(Wildcard, &uri(MOST_SHAPES));
    let error = register(&mut registry, &one_more, Single, 10, 1).unwrap_err();
    assert_eq!(error.reason(), Reason::OptionNotAllowed);
    assert!(matches!(error, RegisterError::TooManyShapes { components: 7, limit: 64, .. }));
    assert_eq!(registry, before);

    // One of a shape that is there, and one with another number of components.
    for uri in ["y.x.x.x.x.x.x", "x..x.x.x.x.x.x"] {
        register(&mut registry, &pattern(Wildcard, uri), Single, 10, 1).unwrap();
    }
    // One shape less.
    let last = registry.lookup(&pattern(Wildcard, &uri(MOST_SHAPES - 1))).unwrap().id();
    registry.unregister(super::at(10), last).unwrap();
    register(&mut registry, &one_more, Single, 10, 1).unwrap();
}
