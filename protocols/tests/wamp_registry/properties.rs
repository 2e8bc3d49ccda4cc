//! Generated patterns, operations, and orders in which nodes hear of each other.

use std::collections::VecDeque;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use protocols::text::Text;
use protocols::wamp::message::{InvokePolicy, MatchPolicy};
use protocols::wamp::registry::{Callee, Delta, NodeId, RegisterError, Registry};
use protocols::wamp::uri::Pattern;

use super::model::{Audience, Model, best};
use super::{REALM, at, callee, pattern, register, registry};

fn policy() -> impl Strategy<Value = MatchPolicy> {
    select(vec![MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard])
}

/// Few components, so that patterns meet.
fn components(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(select(of), 1..6).prop_map(|components| components.join("."))
}

fn procedure() -> impl Strategy<Value = String> {
    components(&["a", "ab", "b", "ä"])
}

fn any_pattern() -> impl Strategy<Value = (MatchPolicy, String)> {
    prop_oneof![
        procedure().prop_map(|uri| (MatchPolicy::Exact, uri)),
        (procedure(), any::<Index>()).prop_map(|(mut uri, end)| {
            let ends: Vec<usize> = uri.char_indices().map(|(at, _)| at).collect();
            uri.truncate(*end.get(&ends));
            (MatchPolicy::Prefix, uri)
        }),
        components(&["a", "ab", "", ""]).prop_map(|uri| (MatchPolicy::Wildcard, uri)),
    ]
}

/// What a session or node does.
#[derive(Debug, Clone)]
enum Operation {
    Register {
        session: u64,
        uri: &'static str,
        policy: MatchPolicy,
        invoke: InvokePolicy,
        now: u64,
        forced: Option<u64>,
    },
    Unregister(Index),
    Leave(u64),
    LeaveNode(u64),
}

fn session() -> impl Strategy<Value = u64> {
    select(vec![10_u64, 11, 12, 20, 21, 30])
}

fn operation() -> impl Strategy<Value = Operation> {
    let invoke = select(vec![InvokePolicy::Single, InvokePolicy::First, InvokePolicy::First]);
    let forced = prop_oneof![3 => Just(None), 1 => session().prop_map(Some)];
    let registered = (session(), select(vec!["a", "a.", ".a"]), policy(), invoke, 0..9_u64, forced);
    prop_oneof![
        8 => registered.prop_map(|(session, uri, policy, invoke, now, forced)| {
            Operation::Register { session, uri, policy, invoke, now, forced }
        }),
        3 => any::<Index>().prop_map(Operation::Unregister),
        1 => session().prop_map(Operation::Leave),
        1 => (1..4_u64).prop_map(Operation::LeaveNode),
    ]
}

