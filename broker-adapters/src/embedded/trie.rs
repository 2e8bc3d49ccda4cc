//! [`Trie`]: topic routing, AMQP 0-9-1 §3.1.3.3.
//!
//! Keys and patterns are words joined by dots; in a pattern `*` stands for one word and `#` for
//! zero or more. The empty key is zero words. `#.#` means what `#` means and is stored as such.
//!
//! A key is matched by walking all fitting paths at once, word by word, as a set of nodes. There is
//! no backtracking, so no pattern can make a match cost more than the number of words times the
//! number of nodes that fit so far.

use std::collections::{BTreeSet, HashMap};
use std::mem;

use foldhash::fast::RandomState;
use protocols::text::Text;
use smallvec::SmallVec;

/// Index of the node where every pattern starts.
const ROOT: usize = 0;

/// So many values are found for a key without an allocation.
pub(super) const FEW: usize = 16;

/// Values under topic patterns.
#[derive(Debug)]
pub(super) struct Trie<V> {
    /// Linked by index. The root is never freed.
    nodes: Vec<Node<V>>,
    /// Indices of unused nodes.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Node<V> {
    /// Whether this node was entered by `#`, and so stays on the path whatever word follows.
    absorbs: bool,
    words: HashMap<Text, usize, RandomState>,
    one: Option<usize>,
    many: Option<usize>,
    values: BTreeSet<V>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Word(Text),
    /// `*`
    One,
    /// `#`
    Many,
}

