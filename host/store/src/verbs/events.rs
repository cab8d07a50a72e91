//! Reading the log. An event's row is narrow: names come from the task and the tree (or from what is kept of deleted
//! ones), results and errors from the attempt. [`keep`] writes them into the rows of tasks that are about to go.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::retention::{self, Consumer, LogFacts, TrimRequest, Trimmed};
use apflow_core::store::EventQuery;
use serde_json::json;

use crate::database::{Argument, Database, Dialect, Step, Work, arguments, replayed, sql};
use crate::error::corrupt;
use crate::rows::{Cells, at, optional_time, time, to_json};

/// The data of a `task.retrying` row: the due time, as a JSON string.
pub(crate) fn due(due: Timestamp) -> String {
    json!(due).to_string()
}

/// The data of a `task.delayed` event. There is no attempt to read a receipt from.
pub(crate) fn delayed(at: Timestamp, receipt: Option<&str>) -> String {
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

/// Reads what the query asks for, up to the position `last`: what is later may not be final. That nothing in between has
/// been removed is part of the statement, so that it is true of what is read.
pub(crate) async fn events<D: Database>(database: &D, query: &EventQuery, last: Seq) -> Result<Vec<Event>> {
    let trees = match &query.tree {
        Some(tree) => trees(database, tree).await?,
        None => Vec::new(),
    };
    // One tree is not written as a list of one: only an equality reads the index in the order of `seq`, so that a page
    // of a long log costs a page.
    let which = match (&query.tree, &trees[..]) {
        (None, _) => "true".to_owned(),
        (Some(_), []) => return Ok(Vec::new()),
        (Some(_), [_]) => "e.tree = $5".to_owned(),
        (Some(_), _) => format!("e.tree IN {}", D::DIALECT.numbers("$6")),
    };
    let kinds: Vec<i64> = query.kinds.iter().map(|kind| kind.number()).collect();
    let wanted = match kinds.is_empty() {
        true => "true".to_owned(),
        false => format!("e.kind IN {}", D::DIALECT.numbers("$3")),
    };
    let owner = if query.user_id.is_some() { "coalesce(x.user_id, rx.user_id) = $7" } else { "true" };
    let whole = match query.tree {
        None => format!("$1 >= {START}"),
        Some(_) => format!("($1 >= {START} OR {})", unabridged(D::DIALECT)),
    };
    let text = format!(
        "{COLUMNS} WHERE {which} AND e.seq > $1 AND e.seq <= $2 AND {wanted} AND {owner} AND {whole} ORDER BY e.seq LIMIT $4"
    );
    let arguments = arguments![
        query.after.0,
        last.0,
        to_json("list of event kinds", &kinds)?,
        i64::from(query.limit),
        trees.first().copied(),
        to_json("list of trees", &trees)?,
        query.user_id.clone(),
    ];
    let found = database.read(sql(text), arguments.clone(), event).await?;
    if found.is_empty() && query.limit > 0 {
        check_whole(database, query, &whole, arguments).await?;
    }
    Ok(found)
}

/// The position up to which the log has been removed.
const START: &str = "coalesce((SELECT s.seq FROM log_start s), 0)";

/// Whether of the trees `$6` nothing has been removed: the first event of a tree tells of its creation.
fn unabridged(dialect: Dialect) -> String {
    let created = EventKind::TreeCreated.number();
    format!(
        "NOT EXISTS (SELECT 1 FROM {} AS k WHERE coalesce((SELECT f.kind FROM events f WHERE f.tree = k.value
                                                            ORDER BY f.seq LIMIT 1), 0) <> {created})",
        dialect.numbers("$6")
    )
}

/// Nothing was found: because there is nothing, or because it has been removed?
async fn check_whole<D: Database>(
    database: &D,
    query: &EventQuery,
    whole: &str,
    arguments: Vec<Argument>,
) -> Result<()> {
    let text = format!("SELECT {START}, {whole}");
    let rows = database.read(sql(text), arguments, |row| Ok((Seq(at(row, 0)?), at::<bool>(row, 1)?)));
    match rows.await?.first() {
        Some((start, false)) => Err(Error::events_expired(query.after, *start)),
        _ => Ok(()),
    }
}