fn accept(outcome: Result<Vec<Delta>, RegisterError>) -> Option<Vec<Delta>> {
    match outcome {
        Ok(deltas) => Some(deltas),
        Err(RegisterError::AlreadyExists { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Callees that may be replaced: all but one.
fn all_but(spared: u64) -> impl Fn(&Callee) -> bool {
    move |callee| callee.at != at(spared)
}

/// Does the same to both. What they say of it has to be the same, too.
fn perform(registry: &mut Registry, model: &mut Model, operation: &Operation) -> Vec<Delta> {
    let before = registry.clone();
    let (outcome, expected) = match operation {
        Operation::Register { session, uri, policy, invoke, now, forced } => {
            let (pattern, callee) = (pattern(*policy, uri), callee(*session, *now));
            let may_replace = forced.map(all_but);
            let may_replace = may_replace.as_ref().map(|it| it as &dyn Fn(&Callee) -> bool);
            let outcome = registry.register(pattern.clone(), *invoke, callee, may_replace);
            let expected = model.register(&pattern, *invoke, callee, may_replace);
            (accept(outcome.map(|registered| registered.deltas)), expected)
        }
        Operation::Unregister(choice) => {
            let Some((at, registration)) = model.id_of_some(choice.index(usize::MAX)) else {
                return Vec::new();
            };
            let outcome = registry.unregister(at, registration);
            (outcome.ok(), model.unregister(at, registration))
        }
        Operation::Leave(session) => {
            (Some(registry.leave(at(*session))), Some(model.leave(at(*session))))
        }
        Operation::LeaveNode(node) => {
            let node = NodeId(*node);
            (Some(registry.leave_node(node)), Some(model.leave_node(node)))
        }
    };
    assert_eq!(outcome, expected, "{operation:?}");
    if outcome.is_none() {
        assert_eq!(*registry, before, "refused, but changed");
    }
    outcome.unwrap_or_default()
}

fn agree(registry: &Registry, model: &Model) {
    assert_eq!(registry.rows().count(), model.len());
    for row in registry.rows() {
        let registration = registry.lookup(&row.pattern).unwrap();
        let rows = model.of(&row.pattern);
        assert_eq!(
            registration.rows().collect::<Vec<_>>(),
            rows.clone().into_iter().cloned().collect::<Vec<_>>()
        );
        assert_eq!(registration.invoke(), rows[0].invoke);
        assert_eq!(registry.get(registration.id()).unwrap(), registration);
        assert!(registry.is_callee(row.callee.at, registration.id()));
        assert!(registry.of_session(row.callee.at).any(|id| id == registration.id()));
    }
}

proptest! {
    #[test]
    fn a_call_is_for_the_registration_that_the_specification_names(
        patterns in btree_set(any_pattern().prop_map(|(policy, uri)| (policy as u8, uri)), 0..40),
        procedures in vec(procedure(), 1..20),
    ) {
        let policies = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
        let patterns = patterns.iter();
        let patterns = patterns.map(|(policy, uri)| pattern(policies[usize::from(*policy)], uri));
        let patterns: Vec<Pattern> = patterns.collect();
        let mut registry = registry();
        for pattern in &patterns {
            register(&mut registry, pattern, InvokePolicy::Single, 10, 1).unwrap();
        }
        for procedure in &procedures {
            let found = registry.best_match(procedure).map(|registration| registration.pattern());
            prop_assert_eq!(found, best(&patterns, procedure), "{}", procedure);
        }
    }

    #[test]
    fn operations_do_what_they_do_to_a_list(operations in vec(operation(), 0..60)) {
        let (mut registry, mut model) = (registry(), Model::default());
        let mut replica = registry.clone();
        let mut audience = Audience::default();
        let mut past = Vec::new();
        for operation in &operations {
            past.push((registry.clone(), registry.rows().collect::<Vec<_>>()));
            let deltas = perform(&mut registry, &mut model, operation);
            audience.hear(&deltas);

            // A replica tells the same.
            let told: Vec<Delta> = deltas.iter().flat_map(|delta| replica.apply(delta)).collect();
            prop_assert_eq!(&told, &deltas);
            prop_assert_eq!(&replica, &registry);
        }
        agree(&registry, &model);
        prop_assert_eq!(audience.len(), model.len());
        for procedure in ["a", "a.a", "a.b", "b.a", "ab"] {
            let found = registry.best_match(procedure).map(|registration| registration.pattern());
            prop_assert_eq!(found, model.best(procedure));
        }
        // No snapshot has changed since.
        for (snapshot, rows) in past {
            prop_assert_eq!(snapshot.rows().collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn a_registry_is_its_rows_in_any_order(
        operations in vec(operation(), 0..40),
        order in any::<Index>(),
    ) {
        let (mut registry, mut model) = (registry(), Model::default());
        for operation in &operations {
            perform(&mut registry, &mut model, operation);
        }
        let mut rows: Vec<_> = registry.rows().collect();
        if !rows.is_empty() {
            let middle = order.index(rows.len());
            rows.rotate_left(middle);
            rows[..middle].reverse();
        }
        prop_assert_eq!(Registry::of_rows(Text::from_static(REALM), rows), registry);
    }

    #[test]
    fn nodes_agree_whatever_they_hear_of_first(steps in vec(step(), 0..120)) {
        let mut cluster = Cluster::new();
        for step in &steps {
            cluster.perform(step);
        }
        cluster.deliver_all();
        let nodes = cluster.nodes.iter().zip(1..);
        let rows = nodes.flat_map(|(node, id)| node.registry.rows_of(NodeId(id)));
        let expected = Registry::of_rows(Text::from_static(REALM), rows);
        for node in &cluster.nodes {
            prop_assert_eq!(&node.registry, &expected);
            prop_assert_eq!(&node.audience, &cluster.nodes[0].audience);
        }
    }

    #[test]
    fn a_node_that_heard_anything_is_corrected(
        steps in vec(step(), 0..60),
        other_steps in vec(step(), 0..60),
    ) {
        let (mut right, mut wrong) = (Cluster::new(), Cluster::new());
        steps.iter().for_each(|step| right.perform(step));
        other_steps.iter().for_each(|step| wrong.perform(step));
        right.deliver_all();
        let truth = &right.nodes[0].registry;
        let Node { registry, audience, .. } = &mut wrong.nodes[0];
        for node in (1..4).map(NodeId) {
            audience.hear(&registry.correct(node, truth.rows()));
        }
        prop_assert_eq!(registry, truth);
        prop_assert_eq!(&*audience, &right.nodes[0].audience);
    }
}

/// What happens among nodes.
#[derive(Debug, Clone)]
enum Step {
    /// A session does something, on its node.
    Perform(Operation),
    /// A node hears of the next thing that happened at another.
    Deliver { from: usize, to: usize },
    /// As before, but it is told twice.
    DeliverTwice { from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let session_operation = operation().prop_filter("a node does not tell that it ends", |it| {
        !matches!(it, Operation::LeaveNode(_))
    });
    prop_oneof![
        4 => session_operation.prop_map(Step::Perform),
        3 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Step::Deliver { from, to }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Step::DeliverTwice { from, to }),
    ]
}

/// Nodes 1 to 3.
struct Cluster {
    nodes: Vec<Node>,
}

struct Node {
    registry: Registry,
    audience: Audience,
    /// What each of the others has not told yet.
    to_hear: Vec<VecDeque<Delta>>,
}

impl Cluster {
    fn new() -> Self {
        let node = || Node {
            registry: registry(),
            audience: Audience::default(),
            to_hear: vec![VecDeque::new(); 3],
        };
        Self { nodes: vec![node(), node(), node()] }
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Perform(operation) => self.operate(operation),
            Step::Deliver { from, to } => self.deliver(*from, *to, 1),
            Step::DeliverTwice { from, to } => self.deliver(*from, *to, 2),
        }
    }

    fn operate(&mut self, operation: &Operation) {
        let (place, deltas) = match operation {
            Operation::Register { session, uri, policy, invoke, now, forced } => {
                let place = (session / 10) as usize - 1;
                let may_replace = forced.map(all_but);
                let may_replace = may_replace.as_ref().map(|it| it as &dyn Fn(&Callee) -> bool);
                let (pattern, callee) = (pattern(*policy, uri), callee(*session, *now));
                let registry = &mut self.nodes[place].registry;
                let outcome = registry.register(pattern, *invoke, callee, may_replace);
                (place, outcome.map_or_else(|_| Vec::new(), |registered| registered.deltas))
            }
            Operation::Unregister(choice) => {
                let place = choice.index(3);
                let registry = &mut self.nodes[place].registry;
                let own: Vec<_> = registry.rows_of(NodeId(place as u64 + 1)).collect();
                if own.is_empty() {
                    return;
                }
                let row = choice.get(&own);
                let registration = registry.lookup(&row.pattern).unwrap().id();
                (place, registry.unregister(row.callee.at, registration).unwrap())
            }
            Operation::Leave(session) => {
                let place = (session / 10) as usize - 1;
                (place, self.nodes[place].registry.leave(at(*session)))
            }
            Operation::LeaveNode(_) => return,
        };
        self.nodes[place].audience.hear(&deltas);
        for node in &mut self.nodes {
            node.to_hear[place].extend(deltas.iter().cloned());
        }
        self.nodes[place].to_hear[place].clear();
    }

    fn deliver(&mut self, from: usize, to: usize, times: usize) {
        let node = &mut self.nodes[to];
        let Some(delta) = node.to_hear[from].pop_front() else {
            return;
        };
        for _ in 0..times {
            let deltas = node.registry.apply(&delta);
            node.audience.hear(&deltas);
        }
    }

    fn deliver_all(&mut self) {
        for (from, to) in [(2, 0), (1, 2), (0, 1), (2, 1), (1, 0), (0, 2)] {
            while !self.nodes[to].to_hear[from].is_empty() {
                self.deliver(from, to, 1);
            }
        }
    }
}
