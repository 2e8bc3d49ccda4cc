//! [`Trie`]: topic routing, AMQP 0-9-1 §3.1.3.3. For the embedded broker, and for whoever has to
//! find out by itself which of its subscriptions a message fits.
//!
//! Keys and patterns are words joined by dots; in a pattern `*` stands for one word and `#` for
//! zero or more. The empty key is zero words. `#.#` means what `#` means and is stored as such.
//!
//! A pattern's words up to its first `#` are held against the key from its front, those after its
//! last `#` from its end: either way each has one place in the key. So the path of a pattern is
//! its front, `#`, and what follows the last `#` in reverse, and a node is visited at most once for
//! a key, whatever the patterns are. What stands between the first and the last `#` has to be
//! searched for; each such pattern is, once, in what its front and end have left of the key, at
//! a cost of its own words times those of the key. [`Bounds`] bound both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use foldhash::fast::RandomState;
use protocols::broker::BrokerError;
use protocols::text::Text;
use smallvec::SmallVec;

use crate::refusals;

/// Index of the node where every pattern starts.
const ROOT: usize = 0;

/// So many values are found for a key without an allocation.
pub const FEW: usize = 16;

/// What keys and patterns may consist of, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Words of a key or a pattern.
    pub words: usize,
    /// `#` of a pattern.
    pub hashes: usize,
}

/// Values under topic patterns.
#[derive(Debug)]
pub struct Trie<V> {
    /// Linked by index. The root is never freed.
    nodes: Vec<Node<V>>,
    /// Indices of unused nodes.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Node<V> {
    words: HashMap<Text, usize, RandomState>,
    one: Option<usize>,
    /// None below a `#`.
    many: Option<usize>,
    /// Of patterns with at most one `#`.
    values: BTreeSet<V>,
    /// Of patterns with several `#`, by the steps between the first and the last one.
    searched: BTreeMap<Vec<Step>, BTreeSet<V>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Word(Text),
    /// `*`
    One,
    /// `#`
    Many,
}

impl Bounds {
    /// *Errors.* A routing key of more words.
    pub fn check_key(self, key: &str) -> Result<(), BrokerError> {
        let count = words(key).count();
        if count > self.words {
            return Err(refusals::too_many_words("routing key", count, self.words));
        }
        Ok(())
    }

    /// Repeated `#` count as one.
    ///
    /// *Errors.* A pattern of more words, or more `#`.
    pub fn check_pattern(self, pattern: &Text) -> Result<(), BrokerError> {
        let (mut count, mut hashes) = (0, 0);
        for step in steps(pattern) {
            count += 1;
            hashes += usize::from(step == Step::Many);
        }
        if count > self.words {
            return Err(refusals::too_many_words("topic pattern", count, self.words));
        }
        if hashes > self.hashes {
            return Err(refusals::too_many_hashes(hashes, self.hashes));
        }
        Ok(())
    }
}

impl<V: Ord> Default for Trie<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Ord> Trie<V> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { nodes: vec![Node::new()], free: Vec::new() }
    }

    /// Puts `value` under `pattern`; once, however often it is done.
    pub fn insert(&mut self, pattern: &Text, value: V) {
        let (path, between) = path(&pattern.detached());
        let mut at = ROOT;
        for step in path {
            at = match self.nodes[at].child(&step) {
                Some(child) => child,
                None => self.grow(at, step),
            };
        }
        let node = &mut self.nodes[at];
        if between.is_empty() {
            node.values.insert(value);
        } else {
            node.searched.entry(between).or_default().insert(value);
        }
    }

    /// Takes `value` away from under `pattern`, and every node that then leads nowhere.
    pub fn remove(&mut self, pattern: &Text, value: &V) {
        let (path, between) = path(pattern);
        let mut at = ROOT;
        let mut passed = Vec::with_capacity(path.len());
        for step in path {
            let Some(child) = self.nodes[at].child(&step) else {
                return;
            };
            passed.push((at, step));
            at = child;
        }
        self.nodes[at].forget(&between, value);
        while self.nodes[at].is_bare() {
            let Some((parent, step)) = passed.pop() else {
                return;
            };
            self.nodes[parent].cut(&step);
            self.free.push(at);
            at = parent;
        }
    }

    /// Each value whose pattern fits `key`, once.
    pub fn matches(&self, key: &str) -> SmallVec<[&V; FEW]> {
        self.walk(key, || ())
    }

    /// The same. `look` is called for every node that is visited, and for every word that something
    /// searched is held against.
    fn walk(&self, key: &str, look: impl FnMut()) -> SmallVec<[&V; FEW]> {
        let key: SmallVec<[&str; 16]> = words(key).collect();
        let found = SmallVec::new();
        let mut walk = Walk { nodes: &self.nodes, key: &key, found, sources: 0, look };
        walk.visit_front(ROOT, 0);
        let Walk { mut found, sources, .. } = walk;
        if sources > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    fn grow(&mut self, parent: usize, step: Step) -> usize {
        let node = Node::new();
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

/// One key on its way through a trie. It recurses as deep as the key has words, and no deeper than
/// a pattern has.
struct Walk<'t, 'k, V, F> {
    nodes: &'t [Node<V>],
    key: &'k [&'k str],
    found: SmallVec<[&'t V; FEW]>,
    /// How many sets of values were put into `found`.
    sources: usize,
    look: F,
}

impl<'t, V, F: FnMut()> Walk<'t, '_, V, F> {
    /// Visits a node above `#`, which the words before `start` lead to.
    fn visit_front(&mut self, at: usize, start: usize) {
        (self.look)();
        let node = &self.nodes[at];
        if let Some(many) = node.many {
            self.visit_end(many, start, self.key.len());
        }
        match self.key.get(start) {
            Some(word) => node.next(word).for_each(|child| self.visit_front(child, start + 1)),
            None => self.find(&node.values),
        }
    }

    /// Visits a node at or below `#`, which the words before `start` and from `end` on lead to.
    fn visit_end(&mut self, at: usize, start: usize, end: usize) {
        (self.look)();
        let node = &self.nodes[at];
        let rest = &self.key[start..end];
        self.find(&node.values);
        for (between, values) in &node.searched {
            if occurs(between, rest, &mut self.look) {
                self.find(values);
            }
        }
        if let Some(word) = rest.last() {
            node.next(word).for_each(|child| self.visit_end(child, start, end - 1));
        }
    }

    fn find(&mut self, values: &'t BTreeSet<V>) {
        self.sources += usize::from(!values.is_empty());
        self.found.extend(values);
    }
}

impl<V> Node<V> {
    fn new() -> Self {
        Self {
            words: HashMap::default(),
            one: None,
            many: None,
            values: BTreeSet::new(),
            searched: BTreeMap::new(),
        }
    }

    fn child(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Word(word) => self.words.get(word).copied(),
            Step::One => self.one,
            Step::Many => self.many,
        }
    }

    /// Where `word` leads.
    fn next(&self, word: &str) -> impl Iterator<Item = usize> + use<V> {
        self.words.get(word).copied().into_iter().chain(self.one)
    }

    fn cut(&mut self, step: &Step) {
        match step {
            Step::Word(word) => drop(self.words.remove(word)),
            Step::One => self.one = None,
            Step::Many => self.many = None,
        }
    }

    fn is_bare(&self) -> bool {
        self.values.is_empty()
            && self.searched.is_empty()
            && self.words.is_empty()
            && self.one.is_none()
            && self.many.is_none()
    }
}