/// The position up to which the log has been removed.
pub(crate) async fn start(database: &impl Database) -> Result<Seq> {
    let rows = database.read(sql(format!("SELECT {START}")), arguments![], |row| at(row, 0).map(Seq));
    Ok(rows.await?.pop().unwrap_or_default())
}

/// Removes the oldest events; `newest` is the newest position that is final.
pub(crate) async fn trim(database: &impl Database, request: &TrimRequest, newest: Seq) -> Result<Trimmed> {
    let once = || async {
        let mut work = database.begin().await?;
        let outcome = remove_oldest(&mut work, request, newest).await;
        work.end(outcome).await
    };
    replayed(once).await
}

async fn remove_oldest(work: &mut impl Work, request: &TrimRequest, newest: Seq) -> Result<Trimmed> {
    let text = format!("SELECT {START}");
    let start =
        work.rows(sql(text), arguments![], |row| at(row, 0).map(Seq)).await?.pop().unwrap_or_default();
    let text = "SELECT seq, at FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
    let oldest = work.rows(sql(text), arguments![start.0, i64::from(request.limit)], |row| {
        Ok((Seq(at(row, 0)?), time(row, 1)?))
    });
    let oldest = oldest.await?;
    let facts = facts(work, newest).await?;
    let Some((removed, cut)) = retention::cut(&oldest, request, &facts) else {
        return Ok(Trimmed { removed: 0, start });
    };
    let none = |_: &_| Ok(());
    work.rows(sql("DELETE FROM events WHERE seq <= $1"), arguments![cut.0], none).await?;
    // Two hosts may do this at the same time; the log begins where the one that went further has left it.
    let text = "INSERT INTO log_start (one, seq) VALUES (1, $1)
                    ON CONFLICT (one) DO UPDATE SET seq = excluded.seq WHERE log_start.seq < excluded.seq";
    work.rows(sql(text), arguments![cut.0], none).await?;
    Ok(Trimmed { removed: removed as u32, start: cut })
}

async fn facts(work: &mut impl Work, newest: Seq) -> Result<LogFacts> {
    let text = "SELECT min(started_seq) FROM trees WHERE status = 1";
    let open = work.rows(sql(text), arguments![], |row| at::<Option<i64>>(row, 0)).await?.pop().flatten();
    let text =
        "SELECT seq, seen_at FROM cursors UNION ALL SELECT cursor, seen_at FROM webhooks WHERE enabled = 1";
    let consumer = |row: &_| Ok(Consumer { cursor: Seq(at(row, 0)?), seen_at: time(row, 1)? });
    let consumers = work.rows(sql(text), arguments![], consumer).await?;
    Ok(LogFacts { newest, open_execution: open.map(Seq), consumers })
}

/// The keys of the trees that have or had this id: several, if one was deleted and its id used again.
async fn trees(database: &impl Database, id: &TreeId) -> Result<Vec<i64>> {
    let text = sql("SELECT n FROM trees WHERE id = $1 UNION ALL SELECT n FROM removed_trees WHERE id = $1");
    database.read(text, arguments![id.as_str()], |row| at(row, 0)).await
}

/// The newest position up to `last`; 0 if there is none.
pub(crate) async fn newest(database: &impl Database, last: Seq) -> Result<Seq> {
    let text = sql("SELECT coalesce(max(seq), 0) FROM events WHERE seq <= $1");
    let rows = database.read(text, arguments![last.0], |row| at(row, 0));
    Ok(Seq(rows.await?.pop().unwrap_or_default()))
}

fn event(row: &impl Cells) -> Result<Event> {
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
fn data(row: &impl Cells, kind: EventKind) -> Result<Option<Json>> {
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
pub(super) async fn keep<W: Work>(work: &mut W, tree: i64, keys: &str) -> Result<()> {
    let tasks = W::DIALECT.numbers("$2");
    let text = format!("{COLUMNS} WHERE e.tree = $1 AND e.n IN {tasks} AND e.kind BETWEEN 12 AND 15");
    let read = |row: &W::Row| {
        let event = event(row)?;
        let data = event
            .data
            .ok_or_else(|| Error::new(ErrorCode::Internal, "A finished task's event has no data"))?;
        Ok((event.seq, data.as_str().to_owned()))
    };
    let kept = work.rows(sql(text), arguments![tree, keys], read).await?;
    work.step(Step::Keep, arguments![to_json("list of events", &kept)?], |_| Ok(())).await
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