impl<V: Ord> Trie<V> {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(false)], free: Vec::new() }
    }

    /// Puts `value` under `pattern`; once, however often it is done.
    pub(super) fn insert(&mut self, pattern: &Text, value: V) {
        let mut at = ROOT;
        for step in steps(&pattern.detached()) {
            at = match self.nodes[at].child(&step) {
                Some(child) => child,
                None => self.grow(at, step),
            };
        }
        self.nodes[at].values.insert(value);
    }

    /// Takes `value` away from under `pattern`, and every node that then leads nowhere.
    pub(super) fn remove(&mut self, pattern: &Text, value: &V) {
        let mut at = ROOT;
        let mut path = Vec::new();
        for step in steps(pattern) {
            let Some(child) = self.nodes[at].child(&step) else {
                return;
            };
            path.push((at, step));
            at = child;
        }
        self.nodes[at].values.remove(value);
        while self.nodes[at].is_bare() {
            let Some((parent, step)) = path.pop() else {
                return;
            };
            self.nodes[parent].cut(&step);
            self.free.push(at);
            at = parent;
        }
    }

    /// Each value whose pattern fits `key`, once.
    pub(super) fn matches(&self, key: &str) -> SmallVec<[&V; FEW]> {
        let mut fitting = SmallVec::<[usize; 16]>::new();
        let mut next = SmallVec::<[usize; 16]>::new();
        self.enter(ROOT, &mut fitting);
        for word in words(key) {
            for &at in &fitting {
                let node = &self.nodes[at];
                if node.absorbs {
                    next.push(at);
                }
                if let Some(&child) = node.words.get(word) {
                    self.enter(child, &mut next);
                }
                if let Some(child) = node.one {
                    self.enter(child, &mut next);
                }
            }
            next.sort_unstable();
            next.dedup();
            mem::swap(&mut fitting, &mut next);
            next.clear();
        }
        let mut found = SmallVec::new();
        let mut sources = 0;
        for &at in &fitting {
            let values = &self.nodes[at].values;
            sources += usize::from(!values.is_empty());
            found.extend(values);
        }
        if sources > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// Adds a node to the set, and the `#` below it, which fits without another word.
    fn enter(&self, at: usize, set: &mut SmallVec<[usize; 16]>) {
        set.push(at);
        set.extend(self.nodes[at].many);
    }

    fn grow(&mut self, parent: usize, step: Step) -> usize {
        let node = Node::new(step == Step::Many);
        let child = match self.free.pop() {
            Some(index) => {
                self.nodes[index] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        let parent = &mut self.nodes[parent];
        match step {
            Step::Word(word) => drop(parent.words.insert(word, child)),
            Step::One => parent.one = Some(child),
            Step::Many => parent.many = Some(child),
        }
        child
    }
}

impl<V> Node<V> {
    fn new(absorbs: bool) -> Self {
        Self { absorbs, words: HashMap::default(), one: None, many: None, values: BTreeSet::new() }
    }

    fn child(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Word(word) => self.words.get(word).copied(),
            Step::One => self.one,
            Step::Many => self.many,
        }
    }

    fn cut(&mut self, step: &Step) {
        match step {
            Step::Word(word) => drop(self.words.remove(word)),
            Step::One => self.one = None,
            Step::Many => self.many = None,
        }
    }

    fn is_bare(&self) -> bool {
        self.values.is_empty() && self.words.is_empty() && self.one.is_none() && self.many.is_none()
    }
}

fn words(key: &str) -> impl Iterator<Item = &str> {
    (!key.is_empty()).then(|| key.split('.')).into_iter().flatten()
}

/// The steps of a pattern, repeated `#` as one.
fn steps(pattern: &Text) -> impl Iterator<Item = Step> {
    let mut after_many = false;
    words(pattern).filter_map(move |word| {
        let again = mem::replace(&mut after_many, word == "#");
        match word {
            "#" if again => None,
            "#" => Some(Step::Many),
            "*" => Some(Step::One),
            _ => Some(Step::Word(pattern.slice(word))),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(trie: &Trie<usize>, key: &str) -> Vec<usize> {
        let mut found: Vec<usize> = trie.matches(key).into_iter().copied().collect();
        found.sort_unstable();
        found
    }

    fn trie(patterns: &[&str]) -> Trie<usize> {
        let mut trie = Trie::new();
        for (value, pattern) in patterns.iter().enumerate() {
            trie.insert(&Text::from(*pattern), value);
        }
        trie
    }

    /// The rule as AMQP states it, tried out word by word.
    fn fits(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), None) => fits(rest, key),
            (Some((&"#", rest)), Some((_, tail))) => fits(rest, key) || fits(pattern, tail),
            (Some((&word, rest)), Some((&first, tail))) => {
                (word == "*" || word == first) && fits(rest, tail)
            }
            _ => false,
        }
    }

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number() {
        let trie = trie(&["a.*", "a.#", "#", "*", "a.b", "#.b", "a.#.b"]);
        assert_eq!(found(&trie, "a.b"), [0, 1, 2, 4, 5, 6]);
        assert_eq!(found(&trie, "a"), [1, 2, 3]);
        assert_eq!(found(&trie, "a.x.y.b"), [1, 2, 5, 6]);
        assert_eq!(found(&trie, "x.y"), [2]);
    }

    #[test]
    fn the_empty_key_is_zero_words_and_an_empty_word_is_a_word() {
        let trie = trie(&["", "#", "*", "*.*", "a..b"]);
        assert_eq!(found(&trie, ""), [0, 1]);
        assert_eq!(found(&trie, "."), [1, 3]);
        assert_eq!(found(&trie, "a..b"), [1, 4]);
    }

    #[test]
    fn a_pattern_that_fits_in_many_ways_is_found_once() {
        let trie = trie(&["#.#", "#.a.#", "#.*.#"]);
        assert_eq!(found(&trie, "a.a.a"), [0, 1, 2]);
    }

    #[test]
    fn a_value_under_several_patterns_is_found_once() {
        let mut trie = Trie::new();
        for pattern in ["a.*", "a.#", "*.b", "a.b"] {
            trie.insert(&Text::from(pattern), 7);
        }
        assert_eq!(found(&trie, "a.b"), [7]);
    }

    #[test]
    fn patterns_built_to_backtrack_cost_no_more_than_words_times_nodes() {
        let mut trie = Trie::new();
        trie.insert(&Text::from("#.a.".repeat(60) + "b"), 0);
        assert_eq!(found(&trie, &"a.".repeat(127)), [] as [usize; 0]);
        assert_eq!(found(&trie, &("a.".repeat(126) + "b")), [0]);
    }

    #[test]
    fn removing_every_pattern_leaves_only_the_root() {
        let patterns = ["a.b.c", "a.b", "a.*.#", "#.#.z", "", "a.b.c.d"];
        let mut trie = trie(&patterns);
        for (value, pattern) in patterns.iter().enumerate() {
            trie.remove(&Text::from(*pattern), &value);
            trie.remove(&Text::from("no.such"), &value);
            assert!(!found(&trie, "a.b.c").contains(&value));
        }
        assert_eq!(trie.nodes.len() - trie.free.len(), 1);
    }

    fn key() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof!["a", "b", ""], 0..6).prop_map(|w| w.join("."))
    }

    fn pattern() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof!["a", "b", "", Just("*".into()), Just("#".into())],
            0..6,
        )
        .prop_map(|words: Vec<String>| words.join("."))
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_rule(
            patterns in proptest::collection::vec((pattern(), any::<bool>()), 0..12),
            keys in proptest::collection::vec(key(), 1..8),
        ) {
            let mut trie = Trie::new();
            for (value, (pattern, _)) in patterns.iter().enumerate() {
                trie.insert(&Text::from(pattern.as_str()), value);
            }
            for (value, (pattern, stays)) in patterns.iter().enumerate() {
                if !stays {
                    trie.remove(&Text::from(pattern.as_str()), &value);
                }
            }
            for key in &keys {
                let key_words: Vec<&str> = words(key).collect();
                let expected: Vec<usize> = patterns
                    .iter()
                    .enumerate()
                    .filter(|(_, (pattern, stays))| {
                        *stays && fits(&words(pattern).collect::<Vec<_>>(), &key_words)
                    })
                    .map(|(value, _)| value)
                    .collect();
                prop_assert_eq!(found(&trie, key), expected, "key {:?}", key);
            }
        }
    }
}
