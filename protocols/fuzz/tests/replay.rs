//! Replays the corpus of every target, and a few hundred mutations of every file in it. Both are
//! the same in every run.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;

use protocols_fuzz::TARGETS;

const MUTATIONS_PER_FILE: u32 = 200;

/// The corpus of a target in the order of its names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// xorshift64*: enough to mutate by, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap() % bound
    }
}

/// The bytes that mean something to a target.
fn alphabet(name: &str) -> &'static [u8] {
    match name {
        "wamp_json" => br#"[]{}",:\u0d8e-.1tn /"#,
        "wamp_msgpack" | "wamp_cbor" | "wamp_rawsocket" => {
            b"\0\x01\x08\x18\x40\x5f\x61\x7f\x81\x91\x9f\xa1\xbf\xc0\xc1\xc4\xd9\xdd\xf6\xf9\xff"
        }
        "wamp_session" => {
            &[1, 6, 10, 12, 14, 15, 0x81, 0x8a, 0x8f, 9, 10, 12, 13, 14, 17, 18, 19, 22]
        }
        _ => b"\0\n\r:\\cnr0129 a\xff\xc3",
    }
}

/// Changes a file as fuzzers do: bytes set, parts taken out, parts of other files put in.
fn mutate(file: &[u8], corpus: &[Vec<u8>], bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(file.len() + 1);
        match random.below(4) {
            0 if at < file.len() => file[at] = bytes[random.below(bytes.len())],
            1 => file.insert(at, bytes[random.below(bytes.len())]),
            2 => {
                let end = (at + random.below(8)).min(file.len());
                file.drain(at..end);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let part = other[from..].iter().take(random.below(40)).copied();
                file.splice(at..at, part).for_each(drop);
            }
        }
    }
    file
}

/// Says what a target was given if it fails.
struct Given<'a>(&'a str, &'a [u8]);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} was given b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

#[test]
fn every_corpus_and_its_mutations_keep_the_invariants() {
    for target in TARGETS {
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let mut random = Random(0x5EED);
        for file in &corpus {
            let run = |input: &[u8]| {
                let _given = Given(target.name, input);
                (target.run)(input);
            };
            run(file);
            for _ in 0..MUTATIONS_PER_FILE {
                run(&mutate(file, &corpus, alphabet(target.name), &mut random));
            }
        }
    }
}
