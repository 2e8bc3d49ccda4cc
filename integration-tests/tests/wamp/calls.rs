//! Calls between sessions of one gateway.

use integration_tests::{Login, Payload, REALM, Serializer, WampClient, WampError, binary, code};
use serde_json::{Value, json};

use crate::{Behind, join, join_by, scenarios};

fn error_uri<T: std::fmt::Debug>(refused: Result<T, WampError>) -> String {
    refused.unwrap_err().uri
}

async fn arguments_and_results_come_as_they_were_sent(behind: Behind) {
    let world = behind.world().await;
    let args = json!([1, -2.5, null, "grüße 🦀", binary(b"\0\xff"), [{ "x": [] }]]);
    let kwargs = json!({ "größe": { "tief": [true] } });
    for of_callee in Serializer::ALL {
        let mut callee = join_by(&world, of_callee).await;
        callee.register("com.example.echo", json!({})).await.unwrap();
        for of_caller in Serializer::ALL {
            let mut caller = join_by(&world, of_caller).await;
            let rest = json!([{}, "com.example.echo", args, kwargs]);
            let call = caller.request(code::CALL, rest).await;
            let invocation = callee.invocation().await;
            assert_eq!((&invocation.args, &invocation.kwargs), (&args, &kwargs));
            callee.yields(&invocation, args.clone(), kwargs.clone()).await;
            let expected = Payload { args: args.clone(), kwargs: kwargs.clone() };
            assert_eq!(caller.result(call).await, Ok(expected), "{of_caller:?} to {of_callee:?}");

            let call = caller.request(code::CALL, json!([{}, "com.example.echo"])).await;
            let invocation = callee.invocation().await;
            callee.fails(&invocation, "com.example.refused", json!(["why", binary([7])])).await;
            let error = caller.result(call).await.unwrap_err();
            assert_eq!(error.uri, "com.example.refused");
            assert_eq!(error.args, json!(["why", binary([7])]));
        }
        callee.leave().await;
    }
}

async fn a_procedure_is_one_sessions_until_it_gives_it_back(behind: Behind) {
    let world = behind.world().await;
    let (mut one, mut two) = (join(&world).await, join(&world).await);
    let nobody = two.call("com.example.one", json!([]), json!({})).await;
    assert_eq!(error_uri(nobody), "wamp.error.no_such_procedure");
    let registration = one.register("com.example.one", json!({})).await.unwrap();
    let taken = two.register("com.example.one", json!({})).await;
    assert_eq!(error_uri(taken), "wamp.error.procedure_already_exists");

    let request = one.request(code::UNREGISTER, json!([registration])).await;
    one.answer((code::UNREGISTER, request), code::UNREGISTERED).await.unwrap();
    let nobody = two.call("com.example.one", json!([]), json!({})).await;
    assert_eq!(error_uri(nobody), "wamp.error.no_such_procedure");
    two.register("com.example.one", json!({})).await.unwrap();

    // A session that ends gives back all that it has.
    two.leave().await;
    one.register("com.example.one", json!({})).await.unwrap();
    one.cut();
    let mut three = join(&world).await;
    rabbitmq_node::eventually("the cut to be noticed", async || {
        three.register("com.example.one", json!({})).await.ok()
    })
    .await;
}

async fn the_most_specific_registration_is_called(behind: Behind) {
    let world = behind.world().await;
    let (mut callee, mut caller) = (join(&world).await, join(&world).await);
    let mut register = async |procedure: &str, policy: &str| {
        callee.register(procedure, json!({ "match": policy })).await.unwrap()
    };
    let exact = register("com.example.a.b", "exact").await;
    let short = register("com.example.", "prefix").await;
    let long = register("com.example.a", "prefix").await;
    let wildcard = register("com..c", "wildcard").await;
    for (procedure, registration) in [
        ("com.example.a.b", exact),
        ("com.example.a.c", long),
        ("com.example.ab", long),
        ("com.example.b", short),
        ("com.x.c", wildcard),
        ("com.example.c", short),
    ] {
        let call = caller.request(code::CALL, json!([{}, procedure])).await;
        let invocation = callee.invocation().await;
        assert_eq!(invocation.registration, registration, "{procedure}");
        let named = (registration != exact).then_some(json!(procedure));
        assert_eq!(invocation.details.get("procedure"), named.as_ref(), "{procedure}");
        callee.yields(&invocation, json!([]), json!({})).await;
        caller.result(call).await.unwrap();
    }
}

