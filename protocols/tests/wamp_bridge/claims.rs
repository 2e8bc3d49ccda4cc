//! Who has a procedure.

use std::time::Duration;

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, Event, QueueOptions, SubscriptionId, Token,
    Value,
};
use protocols::wamp::bridge::Outcome;

use crate::World;

fn error(kind: BrokerErrorKind) -> BrokerError {
    BrokerError::new(kind, "the broker says no")
}

/// The one subscription that is asked for.
fn subscribed(world: &mut World) -> (Token, SubscriptionId, Address, QueueOptions) {
    match world.commands().as_slice() {
        [Command::Subscribe { token, subscription, from, queue, .. }] => {
            (*token, *subscription, from.clone(), (**queue).clone())
        }
        other => panic!("one subscription, not {other:?}"),
    }
}

fn outcomes(world: &mut World) -> Vec<Outcome> {
    world.output.outcomes.drain(..).collect()
}

/// Has `here.a`.
fn holding() -> (World, SubscriptionId) {
    let mut world = World::open();
    world.bridge.claim(&"here.a".into(), None, &mut world.output);
    let (token, subscription, ..) = subscribed(&mut world);
    world.event(Event::Subscribed { token });
    assert_eq!(outcomes(&mut world), [Outcome::Claimed("here.a".into())]);
    (world, subscription)
}

#[test]
fn what_is_not_shared_is_claimed_by_a_queue_that_nobody_else_can_have() {
    let mut world = World::open();
    world.bridge.claim(&"here.*".into(), None, &mut world.output);
    let (token, _, from, queue) = subscribed(&mut world);
    assert_eq!(from, Address::Exchange { name: "wamp.rpc".into(), key: "here.%2A".into() });
    assert_eq!(queue.name.as_deref(), Some("wamp.proc.e.here.%2A"));
    assert_eq!((queue.exclusive, queue.durable), (Some(true), Some(false)));
    assert_eq!(outcomes(&mut world), []);
    let locked = error(BrokerErrorKind::ResourceLocked);
    world.event(Event::Failed { token, error: locked.clone() });
    assert_eq!(outcomes(&mut world), [Outcome::Refused("here.*".into(), locked)]);
}

#[test]
fn what_is_shared_has_a_queue_that_tells_how() {
    let mut world = World::open();
    for policy in [1, 2] {
        world.bridge.claim(&"here.a".into(), Some(policy), &mut world.output);
        let (.., queue) = subscribed(&mut world);
        assert_eq!((queue.exclusive, queue.durable), (None, Some(true)));
        assert_eq!(queue.auto_delete, Some(true), "with its last callee it is nobody's");
        let expires = Value::Integer(60_000 + i64::from(policy));
        assert_eq!(queue.arguments, [("x-expires".into(), expires)]);
    }
}

#[test]
fn a_shared_queue_that_goes_with_another_node_is_asked_for_again() {
    let gone = error(BrokerErrorKind::NotFound);
    for (is_shared, is_released, tries) in
        [(Some(1), false, 31), (None, false, 1), (Some(1), true, 1)]
    {
        let mut world = World::open();
        world.bridge.claim(&"here.a".into(), is_shared, &mut world.output);
        let (mut token, mut subscription, ..) = subscribed(&mut world);
        if is_released {
            world.bridge.release(&"here.a".into(), &mut world.output);
            let _ = world.commands();
        }
        for _ in 1..tries {
            world.event(Event::Failed { token, error: gone.clone() });
            assert_eq!(outcomes(&mut world), []);
            let before = subscription;
            (token, subscription, ..) = subscribed(&mut world);
            assert_ne!(subscription, before);
        }
        world.event(Event::Failed { token, error: gone.clone() });
        assert_eq!(world.commands(), [], "not for ever");
        let refused = Outcome::Refused("here.a".into(), gone.clone());
        assert_eq!(outcomes(&mut world), if is_released { vec![] } else { vec![refused] });
    }
}

