//! The installed RabbitMQ, and a slim view of it.
//!
//! A RabbitMQ looks for each module it loads in every plugin's directory, and reads the description
//! of each plugin. A directory of links to the few that are wanted, and to what those use, halves
//! the time of a start.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What every node has: the broker itself, and what it reads its own configuration with.
const ALWAYS: [&str; 3] = ["rabbit", "cuttlefish", "getopt"];

/// The directory with RabbitMQ's `sbin` and `plugins`.
fn home() -> PathBuf {
    // Debian's command in the path changes to the user `rabbitmq`, which takes root; what it then
    // runs does not.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin");
    std::iter::once(debian)
        .chain(std::env::split_paths(&path))
        .filter_map(|directory| fs::canonicalize(directory.join("rabbitmq-server")).ok())
        .filter_map(|script| Some(script.parent()?.parent()?.to_path_buf()))
        .find(|home| home.join("plugins").is_dir())
        .expect("RabbitMQ is installed (Debian: rabbitmq-server)")
}

/// Makes `view` look like an installation that has these plugins and no others.
pub(crate) fn link(view: &Path, plugins: &[&str]) {
    let home = home();
    let all = entries(&home.join("plugins"));
    let mut wanted: Vec<String> =
        plugins.iter().chain(&ALWAYS).map(|name| (*name).to_owned()).collect();
    let mut linked = BTreeSet::new();
    let target = view.join("plugins");
    fs::create_dir_all(&target).expect("the directory is ours");
    while let Some(name) = wanted.pop() {
        // What is not among the plugins is part of Erlang.
        let Some(entry) = all.iter().find(|entry| is_named(entry, &name)) else { continue };
        if linked.insert(name.clone()) {
            link_into(&target, entry);
            wanted.extend(used_by(&entry.join("ebin").join(name + ".app")));
        }
    }
    for plugin in plugins {
        assert!(linked.contains(*plugin), "RabbitMQ has no plugin {plugin}");
    }
    let scripts = view.join("sbin");
    fs::create_dir_all(&scripts).expect("the directory is ours");
    for script in entries(&home.join("sbin")) {
        link_into(&scripts, &script);
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Whether this is the directory of an application: its name and its version.
fn is_named(entry: &Path, name: &str) -> bool {
    let file_name = entry.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    file_name.split_once('-').is_some_and(|(application, _)| application == name)
}

/// The applications that the description of one, an Erlang term, says it uses.
fn used_by(description: &Path) -> Vec<String> {
    let text = fs::read_to_string(description)
        .unwrap_or_else(|e| panic!("{}: {e}", description.display()));
    let list = text.split_once("{applications,").and_then(|(_, rest)| rest.split_once(']'));
    let names = list.map_or("", |(list, _)| list).split(['[', ',']);
    names.map(|name| name.trim_matches([' ', '\n', '\t', '\'']).to_owned()).collect()
}

fn link_into(directory: &Path, original: &Path) {
    let name = original.file_name().expect("entries of directories have names");
    symlink(original, directory.join(name)).expect("the directory is ours");
}
