//! `insert_tree`. A tree of up to a hundred tasks is one text; a larger one is sent in pieces of a hundred, in one
//! transaction, so that neither the statement nor the memory grows with it.

use std::sync::{LazyLock, OnceLock};

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::event::EventKind;
use apflow_core::id::TreeKey;
use apflow_core::store::Inserted;
use apflow_core::tree::{NewTask, NewTree};

use super::SqliteStore;
use super::transaction::{Statement, Writing};
use crate::database::Failure;
use crate::rows::{at, kind_number, to_json};
use crate::verbs::insert::{armed, more, refused};

/// Rows of one piece. Few sizes, or each would be a statement of its own to prepare and to keep; rows that are not needed
/// are bound as nulls and skipped.
const SIZES: [usize; 3] = [1, 10, 100];
/// Columns of a row in a piece.
const COLUMNS: usize = 9;

const TREE_CREATED: i64 = EventKind::TreeCreated.number();
const TREE_STARTED: i64 = EventKind::TreeStarted.number();

pub(super) async fn insert(
    store: &SqliteStore,
    tree: &NewTree,
    execute: bool,
    now: Timestamp,
) -> Result<Inserted> {
    let mut writing = store.write().await;
    match write(&mut writing, tree, execute, now, Frame::Whole).await {
        Ok(tree) => Ok(Inserted { tree, execution: execute.then_some(1) }),
        Err(failure) => {
            drop(writing);
            Err(refused(store, tree, failure).await)
        }
    }
}

/// Whose transaction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// The insert's own.
    Whole,
    /// The caller's, who has begun it and ends it.
    Part,
}

/// Writes a tree; gives its key.
pub(super) async fn write(
    writing: &mut Writing,
    tree: &NewTree,
    execute: bool,
    now: Timestamp,
    frame: Frame,
) -> Result<TreeKey, Failure> {
    let armed = if execute { armed(tree) } else { Vec::new() };
    let largest = SIZES[SIZES.len() - 1];
    let mut key = None;
    for (i, tasks) in tree.tasks.chunks(largest).enumerate() {
        let first = i * largest;
        let (is_first, is_last) = (first == 0, first + tasks.len() == tree.tasks.len());
        let piece = Piece {
            tree,
            first,
            tasks,
            armed: armed.get(first..first + tasks.len()),
            now,
            is_first,
            is_last,
            frame,
        };
        let read_key = |row: &sqlx::sqlite::SqliteRow| {
            key = Some(TreeKey(at(row, 0)?));
            Ok(())
        };
        let statement = piece.statement().map_err(Failure::Row)?;
        match is_last && frame == Frame::Whole {
            true => writing.run(statement, read_key).await?,
            false => writing.continue_with(statement, read_key).await?,
        }
    }
    key.ok_or_else(|| Failure::Row(Error::new(ErrorCode::Internal, "A tree was written without a key")))
}

/// Up to a hundred tasks of a tree.
struct Piece<'t> {
    tree: &'t NewTree,
    /// Position of the first of `tasks`.
    first: usize,
    tasks: &'t [NewTask],
    /// For each of `tasks` how many it waits for, if the tree is executed.
    armed: Option<&'t [u32]>,
    now: Timestamp,
    is_first: bool,
    is_last: bool,
    frame: Frame,
}

impl Piece<'_> {
    fn statement(&self) -> Result<Statement> {
        let size = SIZES.iter().position(|size| *size >= self.tasks.len()).unwrap_or(SIZES.len() - 1);
        let mut statement = sqlx::query(text(size, self.is_first, self.is_last, self.frame));
        for (i, task) in self.tasks.iter().enumerate() {
            statement = statement
                .bind((self.first + i) as i64)
                .bind(task.parent.map(|parent| parent as i64))
                .bind(task.id.as_str().to_owned())
                .bind(task.name.clone())
                .bind(i64::from(task.priority))
                .bind(task.executor.clone())
                .bind(task.inputs.as_str().to_owned())
                .bind(task.params.as_str().to_owned())
                .bind(more(task)?);
        }
        for _ in self.tasks.len() * COLUMNS..SIZES[size] * COLUMNS {
            statement = statement.bind(None::<i64>);
        }
        Ok(statement
            .bind(self.now.as_micros())
            .bind(self.tree.id.as_str().to_owned())
            .bind(self.tree.user_id.clone())
            .bind(self.tree.tasks.len() as i64)
            .bind(self.armed.is_some())
            .bind(to_json("list of dependencies", &self.edges())?)
            .bind(to_json("list of armed tasks", &self.queued())?))
    }

    /// `[task, pos, dep, required, kind]`, tasks by position in the tree.
    fn edges(&self) -> Vec<(usize, usize, usize, u8, i64)> {
        let of = |(i, task)| {
            let edge = move |(pos, d): (usize, &apflow_core::tree::NewDependency)| {
                (self.first + i, pos, d.target, u8::from(d.required), kind_number(d.kind))
            };
            let task: &NewTask = task;
            task.dependencies.iter().enumerate().map(edge)
        };
        self.tasks.iter().enumerate().flat_map(of).collect()
    }

    /// `[task, priority, waiting_on]`.
    fn queued(&self) -> Vec<(usize, u8, u32)> {
        let counts = self.armed.unwrap_or_default().iter().zip(self.tasks).enumerate();
        counts.map(|(i, (count, task))| (self.first + i, task.priority, *count)).collect()
    }
}

