//! [`Tree`]: a map from bytes to values whose clones share all that they have in common.
//!
//! A radix tree: each node has the bytes that lead to it from its parent, and no two children of a
//! node begin with the same byte. Such a tree has one shape for one set of keys, whatever became of
//! it before: trees are equal if what is in them is. It is searched from the front of the key, so
//! that one walk finds a key and all that it starts with. No keys can be chosen to make it slow.
//!
//! # Cost
//! A clone is one reference count. A search takes time in the bytes of the key, however many keys
//! there are. A change copies the nodes between the root and the key that another clone uses too:
//! at most one for each byte of the key, and each of at most 256 references. Nodes that are not
//! shared are changed where they are, so many changes in a row copy a node once.
//!
//! Changes, and dropping a tree, recurse as deep as keys have bytes: they are to be short.

use std::sync::Arc;

use smallvec::SmallVec;

/// Values under keys of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree<V> {
    /// Has the empty label, always.
    root: Arc<Node<V>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node<V> {
    /// What is behind the label of the parent; empty at the root alone.
    label: SmallVec<[u8; 24]>,
    /// `None` only where the tree branches, and at the root.
    value: Option<V>,
    /// By the first byte of their labels.
    children: Vec<(u8, Arc<Self>)>,
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::new(&[])) }
    }
}

impl<V> Tree<V> {
    /// Where every key starts.
    pub(super) fn start(&self) -> Cursor<'_, V> {
        Cursor { node: &self.root, passed: 0 }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.start().walk(key)?.value()
    }

    /// The values under all that `key` starts with, the shortest first, and the lengths of that.
    pub(super) fn along<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = (usize, &'a V)> {
        let mut next = Some((&*self.root, 0));
        let nodes = std::iter::from_fn(move || {
            let (node, length) = next?;
            next = key.get(length).and_then(|byte| {
                let child = node.child(*byte)?;
                let is_passed = key[length..].starts_with(&child.label);
                is_passed.then(|| (child, length + child.label.len()))
            });
            Some((node, length))
        });
        nodes.filter_map(|(node, length)| Some((length, node.value.as_ref()?)))
    }

    /// The values under all keys that start with `prefix`, in the order of the keys.
    pub(super) fn under<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = &'a V> + use<'a, V> {
        let mut open: Vec<&Node<V>> = Vec::new();
        open.extend(self.start().walk(prefix).map(|cursor| cursor.node));
        let nodes = std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(node.children.iter().rev().map(|(_, child)| &**child));
            Some(node)
        });
        nodes.filter_map(|node| node.value.as_ref())
    }

    /// All values, in the order of the keys.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.under(&[])
    }
}

impl<V: Clone> Tree<V> {
    /// The value under `key`, which is put there if there is none.
    pub(super) fn entry(&mut self, key: &[u8], new: impl FnOnce() -> V) -> &mut V {
        entry(&mut self.root, key).get_or_insert_with(new)
    }

    /// Puts a value under `key`. The outcome is the one in whose place it is.
    pub(super) fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        entry(&mut self.root, key).replace(value)
    }

    /// Takes out the value under `key`.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        // Nothing is to be copied in vain.
        self.get(key)?;
        take(&mut self.root, key)
    }
}

/// A place between the bytes of keys.
#[derive(Debug)]
pub(super) struct Cursor<'a, V> {
    node: &'a Node<V>,
    /// Bytes of the label that are before it.
    passed: usize,
}

impl<V> Clone for Cursor<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Cursor<'_, V> {}

impl<'a, V> Cursor<'a, V> {
    /// The place behind these bytes; `None` if no key goes on with them.
    pub(super) fn walk(mut self, mut bytes: &[u8]) -> Option<Self> {
        loop {
            let label = &self.node.label[self.passed..];
            let Some(rest) = bytes.strip_prefix(label) else {
                let passed = self.passed + bytes.len();
                return label.starts_with(bytes).then_some(Self { passed, ..self });
            };
            let Some(byte) = rest.first() else {
                return Some(Self { passed: self.node.label.len(), ..self });
            };
            self = Self { node: self.node.child(*byte)?, passed: 0 };
            bytes = rest;
        }
    }

    /// The value under the key that ends here.
    pub(super) fn value(self) -> Option<&'a V> {
        self.node.value.as_ref().filter(|_| self.passed == self.node.label.len())
    }
}

impl<V> Node<V> {
    fn new(label: &[u8]) -> Self {
        Self { label: SmallVec::from_slice(label), value: None, children: Vec::new() }
    }

