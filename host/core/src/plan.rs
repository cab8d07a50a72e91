//! Which tasks an execution arms, and which tasks a cancellation takes: pure arithmetic on the skeleton of a tree, so
//! that every store decides alike. Iterative and linear: trees may be a chain of 100,000.

use std::collections::HashMap;

use crate::clone::is_frozen;
use crate::id::TaskKey;
use crate::task::{OriginType, TaskStatus};

/// A task reduced to what decides.
#[derive(Debug, Clone)]
pub struct Node {
    /// The task.
    pub key: TaskKey,
    /// The task above it.
    pub parent: Option<TaskKey>,
    /// Where it stands.
    pub status: TaskStatus,
    /// How it came about: links and archived tasks never run.
    pub origin: OriginType,
    /// What it depends on, and whether that is required.
    pub dependencies: Vec<(TaskKey, bool)>,
}

/// What to arm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tasks that may run at once, by key.
    pub ready: Vec<TaskKey>,
    /// Tasks that wait for so many others, by key.
    pub waiting: Vec<(TaskKey, u32)>,
    /// Tasks that would run but stand behind a dependency that will not complete, with that dependency, by key.
    pub blocked: Vec<(TaskKey, TaskKey)>,
}

impl Plan {
    /// How many tasks run in this execution.
    pub fn open(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }
}

/// Plans an execution of `target`: the root of `nodes` means the whole tree, another task it and what it depends on.
///
/// Pending and failed tasks run; completed ones only with `rerun_completed`; cancelled ones, links and archived ones never. A required dependency holds
/// when it is completed; one that is not required, when it will not run (any more) in this execution.
pub fn execution(nodes: &[Node], target: TaskKey, rerun_completed: bool) -> Plan {
    let index: HashMap<TaskKey, usize> = nodes.iter().enumerate().map(|(i, node)| (node.key, i)).collect();
    let selected = select(nodes, &index, target);
    let runs: Vec<bool> = nodes
        .iter()
        .zip(&selected)
        .map(|(node, selected)| {
            *selected
                && !is_frozen(node.origin)
                && match node.status {
                    TaskStatus::Pending | TaskStatus::Failed => true,
                    TaskStatus::Completed => rerun_completed,
                    TaskStatus::InProgress | TaskStatus::Cancelled => false,
                }
        })
        .collect();
    let blocked = block(nodes, &index, &runs);
    let mut plan = Plan::default();
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| runs[*i]) {
        if let Some(cause) = blocked[i] {
            plan.blocked.push((node.key, cause));
            continue;
        }
        let open = |key: &TaskKey| index.get(key).is_some_and(|d| runs[*d] && blocked[*d].is_none());
        match node.dependencies.iter().filter(|(key, _)| open(key)).count() {
            0 => plan.ready.push(node.key),
            count => plan.waiting.push((node.key, count as u32)),
        }
    }
    plan.ready.sort_unstable();
    plan.waiting.sort_unstable();
    plan.blocked.sort_unstable();
    plan
}

/// Plans an execution of the whole tree from the beginning, whatever became of its tasks the last time: what a schedule
/// does. Nothing can be blocked, as everything runs.
pub fn renewal(nodes: &[Node]) -> Plan {
    let fresh: Vec<Node> =
        nodes.iter().map(|node| Node { status: TaskStatus::Pending, ..node.clone() }).collect();
    match fresh.first() {
        Some(root) => execution(&fresh, root.key, false),
        None => Plan::default(),
    }
}

fn select(nodes: &[Node], index: &HashMap<TaskKey, usize>, target: TaskKey) -> Vec<bool> {
    let Some(&start) = index.get(&target) else { return vec![false; nodes.len()] };
    if nodes[start].parent.is_none() {
        return vec![true; nodes.len()];
    }
    let mut selected = vec![false; nodes.len()];
    let mut open = vec![start];
    selected[start] = true;
    while let Some(i) = open.pop() {
        for (key, _) in &nodes[i].dependencies {
            if let Some(&d) = index.get(key)
                && !selected[d]
            {
                selected[d] = true;
                open.push(d);
            }
        }
    }
    selected
}

/// For each task that would run: the dependency that will not complete, where there is one.
fn block(nodes: &[Node], index: &HashMap<TaskKey, usize>, runs: &[bool]) -> Vec<Option<TaskKey>> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut blocked = vec![None; nodes.len()];
    let mut open = Vec::new();
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| runs[*i]) {
        for (key, _) in node.dependencies.iter().filter(|(_, required)| *required) {
            let Some(&d) = index.get(key) else { continue };
            dependents[d].push(i);
            if !runs[d] && nodes[d].status != TaskStatus::Completed && blocked[i].is_none() {
                blocked[i] = Some(*key);
                open.push(i);
            }
        }
    }
    while let Some(i) = open.pop() {
        for &dependent in &dependents[i] {
            if blocked[dependent].is_none() {
                blocked[dependent] = blocked[i];
                open.push(dependent);
            }
        }
    }
    blocked
}

