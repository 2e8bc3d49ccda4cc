//! Ten thousand calls at a time, at a gateway in a process of its own, whose memory is watched.

use integration_tests::{GatewayProcess, REALM, Serializer, WampClient, code};
use rabbitmq_node::{Node, Vhost};
use serde_json::{Value, json};

const CALLS: usize = 10_000;

/// Times that [`CALLS`] are made, all of which wait for their answers at once.
const ROUNDS: usize = 10;

/// After so many of them a gateway has taken all the memory that it keeps: among it what it remembers of
/// calls that are over, 16,384 for each callee.
const SETTLED: usize = 5;

/// KiB that a gateway may have more after the last round than when it had settled: 400 bytes for each call
/// between, a third of what it has for one that waits. What the allocator keeps for later moves by some MiB, up
/// to a plateau; `tests/memory.rs` counts what is allocated.
const MOST_GROWTH: u64 = ((ROUNDS - SETTLED) * CALLS * 400 / 1_024) as u64;

const PROCEDURE: &str = "com.example.shared";

/// What a call has for arguments besides its number: so little that the calls of a callee that is slow to take
/// them have room. One that has none goes to the other callee, and loses its place.
const PADDING: usize = 100;

async fn start(arguments: &[&str]) -> GatewayProcess {
    GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), arguments).await
}

async fn join_at(gateway: &GatewayProcess, serializer: Serializer) -> WampClient {
    WampClient::connect(gateway.ws_addr(), serializer, REALM).await
}

/// Takes its share of the calls, which come in the caller's order.
async fn take(callee: &mut WampClient) -> Vec<(u64, Value)> {
    let mut taken: Vec<(u64, Value)> = Vec::new();
    for _ in 0..CALLS / 2 {
        let invocation = callee.invocation().await;
        let number = invocation.args[0].clone();
        let last = taken.last().and_then(|(_, number)| number.as_u64());
        assert!(last < number.as_u64(), "{number} after {last:?}");
        taken.push((invocation.request, number));
    }
    taken
}

async fn answer(callee: &mut WampClient, name: usize, taken: Vec<(u64, Value)>) {
    for (request, number) in taken {
        callee.send(json!([code::YIELD, request, {}, [number, name]])).await;
    }
}

/// Each call is answered once, and the answers of each callee come in its order.
async fn answered(caller: &mut WampClient, first: u64) {
    let mut seen = vec![false; CALLS];
    let mut last = [None; 2];
    for _ in 0..CALLS {
        let result = caller.expect(code::RESULT).await;
        let args = result.result().args;
        let (number, callee) = (args[0].as_u64().unwrap(), args[1].as_u64().unwrap());
        assert_eq!(result.id(1), first + number, "the answer of another call");
        let is_again = std::mem::replace(&mut seen[usize::try_from(number).unwrap()], true);
        assert!(!is_again, "{number} is answered again");
        let last = &mut last[usize::try_from(callee).unwrap()];
        assert!(*last < Some(number), "{number} after {last:?} of {callee}");
        *last = Some(number);
    }
    caller.expect_nothing().await;
}

/// All calls are made, then all are answered. What `watch` says while all wait.
async fn round<T>(
    caller: &mut WampClient,
    callees: &mut [WampClient; 2],
    watch: impl FnOnce() -> T,
) -> T {
    let padding = "x".repeat(PADDING);
    let [one, two] = callees;
    let call = async {
        let mut last = 0;
        for number in 0..CALLS {
            let rest = json!([{}, PROCEDURE, [number, padding]]);
            last = caller.request(code::CALL, rest).await;
        }
        last + 1 - CALLS as u64
    };
    let (first, of_one, of_two) = tokio::join!(call, take(one), take(two));
    let watched = watch();
    tokio::join!(answer(one, 0, of_one), answer(two, 1, of_two), answered(caller, first));
    for callee in callees {
        callee.expect_nothing().await;
    }
    watched
}

#[allow(clippy::print_stdout, reason = "the figures are what the test is for")]
async fn rounds(callers_at: &GatewayProcess, callees_at: &GatewayProcess) {
    let mut caller = join_at(callers_at, Serializer::MsgPack).await;
    let mut callees =
        [join_at(callees_at, Serializer::Json).await, join_at(callees_at, Serializer::Cbor).await];
    for callee in &mut callees {
        callee.register(PROCEDURE, json!({ "invoke": "roundrobin" })).await.unwrap();
    }
    let resident = || [callers_at.resident(), callees_at.resident()];
    let before = resident();
    for _ in 0..SETTLED {
        round(&mut caller, &mut callees, || ()).await;
    }
    let settled = resident();
    let mut in_flight = settled;
    for _ in SETTLED..ROUNDS {
        in_flight = round(&mut caller, &mut callees, resident).await;
    }
    let last = resident();
    println!(
        "KiB of the caller's gateway and the callees': {before:?}, {settled:?} after {SETTLED} rounds, \
         {in_flight:?} with {CALLS} calls in flight, {last:?} at the end"
    );
    for (settled, last) in settled.into_iter().zip(last) {
        assert!(last < settled + MOST_GROWTH, "{settled} KiB, then {last}");
    }
}

/// A gateway before this virtual host, whose user its clients and its realm are.
pub(crate) async fn before(vhost: &Vhost) -> GatewayProcess {
    let url = format!("amqp://{}", vhost.amqp_addr());
    let at = [vhost.name(), vhost.user(), vhost.passcode()];
    start(&[&[url.as_str(), "--wamp", "--at"], &at[..]].concat()).await
}

#[tokio::test]
async fn ten_thousand_calls_at_a_time_on_the_embedded_broker() {
    let gateway = start(&["--wamp"]).await;
    rounds(&gateway, &gateway).await;
}

#[tokio::test]
async fn ten_thousand_calls_at_a_time_on_rabbitmq() {
    let gateway = before(&Node::shared().await.vhost().await).await;
    rounds(&gateway, &gateway).await;
}

#[tokio::test]
async fn ten_thousand_calls_at_a_time_across_two_gateways() {
    let vhost = Node::shared().await.vhost().await;
    let (near, far) = (before(&vhost).await, before(&vhost).await);
    rounds(&near, &far).await;
}