async fn callees_that_share_a_procedure_are_called_in_turn(behind: Behind) {
    let world = behind.world().await;
    let mut callees = [join(&world).await, join(&world).await, join(&world).await];
    for callee in &mut callees {
        callee.register("com.example.shared", json!({ "invoke": "roundrobin" })).await.unwrap();
    }
    let mut caller = join(&world).await;
    let other = caller.register("com.example.shared", json!({ "invoke": "first" })).await;
    assert_eq!(error_uri(other), "wamp.error.procedure_already_exists");
    for _ in 0..2 {
        // As many calls as callees: each gets one.
        let mut calls = Vec::new();
        for _ in &callees {
            calls.push(caller.request(code::CALL, json!([{}, "com.example.shared"])).await);
        }
        for callee in &mut callees {
            let invocation = callee.invocation().await;
            callee.yields(&invocation, json!([]), json!({})).await;
            callee.expect_nothing().await;
        }
        let mut answered = Vec::new();
        for _ in &calls {
            answered.push(caller.expect(code::RESULT).await.id(1));
        }
        answered.sort_unstable();
        assert_eq!(answered, calls);
    }
    // With the last of them it is nobody's, and whoever wants it can have it.
    for mut callee in callees {
        callee.leave().await;
    }
    let nobody = caller.call("com.example.shared", json!([]), json!({})).await;
    assert_eq!(error_uri(nobody), "wamp.error.no_such_procedure");
    caller.register("com.example.shared", json!({ "invoke": "first" })).await.unwrap();
}

async fn results_may_come_in_parts(behind: Behind) {
    let world = behind.world().await;
    let (mut callee, mut caller) =
        (join_by(&world, Serializer::Cbor).await, join_by(&world, Serializer::MsgPack).await);
    callee.register("com.example.parts", json!({})).await.unwrap();
    let wanted = json!([{ "receive_progress": true }, "com.example.parts"]);
    let call = caller.request(code::CALL, wanted).await;
    let invocation = callee.invocation().await;
    assert_eq!(invocation.details["receive_progress"], true);
    for number in 0..100 {
        let request = invocation.request;
        callee.send(json!([code::YIELD, request, { "progress": true }, [number]])).await;
    }
    callee.yields(&invocation, json!(["done"]), json!({})).await;
    for number in 0..100 {
        let part = caller.expect(code::RESULT).await;
        assert_eq!((part.id(1), &part.at(2)["progress"]), (call, &json!(true)), "{part:?}");
        assert_eq!(part.result().args, json!([number]));
    }
    let done = caller.expect(code::RESULT).await;
    assert_eq!(done.at(2), &json!({}));
    assert_eq!(done.result().args, json!(["done"]));
}

async fn calls_of_one_caller_keep_their_order_across_procedures(behind: Behind) {
    const CALLS: usize = 500;
    let world = behind.world().await;
    let (mut callee, mut caller) = (join(&world).await, join(&world).await);
    let procedures = ["com.example.a", "com.example.b", "org.example.c"];
    for procedure in procedures {
        callee.register(procedure, json!({})).await.unwrap();
    }
    for number in 0..CALLS {
        let procedure = procedures[number % procedures.len()];
        caller.request(code::CALL, json!([{}, procedure, [number]])).await;
    }
    for number in 0..CALLS {
        let invocation = callee.invocation().await;
        assert_eq!(invocation.args, json!([number]));
        callee.yields(&invocation, json!([number]), json!({})).await;
    }
    for number in 0..CALLS {
        assert_eq!(caller.expect(code::RESULT).await.result().args, json!([number]));
    }
}

async fn a_call_is_taken_back(behind: Behind) {
    let world = behind.world().await;
    take_back(join(&world).await, join(&world).await).await;
}

/// What the caller is told of a call that it takes back, and the callee.
pub(crate) async fn take_back(mut callee: WampClient, mut caller: WampClient) {
    callee.register("com.example.slow", json!({})).await.unwrap();
    for mode in ["skip", "killnowait", "kill"] {
        let call = caller.request(code::CALL, json!([{}, "com.example.slow"])).await;
        let invocation = callee.invocation().await;
        caller.send(json!([code::CANCEL, call, { "mode": mode }])).await;
        if mode != "skip" {
            let interrupt = callee.expect(code::INTERRUPT).await;
            assert_eq!(interrupt.id(1), invocation.request);
        }
        if mode == "kill" {
            callee.fails(&invocation, "com.example.stopped", json!([])).await;
            assert_eq!(error_uri(caller.result(call).await), "com.example.stopped");
        } else {
            assert_eq!(error_uri(caller.result(call).await), "wamp.error.canceled", "{mode}");
            // It comes too late, and costs nothing.
            callee.yields(&invocation, json!([]), json!({})).await;
        }
    }
    callee.expect_nothing().await;
    caller.expect_nothing().await;
}

