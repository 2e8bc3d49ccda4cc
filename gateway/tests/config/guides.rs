//! The guides for those who come from elsewhere: what they give as configuration is valid, and the keys
//! they name are there.

use super::{TABLES, file, keys_of};

const GUIDES: [(&str, &str); 2] = [
    ("MIGRATING_FROM_WEB_STOMP", include_str!("../../docs/MIGRATING_FROM_WEB_STOMP.md")),
    ("MIGRATING_FROM_SPRING", include_str!("../../docs/MIGRATING_FROM_SPRING.md")),
];

/// What stands in blocks of TOML.
fn examples(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next())
}

#[test]
fn every_example_of_a_guide_is_a_whole_configuration_that_is_valid() {
    let mut numbers = Vec::new();
    for (guide, text) in GUIDES {
        let examples: Vec<_> = examples(text).collect();
        for (number, example) in examples.iter().enumerate() {
            let config = file(example).load();
            config.unwrap_or_else(|errors| panic!("{guide}, example {number}: {errors}"));
        }
        numbers.push(examples.len());
    }
    assert_eq!(numbers, [1, 2]);
}

/// Every key there is, as a guide writes it.
fn keys() -> Vec<String> {
    let embedded = TABLES.iter().flat_map(|table| {
        let name = table
            .replace("listener.web", "listener.NAME")
            .replace("route.stomp", "route.NAME")
            .replace("broker.main", "broker.NAME")
            .replace("realm.realm1", "realm.NAME");
        keys_of(table).into_iter().map(move |key| format!("{name}.{key}"))
    });
    let rabbitmq = super::rabbitmq::keys_of_rabbitmq();
    embedded.chain(rabbitmq.into_iter().map(|key| format!("broker.NAME.{key}"))).collect()
}

#[test]
fn every_key_that_a_guide_names_is_there() {
    let keys = keys();
    for (guide, text) in GUIDES {
        let prose = text.split("```").step_by(2);
        let names = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
        let of_ours = |name: &&str| {
            let sections = ["listener.NAME.", "route.NAME.", "broker.NAME.", "admin.", "drain."];
            sections.iter().any(|section| name.starts_with(section))
        };
        let mut named = 0;
        for name in names.filter(of_ours) {
            assert!(keys.iter().any(|key| key == name), "{guide} names {name}");
            named += 1;
        }
        assert!(named >= 20, "{guide} names {named} keys");
    }
}
