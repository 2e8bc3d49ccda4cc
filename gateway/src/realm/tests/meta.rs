//! The meta API: who is told what happens, who is killed, and what becomes of those who are too slow.

use protocols::wamp::meta::{Answer, Farewell, Query, Victims};
use protocols::wamp::pubsub::subscription_id;
use protocols::wamp::refusal::Reason;

use super::*;

fn subscribe(seat: &mut Seat, policy: MatchPolicy, topic: &str) -> Id {
    let pattern = Pattern { policy, uri: Text::from(topic) };
    let subscription = subscription_id("realm1", &pattern);
    seat.apply(Request::Subscribed { subscription, pattern });
    subscription
}

/// Subscribes to all that happens.
fn watch(seat: &mut Seat) -> Id {
    subscribe(seat, MatchPolicy::Prefix, "wamp.")
}

fn consult(seat: &mut Seat, query: Query) -> Result<Answer, Reason> {
    let request = Id::new(9).unwrap();
    seat.apply(Request::Consult { request, query });
    match next(seat) {
        Some(Notice::Answered { request: got, answer }) => {
            assert_eq!(got, request);
            answer.map_err(|(reason, _)| reason)
        }
        other => panic!("{other:?}"),
    }
}

fn kill(victims: Victims) -> Query {
    let farewell = Farewell { reason: "com.app.over".into(), message: None };
    Query::Kill { victims, farewell }
}

/// Topics of what the session was told, as it has happened.
fn told(seat: &mut Seat) -> Vec<&'static str> {
    let notices = std::iter::from_fn(|| next(seat));
    let topic = |notice| match notice {
        Notice::Event { event, .. } => event.topic(),
        other => panic!("{other:?}"),
    };
    notices.map(topic).collect()
}

#[test]
fn a_session_that_is_lost_takes_all_with_it_in_order() {
    let realms = realms();
    let (mut watcher, mut other) = (enter(&realms, 1), enter(&realms, 2));
    watch(&mut watcher);
    let mut session = enter(&realms, 3);
    registered(&mut session, "a.b");
    subscribe(&mut session, MatchPolicy::Exact, "c.d");
    let came = [
        "wamp.session.on_join",
        "wamp.registration.on_create",
        "wamp.registration.on_register",
        "wamp.subscription.on_create",
        "wamp.subscription.on_subscribe",
    ];
    assert_eq!(told(&mut watcher), came);
    drop(session);
    let went = [
        "wamp.registration.on_unregister",
        "wamp.registration.on_delete",
        "wamp.subscription.on_unsubscribe",
        "wamp.subscription.on_delete",
        "wamp.session.on_leave",
    ];
    assert_eq!(told(&mut watcher), went);
    assert!(next(&mut other).is_none(), "nobody is told who does not want to be");
}

#[test]
fn a_procedure_that_the_same_user_takes_over_is_deleted_and_created() {
    let realms = realms();
    let mut watcher = enter(&realms, 1);
    let mut old = enter(&realms, 2);
    registered(&mut old, "a.b");
    watch(&mut watcher);
    let mut new = enter(&realms, 3);
    register(&mut new, 7, "a.b", InvokePolicy::Single, true);
    let topics = told(&mut watcher);
    let expected = ["on_join", "on_unregister", "on_delete", "on_create", "on_register"];
    let names = topics.iter().map(|topic| topic.rsplit('.').next().unwrap());
    assert!(names.eq(expected), "{topics:?}");
}

#[test]
fn who_is_killed_is_told_once_and_found_no_more() {
    let realms = realms();
    let (mut killer, mut victim) = (enter(&realms, 1), enter_as(&realms, 2, "bob").unwrap());
    let ids = |ids: &[u64]| Ok(Answer::Ids(ids.iter().map(|id| at(*id).session).collect()));
    assert_eq!(consult(&mut killer, Query::ListSessions(None)), ids(&[1, 2]));
    assert_eq!(consult(&mut killer, kill(Victims::OfUser("bob".into()))), ids(&[2]));
    assert!(matches!(
        next(&mut victim),
        Some(Notice::Killed(farewell)) if farewell.reason == "com.app.over"
    ));
    assert_eq!(consult(&mut killer, kill(Victims::All)), Ok(Answer::Count(0)));
    assert!(next(&mut victim).is_none());
    assert_eq!(consult(&mut killer, Query::CountSessions(None)), Ok(Answer::Count(1)));
    let victim_id = at(2).session;
    assert_eq!(consult(&mut killer, Query::Session(victim_id)), Err(Reason::NoSuchSession));
}

