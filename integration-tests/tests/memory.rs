//! What calls take of memory is given back: bytes that are allocated, in a process that runs nothing else,
//! for what an allocator keeps for later says little.

#![allow(clippy::print_stdout, reason = "the figures of a run are worth reading")]

use integration_tests::{REALM, Serializer, TestGateway, WampClient, code, serve_wamp};
use peak_alloc::PeakAlloc;
use rabbitmq_node::Node;
use serde_json::json;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const CALLS: usize = 10_000;

/// Rounds after which a callee's session remembers as many calls that are over as it ever does, 16,384.
const SETTLED: usize = 4;

/// Rounds after which no more than a tenth of what one takes may be kept.
const ROUNDS: usize = 4;

const PROCEDURE: &str = "com.example.shared";

/// All calls wait for their answers at once, and are answered. What is allocated meanwhile.
async fn round(caller: &mut WampClient, callees: &mut [WampClient; 2]) -> usize {
    for number in 0..CALLS {
        caller.request(code::CALL, json!([{}, PROCEDURE, [number]])).await;
    }
    let mut taken = Vec::with_capacity(CALLS);
    for callee in callees.iter_mut() {
        for _ in 0..CALLS / 2 {
            taken.push(callee.invocation().await.request);
        }
    }
    let in_flight = ALLOCATED.current_usage();
    for (callee, requests) in callees.iter_mut().zip(taken.chunks(CALLS / 2)) {
        for request in requests {
            callee.send(json!([code::YIELD, request, {}])).await;
        }
    }
    for _ in 0..CALLS {
        caller.expect(code::RESULT).await;
    }
    in_flight
}

/// One gateway, and two before one RabbitMQ: one after the other, for what is allocated is the process's.
#[tokio::test]
async fn what_ten_thousand_calls_take_is_given_back() {
    let change = |config: &mut gateway::config::Config| serve_wamp(config, json!({}));
    let gateway = TestGateway::embedded().config(change).start().await;
    is_given_back(&gateway, &gateway).await;
    gateway.stop().await;
    let vhost = Node::shared().await.vhost().await;
    let near = TestGateway::rabbitmq(&vhost).config(change).start().await;
    let far = TestGateway::rabbitmq(&vhost).config(change).start().await;
    is_given_back(&near, &far).await;
}

async fn is_given_back(callers_at: &TestGateway, callees_at: &TestGateway) {
    let join =
        |gateway: &TestGateway| WampClient::connect(gateway.ws_addr(), Serializer::Json, REALM);
    let mut caller = join(callers_at).await;
    let mut callees = [join(callees_at).await, join(callees_at).await];
    for callee in &mut callees {
        callee.register(PROCEDURE, json!({ "invoke": "roundrobin" })).await.expect("free");
    }
    for _ in 0..SETTLED {
        round(&mut caller, &mut callees).await;
    }
    let before = ALLOCATED.current_usage();
    let mut in_flight = before;
    for _ in 0..ROUNDS {
        in_flight = round(&mut caller, &mut callees).await;
    }
    let after = ALLOCATED.current_usage();
    let kib = [before, in_flight, after].map(|bytes| bytes / 1_024);
    println!(
        "KiB allocated before, with {CALLS} calls in flight, and after {ROUNDS} rounds: {kib:?}"
    );
    let taken = in_flight.saturating_sub(before);
    assert!(taken > CALLS * 200, "a call that waits has more than {} bytes", taken / CALLS);
    // Some of it is what sessions remember of calls that are over, which depends on the time, too.
    let kept = after.saturating_sub(before);
    assert!(kept < taken / 10, "{kept} bytes are kept, where {taken} were taken");
}
