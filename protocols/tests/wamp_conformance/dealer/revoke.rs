//! §Registration Revocation: a registration that is taken away from its callee.

use protocols::session::CloseCause;
use protocols::wamp::message::{CallOptions, Feature, Message, RegisterOptions};
use protocols::wamp::serializer::Serializer;

use super::*;

fn force() -> RegisterOptions {
    RegisterOptions { force_reregister: Some(true), ..RegisterOptions::default() }
}

#[test]
fn advanced_a_session_of_the_same_user_can_take_a_registration_over() {
    for serializer in Serializer::ALL {
        let mut world = World::new();
        let old = world.join_as(serializer, &[Feature::RegistrationRevocation], 7);
        let registration = world.register(old, "a.b", RegisterOptions::default());
        let new = world.join_as(serializer, &[], 7);
        assert_eq!(world.register(new, "a.b", force()), registration);
        let Message::Unregistered(unregistered) = world.client(old).message() else { panic!() };
        let details = unregistered.details.unwrap();
        assert_eq!((unregistered.request, details.registration), (None, Some(registration)));
        assert_eq!(details.reason, Some("com.app.replaced".into()));
        assert!(world.client(old).is_open());

        let caller = world.join(ALL);
        world.call(caller, "a.b", CallOptions::default());
        world.invocation(new);
        assert!(matches!(world.unregister(old, registration), Message::Error(_)));
    }
}

/// It would wait for calls that do not come, and keep its user waiting.
#[test]
fn server_a_callee_that_cannot_be_told_that_alone_is_told_by_goodbye() {
    let mut world = World::new();
    let old = world.join_as(Serializer::Json, &[Feature::CallCanceling], 7);
    let new = world.join_as(Serializer::Json, &[], 7);
    let caller = world.join(ALL);
    world.register(old, "a.b", RegisterOptions::default());
    let call = world.call(caller, "a.b", CallOptions::default());
    world.invocation(old);
    world.register(new, "a.b", force());
    let (reason, sentence) = world.client(old).farewell();
    assert_eq!(reason, "wamp.error.unavailable");
    assert!(sentence.unwrap().contains("com.app.replaced"));
    world.settle();
    assert_eq!(world.error(caller), (call, "wamp.error.canceled".into()));
    world.client(old).goodbye("wamp.close.goodbye_and_out");
    assert_eq!(world.client(old).closed().cause, CloseCause::Broker);
}

#[test]
fn server_another_user_cannot_take_it_over() {
    let mut world = World::pair();
    let Message::Error(error) = world.try_register(CALLER, "a.b", force()) else { panic!() };
    assert_eq!(error.error, "wamp.error.procedure_already_exists");
    assert_eq!(world.client(CALLEE).messages(), []);
}

/// A client that does not know the feature is not ended for what it has given up itself.
#[test]
fn server_what_the_session_does_not_have_any_more_is_not_taken_away() {
    let mut world = World::new();
    let who = world.join(&[]);
    let registration = world.register(who, "a.b", RegisterOptions::default());
    world.unregister(who, registration);
    let reason = "com.app.replaced".into();
    world.notice(who, Notice::Revoked { registration, reason });
    world.assert_silent();
    assert!(world.client(who).is_open());
}
