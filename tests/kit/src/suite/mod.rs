//! The conformance suite of [`Store`](apflow_core::store::Store): one case for each promise, run against the store in
//! memory and every database. A store's own test file holds two lines:
//!
//! ```ignore
//! async fn open() -> (Arc<dyn Store>, TempDir) { … }   // or just Arc<dyn Store>; empty, and its own for each case
//! apflow_testkit::store_suite!(open);
//! ```
//!
//! Every case becomes a named test. Cases see a store through its trait alone; time is what they pass in.
//!
//! # What the trait leaves open, decided here
//!
//! **Queue.** Ready tasks leave by (priority, due, key). `due` is the time at which the execution armed the tree (its
//! `started_at`), also for tasks that became ready later by a release or a rescue; after a retry or a delay it is their
//! own due time. Priority is the task's present one, also for a task that waits or is delayed when it is changed.
//!
//! **Armed** is a task that waits, is ready, delayed or running. A blocked task is not armed: it may be deleted, and may
//! get other dependencies. `blocked_by` (and [`QueuePlace::Blocked`]) stays when the execution has ended; the next
//! execution of the tree clears all of them first, also for tasks that it leaves out, and blocks anew. New
//! dependencies clear it for that task, deleting the cause clears it wherever it is named. A task that has finished before
//! and is blocked from the start of an execution keeps its status.
//!
//! **Turn.** All finished runs are recorded first, then tasks are blocked, then others released: what waits for one task
//! that completed and requires one that failed is blocked. `blocked_by` is a task that failed or was cancelled, never
//! one that was itself blocked; if there are several, any. A retry that is due already may be claimed in the same turn.
//!
//! **Counting.** `tree.started` counts ready and waiting tasks. An execution counts as failed: tasks that failed, and
//! tasks that are blocked, from the start or later. A blocked task that is cancelled while the execution runs counts as
//! cancelled instead. Cancelling tasks that are neither armed nor blocked counts nowhere.
//!
//! **Attempts.** Each claim takes the next number. A rescued attempt keeps its number (the next claim takes another) and
//! leaves no entry; a delayed one gives it back. Cancelling a running task makes an entry with the number of the run;
//! cancelling another makes one without node and start, numbered 0 before the first attempt and else one more than the
//! newest, and `Task::attempt` shows it. The error of what is cancelled has kind `cancelled`, code `cancelled` and the
//! message of the request.
//!
//! **View.** While a run holds a task, that run is the newest attempt: no result, no error, the definition's inputs, the
//! progress that it reported (0 at first), `lease_id` (the token's number as text) and `lease_expires_at` (the session's).
//! Otherwise the newest entry of the attempts is, whatever the status: a task that is tried again shows why it failed.
//! `completed_at` is set for terminal statuses only. `updated_at` is the latest of creation, edit, begin and record of the newest
//! attempt. What a dependency offers is the result of its newest entry.
//!
//! **Sessions.** Epochs of a node count from 1. A lease has expired when `until <= now`. [`Store::rescue`] ends every
//! session that has expired, runs or none; a session that is superseded, closed or ended gets `LeaseLost` from `turn` and
//! `renew_session`, and `close_session` of it changes nothing. A session that is late but not yet rescued goes on as if
//! nothing had happened. Taking runs back by opening, closing or rescuing appends `task.rescued`.
//!
//! **Events.** Within a turn: progress, ends of runs in the order given, `task.blocked` by key, ends of trees, then
//! `task.started` in the order of the claims. In a cancellation, tree by tree: `task.cancelled` by key, `task.blocked` by
//! key, the end of the tree. `attempt` is the number of the attempt that it is about, else the newest one;
//! `tree.created` has 0. `started_at` is set for task events that are about a run. Ends of trees have no data.
//! A `tree.deleted` has no `task_id`.
//!
//! **Cancel.** An answer says how the task stood before the request: of two tasks where one takes the other with it
//! both are `Cancelled`.
//!
//! **Execute.** `NothingToRun` where the plan has nothing ready or waiting, also if it has blocked tasks; nothing is written.
//!
//! **Update.** Dependencies of a task that is not pending or that is armed are refused with `InvalidDependency`, as is a
//! target that is unknown or of another tree; a circle, also to itself, with `CircularDependency`. Duplicates collapse,
//! the first one wins. `status: Cancelled` is refused with `InvalidTransition`.
//!
//! **Delete.** The text is `Cannot delete task: ` and these, joined by `; `: `task has N non-pending children: [id:
//! status, …]` (all descendants), `task status is '…' (must be 'pending')`, `N of its tasks are queued by a running
//! execution (cancel it first)`, `task has dependent tasks and cannot be deleted`. Dependents inside what is deleted do not count.
//! The parent's `has_children` follows.
//!
//! **Lists.** "Newest first" is by key, highest first.
//!
//! [`QueuePlace::Blocked`]: apflow_core::store::QueuePlace::Blocked
//! [`Store::rescue`]: apflow_core::store::Store::rescue

pub mod attempts;
pub mod cancel;
pub mod claims;
pub mod cursors;
pub mod delete;
pub mod dependents;
pub mod events;
pub mod executions;
pub mod insertion;
pub mod leases;
pub mod queries;
mod rig;
pub mod update;
pub mod walk;

use std::future::Future;
use std::sync::Arc;

use apflow_core::store::Store;

/// What a factory gives: an empty store, and whatever must live as long as the case does.
pub trait Fixture {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
}

impl Fixture for Arc<dyn Store> {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self)
    }
}

impl<G> Fixture for (Arc<dyn Store>, G) {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

/// Runs one case on a store of its own; what [`store_suite!`](crate::store_suite) puts into each test.
///
/// # Panics
/// If the store breaks the promise of the case.
pub fn run<O, X, C>(open: impl FnOnce() -> O, case: impl FnOnce(Arc<dyn Store>) -> C)
where
    O: Future<Output = X>,
    X: Fixture,
    C: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let fixture = open().await;
        case(fixture.store()).await;
    });
}

/// Makes one named test of every case of the suite, in a module for each area. Takes the factory: a function or closure
/// that gives a future of a [`Fixture`](crate::suite::Fixture), or the path of an `async fn`.
#[macro_export]
macro_rules! store_suite {
    ($open:expr) => {
        $crate::store_cases! { $open;
        }
    };
}

/// The other half of [`store_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! store_cases {
    ($open:expr; $($area:ident { $($case:ident)+ })+) => {
        $(mod $area {
            use super::*;
            $(#[test]
            fn $case() {
                $crate::suite::run($open, $crate::suite::$area::$case);
            })+
        })+
    };
}