    /// Where the child is whose label begins with this byte, or where it would be.
    fn place(&self, byte: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&byte, |(first, _)| *first)
    }

    fn child(&self, byte: u8) -> Option<&Self> {
        self.place(byte).ok().map(|place| &*self.children[place].1)
    }

    /// Cuts the label, and leaves all that the node has to a child behind the cut.
    fn split(&mut self, at: usize) {
        let mut rest = Self::new(&self.label[at..]);
        rest.value = self.value.take();
        rest.children = std::mem::take(&mut self.children);
        self.children.push((self.label[at], Arc::new(rest)));
        self.label.truncate(at);
    }
}

/// Where the value under `key` is to be. *Order.* A value is put there.
fn entry<'a, V: Clone>(node: &'a mut Arc<Node<V>>, key: &[u8]) -> &'a mut Option<V> {
    let node = Arc::make_mut(node);
    let common = node.label.iter().zip(key).take_while(|(ours, theirs)| ours == theirs).count();
    if common < node.label.len() {
        node.split(common);
    }
    let rest = &key[common..];
    let Some(&byte) = rest.first() else {
        return &mut node.value;
    };
    let place = node.place(byte).unwrap_or_else(|place| {
        node.children.insert(place, (byte, Arc::new(Node::new(rest))));
        place
    });
    entry(&mut node.children[place].1, rest)
}

/// Takes out a value, and each node that is there for nothing else.
fn take<V: Clone>(node: &mut Arc<Node<V>>, key: &[u8]) -> Option<V> {
    let node = Arc::make_mut(node);
    let rest = key.strip_prefix(&*node.label)?;
    let Some(&byte) = rest.first() else {
        return node.value.take();
    };
    let place = node.place(byte).ok()?;
    let child = &mut node.children[place].1;
    let taken = take(child, rest);
    if child.value.is_none() {
        match child.children.len() {
            0 => {
                node.children.remove(place);
            }
            1 => join(child),
            _ => {}
        }
    }
    taken
}

/// Makes one node of one without a value and its only child.
fn join<V: Clone>(node: &mut Arc<Node<V>>) {
    let node = Arc::make_mut(node);
    if let Some((_, only)) = node.children.pop() {
        let only = Arc::unwrap_or_clone(only);
        node.label.extend_from_slice(&only.label);
        node.value = only.value;
        node.children = only.children;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tree(keys: &[&str]) -> Tree<usize> {
        let mut tree = Tree::default();
        for (value, key) in keys.iter().enumerate() {
            assert_eq!(tree.insert(key.as_bytes(), value), None);
        }
        tree
    }

    #[test]
    fn a_walk_passes_all_that_the_key_starts_with() {
        let tree = tree(&["com.app", "", "com.application", "com.b", "co"]);
        let along = |key: &'static str| tree.along(key.as_bytes()).collect::<Vec<_>>();
        assert_eq!(along("com.apps"), [(0, &1), (2, &4), (7, &0)]);
        assert_eq!(along("com.application"), [(0, &1), (2, &4), (7, &0), (15, &2)]);
        assert_eq!(along("d"), [(0, &1)]);
        assert_eq!(tree.under(b"com.a").collect::<Vec<_>>(), [&0, &2]);
        assert_eq!(tree.values().collect::<Vec<_>>(), [&1, &4, &0, &2, &3]);
    }

    #[test]
    fn a_cursor_stops_between_any_bytes() {
        let tree = tree(&["abc", "abd"]);
        let middle = tree.start().walk(b"a").unwrap();
        assert_eq!(middle.value(), None);
        assert_eq!(middle.walk(b"bd").unwrap().value(), Some(&1));
        assert!(middle.walk(b"x").is_none() && middle.walk(b"bdx").is_none());
    }

    #[test]
    fn a_change_leaves_clones_as_they_were() {
        let before = tree(&["abc", "abd"]);
        let mut after = before.clone();
        after.remove(b"abc");
        *after.entry(b"abd", || 0) += 10;
        assert_eq!((before.get(b"abc"), before.get(b"abd")), (Some(&0), Some(&1)));
        assert_eq!((after.get(b"abc"), after.get(b"abd")), (None, Some(&11)));
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        vec(0..3_u8, 0..6)
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_one_shape(
            changes in vec((key(), proptest::option::of(any::<u8>())), 0..60),
        ) {
            let mut tree = Tree::default();
            let mut model = BTreeMap::new();
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        prop_assert_eq!(tree.insert(&key, value), model.insert(key, value));
                    }
                    None => prop_assert_eq!(tree.remove(&key), model.remove(&key)),
                }
            }
            prop_assert!(tree.values().eq(model.values()));
            let mut rebuilt = Tree::default();
            for (key, value) in model.iter().rev() {
                prop_assert_eq!(tree.get(key), Some(value));
                rebuilt.insert(key, *value);
            }
            prop_assert_eq!(&tree, &rebuilt);
            let start = [0, 1];
            let under = model.iter().filter(|(key, _)| key.starts_with(&start));
            prop_assert!(tree.under(&start).eq(under.map(|(_, value)| value)));
        }
    }
}
