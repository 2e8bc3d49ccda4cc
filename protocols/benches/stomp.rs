//! Nanoseconds per parsed and per encoded frame of 100 bytes and of 1 KiB, and in the same run
//! those of a parser written by hand for the purpose, which yields the same [`Frame`].
//!
//! The hand-written one knows whole frames, checks no limits and resumes nothing. What the grammar
//! and the decoder cost on top is the ratio of the two; the goal is at most 1.5.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use memchr::memchr;
use protocols::stomp::encode::{Encoder, Escaping};
use protocols::stomp::frame::{Frame, HeaderLine, Headers, Verb};
use protocols::stomp::parse::{Decoder, DecoderLimits};
use protocols::text::Text;

/// Frames in one unit, so that what criterion does around an iteration weighs little.
const FRAMES: usize = 64;

const LIMITS: DecoderLimits =
    DecoderLimits { frame_size: 4 << 20, header_count: 100, header_size: 64 << 10 };

/// What a frame says: a few headers and no body to speak of, or many and a body.
struct Case {
    size: usize,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
}

const CASES: [Case; 2] = [
    Case {
        size: 100,
        headers: &[("destination", "/topic/prices.eur.usd"), ("receipt", "message-00000017")],
        body: br#"{"price":12.50}"#,
    },
    Case {
        size: 1024,
        headers: &[
            ("destination", "/exchange/market/prices.eur.usd"),
            ("content-type", "application/json"),
            ("correlation-id", "0b5c9a3e-6f62-4a7f-9f3a-0f1d2c3b4a59"),
            ("reply-to", "/temp-queue/answers"),
            ("persistent", "true"),
            ("priority", "4"),
            ("receipt", "message-000017"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ],
        body: &[b'x'; 724],
    },
];

impl Case {
    fn encode(&self) -> Bytes {
        let mut encoder = Encoder::new(Verb::Send, Escaping::V12, self.body.len());
        for (name, value) in self.headers {
            encoder.header(name, value);
        }
        encoder.finish(self.body)
    }

    /// A unit of many frames, as a transport hands it over.
    fn unit(&self) -> Bytes {
        let mut unit = bytes::BytesMut::from(self.encode().repeat(FRAMES).as_slice());
        // Like a read buffer that had more in it, so that slices of it only count references.
        let _rest = unit.split_off(unit.len());
        unit.freeze()
    }
}

fn decode(decoder: &mut Decoder, unit: Bytes) -> usize {
    decoder.push(unit);
    let mut count = 0;
    while let Some(frame) = decoder.next_frame().expect("the frames are valid") {
        black_box(&frame);
        count += 1;
    }
    count
}

fn decode_by_hand(lines: &mut Vec<HeaderLine>, mut unit: Bytes) -> usize {
    let mut count = 0;
    while let Some(frame) = by_hand(lines, &mut unit) {
        black_box(&frame);
        count += 1;
    }
    count
}

/// Takes one frame off `unit`. Does what the decoder does: verb, headers in the same structure,
/// `content-length`, one UTF-8 check, unescaping only if there is a backslash (there is none).
/// `lines` is reused, as in the decoder.
fn by_hand(lines: &mut Vec<HeaderLine>, unit: &mut Bytes) -> Option<Frame> {
    lines.clear();
    while let Some(b'\n' | b'\r') = unit.first() {
        unit.advance(1);
    }
    let input: &[u8] = unit;
    let mut at = memchr(b'\n', input)? + 1;
    let verb = Verb::parse(without_cr(&input[..at - 1]))?;
    let mut length = None;
    loop {
        let end = at + memchr(b'\n', &input[at..])?;
        let line = without_cr(&input[at..end]);
        if line.is_empty() {
            at = end + 1;
            break;
        }
        let colon = memchr(b':', line)?;
        if length.is_none() && &line[..colon] == b"content-length" {
            length = Some(std::str::from_utf8(&line[colon + 1..]).ok()?.parse::<usize>().ok()?);
        }
        let start = u32::try_from(at).ok()?;
        let place = |offset: usize| start + offset as u32;
        lines.push(HeaderLine { start, colon: place(colon), end: place(line.len()) });
        at = end + 1;
    }
    let body_len = match length {
        Some(length) => (input.get(at + length) == Some(&0)).then_some(length)?,
        None => memchr(0, &input[at..])?,
    };
    let mut frame = unit.split_to(at + body_len + 1);
    let body = frame.slice(at..at + body_len);
    frame.truncate(at);
    let head = Text::from_utf8(frame).ok()?;
    if memchr(b'\\', head.as_bytes()).is_some() {
        return None;
    }
    Some(Frame { verb, headers: Headers::from_lines(head, lines), body })
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn benches(criterion: &mut Criterion) {
    for case in &CASES {
        assert_eq!(case.encode().len(), case.size);
        let unit = case.unit();
        let mut group = criterion.benchmark_group(format!("stomp/{} B", case.size));
        group.throughput(Throughput::Elements(FRAMES as u64));
        let mut decoder = Decoder::new(LIMITS);
        decoder.set_escaping(Escaping::V12);
        let mut lines = Vec::new();
        assert_eq!(decode(&mut decoder, unit.clone()), FRAMES);
        assert_eq!(decode_by_hand(&mut lines, unit.clone()), FRAMES);
        group.bench_function("parse", |bencher| {
            let input = || unit.clone();
            bencher.iter_batched(input, |unit| decode(&mut decoder, unit), BatchSize::SmallInput);
        });
        group.bench_function("parse by hand", |bencher| {
            let input = || unit.clone();
            let routine = |unit| decode_by_hand(&mut lines, unit);
            bencher.iter_batched(input, routine, BatchSize::SmallInput);
        });
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                for _ in 0..FRAMES {
                    black_box(black_box(case).encode());
                }
            });
        });
        group.finish();
    }
}

/// Prints the ratio of both parsers. They take turns and the shortest time of each counts, so that
/// what else the machine does in the meantime does not.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
#[expect(clippy::print_stdout, reason = "what a bench is for")]
fn ratio(_: &mut Criterion) {
    const ROUNDS: usize = 20_000;
    for case in &CASES {
        let unit = case.unit();
        let mut decoder = Decoder::new(LIMITS);
        decoder.set_escaping(Escaping::V12);
        let mut lines = Vec::new();
        let (mut ours, mut by_hand) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let input = unit.clone();
            let start = Instant::now();
            black_box(decode(&mut decoder, input));
            ours = ours.min(start.elapsed());
            let input = unit.clone();
            let start = Instant::now();
            black_box(decode_by_hand(&mut lines, input));
            by_hand = by_hand.min(start.elapsed());
        }
        println!(
            "stomp/{} B: parsing takes {:.1} ns a frame, by hand {:.1} ns, ratio {:.2}",
            case.size,
            ours.as_secs_f64() * 1e9 / FRAMES as f64,
            by_hand.as_secs_f64() * 1e9 / FRAMES as f64,
            ours.as_secs_f64() / by_hand.as_secs_f64(),
        );
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
}

criterion_group! { name = stomp; config = short(); targets = benches, ratio }
criterion_main!(stomp);
