//! Webhooks. Who may write is decided by the lease in the row itself: the statement that records deliveries names the
//! holder, and changes nothing if that is somebody else.

use apflow_core::clock::Timestamp;
use apflow_core::error::Result;
use apflow_core::event::EventKind;
use apflow_core::id::{Seq, WebhookId};
use apflow_core::lease::Session;
use apflow_core::store::{DeliveryRecord, DueWebhooks, NewWebhook, Page, WebhookChange};
use apflow_core::webhook::{DeadLetter, Delivery, KEPT_DEAD_LETTERS, KEPT_DELIVERIES, Webhook, WebhookState};

use crate::database::{Argument, Database, Work, arguments, replayed, sql};
use crate::error::corrupt;
use crate::rows::{Cells, at, from_json, optional_time, time, to_json};

/// The cursor of a webhook whose execution has ended.
const FINISHED: i64 = i64::MAX;

const COLUMNS: &str = "
SELECT w.id, w.definition, w.enabled, w.created_at, w.updated_at, w.cursor, w.attempts, w.next_at, w.delivered,
       (SELECT count(*) FROM dead_letters d WHERE d.webhook = w.n), w.last_success_at, w.last_error_at, w.last_error,
       w.failing_since, w.disabled_reason, w.n
  FROM webhooks w";

fn webhook(row: &impl Cells) -> Result<Webhook> {
    Ok(Webhook {
        id: WebhookId::from(at::<&str>(row, 0)?),
        definition: from_json("webhook", at(row, 1)?)?,
        enabled: at::<i64>(row, 2)? != 0,
        created_at: time(row, 3)?,
        updated_at: time(row, 4)?,
        state: WebhookState {
            cursor: Seq(at(row, 5)?),
            attempts: at(row, 6)?,
            next_at: optional_time(row, 7)?,
            delivered: at::<i64>(row, 8)?.unsigned_abs(),
            dead_letters: at::<i64>(row, 9)?.unsigned_abs(),
            last_success_at: optional_time(row, 10)?,
            last_error_at: optional_time(row, 11)?,
            last_error: at(row, 12)?,
            failing_since: optional_time(row, 13)?,
            disabled_reason: at(row, 14)?,
        },
    })
}

/// Does something in a transaction of its own, again if another one got in its way.
macro_rules! transaction {
    ($database:expr, $work:ident => $outcome:expr) => {
        replayed(|| async {
            let mut $work = $database.begin().await?;
            let outcome = $outcome.await;
            $work.end(outcome).await
        })
        .await
    };
}

/// A statement that gives a row for each row that it changes; gives their number.
async fn changed(work: &mut impl Work, text: &'static str, arguments: Vec<Argument>) -> Result<usize> {
    Ok(work.rows(sql(text), arguments, |_| Ok(())).await?.len())
}

pub(crate) async fn insert(database: &impl Database, new: &NewWebhook) -> Result<bool> {
    let text = "
INSERT INTO webhooks (id, definition, of_execution, enabled, created_at, updated_at, cursor, seen_at)
VALUES ($1, $2, $3, $4, $5, $5, $6, $5) ON CONFLICT (id) DO NOTHING RETURNING n";
    let definition = to_json("webhook", &new.definition)?;
    let arguments = arguments![
        new.id.as_str(),
        definition,
        i64::from(new.definition.execution.is_some()),
        i64::from(new.enabled),
        new.now,
        new.after.0,
    ];
    transaction!(database, work => async { Ok(changed(&mut work, text, arguments.clone()).await? == 1) })
}

pub(crate) async fn list(database: &impl Database, of_executions: bool, page: Page) -> Result<Vec<Webhook>> {
    let text = format!("{COLUMNS} WHERE w.of_execution <= $1 ORDER BY w.n LIMIT $2 OFFSET $3");
    let arguments = arguments![i64::from(of_executions), i64::from(page.limit), i64::from(page.offset)];
    database.read(sql(text), arguments, webhook).await
}

pub(crate) async fn find(database: &impl Database, id: &WebhookId) -> Result<Option<Webhook>> {
    let text = format!("{COLUMNS} WHERE w.id = $1");
    Ok(database.read(sql(text), arguments![id.as_str()], webhook).await?.pop())
}

