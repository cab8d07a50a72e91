//! Waits until everything has ended by itself, then reads the database and judges.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use apflow_core::event::{Event, EventKind};
use apflow_core::id::Seq;
use apflow_core::schedule::ScheduleFilter;
use apflow_core::store::{EventQuery, Page, Store};
use apflow_core::task::TaskStatus;
use apflow_store::StoreOptions;
use apflow_testkit::history::store::{Holdings, Told};
use apflow_testkit::history::{self, Summary, streams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Nothing has happened for so long although something should: it is stuck.
const STILL: Duration = Duration::from_secs(30);

/// Waits until every execution has ended and no schedule is in force.
///
/// # Errors
/// If the log stands still before that, with what is stuck.
pub async fn rest(url: &str) -> Result<Arc<dyn Store>> {
    let store = apflow_store::open(url, StoreOptions::default()).await?;
    let (mut after, mut open, mut moved) = (Seq(0), 0_i64, Instant::now());
    loop {
        let query = EventQuery { after, tree: None, user_id: None, kinds: Vec::new(), limit: 10_000 };
        let page = store.events(query).await?;
        if let Some(last) = page.last() {
            (after, moved) = (last.seq, Instant::now());
            for event in &page {
                open += i64::from(event.kind == EventKind::TreeStarted) - i64::from(event.kind.ends_tree());
            }
            continue;
        }
        let filter = ScheduleFilter { enabled_only: true, ..ScheduleFilter::default() };
        let scheduled = store.schedules(filter, Page { limit: 100, offset: 0 }).await?;
        if open == 0 && scheduled.is_empty() {
            return Ok(store);
        }
        if moved.elapsed() > STILL {
            bail!(
                "the log stands still, {open} executions have not ended, {} schedules are in force\n{}",
                scheduled.len(),
                stuck(&*store).await?
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What has not ended.
async fn stuck(store: &dyn Store) -> Result<String> {
    let holdings = Holdings::read(store).await?;
    let mut lines = Vec::new();
    for tree in holdings.trees.iter().filter(|tree| tree.status.as_str() == "in_progress") {
        lines.push(format!("tree '{}', execution {}", tree.tree_id, tree.execution));
        for (task, _) in holdings.tasks.iter().filter(|(task, _)| task.tree_id == tree.tree_id) {
            if matches!(task.status, TaskStatus::Pending | TaskStatus::InProgress) {
                let facts = store.queue_facts(&task.id).await?.map(|facts| facts.place);
                lines.push(format!("  task '{}' is {}: {facts:?}", task.id, task.status));
            }
        }
    }
    lines.truncate(60);
    Ok(lines.join("\n"))
}

/// Reads everything and judges it.
///
/// # Errors
/// What is wrong, a line each.
pub async fn judge(store: &dyn Store, told: &Told) -> Result<(Summary, Vec<Event>)> {
    let log = history::read_all(store).await?;
    let holdings = Holdings::read(store).await?;
    let mut broken = Vec::new();
    let summary = history::check(&log, &holdings.rules()).unwrap_or_else(|problems| {
        broken.extend(problems);
        Summary::default()
    });
    broken.extend(summary.open.iter().map(|tree| format!("tree '{tree}' has not ended")));
    broken.extend(history::store::check(&log, &holdings, told).err().into_iter().flatten());
    if !broken.is_empty() {
        let (count, shown) = (broken.len(), broken.iter().take(20).cloned().collect::<Vec<_>>().join("\n  "));
        bail!("the history is broken in {count} places:\n  {shown}");
    }
    Ok((summary, log))
}

/// Waits until a reader has seen the last event, then judges what it saw.
///
/// # Errors
/// What it missed or saw twice.
pub async fn judge_reader(name: &str, log: &[Event], mut seen: watch::Receiver<Vec<Seq>>) -> Result<()> {
    let last = log.last().map_or(Seq(0), |event| event.seq);
    let there = seen.wait_for(|seen| seen.last().is_some_and(|seq| *seq >= last));
    let timely = tokio::time::timeout(STILL, there).await.map(|there| there.map(|_| ()));
    timely.with_context(|| format!("reader {name} does not reach seq {}", last.0))??;
    let seen = seen.borrow().clone();
    if let Err(problem) = streams::check(log, Seq(0), &seen) {
        bail!("reader {name}: {problem}");
    }
    Ok(())
}

/// A host must not panic, whatever befalls it.
///
/// # Errors
/// The lines around a panic.
pub fn judge_log(name: &Path, log: &str) -> Result<()> {
    let lines: Vec<&str> = log.lines().collect();
    match lines.iter().position(|line| line.contains("panicked at")) {
        Some(at) => bail!("{}: {}", name.display(), lines[at..lines.len().min(at + 5)].join("\n")),
        None => Ok(()),
    }
}