impl<V: Ord> Node<V> {
    fn forget(&mut self, between: &[Step], value: &V) {
        if between.is_empty() {
            self.values.remove(value);
            return;
        }
        if let Some(values) = self.searched.get_mut(between) {
            values.remove(value);
            if values.is_empty() {
                self.searched.remove(between);
            }
        }
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

/// The steps that lead to a pattern's node, and those between its first `#` and its last.
fn path(pattern: &Text) -> (Vec<Step>, Vec<Step>) {
    let mut path: Vec<Step> = steps(pattern).collect();
    let is_many = |step: &Step| *step == Step::Many;
    let (Some(first), Some(last)) = (path.iter().position(is_many), path.iter().rposition(is_many))
    else {
        return (path, Vec::new());
    };
    let end = path.split_off(last + 1);
    let mut between = path.split_off(first + 1);
    between.pop();
    path.extend(end.into_iter().rev());
    (path, between)
}

/// Whether the parts of `between`, which `#` divides, are found in `rest` one after the other. The
/// first place of each is as good as any: it leaves most to the next.
fn occurs(between: &[Step], mut rest: &[&str], look: &mut impl FnMut()) -> bool {
    let mut fits = |(step, word): (&Step, &&str)| {
        look();
        match step {
            Step::Word(own) => own == *word,
            Step::One | Step::Many => true,
        }
    };
    for part in between.split(|step| *step == Step::Many) {
        let mut places = rest.windows(part.len());
        let Some(at) = places.position(|place| part.iter().zip(place).all(&mut fits)) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
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

    /// Nodes visited and words searched for one key.
    fn looks(trie: &Trie<usize>, key: &str) -> usize {
        let mut looks = 0;
        trie.walk(key, || looks += 1);
        looks
    }

    /// `tail` below each of `count` prefixes of ten words, all of which fit a key of `a`s.
    fn with_prefixes(count: usize, tail: &str) -> Trie<usize> {
        let mut trie = Trie::new();
        for n in 0..count {
            let prefix = (0..10).map(|bit| if n >> bit & 1 == 1 { "a." } else { "*." });
            trie.insert(&Text::from(prefix.collect::<String>() + tail), n);
        }
        trie
    }

    #[test]
    fn a_node_is_visited_at_most_once_for_a_key_whatever_the_patterns() {
        let ends = "a.".repeat(50) + "a";
        for tail in [ends.clone(), format!("#.{ends}"), "#.*.a".into(), "a.a.#".into()] {
            let trie = with_prefixes(1_000, &tail);
            for key in ["a.".repeat(120) + "a", "a.".repeat(120) + "b", "a.".repeat(60) + "a"] {
                let (looks, nodes) = (looks(&trie, &key), trie.nodes.len());
                assert!(looks <= nodes, "{looks} looks at {nodes} nodes for {tail} and {key}");
            }
        }
        assert_eq!(found(&with_prefixes(1_000, "#.*.a"), &["a"; 20].join(".")).len(), 1_000);
    }

    #[test]
    fn what_is_searched_costs_its_own_words_times_those_of_the_key() {
        let nested = "#.a".repeat(30).replace("a#", "a.#") + ".b.#";
        let long = format!("#.{}b.#", "a.".repeat(30));
        for tail in [nested, long] {
            let trie = with_prefixes(1_000, &tail);
            let key = "a.".repeat(70) + "a";
            let (looks, nodes) = (looks(&trie, &key), trie.nodes.len());
            assert!(looks <= nodes + 1_000 * 31 * 61, "{looks} looks at {nodes} nodes");
            assert!(found(&trie, &key).is_empty());
            assert_eq!(found(&trie, &(key + ".b")).len(), 1_000);
        }
    }

    #[test]
    fn removing_every_pattern_leaves_only_the_root() {
        let patterns = ["a.b.c", "a.b", "a.*.#", "#.#.z", "", "a.b.c.d", "a.#.b.#.c", "#.b.#"];
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
            0..9,
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