/// To move the cursor takes the lease away: what its holder records of earlier positions must not move it back.
pub(crate) async fn change(database: &impl Database, change: &WebhookChange) -> Result<bool> {
    let text = "
UPDATE webhooks
   SET definition = $2, enabled = $3, updated_at = $4, seen_at = $4, cursor = coalesce($5, cursor),
       node = CASE WHEN $5 IS NULL THEN node END, attempts = 0, next_at = NULL, failing_since = NULL, disabled_reason = NULL
 WHERE id = $1 RETURNING n";
    let definition = to_json("webhook", &change.definition)?;
    let arguments = arguments![
        change.id.as_str(),
        definition,
        i64::from(change.enabled),
        change.now,
        change.after.map(|after| after.0),
    ];
    transaction!(database, work => async { Ok(changed(&mut work, text, arguments.clone()).await? == 1) })
}

pub(crate) async fn delete(database: &impl Database, id: &WebhookId) -> Result<bool> {
    let text = "DELETE FROM webhooks WHERE id = $1 RETURNING n";
    transaction!(database, work => async {
        let keys = work.rows(sql(text), arguments![id.as_str()], |row| at::<i64>(row, 0)).await?;
        forget(&mut work, &keys).await?;
        Ok(!keys.is_empty())
    })
}

pub(crate) async fn purge(database: &impl Database, before: Timestamp) -> Result<u32> {
    let text = "DELETE FROM webhooks WHERE of_execution = 1 AND cursor = $1 AND seen_at < $2 RETURNING n";
    transaction!(database, work => async {
        let keys = work.rows(sql(text), arguments![FINISHED, before], |row| at::<i64>(row, 0)).await?;
        forget(&mut work, &keys).await?;
        Ok(keys.len() as u32)
    })
}

/// Deletes what belongs to webhooks that are gone.
async fn forget(work: &mut impl Work, keys: &[i64]) -> Result<()> {
    for key in keys {
        changed(work, "DELETE FROM dead_letters WHERE webhook = $1", arguments![*key]).await?;
        changed(work, "DELETE FROM deliveries WHERE webhook = $1", arguments![*key]).await?;
    }
    Ok(())
}

pub(crate) async fn due(
    database: &impl Database,
    session: &Session,
    last: Seq,
    now: Timestamp,
    limit: u32,
) -> Result<DueWebhooks> {
    // A column before the id tells apart what the rows say, as in the reading of schedules.
    let text = "
SELECT 0, w.id, w.seen_at, w.n FROM webhooks w
 WHERE w.enabled = 1 AND (w.next_at IS NULL OR w.next_at <= $3)
   AND (w.node IS NULL OR w.until <= $3 OR w.node = $1)
   AND (w.cursor < $2 OR EXISTS (SELECT 1 FROM dead_letters d WHERE d.webhook = w.n AND d.queued = 1))
UNION ALL
SELECT 1, NULL, (SELECT min(next_at) FROM webhooks WHERE enabled = 1 AND next_at > $3), NULL
UNION ALL
SELECT 2, NULL, (SELECT count(*) FROM webhooks WHERE enabled = 1), NULL
 ORDER BY 1, 3, 4";
    let row = |row: &_| {
        let id = at::<Option<&str>>(row, 1)?.map(WebhookId::from);
        Ok((at::<i64>(row, 0)?, id, at::<Option<i64>>(row, 2)?))
    };
    let mut found = DueWebhooks::default();
    for (what, id, number) in
        database.read(sql(text), arguments![session.node.as_str(), last.0, now], row).await?
    {
        match (what, id) {
            (0, Some(id)) if found.due.len() < limit as usize => found.due.push(id),
            (1, _) => found.next = number.map(Timestamp::from_micros),
            (2, _) => found.any = number.is_some_and(|count| count > 0),
            _ => {}
        }
    }
    Ok(found)
}

