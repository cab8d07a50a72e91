//! Reading the log. An event's row is narrow: names come from the task and the tree (or from what is kept of deleted
//! ones), results and errors from the attempt. [`keep`] writes them into the rows of tasks that are about to go.

use std::sync::LazyLock;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::store::EventQuery;
use serde_json::json;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::transaction::Writing;
use crate::error::corrupt;
use crate::rows::{at, optional_time, time, to_json};

/// The data of a `task.retrying` row: the due time, as a JSON string.
pub(super) fn due(due: Timestamp) -> String {
    json!(due).to_string()
}

/// The data of a `task.delayed` event. There is no attempt to read a receipt from.
pub(super) fn delayed(at: Timestamp, receipt: Option<&str>) -> String {
    let receipt = receipt.map(|receipt| format!(r#","receipt":{receipt}"#));
    format!(r#"{{"due":{}{}}}"#, due(at), receipt.unwrap_or_default())
}

const COLUMNS: &str = "
SELECT e.seq, coalesce(x.id, rx.id), coalesce(t.id, rt.id), coalesce(t.executor, rt.executor), e.attempt, e.kind, e.at,
       e.started_at, e.data, d.result, d.error, d.receipt
  FROM events e
  LEFT JOIN trees x ON x.n = e.tree
  LEFT JOIN removed_trees rx ON rx.n = e.tree
  LEFT JOIN tasks t ON t.n = e.n
  LEFT JOIN removed_tasks rt ON rt.n = e.n
  LEFT JOIN done d ON d.n = e.n AND d.attempt = e.attempt AND e.kind BETWEEN 12 AND 15
";

pub(super) async fn events(store: &SqliteStore, query: &EventQuery) -> Result<Vec<Event>> {
    static ALL: LazyLock<String> = LazyLock::new(|| text("true"));
    static OF_TREE: LazyLock<String> = LazyLock::new(|| text("e.tree = $4"));
    static OF_TREES: LazyLock<String> = LazyLock::new(|| text("e.tree IN (SELECT value FROM json_each($5))"));
    let trees = match &query.tree {
        Some(tree) => trees(store, tree).await?,
        None => Vec::new(),
    };
    // One tree is not written as a list of one: only an equality reads the index in the order of `seq`, so that a page
    // of a long log costs a page.
    let text = match (&query.tree, &trees[..]) {
        (None, _) => ALL.as_str(),
        (Some(_), []) => return Ok(Vec::new()),
        (Some(_), [_]) => OF_TREE.as_str(),
        (Some(_), _) => OF_TREES.as_str(),
    };
    let kinds: Vec<i64> = query.kinds.iter().map(|kind| kind.number()).collect();
    let kinds = if kinds.is_empty() { None } else { Some(to_json("list of event kinds", &kinds)?) };
    let statement = sqlx::query(text)
        .bind(query.after.0)
        .bind(kinds)
        .bind(i64::from(query.limit))
        .bind(trees.first().copied())
        .bind(to_json("list of trees", &trees)?);
    store.read(statement, event).await
}

/// The keys of the trees that have or had this id: several, if one was deleted and its id used again.
async fn trees(store: &SqliteStore, id: &TreeId) -> Result<Vec<i64>> {
    let text = "SELECT n FROM trees WHERE id = $1 UNION ALL SELECT n FROM removed_trees WHERE id = $1";
    store.read(sqlx::query(text).bind(id.as_str().to_owned()), |row| at(row, 0)).await
}

fn text(which: &str) -> String {
    format!(
        "{COLUMNS} WHERE {which} AND e.seq > $1 AND ($2 IS NULL OR e.kind IN (SELECT value FROM json_each($2)))
 ORDER BY e.seq LIMIT $3"
    )
}

pub(super) async fn last_seq(store: &SqliteStore) -> Result<Seq> {
    let rows = store.read(sqlx::query("SELECT coalesce(max(seq), 0) FROM events"), |row| at(row, 0));
    Ok(Seq(rows.await?.pop().unwrap_or_default()))
}

fn event(row: &SqliteRow) -> Result<Event> {
    let number = at(row, 5)?;
    let kind = EventKind::from_number(number)
        .ok_or_else(|| corrupt(format!("A stored event has the kind number {number}, which there is not")))?;
    let at_time = time(row, 6)?;
    Ok(Event {
        seq: Seq(at(row, 0)?),
        tree_id: TreeId::from(at::<Option<&str>>(row, 1)?.unwrap_or_default()),
        task_id: at::<Option<&str>>(row, 2)?.map(TaskId::from),
        executor: at(row, 3)?,
        attempt: at(row, 4)?,
        kind,
        at: at_time,
        started_at: if kind == EventKind::TaskStarted { Some(at_time) } else { optional_time(row, 7)? },
        data: data(row, kind)?,
    })
}

/// What the row itself holds, or what follows from the attempt.
fn data(row: &SqliteRow, kind: EventKind) -> Result<Option<Json>> {
    let own: Option<&str> = at(row, 8)?;
    let due = match kind {
        EventKind::TaskCompleted | EventKind::TaskFailed | EventKind::TaskCancelled => None,
        EventKind::TaskRetrying => own.filter(|own| own.starts_with('"')),
        _ => return Ok(own.map(Json::trusted)),
    };
    if own.is_some() && due.is_none() {
        return Ok(own.map(Json::trusted));
    }
    let result = if kind == EventKind::TaskCompleted { at(row, 9)? } else { None };
    let members: [(&str, Option<&str>); 4] =
        [("result", result), ("error", at(row, 10)?), ("due", due), ("receipt", at(row, 11)?)];
    let members: Vec<String> = members
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!(r#""{name}":{value}"#)))
        .collect();
    Ok(Some(Json::trusted(format!("{{{}}}", members.join(",")))))
}

/// Writes the data of the events of tasks into their rows: the attempts that they are read from will be gone. `keys` is a
/// list of task keys, `tree` the key of their tree.
pub(super) async fn keep(writing: &mut Writing<'_>, tree: i64, keys: &str) -> Result<()> {
    static READ: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{COLUMNS} WHERE e.tree = $1 AND e.n IN (SELECT value FROM json_each($2)) AND e.kind BETWEEN 12 AND 15"
        )
    });
    let statement = sqlx::query(READ.as_str()).bind(tree).bind(keys.to_owned());
    let read = |row: &SqliteRow| {
        let event = event(row)?;
        let data = event
            .data
            .ok_or_else(|| Error::new(ErrorCode::Internal, "A finished task's event has no data"))?;
        Ok((event.seq, data.as_str().to_owned()))
    };
    let kept = writing.rows(statement, read).await?;
    let write = "
UPDATE events SET data = k.data FROM (SELECT value->>0 AS seq, value->>1 AS data FROM json_each($1)) AS k
 WHERE events.seq IN (SELECT value->>0 FROM json_each($1)) AND k.seq = events.seq";
    Ok(writing.step(sqlx::query(write).bind(to_json("list of events", &kept)?), |_| Ok(())).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements name the kinds whose data is read from attempts by a range of numbers.
    #[test]
    fn kinds_of_attempts_are_a_range() {
        let of_attempts = [
            EventKind::TaskCompleted,
            EventKind::TaskFailed,
            EventKind::TaskCancelled,
            EventKind::TaskRetrying,
        ];
        let inside: Vec<EventKind> =
            EventKind::ALL.iter().copied().filter(|kind| (12..=15).contains(&kind.number())).collect();
        assert_eq!(inside, of_attempts);
    }

    #[test]
    fn a_delay_says_when_and_what_it_used() {
        let at = Timestamp::from_micros(0);
        assert_eq!(delayed(at, None), r#"{"due":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(delayed(at, Some("{}")), r#"{"due":"1970-01-01T00:00:00Z","receipt":{}}"#);
    }
}