/// The text for a piece of `SIZES[size]` rows; made once and kept, as the connection keeps what it prepared of it.
///
/// The parameters that are not rows come behind the rows, whose parameters have no names: SQLite looks through all the
/// names of a statement for each one that is bound, which for 900 of them would cost as much as the rest of the insert.
fn text(size: usize, is_first: bool, is_last: bool, frame: Frame) -> &'static str {
    static TEXTS: [OnceLock<String>; 8 * SIZES.len()] = [const { OnceLock::new() }; 8 * SIZES.len()];
    let is_whole = frame == Frame::Whole;
    let bits = [is_whole, is_first, is_last];
    let index = bits.iter().fold(size, |index, bit| 2 * index + usize::from(*bit));
    TEXTS[index].get_or_init(|| {
        let names: [String; 7] = std::array::from_fn(|i| format!("${}", SIZES[size] * COLUMNS + i + 1));
        let [now, id, owner, tasks, execute, edges, queued] = names;
        let rows = vec![format!("({})", ["?"; COLUMNS].join(",")); SIZES[size]].join(",");
        let head = match is_first {
            true => {
                let begin = if is_whole { "BEGIN IMMEDIATE;" } else { "" };
                format!("{begin} INSERT INTO plant VALUES ({now}, {id}, {owner}, {tasks}, {execute});")
            }
            false => String::new(),
        };
        let tail = match (is_last, is_whole) {
            (true, true) => "DELETE FROM fresh RETURNING tree; COMMIT;",
            (true, false) => "DELETE FROM fresh RETURNING tree;",
            (false, _) => "",
        };
        format!(
            "{head}
INSERT INTO tasks (n, tree, parent, id, name, priority, executor, inputs, params, more)
SELECT f.base + v.column1, f.tree, f.base + v.column2, v.column3, v.column4, v.column5, v.column6, v.column7,
       v.column8, v.column9
  FROM (VALUES {rows}) AS v CROSS JOIN fresh f WHERE v.column1 IS NOT NULL;
INSERT INTO grow VALUES ({now}, {edges}, {queued});
{tail}"
        )
    })
}

/// Takes the keys and writes the tree. Keys of deleted tasks and trees are not given again, because the log still names
/// them.
pub(super) static PLANT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
INSERT INTO fresh (base, tree) SELECT
    1 + max(coalesce((SELECT max(n) FROM tasks), 0), coalesce((SELECT max(n) FROM removed_tasks), 0)),
    1 + max(coalesce((SELECT max(n) FROM trees), 0), coalesce((SELECT max(n) FROM removed_trees), 0));
INSERT INTO events (tree, attempt, kind, at, data)
SELECT tree, 0, {TREE_CREATED}, NEW.now, json_object('tasks', NEW.tasks) FROM fresh;
INSERT INTO trees (n, id, user_id, root, last, created_at, execution, status, open, started_seq, started_at)
SELECT tree, NEW.id, NEW.owner, base, base + NEW.tasks - 1, NEW.now, NEW.execute, NEW.execute, NEW.execute * NEW.tasks,
       NEW.execute * (SELECT max(seq) FROM events), CASE WHEN NEW.execute THEN NEW.now END
  FROM fresh;
INSERT INTO events (tree, attempt, kind, at, data)
SELECT tree, 1, {TREE_STARTED}, NEW.now, json_object('tasks', NEW.tasks) FROM fresh WHERE NEW.execute;
"
    )
});

/// Writes what the tasks of a piece depend on, and their places in the queues.
pub(super) const GROW: &str = "
INSERT INTO edges (task, pos, dep, required, kind)
SELECT f.base + (j.value->>0), j.value->>1, f.base + (j.value->>2), j.value->>3, j.value->>4
  FROM jsonb_each(NEW.edges) AS j CROSS JOIN fresh f;
INSERT INTO ready (n, tree, priority, due, attempt, base, token)
SELECT f.base + (j.value->>0), f.tree, j.value->>1, NEW.now, 0, 0, 0
  FROM jsonb_each(NEW.queued) AS j CROSS JOIN fresh f WHERE j.value->>2 = 0;
INSERT INTO waiting (n, tree, waiting_on, priority, due, attempt, base, token)
SELECT f.base + (j.value->>0), f.tree, j.value->>2, j.value->>1, NEW.now, 0, 0, 0
  FROM jsonb_each(NEW.queued) AS j CROSS JOIN fresh f WHERE j.value->>2 > 0;
";