pub(crate) async fn lease(
    database: &impl Database,
    id: &WebhookId,
    session: &Session,
    until: Timestamp,
    now: Timestamp,
) -> Result<Option<Webhook>> {
    let text = "
UPDATE webhooks SET node = $2, epoch = $3, until = $4
 WHERE id = $1 AND enabled = 1
   AND (node IS NULL OR until <= $5 OR (node = $2 AND epoch <= $3)) RETURNING n";
    let arguments = arguments![id.as_str(), session.node.as_str(), session.epoch, until, now];
    transaction!(database, work => async {
        if changed(&mut work, text, arguments.clone()).await? == 0 {
            return Ok(None);
        }
        let text = format!("{COLUMNS} WHERE w.id = $1");
        Ok(work.rows(sql(text), arguments![id.as_str()], webhook).await?.pop())
    })
}

pub(crate) async fn record(database: &impl Database, record: &DeliveryRecord) -> Result<bool> {
    transaction!(database, work => apply(&mut work, record))
}

async fn apply(work: &mut impl Work, record: &DeliveryRecord) -> Result<bool> {
    let Some(key) = go_on(work, record).await? else { return Ok(false) };
    for seq in &record.revived {
        let text = "DELETE FROM dead_letters WHERE webhook = $1 AND seq = $2";
        changed(work, text, arguments![key, seq.0]).await?;
    }
    for letter in &record.dead {
        bury(work, key, letter).await?;
    }
    if !record.dead.is_empty() {
        let text = "DELETE FROM dead_letters WHERE webhook = $1 AND seq <= (SELECT seq FROM dead_letters
                     WHERE webhook = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)";
        changed(work, text, arguments![key, i64::from(KEPT_DEAD_LETTERS)]).await?;
    }
    let newest = record.deliveries.len().saturating_sub(KEPT_DELIVERIES as usize);
    for delivery in &record.deliveries[newest..] {
        log(work, key, delivery).await?;
    }
    if !record.deliveries.is_empty() {
        let text = "DELETE FROM deliveries WHERE webhook = $1 AND n <= (SELECT n FROM deliveries
                     WHERE webhook = $1 ORDER BY n DESC LIMIT 1 OFFSET $2)";
        changed(work, text, arguments![key, i64::from(KEPT_DELIVERIES)]).await?;
    }
    // Whatever is over and has no dead letters goes: now, or when the last of them was delivered after all.
    let text = "DELETE FROM webhooks WHERE n = $1 AND cursor = $2 AND of_execution = 1
                   AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.webhook = $1) RETURNING n";
    if changed(work, text, arguments![key, FINISHED]).await? > 0 {
        forget(work, &[key]).await?;
    }
    Ok(true)
}

/// Writes how it goes, if the session holds the lease; gives the webhook's key.
async fn go_on(work: &mut impl Work, record: &DeliveryRecord) -> Result<Option<i64>> {
    let text = "
UPDATE webhooks
   SET cursor = $4, attempts = $5, next_at = $6, until = $7, node = CASE WHEN $7 IS NULL THEN NULL ELSE node END,
       delivered = delivered + $8, last_success_at = CASE WHEN $8 > 0 THEN $9 ELSE last_success_at END,
       last_error_at = coalesce($10, last_error_at), last_error = coalesce($11, last_error),
       failing_since = CASE WHEN $12 = 1 THEN coalesce(failing_since, $10) WHEN $8 > 0 THEN NULL ELSE failing_since END,
       enabled = CASE WHEN $13 IS NULL THEN enabled ELSE 0 END, disabled_reason = coalesce($13, disabled_reason),
       seen_at = $9
 WHERE id = $1 AND node = $2 AND epoch = $3 RETURNING n";
    let failed = record.deliveries.iter().rev().find(|one| one.error.is_some());
    let fails = record.deliveries.last().is_some_and(|one| one.error.is_some());
    let arguments = arguments![
        record.id.as_str(),
        record.session.node.as_str(),
        record.session.epoch,
        if record.finished { FINISHED } else { record.cursor.0 },
        i64::from(record.attempts),
        record.next_at.map(Timestamp::as_micros),
        record.until.map(Timestamp::as_micros),
        i64::from(record.delivered),
        record.now,
        failed.map(|one| one.at.as_micros()),
        failed.and_then(|one| one.error.clone()),
        i64::from(fails),
        record.disable.clone(),
    ];
    Ok(work.rows(sql(text), arguments, |row| at::<i64>(row, 0)).await?.pop())
}

