//! The event log for doors: pages of it, and the part of it that belongs to one execution.

use std::pin::Pin;

use apflow_core::error::{Error, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::store::EventQuery;
use futures::StreamExt as _;
use futures::stream::{self, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::{Id, Limit};
use super::shape;
use crate::Engine;

/// Events that one read of the log fetches while a page is filtered.
const READ_AHEAD: u32 = 1_000;

/// Which part of the log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventListParams {
    /// Only events with a higher `seq`; if left out, from the oldest that there is.
    after: Option<i64>,
    /// Only of this tree. `tree_id` and `task_tree_id` are accepted too.
    #[serde(alias = "tree_id", alias = "task_tree_id")]
    tree: Option<String>,
    /// Only of this task. `task_id` and `id` are accepted too.
    #[serde(alias = "task_id", alias = "id")]
    task: Option<Id>,
    /// At most so many; default 100.
    limit: Option<Limit>,
}

/// A page of the log, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EventPage {
    /// The events.
    #[schemars(with = "Vec<shape::Event>")]
    events: Vec<Event>,
    /// What to pass as `after` for the next page.
    #[schemars(with = "i64")]
    next_after: Seq,
    /// Whether there were more when this page was read.
    more: bool,
}

pub(super) async fn list(engine: &Engine, params: EventListParams) -> Result<EventPage> {
    let limit = params.limit.unwrap_or_default().0 as usize;
    let task = params.task.map(|Id(task)| task);
    let tree = match (params.tree, &task) {
        (Some(tree), _) => Some(TreeId::from(tree)),
        (None, Some(task)) => Some(tree_of(engine, task).await?),
        (None, None) => None,
    };
    let after = match params.after {
        Some(after) => Seq(after),
        None => engine.log_start().await?,
    };
    let mut page = EventPage { events: Vec::new(), next_after: after, more: false };
    loop {
        let missing = (limit - page.events.len() + 1).min(READ_AHEAD as usize) as u32;
        let read = if task.is_some() { READ_AHEAD } else { missing };
        let query =
            EventQuery { after: page.next_after, tree: tree.clone(), limit: read, ..EventQuery::default() };
        let batch = engine.read_events(query).await?;
        let at_end = batch.len() < read as usize;
        for event in batch {
            let belongs = task.is_none() || event.task_id == task;
            if belongs && page.events.len() == limit {
                page.more = true;
                return Ok(page);
            }
            page.next_after = event.seq;
            if belongs {
                page.events.push(event);
            }
        }
        if at_end {
            return Ok(page);
        }
    }
}

/// The tree that a task is in.
///
/// # Errors
/// `TaskNotFound`.
pub async fn tree_of(engine: &Engine, task: &TaskId) -> Result<TreeId> {
    let state = engine.tree_state(task).await?;
    state.map(|state| state.tree_id).ok_or_else(|| Error::task_not_found(task))
}

/// The events of one execution, from its `tree.started` to the event that ends it; then the stream is over. What else
/// happens to the tree meanwhile (edits) is part of it, other executions are not.
pub fn execution_events(
    engine: &Engine,
    of: &super::Stream,
) -> impl Stream<Item = Result<Event>> + Send + 'static {
    one_execution(engine.events(Some(of.tree_id.clone()), of.after), of.execution)
}

fn one_execution<S>(log: S, execution: u32) -> impl Stream<Item = Result<Event>> + Send + 'static
where
    S: Stream<Item = Result<Event>> + Send + 'static,
{
    enum Place<S> {
        Before(Pin<Box<S>>),
        Inside(Pin<Box<S>>),
        After,
    }
    stream::unfold(Place::Before(Box::pin(log)), move |place| async move {
        let (mut log, mut inside) = match place {
            Place::Before(log) => (log, false),
            Place::Inside(log) => (log, true),
            Place::After => return None,
        };
        loop {
            let item = log.next().await?;
            let Ok(event) = &item else { return Some((item, Place::After)) };
            let of_execution = event.attempt == execution;
            inside |= of_execution && event.kind == EventKind::TreeStarted;
            if inside {
                let over = of_execution && event.kind.ends_tree();
                return Some((item, if over { Place::After } else { Place::Inside(log) }));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use apflow_core::clock::Timestamp;

    use super::*;

    fn event(seq: i64, kind: EventKind, attempt: u32) -> Event {
        Event {
            seq: Seq(seq),
            tree_id: TreeId::from("t"),
            task_id: None,
            executor: None,
            attempt,
            kind,
            at: Timestamp::from_micros(seq),
            started_at: None,
            data: None,
        }
    }

    #[tokio::test]
    async fn an_execution_begins_and_ends_with_its_own_events() {
        use EventKind::{TaskCompleted, TaskStarted, TreeCompleted, TreeFailed, TreeStarted};
        let log = [
            event(1, TreeStarted, 1),
            event(2, TaskStarted, 1),
            event(3, TreeFailed, 1),
            event(4, TreeStarted, 2),
            event(5, TaskStarted, 2),
            event(6, TaskCompleted, 2),
            event(7, TreeCompleted, 2),
        ];
        let seqs = async |execution| {
            // The log is live: it never ends by itself.
            let live = stream::iter(log.clone().map(Ok)).chain(stream::pending());
            one_execution(live, execution).map(|item| item.unwrap().seq.0).collect::<Vec<_>>().await
        };
        assert_eq!(seqs(1).await, [1, 2, 3]);
        assert_eq!(seqs(2).await, [4, 5, 6, 7]);
    }

    #[tokio::test]
    async fn an_error_of_the_store_is_passed_on_and_ends_the_stream() {
        let error = Error::new(apflow_core::error::ErrorCode::StoreUnavailable, "gone");
        let log =
            stream::iter([Ok(event(1, EventKind::TreeStarted, 1)), Err(error)]).chain(stream::pending());
        let items: Vec<_> = one_execution(log, 1).collect().await;
        assert!(matches!(items[..], [Ok(_), Err(_)]));
    }
}
