//! WAMP §Registration Meta API: what its procedures answer.

use protocols::wamp::id::Id;
use protocols::wamp::message::InvokePolicy::Random;
use protocols::wamp::message::MatchPolicy::{Exact, Prefix, Wildcard};
use protocols::wamp::registry::{Listing, Timestamp};

use super::{at, pattern, register, registry};

#[test]
fn registrations_are_listed_looked_up_matched_and_counted() {
    let mut registry = registry();
    let patterns = [(Exact, "a.b"), (Prefix, "a.b"), (Wildcard, "a."), (Exact, "a.a")];
    let ids = patterns.map(|(policy, uri)| {
        let pattern = pattern(policy, uri);
        register(&mut registry, &pattern, Random, 10, 8).unwrap().registration
    });
    register(&mut registry, &pattern(Exact, "a.b"), Random, 9, 8).unwrap();

    let [exact, prefix, wildcard, other] = ids;
    let mut list = registry.list();
    list.exact.sort();
    let mut both = vec![exact, other];
    both.sort();
    assert_eq!(list, Listing { exact: both, prefix: vec![prefix], wildcard: vec![wildcard] });

    for ((policy, uri), id) in patterns.into_iter().zip(ids) {
        assert_eq!(registry.lookup(&pattern(policy, uri)).unwrap().id(), id);
        let registration = registry.get(id).unwrap();
        assert_eq!(*registration.pattern(), pattern(policy, uri));
        assert_eq!((registration.invoke(), registration.created()), (Random, Timestamp(8)));
    }
    assert!(registry.lookup(&pattern(Wildcard, "a.b")).is_none());
    assert_eq!(registry.best_match("a.b").unwrap().id(), exact);
    assert_eq!(registry.best_match("a.bc").unwrap().id(), prefix);
    assert_eq!(registry.best_match("a.c").unwrap().id(), wildcard);

    assert_eq!(registry.list_callees(exact), Some(vec![at(10), at(9)]));
    assert_eq!(registry.count_callees(exact), Some(2));
    assert_eq!((registry.list_callees(Id::MIN), registry.count_callees(Id::MIN)), (None, None));
    assert!(registry.get(Id::MIN).is_none());

    let mut of_session: Vec<Id> = registry.of_session(at(10)).collect();
    let mut expected = ids.to_vec();
    of_session.sort();
    expected.sort();
    assert_eq!(of_session, expected);
    assert!(registry.is_callee(at(9), exact) && !registry.is_callee(at(9), prefix));
}