async fn bury(work: &mut impl Work, key: i64, letter: &DeadLetter) -> Result<()> {
    let text = "
INSERT INTO dead_letters (webhook, seq, kind, body, attempts, status, error, at, queued)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (webhook, seq) DO UPDATE
   SET body = excluded.body, attempts = excluded.attempts, status = excluded.status, error = excluded.error,
       at = excluded.at, queued = excluded.queued";
    let arguments = arguments![
        key,
        letter.seq.0,
        letter.kind.number(),
        letter.body.as_str(),
        i64::from(letter.attempts),
        letter.status.map(i64::from),
        letter.error.as_str(),
        letter.at,
        i64::from(letter.queued),
    ];
    changed(work, text, arguments).await.map(|_| ())
}

async fn log(work: &mut impl Work, key: i64, delivery: &Delivery) -> Result<()> {
    let text = "INSERT INTO deliveries (webhook, seq, attempt, at, duration, status, error)
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let arguments = arguments![
        key,
        delivery.seq.0,
        i64::from(delivery.attempt),
        delivery.at,
        i64::from(delivery.duration_ms),
        delivery.status.map(i64::from),
        delivery.error.clone(),
    ];
    changed(work, text, arguments).await.map(|_| ())
}

pub(crate) async fn deliveries(
    database: &impl Database,
    id: &WebhookId,
    page: Page,
) -> Result<Vec<Delivery>> {
    let text = "
SELECT d.seq, d.attempt, d.at, d.duration, d.status, d.error
  FROM webhooks w JOIN deliveries d ON d.webhook = w.n WHERE w.id = $1 ORDER BY d.n DESC LIMIT $2 OFFSET $3";
    let arguments = arguments![id.as_str(), i64::from(page.limit), i64::from(page.offset)];
    let convert = |row: &_| {
        Ok(Delivery {
            seq: Seq(at(row, 0)?),
            attempt: at(row, 1)?,
            at: time(row, 2)?,
            duration_ms: at(row, 3)?,
            status: status(row, 4)?,
            error: at(row, 5)?,
        })
    };
    database.read(sql(text), arguments, convert).await
}

pub(crate) async fn dead_letters(
    database: &impl Database,
    id: &WebhookId,
    queued: bool,
    page: Page,
) -> Result<Vec<DeadLetter>> {
    let text = "
SELECT d.seq, d.kind, d.body, d.attempts, d.status, d.error, d.at, d.queued
  FROM webhooks w JOIN dead_letters d ON d.webhook = w.n
 WHERE w.id = $1 AND d.queued >= $2 ORDER BY d.seq LIMIT $3 OFFSET $4";
    let arguments = arguments![id.as_str(), i64::from(queued), i64::from(page.limit), i64::from(page.offset)];
    let convert = |row: &_| {
        let number = at(row, 1)?;
        Ok(DeadLetter {
            seq: Seq(at(row, 0)?),
            kind: EventKind::from_number(number)
                .ok_or_else(|| corrupt(format!("A dead letter has the kind number {number}")))?,
            body: at(row, 2)?,
            attempts: at(row, 3)?,
            status: status(row, 4)?,
            error: at(row, 5)?,
            at: time(row, 6)?,
            queued: at::<i64>(row, 7)? != 0,
        })
    };
    database.read(sql(text), arguments, convert).await
}

fn status(row: &impl Cells, column: usize) -> Result<Option<u16>> {
    Ok(at::<Option<i64>>(row, column)?.and_then(|status| u16::try_from(status).ok()))
}

pub(crate) async fn redeliver(database: &impl Database, id: &WebhookId, seq: Option<Seq>) -> Result<u32> {
    transaction!(database, work => async {
        let text = "UPDATE webhooks SET next_at = NULL WHERE id = $1 RETURNING n";
        let keys = work.rows(sql(text), arguments![id.as_str()], |row| at::<i64>(row, 0)).await?;
        let Some(key) = keys.first() else { return Ok(0) };
        let text = "UPDATE dead_letters SET queued = 1 WHERE webhook = $1 AND ($2 IS NULL OR seq = $2) RETURNING seq";
        let queued = changed(&mut work, text, arguments![*key, seq.map(|seq| seq.0)]).await?;
        Ok(queued as u32)
    })
}
