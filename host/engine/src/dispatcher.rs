//! The one loop that moves tasks: each turn hands the store what has finished and takes what may start, in one
//! transaction. A turn takes whatever has gathered while the one before it was committed, so that an idle engine
//! answers at once and a busy one shares a commit between hundreds of tasks. No timer is on this path.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, ErrorCode, FailureKind, TaskError};
use apflow_core::id::{TaskKey, Token};
use apflow_core::store::{ClaimedRun, FinishedRun, RunOutcome, Turn, TurnOutcome};
use futures::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::Shared;
use crate::hooks;
use crate::run;

/// Finished runs that one turn records, and ready tasks that it claims, at most.
const MAX_BATCH: usize = 512;
/// Progress alone makes a turn this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// The wait after a turn that the store could not do; doubled up to the cap.
const RETRY_BASE: Duration = Duration::from_millis(20);
const RETRY_CAP: Duration = Duration::from_secs(2);
/// A turn comes this often at the least, so that what other hosts do on the same database is seen, also by a host that
/// runs nothing itself.
const IDLE_LOOK: Duration = Duration::from_secs(1);

struct Dispatcher {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    next_due: Option<Timestamp>,
    progress_after: Instant,
    failures: u32,
}

/// Runs until the engine stops, then waits for what still runs.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let mut dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        tasks: JoinSet::new(),
        next_due: None,
        progress_after: Instant::now(),
        failures: 0,
    };
    while !*stopping.borrow() {
        // Registered before looking, so that what appears in between wakes us.
        let woken = shared.wake.notified();
        if dispatcher.has_work() {
            dispatcher.turn().await;
            continue;
        }
        tokio::select! {
            () = woken => {}
            () = sleep_until(dispatcher.next_look()) => dispatcher.turn().await,
            _ = stopping.changed() => {}
        }
    }
    dispatcher.drain().await;
}

impl Dispatcher {
    fn has_work(&self) -> bool {
        let shared = &self.shared;
        let claim = shared.claimable.load(Ordering::Acquire) && shared.runs.free() > 0;
        let due = self.next_due.is_some_and(|due| due <= shared.now()) && shared.runs.free() > 0;
        let progress = shared.inbox.has_progress() && Instant::now() >= self.progress_after;
        shared.inbox.has_finished() || claim || due || progress
    }

    fn next_look(&self) -> Instant {
        let mut wait = IDLE_LOOK;
        if let Some(due) = self.next_due.filter(|_| self.shared.runs.free() > 0) {
            wait = wait.min(due.since(self.shared.now()).max(Duration::from_millis(1)));
        }
        let look = Instant::now() + wait;
        if self.shared.inbox.has_progress() { look.min(self.progress_after) } else { look }
    }

    async fn turn(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&self.shared);
        shared.claimable.store(false, Ordering::Release);
        let mut taken = shared.inbox.take(MAX_BATCH);
        let progress = taken.take_progress();
        if !progress.is_empty() {
            self.progress_after = Instant::now() + PROGRESS_EVERY;
        }
        let turn = Turn {
            session: shared.session(),
            now: shared.now(),
            finished: taken.finished,
            progress,
            claim: shared.runs.free().min(MAX_BATCH as u32),
            started_first: shared.options.started_first,
        };
        match shared.store.turn(turn.clone()).await {
            Ok(outcome) => {
                self.failures = 0;
                self.next_due = outcome.next_due;
                self.take_up(outcome);
            }
            Err(error) => self.turn_failed(turn, &error).await,
        }
    }

    /// Starts what was claimed and tells everyone what happened.
    fn take_up(&mut self, outcome: TurnOutcome) {
        if outcome.more {
            self.shared.claimable.store(true, Ordering::Release);
        }
        for (key, token) in outcome.lost {
            tracing::warn!(
                task = key.0,
                token = token.0,
                "a finished run was refused: its lease was lost or its task cancelled"
            );
            self.shared.runs.lost(key, token);
        }
        for claimed in outcome.claimed {
            self.start(claimed);
        }
        self.shared.runs.turn_ended();
        if outcome.more && self.shared.runs.free() == 0 {
            self.shared.outbox.work();
        }
        if !outcome.ended.is_empty() {
            self.shared.outbox.ended(&outcome.ended);
            hooks::trees_ended(&self.shared, &outcome.ended);
            self.shared.schedules.executions_ended();
        }
        self.shared.events.published(outcome.last_seq, outcome.ended);
    }

    fn start(&mut self, claimed: ClaimedRun) {
        let (key, token) = (claimed.key, claimed.token);
        let shared = Arc::clone(&self.shared);
        let tasks = &mut self.tasks;
        self.shared.runs.start(key, token, || tasks.spawn(run_guarded(shared, claimed)));
    }

    async fn turn_failed(&mut self, turn: Turn, error: &Error) {
        if error.code == ErrorCode::LeaseLost {
            if let Err(error) = self.shared.reopen_session().await {
                tracing::error!(%error, "no new session could be opened");
            }
        } else {
            self.shared.inbox.put_back(turn.finished);
            for report in turn.progress {
                self.shared.inbox.progress(report);
            }
        }
        self.shared.claimable.store(true, Ordering::Release);
        self.failures += 1;
        let wait = (RETRY_BASE * 2u32.saturating_pow(self.failures.min(10) - 1)).min(RETRY_CAP);
        tracing::error!(%error, code = %error.code, ?wait, "the store did not take a turn; trying again");
        let mut stopping = self.shared.stopping();
        let _ = timeout(wait, stopping.wait_for(|stop| *stop)).await;
    }

    /// Waits for runs, interrupts those that take too long, and records what has finished.
    async fn drain(&mut self) {
        let grace = self.shared.options.stop_grace;
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(grace, all).await.is_err() {
            tracing::warn!(
                runs = self.shared.runs.active(),
                ?grace,
                "runs are interrupted; they start again later"
            );
            self.shared.runs.abort_all();
            self.tasks.shutdown().await;
        }
        while self.shared.inbox.has_finished() {
            let taken = self.shared.inbox.take(MAX_BATCH);
            let (session, now) = (self.shared.session(), self.shared.now());
            let turn = Turn {
                session,
                now,
                finished: taken.finished,
                progress: Vec::new(),
                claim: 0,
                started_first: false,
            };
            match self.shared.store.turn(turn).await {
                Ok(outcome) => self.take_up(outcome),
                Err(error) => {
                    tracing::error!(%error, "finished runs could not be recorded; they run again");
                    break;
                }
            }
        }
    }
}

/// One run; whatever happens inside, its place becomes free and its task gets an outcome.
async fn run_guarded(shared: Arc<Shared>, claimed: ClaimedRun) {
    let (key, token) = (claimed.key, claimed.token);
    let finished = match AssertUnwindSafe(run::run(&shared, claimed)).catch_unwind().await {
        Ok(finished) => finished,
        Err(_) => panicked(key, token),
    };
    shared.inbox.finished(finished);
    shared.runs.ended(key, token);
    shared.wake.notify_one();
}

fn panicked(key: TaskKey, token: Token) -> FinishedRun {
    let message = "The executor's host code panicked; this is a defect of the host or of a native executor";
    let error = TaskError::new(FailureKind::Permanent, "internal", message);
    FinishedRun {
        key,
        token,
        outcome: RunOutcome::Failed { error, result: None },
        inputs: None,
        receipt: None,
    }
}
