//! What other nodes say: WAMP-AMQP, each node is the only authority on its own sessions.

use protocols::text::Text;
use protocols::wamp::message::InvokePolicy::{self, First, Single};
use protocols::wamp::message::MatchPolicy::Exact;
use protocols::wamp::registry::{
    Callee, Delta, NodeId, Registry, Removal, Row, SessionAt, Timestamp,
};

use super::{COLLIDING, REALM, at, names, pattern, register, registry};

/// What a node says that registers `a.b` without knowing of others.
fn told(session: u64, invoke: InvokePolicy, now: u64) -> (Registry, Vec<Delta>) {
    let mut registry = registry();
    let outcome = register(&mut registry, &pattern(Exact, "a.b"), invoke, session, now);
    (registry, outcome.unwrap().deltas)
}

fn apply(registry: &mut Registry, deltas: &[Delta]) -> Vec<Delta> {
    deltas.iter().flat_map(|delta| registry.apply(delta)).collect()
}

#[test]
fn a_replica_announces_what_happens_in_all_nodes_together() {
    let (mut one, mut deltas) = told(10, First, 5);
    let (mut two, other) = told(20, First, 3);
    assert_eq!(names(&apply(&mut one, &other)), [("on_register", 20)]);
    assert_eq!(names(&apply(&mut two, &deltas)), [("on_register", 10)]);
    assert_eq!(one, two);
    let registration = one.best_match("a.b").unwrap();
    assert_eq!(registration.created(), Timestamp(3));
    assert_eq!(registration.callees().next().unwrap().at, at(20));

    // The registration is not deleted, though node 1 thought that it had created it.
    deltas = one.leave(at(10));
    assert_eq!(names(&apply(&mut two, &deltas)), [("on_unregister", 10)]);
    assert_eq!(one, two);
}

#[test]
fn what_is_told_again_changes_nothing() {
    let (mut one, added) = told(10, First, 5);
    let mut two = registry();
    assert_eq!(apply(&mut two, &added), added);
    assert_eq!(apply(&mut two, &added), []);
    let removed = one.leave(at(10));
    assert_eq!(apply(&mut two, &removed), removed);
    assert_eq!(apply(&mut two, &removed), []);
    assert_eq!(one, two);
}

#[test]
fn what_two_nodes_should_not_have_registered_is_the_same_on_both() {
    let (mut one, deltas) = told(10, Single, 5);
    let (mut two, other) = told(20, First, 5);
    apply(&mut one, &other);
    apply(&mut two, &deltas);
    assert_eq!(one, two);
    let registration = one.best_match("a.b").unwrap();
    assert_eq!((registration.invoke(), registration.callees().len()), (Single, 2));
    one.leave(at(10));
    assert_eq!(one.best_match("a.b").unwrap().invoke(), First);
}

#[test]
fn creation_is_remembered_by_those_who_came_while_it_was_there() {
    let (mut one, deltas) = told(10, First, 5);
    let mut two = registry();
    apply(&mut two, &deltas);
    let joined = register(&mut two, &pattern(Exact, "a.b"), First, 20, 9).unwrap().deltas;
    // A node that hears of the second only after the first has left.
    let left = one.leave(at(10));
    let mut three = registry();
    apply(&mut three, &deltas);
    apply(&mut three, &left);
    apply(&mut three, &joined);
    apply(&mut two, &left);
    assert_eq!(two, three);
    assert_eq!(two.best_match("a.b").unwrap().created(), Timestamp(5));
}

/// WAMP-AMQP: the order is by time, then node, then session.
#[test]
fn callees_of_the_same_millisecond_have_one_order_everywhere() {
    let (registry, _) = told(10, First, 5);
    let row = registry.rows().next().unwrap();
    let places = [(1, 70, 5), (1, 90, 5), (2, 60, 5), (2, 80, 4)];
    let rows = places.map(|(node, session, now)| {
        let at = SessionAt { node: NodeId(node), session: at(session).session };
        let callee = Callee { at, registered: Timestamp(now), ..row.callee };
        Row { callee, ..row.clone() }
    });
    let registry = Registry::of_rows(Text::from_static(REALM), rows);
    let callees = registry.best_match("a.b").unwrap().callees();
    let order: Vec<u64> = callees.map(|callee| callee.at.session.get()).collect();
    assert_eq!(order, [80, 70, 90, 60]);
}

#[test]
fn a_node_can_say_all_of_it_again() {
    let mut truth = registry();
    let mut replica = registry();
    for (uri, session) in [("a", 10), ("b", 10), ("b", 20), ("c", 11)] {
        register(&mut truth, &pattern(Exact, uri), First, session, 1).unwrap();
    }
    for (uri, session, now) in [("a", 10, 1), ("b", 10, 9), ("b", 20, 2), ("d", 11, 1)] {
        register(&mut replica, &pattern(Exact, uri), First, session, now).unwrap();
    }
    let deltas = replica.correct(NodeId(1), truth.rows_of(NodeId(1)));
    let expected = [
        ("on_unregister", 11),
        ("on_delete", 11),
        ("on_unregister", 10),
        ("on_register", 10),
        ("on_create", 11),
        ("on_register", 11),
    ];
    assert_eq!(names(&deltas), expected);
    assert!(matches!(deltas[0], Delta::CalleeRemoved { cause: Removal::Corrected, .. }));
    replica.correct(NodeId(2), truth.rows());
    assert_eq!(replica, truth);
    assert_eq!(replica.correct(NodeId(1), truth.rows()), []);
}

#[test]
fn a_registry_is_its_rows() {
    let mut registry = registry();
    for (uri, session) in [("a", 10), ("b", 10), ("b", 20), ("c", 11)] {
        register(&mut registry, &pattern(Exact, uri), First, session, 1).unwrap();
    }
    let mut rows: Vec<_> = registry.rows().collect();
    assert_eq!(rows.len(), 4);
    rows.reverse();
    assert_eq!(Registry::of_rows(Text::from_static(REALM), rows), registry);
}

/// Whichever is heard of first, and whoever is gone by then.
#[test]
fn nodes_agree_on_two_procedures_that_have_one_id() {
    let (realm, uris) = COLLIDING;
    let [first, second] = uris.map(|uri| pattern(Exact, uri));
    let new = || Registry::new(Text::from_static(realm));
    let (mut one, mut two) = (new(), new());
    let first_comes = register(&mut one, &first, Single, 10, 1).unwrap().deltas;
    let second_comes = register(&mut two, &second, Single, 20, 1).unwrap().deltas;
    let both = Registry::of_rows(Text::from_static(realm), one.rows().chain(two.rows()));
    assert_eq!(both, Registry::of_rows(Text::from_static(realm), two.rows().chain(one.rows())));
    apply(&mut one, &second_comes);
    assert_eq!(one, both);
    let first_goes = one.leave(at(10));
    apply(&mut two, &first_comes);
    assert_eq!(two, both);
    apply(&mut two, &first_goes);
    assert_eq!(one, two);
    for order in [
        [&first_comes, &first_goes, &second_comes],
        [&first_comes, &second_comes, &first_goes],
        [&second_comes, &first_comes, &first_goes],
    ] {
        let mut three = new();
        order.into_iter().for_each(|deltas| drop(apply(&mut three, deltas)));
        assert_eq!(three, two);
        assert_eq!(three.correct(NodeId(2), two.rows()), []);
    }
    assert_eq!(two.best_match(uris[1]).unwrap().callees().next().unwrap().at, at(20));
}