/// The tasks that a cancellation of `targets` takes, by key: those that can still be cancelled, and with `cascade` also
/// everything below them and whatever requires what is cancelled, in any number of steps. Siblings go on.
pub fn cancellation(nodes: &[Node], targets: &[TaskKey], cascade: bool) -> Vec<TaskKey> {
    let index: HashMap<TaskKey, usize> = nodes.iter().enumerate().map(|(i, node)| (node.key, i)).collect();
    let mut named: Vec<usize> = targets.iter().filter_map(|key| index.get(key).copied()).collect();
    if cascade {
        // Named tasks that have finished take nothing with them.
        named.retain(|i| !nodes[*i].status.is_terminal());
        let parents = |node: &Node| node.parent.into_iter().collect();
        named = closure(nodes.len(), &named, &followers(nodes, &index, parents), |_| true);
    }
    let cancellable = |i: usize| !nodes[i].status.is_terminal();
    named.retain(|i| cancellable(*i));
    if cascade {
        let required = |node: &Node| node.dependencies.iter().filter(|d| d.1).map(|d| d.0).collect();
        named = closure(nodes.len(), &named, &followers(nodes, &index, required), cancellable);
    }
    let mut keys: Vec<_> = named.into_iter().map(|i| nodes[i].key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// For each node the nodes that name it.
fn followers(
    nodes: &[Node],
    index: &HashMap<TaskKey, usize>,
    names: impl Fn(&Node) -> Vec<TaskKey>,
) -> Vec<Vec<usize>> {
    let mut followers = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for above in names(node).iter().filter_map(|key| index.get(key)) {
            followers[*above].push(i);
        }
    }
    followers
}

fn closure(
    len: usize,
    start: &[usize],
    followers: &[Vec<usize>],
    enter: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut seen = vec![false; len];
    let mut all: Vec<usize> = start.to_vec();
    for i in start {
        seen[*i] = true;
    }
    let mut at = 0;
    while let Some(&i) = all.get(at) {
        at += 1;
        for &next in &followers[i] {
            if !seen[next] && enter(next) {
                seen[next] = true;
                all.push(next);
            }
        }
    }
    all
}

/// Whether following `dependencies` from some task leads back to it; gives one such task.
pub fn circle<K: Copy + Eq + std::hash::Hash>(edges: &[(K, Vec<K>)]) -> Option<K> {
    let index: HashMap<K, usize> = edges.iter().enumerate().map(|(i, (key, _))| (*key, i)).collect();
    let mut waiting: Vec<usize> = edges
        .iter()
        .map(|(_, targets)| targets.iter().filter(|target| index.contains_key(target)).count())
        .collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (i, (_, targets)) in edges.iter().enumerate() {
        for target in targets.iter().filter_map(|target| index.get(target)) {
            dependents[*target].push(i);
        }
    }
    let mut open: Vec<usize> = (0..edges.len()).filter(|i| waiting[*i] == 0).collect();
    while let Some(i) = open.pop() {
        for &dependent in &dependents[i] {
            waiting[dependent] -= 1;
            if waiting[dependent] == 0 {
                open.push(dependent);
            }
        }
    }
    // Whatever is left stands on a circle or behind one; going against the arrows ends on it.
    let mut at = (0..edges.len()).find(|i| waiting[*i] > 0)?;
    for _ in 0..edges.len() {
        at = edges[at].1.iter().filter_map(|key| index.get(key)).copied().find(|i| waiting[*i] > 0)?;
    }
    Some(edges[at].0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskStatus::{Cancelled, Completed, Failed, Pending};

    /// `(key, parent, status, [(dependency, required)])`, 0 for no parent.
    type Row<'a> = (i64, i64, TaskStatus, &'a [(i64, bool)]);

    fn nodes(rows: &[Row<'_>]) -> Vec<Node> {
        rows.iter()
            .map(|(key, parent, status, dependencies)| Node {
                key: TaskKey(*key),
                parent: (*parent != 0).then_some(TaskKey(*parent)),
                status: *status,
                origin: OriginType::Create,
                dependencies: dependencies.iter().map(|(key, required)| (TaskKey(*key), *required)).collect(),
            })
            .collect()
    }

    fn keys(list: &[i64]) -> Vec<TaskKey> {
        list.iter().map(|key| TaskKey(*key)).collect()
    }

    #[test]
    fn a_fresh_tree_arms_everything() {
        let tree = nodes(&[
            (1, 0, Pending, &[(2, true), (3, true)]),
            (2, 1, Pending, &[]),
            (3, 1, Pending, &[(2, true)]),
        ]);
        let plan = execution(&tree, TaskKey(1), false);
        assert_eq!(plan.ready, keys(&[2]));
        assert_eq!(plan.waiting, [(TaskKey(1), 2), (TaskKey(3), 1)]);
        assert!(plan.blocked.is_empty());
    }

    #[test]
    fn re_execution_runs_what_failed_and_what_waits_behind_it() {
        let tree = nodes(&[
            (1, 0, Pending, &[(2, true), (3, true)]),
            (2, 1, Completed, &[]),
            (3, 1, Failed, &[(2, true)]),
        ]);
        let plan = execution(&tree, TaskKey(1), false);
        assert_eq!((plan.ready, plan.waiting), (keys(&[3]), vec![(TaskKey(1), 1)]));
        assert_eq!(execution(&tree, TaskKey(1), true).ready, keys(&[2]));
    }

    #[test]
    fn a_completed_tree_has_nothing_to_run() {
        let tree = nodes(&[(1, 0, Completed, &[(2, true)]), (2, 1, Completed, &[])]);
        assert_eq!(execution(&tree, TaskKey(1), false).open(), 0);
        assert_eq!(execution(&tree, TaskKey(1), true).open(), 2);
    }

    #[test]
    fn a_renewal_runs_everything_again() {
        let tree = nodes(&[
            (1, 0, Failed, &[(2, true), (3, true)]),
            (2, 1, Completed, &[]),
            (3, 1, Cancelled, &[(2, true)]),
        ]);
        let plan = renewal(&tree);
        assert_eq!((plan.ready, plan.waiting), (keys(&[2]), vec![(TaskKey(1), 2), (TaskKey(3), 1)]));
        assert!(plan.blocked.is_empty());
        assert_eq!(renewal(&[]), Plan::default());
    }

    #[test]
    fn links_and_archived_tasks_never_run_and_hold_nobody_up() {
        let mut tree = nodes(&[
            (1, 0, Pending, &[(2, true), (3, true)]),
            (2, 1, Completed, &[]),
            (3, 1, Completed, &[]),
        ]);
        tree[1].origin = OriginType::Link;
        tree[2].origin = OriginType::Archive;
        for rerun in [false, true] {
            let plan = execution(&tree, TaskKey(1), rerun);
            assert_eq!((plan.ready, plan.waiting), (keys(&[1]), vec![]));
        }
    }

    #[test]
    fn a_child_brings_only_what_it_depends_on() {
        let tree = nodes(&[
            (1, 0, Pending, &[(2, true)]),
            (2, 1, Pending, &[(3, true)]),
            (3, 1, Pending, &[]),
            (4, 1, Pending, &[]),
        ]);
        let plan = execution(&tree, TaskKey(2), false);
        assert_eq!((plan.ready, plan.waiting), (keys(&[3]), vec![(TaskKey(2), 1)]));
    }

    #[test]
    fn a_cancelled_required_dependency_blocks_all_behind_it_but_not_optional_ones() {
        let tree = nodes(&[
            (1, 0, Pending, &[(3, true), (4, false)]),
            (2, 1, Cancelled, &[]),
            (3, 1, Pending, &[(2, true)]),
            (4, 1, Pending, &[(2, false)]),
            (5, 1, Pending, &[(3, false)]),
        ]);
        let plan = execution(&tree, TaskKey(1), false);
        assert_eq!(plan.blocked, [(TaskKey(1), TaskKey(2)), (TaskKey(3), TaskKey(2))]);
        assert_eq!(plan.ready, keys(&[4, 5]));
    }

    #[test]
    fn cancellation_takes_descendants_and_dependents_only_when_asked() {
        let tree = nodes(&[
            (1, 0, Pending, &[(2, true), (6, true)]),
            (2, 1, Pending, &[]),
            (3, 2, Completed, &[]),
            (4, 3, Pending, &[]),
            (5, 1, Pending, &[(4, false)]),
            (6, 1, Pending, &[]),
        ]);
        assert_eq!(cancellation(&tree, &keys(&[2]), false), keys(&[2]));
        assert_eq!(cancellation(&tree, &keys(&[2]), true), keys(&[1, 2, 4]));
        assert_eq!(cancellation(&tree, &keys(&[3]), true), keys(&[]));
        assert_eq!(cancellation(&tree, &keys(&[1]), true), keys(&[1, 2, 4, 5, 6]));
    }

    #[test]
    fn circles_are_found_and_named_by_a_member() {
        assert_eq!(circle(&[(1, vec![2]), (2, vec![3]), (3, vec![])]), None);
        assert_eq!(circle(&[(1, vec![1])]), Some(1));
        let found = circle(&[(0, vec![1]), (1, vec![2]), (2, vec![3]), (3, vec![1]), (4, vec![])]);
        assert!(matches!(found, Some(1..=3)));
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let tree: Vec<Node> = (1..=100_000)
            .map(|i| Node {
                key: TaskKey(i),
                parent: (i > 1).then_some(TaskKey(i - 1)),
                status: Pending,
                origin: OriginType::Create,
                dependencies: if i < 100_000 { vec![(TaskKey(i + 1), true)] } else { vec![] },
            })
            .collect();
        assert_eq!(execution(&tree, TaskKey(1), false).ready, keys(&[100_000]));
        assert_eq!(cancellation(&tree, &keys(&[1]), true).len(), 100_000);
    }
}