/// The bridge to the broker, say.
#[test]
fn what_is_no_clients_session_is_not_seen() {
    let realms = realms();
    let mut watcher = enter(&realms, 1);
    watch(&mut watcher);
    let unseen = Seat::enter_unseen(&realms, "realm1", entrant(2, "gateway"), CAPACITY);
    let mut unseen = unseen.unwrap();
    assert!(next(&mut watcher).is_none());
    assert_eq!(consult(&mut watcher, Query::CountSessions(None)), Ok(Answer::Count(1)));
    assert_eq!(consult(&mut watcher, kill(Victims::All)), Ok(Answer::Count(0)));
    assert!(next(&mut unseen).is_none());
    drop(unseen);
    assert!(next(&mut watcher).is_none());
}

/// Joins and leaves until what waits for `watcher` has no room for more.
fn fill(realms: &Realms) {
    (0..50).for_each(|_| drop(enter(realms, 3)));
}

#[test]
fn who_is_too_slow_is_told_so_and_nothing_more() {
    let realms = realms();
    let mut watcher = enter(&realms, 1);
    let subscription = watch(&mut watcher);
    fill(&realms);
    let mut notices: Vec<_> = std::iter::from_fn(|| next(&mut watcher)).collect();
    assert_eq!(notices.pop(), Some(Notice::TooSlow { subscription }));
    assert!(!notices.is_empty() && notices.len() < 100, "{}", notices.len());
    assert!(notices.iter().all(|notice| matches!(notice, Notice::Event { .. })));
    drop(enter(&realms, 3));
    assert!(next(&mut watcher).is_none());
}

#[test]
fn where_others_make_room_the_oldest_events_do_and_calls_do_not() {
    let realms = realms();
    let pending = Pending { bytes: CAPACITY, overflow: Overflow::DropOldest };
    let mut watcher = Seat::enter(&realms, "realm1", entrant(1, "ann"), pending).unwrap();
    let registration = registered(&mut watcher, "a.b");
    let mut caller = enter(&realms, 2);
    watch(&mut watcher);
    caller.apply(invoke(call(2, 1), 1, registration, 1));
    fill(&realms);
    drop(enter(&realms, 4));
    let mut notices: Vec<_> = std::iter::from_fn(|| next(&mut watcher)).collect();
    assert!(matches!(notices.remove(0), Notice::Ask(_)));
    assert!(notices.len() > 2 && notices.len() < 50, "{}", notices.len());
    let last = notices.split_off(notices.len() - 2);
    for (notice, topic) in last.iter().zip(["wamp.session.on_join", "wamp.session.on_leave"]) {
        let Notice::Event { event, .. } = notice else { panic!("{notice:?}") };
        assert_eq!(event.topic(), topic);
    }
}

#[test]
fn results_that_find_no_room_are_refused() {
    let realms = realms();
    let others: Vec<_> = (100..200).map(|session| enter(&realms, session)).collect();
    let mut asker = enter(&realms, 1);
    let request = Id::new(1).unwrap();
    for _ in 0..100 {
        asker.apply(Request::Consult { request, query: Query::ListSessions(None) });
    }
    let answers: Vec<_> = std::iter::from_fn(|| next(&mut asker)).collect();
    assert_eq!(answers.len(), 100, "each is answered");
    let is_result = |notice: &&Notice| matches!(notice, Notice::Answered { answer: Ok(_), .. });
    let results = answers.iter().filter(is_result).count();
    assert!(results > 0 && results * size_of::<Id>() * others.len() <= CAPACITY, "{results}");
    let refused = answers.iter().rev().take(1).all(|notice| {
        matches!(notice, Notice::Answered { answer: Err((Reason::Unavailable, _)), .. })
    });
    assert!(refused);
}

#[test]
fn all_are_told_of_one_publication_by_one_name_and_of_another_by_another() {
    let realms = realms();
    let (mut one, mut two) = (enter(&realms, 1), enter(&realms, 2));
    for seat in [&mut one, &mut two] {
        watch(seat);
    }
    let _others = [enter(&realms, 3), enter(&realms, 4)];
    let publications = |seat: &mut Seat| -> Vec<Id> {
        let notices = std::iter::from_fn(|| next(seat));
        let publication = |notice| match notice {
            Notice::Event { publication, .. } => publication,
            other => panic!("{other:?}"),
        };
        notices.map(publication).collect()
    };
    let named = publications(&mut one);
    assert_eq!(publications(&mut two), named);
    assert!(named.len() == 2 && named[0] != named[1]);
}
