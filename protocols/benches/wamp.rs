//! Nanoseconds per CALL and per EVENT of about 100 bytes and of 1 KiB, in each serializer: decoded,
//! encoded with the payload passed through, and encoded with it transcoded. In the same run, those
//! of serde over a tree of values, which is what it costs not to pass a payload through.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use protocols::wamp::message::Message;
use protocols::wamp::serializer::{Limits, Serializer};
use serde_json::Value;

const LIMITS: Limits = Limits::DEFAULT;

/// What a message says, in JSON: little, or much.
struct Case {
    name: &'static str,
    json: fn() -> String,
}

const CASES: [Case; 4] = [
    Case { name: "CALL, short", json: || call(r#"[23,"eur"]"#) },
    Case { name: "CALL, long", json: || call(&payload()) },
    Case { name: "EVENT, short", json: || event(r#"[12.5,"eur"]"#) },
    Case { name: "EVENT, long", json: || event(&payload()) },
];

fn call(args: &str) -> String {
    format!(
        r#"[48,7814135,{{"receive_progress":true,"timeout":5000}},"com.app.orders.place",{args}]"#
    )
}

fn event(args: &str) -> String {
    format!(r#"[36,5512315355,4429313566,{{"topic":"com.app.prices.eur"}},{args}]"#)
}

/// Ten records of what applications send: numbers, texts, flags.
fn payload() -> String {
    let record = |id: u32| {
        let price = f64::from(id) * 1.25;
        format!(
            r#"{{"id":{id},"name":"order number {id}","price":{price:?},"open":true,"tags":["a","b"]}}"#
        )
    };
    format!("[[{}],{{}}]", (1..=12).map(record).collect::<Vec<_>>().join(","))
}

fn decode(serializer: Serializer, bytes: &Bytes) -> Message {
    Message::decode(serializer, bytes, &LIMITS).expect("the message is valid")
}

fn encode(message: &Message, to: Serializer) -> Bytes {
    message.encode(to, &LIMITS).expect("every serializer can carry it")
}

/// What a router would have to do that knows nothing but trees.
fn through_a_tree(serializer: Serializer, bytes: &[u8]) -> Vec<u8> {
    let tree = "the message is valid";
    match serializer {
        Serializer::Json => {
            let value: Value = serde_json::from_slice(bytes).expect(tree);
            serde_json::to_vec(&value).expect(tree)
        }
        Serializer::MsgPack => {
            let value: Value = rmp_serde::from_slice(bytes).expect(tree);
            rmp_serde::to_vec(&value).expect(tree)
        }
        Serializer::Cbor => {
            let value: Value = cbor4ii::serde::from_slice(bytes).expect(tree);
            cbor4ii::serde::to_vec(Vec::new(), &value).expect(tree)
        }
    }
}

fn run(group: &mut BenchmarkGroup<'_, WallTime>, json: &str) {
    let from_json = decode(Serializer::Json, &Bytes::from(json.to_owned()));
    for serializer in Serializer::ALL {
        let bytes = encode(&from_json, serializer);
        let message = decode(serializer, &bytes);
        let size = bytes.len();
        group.bench_function(format!("decode {serializer} ({size} B)"), |bencher| {
            bencher.iter(|| decode(serializer, black_box(&bytes)));
        });
        for to in Serializer::ALL {
            group.bench_function(format!("encode {serializer} as {to}"), |bencher| {
                bencher.iter(|| encode(black_box(&message), to));
            });
        }
        group.bench_function(format!("decode and encode {serializer} as a tree"), |bencher| {
            bencher.iter(|| through_a_tree(serializer, black_box(&bytes)));
        });
    }
}

fn benches(criterion: &mut Criterion) {
    for case in &CASES {
        let mut group = criterion.benchmark_group(format!("wamp/{}", case.name));
        run(&mut group, &(case.json)());
        group.finish();
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
}

criterion_group! { name = wamp; config = short(); targets = benches }
criterion_main!(wamp);
