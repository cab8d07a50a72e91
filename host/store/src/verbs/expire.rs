//! `expire`: ends executions that have run out of time. Each is a transaction of its own, so that one that is long does
//! not hold up the others.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::id::{TaskId, TaskKey, Token};
use apflow_core::store::{Expiration, out_of_time};

use super::answer::ended;
use super::finished::FAILED;
use crate::database::{Database, Step, Work, arguments, replayed, sql};
use crate::rows::{Cells as _, at, optional_time, to_json};

/// When an execution `x` that is under way runs out of time.
const DEADLINE: &str = "x.started_at + x.deadline_ms * 1000";
/// Executions that one look ends at most; the next look comes at once.
const BATCH: i64 = 100;

pub(crate) async fn expire<D: Database>(database: &D, now: Timestamp) -> Result<Expiration> {
    let text = format!(
        "SELECT r.id FROM trees x {} tasks r ON r.n = x.root
          WHERE x.status = 1 AND x.deadline_ms IS NOT NULL AND {DEADLINE} <= $1 ORDER BY {DEADLINE} LIMIT $2",
        D::DIALECT.join()
    );
    let late = database.read(sql(text), arguments![now, BATCH], |row| at::<&str>(row, 0).map(TaskId::from));
    let mut expiration = Expiration::default();
    for root in late.await? {
        let one = replayed(|| once(database, &root, now)).await?;
        expiration.interrupted.extend(one.interrupted);
        expiration.ended.extend(one.ended);
    }
    let text =
        format!("SELECT min({DEADLINE}) FROM trees x WHERE x.status = 1 AND x.deadline_ms IS NOT NULL");
    expiration.next =
        database.read(sql(text), Vec::new(), |row| optional_time(row, 0)).await?.pop().flatten();
    Ok(expiration)
}

async fn once(database: &impl Database, root: &TaskId, now: Timestamp) -> Result<Expiration> {
    let mut work = database.begin().await?;
    let outcome = apply(&mut work, root, now).await;
    work.end(outcome).await
}

/// Nothing, if the execution has ended meanwhile.
async fn apply(work: &mut impl Work, root: &TaskId, now: Timestamp) -> Result<Expiration> {
    work.lock_trees(std::slice::from_ref(root)).await?;
    let text = format!(
        "SELECT x.root, x.last, x.deadline_ms FROM tasks r JOIN trees x ON x.n = r.tree
          WHERE r.id = $1 AND x.status = 1 AND {DEADLINE} <= $2"
    );
    let read = |row: &_| Ok((at::<i64>(row, 0)?, at::<i64>(row, 1)?, at::<u32>(row, 2)?));
    let mut expiration = Expiration::default();
    let Some((first, last, deadline_ms)) =
        work.rows(sql(text), arguments![root.as_str(), now], read).await?.pop()
    else {
        return Ok(expiration);
    };
    let text = "
SELECT n FROM waiting WHERE n BETWEEN $1 AND $2 AND blocked_by IS NULL
UNION ALL SELECT n FROM ready WHERE n BETWEEN $1 AND $2
UNION ALL SELECT n FROM delayed WHERE n BETWEEN $1 AND $2
UNION ALL SELECT n FROM running WHERE n BETWEEN $1 AND $2
ORDER BY 1";
    let open = work.rows(sql(text), arguments![first, last], |row| at::<i64>(row, 0)).await?;
    let error = to_json("task error", &out_of_time(deadline_ms))?;
    let arguments = arguments![now, to_json("list of tasks", &open)?, error, FAILED];
    work.step(Step::Withdraw, arguments, |row| {
        match row.what()? {
            "interrupted" => expiration.interrupted.push((TaskKey(at(row, 0)?), Token(at(row, 1)?))),
            "ended" => expiration.ended.push(ended(row)?),
            _ => {}
        }
        Ok(())
    })
    .await?;
    Ok(expiration)
}
