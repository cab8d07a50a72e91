//! The event log in memory: append and read. There are no gaps: a position is an index plus one and what
//! has been removed.

use std::collections::{HashMap, HashSet, VecDeque};

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::retention::{LogFacts, TrimRequest, Trimmed, cut};
use apflow_core::store::EventQuery;

use super::rows::{TaskRow, TreeRow};

/// The events that are there, and where those of a tree are; trees that are deleted keep theirs.
#[derive(Default)]
pub(super) struct Log {
    /// With the owners of their trees.
    events: VecDeque<(Event, Option<String>)>,
    /// So many have been removed.
    removed: usize,
    by_tree: HashMap<TreeId, VecDeque<Seq>>,
    /// Trees that have lost events.
    abridged: HashSet<TreeId>,
}

/// What an event of a task says beside the task.
pub(super) struct TaskNote {
    pub kind: EventKind,
    pub attempt: u32,
    pub started_at: Option<Timestamp>,
    pub data: Option<Json>,
}

impl Log {
    pub fn last(&self) -> Seq {
        Seq((self.removed + self.events.len()) as i64)
    }

    /// The position up to which the log has been removed.
    pub fn start(&self) -> Seq {
        Seq(self.removed as i64)
    }

    pub fn append_tree(&mut self, tree: &TreeRow, kind: EventKind, data: Option<Json>, at: Timestamp) {
        self.append(
            tree,
            Event {
                seq: Seq(0),
                tree_id: tree.id.clone(),
                task_id: None,
                executor: None,
                attempt: tree.execution,
                kind,
                at,
                started_at: tree.started_at.filter(|_| kind.ends_tree()),
                data,
            },
        );
    }

    pub fn append_task(&mut self, tree: &TreeRow, task: &TaskRow, note: TaskNote, at: Timestamp) {
        self.append(
            tree,
            Event {
                seq: Seq(0),
                tree_id: tree.id.clone(),
                task_id: Some(task.id.clone()),
                executor: task.executor.clone(),
                attempt: note.attempt,
                kind: note.kind,
                at,
                started_at: note.started_at,
                data: note.data,
            },
        );
    }

    fn append(&mut self, tree: &TreeRow, mut event: Event) {
        event.seq = Seq(self.last().0 + 1);
        self.by_tree.entry(event.tree_id.clone()).or_default().push_back(event.seq);
        self.events.push_back((event, tree.user_id.clone()));
    }

    /// What the newest event that put a task off says, if it was no failed attempt.
    pub fn put_off(&self, task: &TaskId) -> Option<Json> {
        let kinds = [EventKind::TaskRetrying, EventKind::TaskDelayed];
        let newest = self
            .events
            .iter()
            .map(|(event, _)| event)
            .rev()
            .find(|event| event.task_id.as_ref() == Some(task) && kinds.contains(&event.kind))?;
        newest.data.clone().filter(|_| newest.kind == EventKind::TaskDelayed)
    }

    /// The index of the event at a position.
    fn index(&self, seq: Seq) -> usize {
        usize::try_from(seq.0 - 1).unwrap_or(0).saturating_sub(self.removed)
    }

    pub fn read(&self, query: &EventQuery) -> Result<Vec<Event>> {
        let whole = query.tree.as_ref().is_some_and(|tree| !self.abridged.contains(tree));
        if query.limit > 0 && query.after < self.start() && !whole {
            return Err(Error::events_expired(query.after, self.start()));
        }
        let wanted = |(event, owner): &&(Event, Option<String>)| {
            (query.kinds.is_empty() || query.kinds.contains(&event.kind))
                && (query.user_id.is_none() || query.user_id == *owner)
        };
        let first = self.index(Seq(query.after.0 + 1));
        let limit = query.limit as usize;
        let event = |(event, _): &(Event, _)| event.clone();
        Ok(match &query.tree {
            None => self.events.iter().skip(first).filter(wanted).take(limit).map(event).collect(),
            Some(tree) => {
                let all = self.by_tree.get(tree).into_iter().flatten();
                let later = all.skip_while(|seq| **seq <= query.after);
                later
                    .map(|seq| &self.events[self.index(*seq)])
                    .filter(wanted)
                    .take(limit)
                    .map(event)
                    .collect()
            }
        })
    }

    pub fn trim(&mut self, request: &TrimRequest, facts: &LogFacts) -> Trimmed {
        let oldest = self.events.iter().take(request.limit as usize).map(|(event, _)| (event.seq, event.at));
        let count = cut(&oldest.collect::<Vec<_>>(), request, facts).map_or(0, |(count, _)| count);
        for (event, _) in self.events.drain(..count) {
            if let Some(list) = self.by_tree.get_mut(&event.tree_id) {
                list.pop_front();
            }
            self.abridged.insert(event.tree_id);
        }
        self.removed += count;
        Trimmed { removed: count as u32, start: self.start() }
    }
}
