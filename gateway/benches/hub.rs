//! What it costs to hand one encoded frame to each of many members of a topic.
//!
//! `push_1000`: one message of 200 bytes, encoded, to 1,000 members of one group; what they take is not
//! measured. Divide by 1,000 for the cost of a member. `push_and_take_1000`: with what it costs each of
//! them to take it, 32 at a time.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::FanOut;

const MEMBERS: u64 = 1_000;

/// Messages between two takes.
const BATCH: u64 = 32;

fn push(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub");
    group.throughput(Throughput::Elements(MEMBERS));
    let mut fan_out = FanOut::new(MEMBERS, 200);
    fan_out.take();
    group.bench_function("push_1000", |b| {
        b.iter_custom(|iterations| {
            let mut measured = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let batch = left.min(BATCH);
                let start = Instant::now();
                for _ in 0..batch {
                    fan_out.distribute();
                }
                measured += start.elapsed();
                fan_out.take();
                left -= batch;
            }
            measured
        });
    });
    let mut messages = 0;
    group.bench_function("push_and_take_1000", |b| {
        b.iter(|| {
            fan_out.distribute();
            messages += 1;
            if messages % BATCH == 0 {
                fan_out.take();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
