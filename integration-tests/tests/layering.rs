//! Who may depend on whom, and what must not occur anywhere, checked on the sources as they are:
//! the manifests by `cargo metadata`, the code by its tokens with comments and literals removed.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates of this workspace, each with the ones of them it may use.
const ARROWS: [(&str, &[&str]); 5] = [
    ("protocols", &[]),
    ("broker-adapters", &["protocols"]),
    ("gateway", &["protocols", "broker-adapters"]),
    ("rabbitmq-node", &[]),
    ("integration-tests", &["gateway", "rabbitmq-node"]),
];

/// Crates that every other may use for its tests.
const FOR_TESTS: [&str; 1] = ["rabbitmq-node"];

/// All that the pure crate may use besides the standard library.
const PURE: [&str; 17] = [
    "bytes",
    "bytestring",
    "cbor4ii",
    "data-encoding",
    "hmac",
    "md-5",
    "memchr",
    "nom",
    "pbkdf2",
    "rmp-serde",
    "serde",
    "serde-transcode",
    "serde_json",
    "sha2",
    "smallvec",
    "subtle",
    "thiserror",
];

/// Names that may occur only in files whose path begins so.
const CONFINED: [(&str, &[&str]); 6] = [
    ("tokio_tungstenite", &["gateway/src/transport/ws", "gateway/src/handshake"]),
    ("figment", &["gateway/src/config/"]),
    ("nom", &["protocols/"]),
    ("lapin", &["broker-adapters/src/rabbitmq"]),
    ("unbounded", &[]),
    ("unbounded_channel", &[]),
];

/// Names that must not occur in files whose path begins so.
const BANNED: [(&str, &[&str]); 5] = [
    (
        "protocols/src/",
        &["tokio", "rand", "getrandom", "SystemTime", "net", "fs", "thread", "process"],
    ),
    ("protocols/src/stomp/", &["wamp", "Wamp"]),
    ("protocols/src/wamp/", &["stomp", "Stomp"]),
    ("broker-adapters/", &["stomp", "Stomp", "wamp", "Wamp"]),
    ("integration-tests/", &["tungstenite", "tokio_tungstenite"]),
];

/// The modules of `protocols` that an adapter may use.
const PORT: [&str; 3] = ["auth", "broker", "text"];

const TOP_LEVEL: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "broker-adapters",
    "docker-compose.yml",
    "gateway",
    "integration-tests",
    "protocols",
];

/// Lines a source file may have, tests excepted.
const LONGEST_FILE: usize = 600;

#[test]
fn crates_depend_on_each_other_only_along_the_drawn_arrows() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| text(package, "name")).collect();
    assert_eq!(names, ARROWS.iter().map(|(name, _)| *name).collect());
    for package in &packages {
        let name = text(package, "name");
        let (_, allowed) = ARROWS.iter().find(|(known, _)| *known == name).unwrap();
        let is_drawn = |it: &str| !names.contains(it) || allowed.contains(&it);
        for dependency in dependencies(package, |kind| kind != Some("dev")) {
            assert!(is_drawn(dependency), "{name} uses {dependency}");
        }
        for dependency in dependencies(package, |kind| kind == Some("dev")) {
            let is_for_tests = FOR_TESTS.contains(&dependency);
            assert!(is_for_tests || is_drawn(dependency), "the tests of {name} use {dependency}");
        }
    }
}

#[test]
fn the_protocols_crate_depends_on_nothing_that_does_io() {
    let packages = packages();
    let package = packages.iter().find(|package| text(package, "name") == "protocols").unwrap();
    for dependency in dependencies(package, |kind| kind != Some("dev")) {
        assert!(PURE.contains(&dependency), "protocols uses {dependency}");
    }
}

#[test]
fn libraries_are_named_only_where_they_are_confined_to() {
    for source in sources() {
        for (name, places) in CONFINED {
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            assert!(allowed || !source.names(name), "{} names {name}", source.path);
        }
    }
}

#[test]
fn layers_do_not_name_what_they_must_not_know() {
    for source in sources() {
        for (place, names) in BANNED {
            for name in names.iter().filter(|_| source.path.starts_with(place)) {
                assert!(!source.names(name), "{} names {name}", source.path);
            }
        }
    }
}

#[test]
fn the_clock_is_read_nowhere_in_the_protocols_crate() {
    for source in sources().iter().filter(|source| source.path.starts_with("protocols/src/")) {
        assert!(!source.code.contains("::now("), "{} reads a clock", source.path);
    }
}

#[test]
fn adapters_use_the_port_alone() {
    for source in sources().iter().filter(|source| source.path.starts_with("broker-adapters/")) {
        for module in names_after(&source.code, "protocols::") {
            assert!(PORT.contains(&module), "{} uses protocols::{module}", source.path);
        }
    }
}

#[test]
fn the_clients_of_the_tests_share_no_protocol_code_with_the_gateway() {
    for source in sources().iter().filter(|it| it.path.starts_with("integration-tests/")) {
        assert!(!source.code.contains("protocols::"), "{} uses protocols", source.path);
    }
}

