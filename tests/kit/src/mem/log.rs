//! The event log in memory: append and read. A position is an index plus one, so there are no gaps.

use std::collections::HashMap;

use apflow_core::clock::Timestamp;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TreeId};
use apflow_core::json::Json;
use apflow_core::store::EventQuery;

use super::rows::{TaskRow, TreeRow};

/// All events, and where those of a tree are; trees that are deleted keep theirs.
#[derive(Default)]
pub(super) struct Log {
    events: Vec<Event>,
    by_tree: HashMap<TreeId, Vec<usize>>,
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
        Seq(self.events.len() as i64)
    }

    pub fn append_tree(&mut self, tree: &TreeRow, kind: EventKind, data: Option<Json>, at: Timestamp) {
        self.append(Event {
            seq: Seq(0),
            tree_id: tree.id.clone(),
            task_id: None,
            executor: None,
            attempt: tree.execution,
            kind,
            at,
            started_at: None,
            data,
        });
    }

    pub fn append_task(&mut self, tree: &TreeRow, task: &TaskRow, note: TaskNote, at: Timestamp) {
        self.append(Event {
            seq: Seq(0),
            tree_id: tree.id.clone(),
            task_id: Some(task.id.clone()),
            executor: task.executor.clone(),
            attempt: note.attempt,
            kind: note.kind,
            at,
            started_at: note.started_at,
            data: note.data,
        });
    }

    fn append(&mut self, mut event: Event) {
        let index = self.events.len();
        event.seq = Seq(index as i64 + 1);
        match self.by_tree.get_mut(&event.tree_id) {
            Some(list) => list.push(index),
            None => {
                self.by_tree.insert(event.tree_id.clone(), vec![index]);
            }
        }
        self.events.push(event);
    }

    pub fn read(&self, query: &EventQuery) -> Vec<Event> {
        // The event with position `after` has the index `after - 1`: the first one wanted has the index `after`.
        let first = usize::try_from(query.after.0).unwrap_or(0);
        let wanted = |event: &&Event| query.kinds.is_empty() || query.kinds.contains(&event.kind);
        let limit = query.limit as usize;
        match &query.tree {
            None => self.events.iter().skip(first).filter(wanted).take(limit).cloned().collect(),
            Some(tree) => {
                let all = self.by_tree.get(tree).map_or(&[][..], Vec::as_slice);
                let later = &all[all.partition_point(|index| *index < first)..];
                later.iter().map(|index| &self.events[*index]).filter(wanted).take(limit).cloned().collect()
            }
        }
    }
}