#[test]
fn what_is_released_is_so_once_the_broker_says_it() {
    let (mut world, held) = holding();
    world.bridge.release(&"here.a".into(), &mut world.output);
    let token = match world.commands().as_slice() {
        [Command::Unsubscribe { token, subscription, delete: true }] => {
            assert_eq!(*subscription, held);
            *token
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(outcomes(&mut world), []);
    world.event(Event::Unsubscribed { token });
    assert_eq!(outcomes(&mut world), [Outcome::Released("here.a".into())]);
}

#[test]
fn what_the_broker_takes_away_while_it_is_released_is_released() {
    let (mut world, held) = holding();
    world.bridge.release(&"here.a".into(), &mut world.output);
    let token = match world.commands().as_slice() {
        [Command::Unsubscribe { token, .. }] => *token,
        other => panic!("{other:?}"),
    };
    let gone = error(BrokerErrorKind::NotFound);
    world.event(Event::Canceled { subscription: held, error: gone });
    assert_eq!(outcomes(&mut world), []);
    world.event(Event::Unsubscribed { token });
    assert_eq!(outcomes(&mut world), [Outcome::Released("here.a".into())]);
}

#[test]
fn what_is_released_while_it_is_claimed_anew_is_released() {
    let (mut world, _) = holding();
    world.bridge.on_down(&error(BrokerErrorKind::Unavailable), &mut world.output);
    world.link();
    let (claim, ..) = subscribed(&mut world);
    world.bridge.release(&"here.a".into(), &mut world.output);
    let release = match world.commands().as_slice() {
        [Command::Unsubscribe { token, .. }] => *token,
        other => panic!("{other:?}"),
    };
    let error = error(BrokerErrorKind::ResourceLocked);
    world.event(Event::Failed { token: claim, error });
    assert_eq!(outcomes(&mut world), []);
    world.event(Event::Unsubscribed { token: release });
    assert_eq!(outcomes(&mut world), [Outcome::Released("here.a".into())]);
}

#[test]
fn what_goes_with_the_link_is_not_lost() {
    let (mut world, subscription) = holding();
    let error = error(BrokerErrorKind::Unavailable);
    let gone = Event::Canceled { subscription, error: error.clone() };
    assert_eq!(world.bridge.is_fatal(&gone), Some(error.clone()));
    world.bridge.claim(&"here.b".into(), None, &mut world.output);
    let (token, ..) = subscribed(&mut world);
    assert_eq!(world.bridge.is_fatal(&Event::Failed { token, error: error.clone() }), Some(error));
}

#[test]
fn what_the_broker_takes_away_is_lost() {
    let (mut world, held) = holding();
    let gone = error(BrokerErrorKind::NotFound);
    world.event(Event::Canceled { subscription: held, error: gone.clone() });
    assert_eq!(outcomes(&mut world), [Outcome::Lost("here.a".into(), gone)]);
}

#[test]
fn after_a_lost_link_what_was_held_is_claimed_anew_and_lost_if_another_has_it() {
    for is_there in [true, false] {
        let (mut world, _) = holding();
        world.bridge.claim(&"here.b".into(), None, &mut world.output);
        let _ = world.commands();
        let down = error(BrokerErrorKind::Unavailable);
        world.bridge.on_down(&down, &mut world.output);
        let refused = Outcome::Refused("here.b".into(), down);
        assert_eq!(outcomes(&mut world), [refused], "what was not answered");

        world.link();
        let (token, ..) = subscribed(&mut world);
        if is_there {
            world.event(Event::Subscribed { token });
            assert_eq!(outcomes(&mut world), [], "nobody has noticed");
        } else {
            let other = error(BrokerErrorKind::PreconditionFailed);
            world.event(Event::Failed { token, error: other.clone() });
            assert_eq!(outcomes(&mut world), [Outcome::Lost("here.a".into(), other)]);
        }
    }
}

#[test]
fn what_the_broker_still_keeps_for_the_lost_link_is_asked_for_again_for_a_while() {
    for is_freed in [true, false] {
        let (mut world, _) = holding();
        world.bridge.on_down(&error(BrokerErrorKind::Unavailable), &mut world.output);
        world.link();
        let locked = error(BrokerErrorKind::ResourceLocked);
        for _ in 0..150 {
            let (token, ..) = subscribed(&mut world);
            world.event(Event::Failed { token, error: locked.clone() });
            assert_eq!((outcomes(&mut world), world.commands()), (vec![], vec![]));
            world.now += Duration::from_secs(1);
            assert_eq!(world.bridge.next_timeout(), Some(world.now));
            world.bridge.handle_timeout(world.now, &mut world.output);
        }
        let (token, ..) = subscribed(&mut world);
        if is_freed {
            world.event(Event::Subscribed { token });
            assert_eq!(outcomes(&mut world), [], "nobody has noticed");
        } else {
            world.event(Event::Failed { token, error: locked.clone() });
            assert_eq!(outcomes(&mut world), [Outcome::Lost("here.a".into(), locked)]);
        }
        assert_eq!(world.bridge.next_timeout(), None);
    }
    // Who gives it up meanwhile does not have it.
    let (mut world, _) = holding();
    world.bridge.on_down(&error(BrokerErrorKind::Unavailable), &mut world.output);
    world.link();
    let (token, ..) = subscribed(&mut world);
    world.event(Event::Failed { token, error: error(BrokerErrorKind::ResourceLocked) });
    world.bridge.release(&"here.a".into(), &mut world.output);
    assert_eq!(outcomes(&mut world), [Outcome::Released("here.a".into())]);
    assert_eq!((world.bridge.next_timeout(), world.commands()), (None, vec![]));
}

#[test]
fn without_a_link_nothing_is_claimed_and_what_is_released_is_free() {
    let mut world = World::closed();
    world.bridge.claim(&"here.a".into(), None, &mut world.output);
    match outcomes(&mut world).as_slice() {
        [Outcome::Refused(_, error)] => assert_eq!(error.kind, BrokerErrorKind::Unavailable),
        other => panic!("{other:?}"),
    }
    world.bridge.release(&"here.a".into(), &mut world.output);
    assert_eq!(outcomes(&mut world), [Outcome::Released("here.a".into())]);
    assert_eq!(world.commands(), []);
}

#[test]
fn a_procedure_with_too_long_a_name_for_a_queue_is_refused() {
    let mut world = World::open();
    world.bridge.claim(&"#".repeat(90).as_str().into(), None, &mut world.output);
    assert!(matches!(outcomes(&mut world).as_slice(), [Outcome::Refused(..)]));
    assert_eq!(world.commands(), []);
}