#[test]
fn the_visible_top_level_is_as_agreed() {
    let files = tracked_files();
    let top: BTreeSet<&str> = files
        .iter()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(top, BTreeSet::from(TOP_LEVEL));
}

#[test]
fn every_module_says_what_it_is_for() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{} does not begin with `//! `", source.path);
    }
}

#[test]
fn no_file_is_too_long() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines of {LONGEST_FILE}", source.path);
    }
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_skipped() {
    // In two halves, so that this file does not name them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    for source in sources() {
        for word in words {
            assert!(!source.text.contains(word), "{} contains {word}", source.path);
        }
        let code: String = source.code.split_whitespace().collect();
        assert!(!code.contains("#[ignore"), "{} skips a test", source.path);
    }
}

#[test]
fn documents_name_only_files_and_functions_that_are_there() {
    let files = tracked_files();
    let sources = sources();
    let documents = files.iter().filter(|path| path.ends_with(".md"));
    for document in documents {
        let text = fs::read_to_string(root().join(document)).unwrap();
        // What stands between back-ticks, outside of blocks of code.
        let prose = text.split("```").step_by(2);
        for name in prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)) {
            let is_file = name.ends_with(".rs") || name.ends_with('/') && !name.starts_with('/');
            let inside = format!("/{name}");
            let is_there = |path: &String| format!("/{path}").contains(&inside);
            assert!(!is_file || files.iter().any(is_there), "{document} names {name}");

            let Some((_, item)) = name.rsplit_once("::").filter(|(_, item)| is_plain(item)) else {
                continue;
            };
            let defined = ["fn", "mod", "struct", "pub"].map(|keyword| format!("{keyword} {item}"));
            let defines = |source: &Source| {
                defined.iter().any(|it| {
                    source
                        .code
                        .match_indices(it)
                        .any(|(at, _)| !source.code[at + it.len()..].starts_with(is_word))
                })
            };
            assert!(sources.iter().any(defines), "{document} names {name}");
        }
    }
}

struct Source {
    /// From the root of the workspace.
    path: String,
    text: String,
    /// The text without comments and literals.
    code: String,
}

impl Source {
    fn names(&self, name: &str) -> bool {
        words(&self.code).any(|word| word == name)
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

fn sources() -> Vec<Source> {
    let files = tracked_files();
    let rust = files.into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let code = without_comments_and_literals(&text);
        Source { path, text, code }
    })
    .collect()
}

/// The files git knows, and those it would add.
fn tracked_files() -> Vec<String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = output_of(Command::new("git").args(arguments));
    let files = output.lines().map(str::to_owned);
    files.filter(|path| root().join(path).is_file()).collect()
}

fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = output_of(Command::new(env!("CARGO")).args(arguments));
    let metadata: Value = serde_json::from_str(&output).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn dependencies(package: &Value, kind: impl Fn(Option<&str>) -> bool) -> Vec<&str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|it| kind(it["kind"].as_str())).map(|it| text(it, "name")).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn output_of(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn is_plain(name: &str) -> bool {
    name.chars().all(is_word)
}

const fn is_word(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_word(character)).filter(|word| !word.is_empty())
}

/// What follows each `prefix`: a name, or the first name of each entry of a list in braces.
fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.extend(words(rest).next());
            continue;
        };
        let mut depth = 0;
        let mut wants_name = true;
        for (offset, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => wants_name = depth == 0,
                _ if wants_name && is_word(character) => {
                    names.extend(words(&list[offset..]).next());
                    wants_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// Replaces each comment and each text, byte and character literal by a space.
fn without_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let after_word = code.ends_with(is_word);
        match skipped(rest, after_word) {
            Some(length) => {
                code.push(' ');
                rest = &rest[length..];
            }
            None => {
                code.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    code
}

/// How long the comment or literal is with which `rest` begins.
fn skipped(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    let quoted = rest.strip_prefix('b').filter(|_| !after_word).unwrap_or(rest);
    let prefix = rest.len() - quoted.len();
    if let Some(raw) = quoted.strip_prefix('r').filter(|_| !after_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    match quoted.chars().next()? {
        '"' => Some(prefix + literal_end(quoted, '"')),
        '\'' => {
            let mut inside = quoted[1..].chars();
            let (first, second) = (inside.next()?, inside.next());
            let is_character = first == '\\' || second == Some('\'');
            is_character.then(|| prefix + literal_end(quoted, '\''))
        }
        _ => None,
    }
}

/// Where a literal with escapes ends; `text` begins with its quote.
fn literal_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn the_scan_sees_code_and_nothing_else() {
    let source = r##"use nom::x; // lapin
        let s = "figment \" wamp"; /* tokio */ let r = r#"rand " "#; let c = b'"'; fn f<'a>(x: &'a str) { net }"##;
    let code = without_comments_and_literals(source);
    let found: Vec<&str> = words(&code).collect();
    let expected = [
        "use", "nom", "x", "let", "s", "let", "r", "let", "c", "fn", "f", "a", "x", "a", "str",
        "net",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        names_after(
            "use protocols::{auth::{a, b}, broker::C, text}; my_protocols::x; protocols::session::Y",
            "protocols::"
        ),
        ["auth", "broker", "text", "session"]
    );
}