async fn a_call_ends_in_time_whatever_its_callee_does(behind: Behind) {
    let world = behind.world().await;
    let (mut callee, mut caller) = (join(&world).await, join(&world).await);
    callee.register("com.example.never", json!({})).await.unwrap();
    let rest = json!([{ "timeout": 50 }, "com.example.never"]);
    let call = caller.request(code::CALL, rest).await;
    let invocation = callee.invocation().await;
    assert_eq!(error_uri(caller.result(call).await), "wamp.error.timeout");
    assert_eq!(callee.expect(code::INTERRUPT).await.id(1), invocation.request);

    // A callee that leaves, and one that is gone.
    let call = caller.request(code::CALL, json!([{}, "com.example.never"])).await;
    callee.invocation().await;
    callee.leave().await;
    assert_eq!(error_uri(caller.result(call).await), "wamp.error.canceled");
    let mut callee = join(&world).await;
    callee.register("com.example.never", json!({})).await.unwrap();
    let call = caller.request(code::CALL, json!([{}, "com.example.never"])).await;
    callee.invocation().await;
    callee.cut();
    assert_eq!(error_uri(caller.result(call).await), "wamp.error.canceled");
}

async fn the_callee_of_a_caller_that_is_gone_is_interrupted(behind: Behind) {
    let world = behind.world().await;
    let callers = [join(&world).await, join(&world).await];
    orphan(join(&world).await, callers).await;
}

/// What the callee is told of a caller that leaves, and of one that is cut off.
pub(crate) async fn orphan(mut callee: WampClient, callers: [WampClient; 2]) {
    callee.register("com.example.orphan", json!({})).await.unwrap();
    for (mut caller, leaves) in callers.into_iter().zip([true, false]) {
        caller.request(code::CALL, json!([{}, "com.example.orphan"])).await;
        let invocation = callee.invocation().await;
        if leaves {
            caller.leave().await;
        } else {
            caller.cut();
        }
        assert_eq!(callee.expect(code::INTERRUPT).await.id(1), invocation.request);
        callee.yields(&invocation, json!([]), json!({})).await;
    }
    callee.expect_nothing().await;
}

/// A role that may call below `open.`, and register one procedure there.
fn rules() -> Value {
    let rule = |uri: &str, policy: &str, allow: Value| json!({ "uri": uri, "match": policy, "allow": allow });
    json!({ "role": { "anonymous": { "rule": {
        "calls": rule("open.", "prefix", json!(["call"])),
        "registers": rule("open.mine", "exact", json!(["register"])),
    } } } })
}

async fn only_what_the_rules_allow_is_called_and_registered(behind: Behind) {
    let world = behind.realm(rules()).await;
    let mut client = join(&world).await;
    client.register("open.mine", json!({})).await.unwrap();
    for (procedure, policy) in
        [("open.other", "exact"), ("open.", "prefix"), ("open.mine", "prefix"), ("x.y", "exact")]
    {
        let refused = client.register(procedure, json!({ "match": policy })).await;
        assert_eq!(error_uri(refused), "wamp.error.not_authorized", "{policy} {procedure}");
    }
    let refused = client.call("closed.x", json!([]), json!({})).await;
    assert_eq!(error_uri(refused), "wamp.error.not_authorized");
    let nobody = client.call("open.other", json!([]), json!({})).await;
    assert_eq!(error_uri(nobody), "wamp.error.no_such_procedure");
}

async fn a_caller_is_named_if_it_asks_for_it(behind: Behind) {
    let world = behind.world().await;
    let mut callee = join(&world).await;
    let mut caller = WampClient::open(world.ws_addr(), Serializer::Cbor).await;
    let welcome = caller.join(REALM, Login::Anonymous).await;
    callee.register("com.example.who", json!({})).await.unwrap();
    let named = json!({
        "caller": caller.session(),
        "caller_authid": welcome["authid"],
        "caller_authrole": "anonymous",
    });
    for (disclose_me, details) in [(true, named), (false, json!({}))] {
        let rest = json!([{ "disclose_me": disclose_me }, "com.example.who"]);
        let call = caller.request(code::CALL, rest).await;
        let invocation = callee.invocation().await;
        assert_eq!(invocation.details, details);
        callee.yields(&invocation, json!([]), json!({})).await;
        caller.result(call).await.unwrap();
    }
}

scenarios!(
    calls,
    [
        arguments_and_results_come_as_they_were_sent,
        a_procedure_is_one_sessions_until_it_gives_it_back,
        the_most_specific_registration_is_called,
        callees_that_share_a_procedure_are_called_in_turn,
        results_may_come_in_parts,
        calls_of_one_caller_keep_their_order_across_procedures,
        a_call_is_taken_back,
        a_call_ends_in_time_whatever_its_callee_does,
        the_callee_of_a_caller_that_is_gone_is_interrupted,
        only_what_the_rules_allow_is_called_and_registered,
        a_caller_is_named_if_it_asks_for_it,
    ]
);
