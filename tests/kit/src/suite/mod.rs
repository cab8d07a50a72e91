//! The conformance suite of [`Store`](apflow_core::store::Store): one case for each promise, run against the store in
//! memory and every database. A store's own test file holds two lines:
//!
//! ```text
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
//! cancelling another makes one without node and start, numbered 0 before the first attempt and the first such entry, else
//! one more than the newest, and `Task::attempt` shows it. The error of what is cancelled has kind `cancelled`, code `cancelled` and the
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
//! **Clones.** `original_task_id` of a copy stays when the original is deleted. `has_references` is true while there is a clone.
//! A link's entry in the attempts is numbered 0, `completed`, without node and start. `archive` changes `updated_at`.
//!
//! **Update.** Dependencies of a task that is not pending or that is armed, or while a task that depends on it is in progress, are refused with `InvalidDependency`, as is a
//! target that is unknown or of another tree; a circle, also to itself, with `CircularDependency`. Duplicates collapse,
//! the first one wins. `status: Cancelled` is refused with `InvalidTransition`.
//!
//! **Delete.** The text is `Cannot delete task: ` and these, joined by `; `: `task has N non-pending children: [id:
//! status, …]` (all descendants), `task status is '…' (must be 'pending')`, `N of its tasks are queued by a running
//! execution (cancel it first)`, `task has dependent tasks and cannot be deleted`, `task has N links to it: [id, …] (delete them first)`. Dependents and links inside what is deleted do not count.
//! The parent's `has_children` follows.
//!
//! **Gates.** A gate of a key is there as soon as a task with the key is written, one of an executor as long as a rule
//! speaks of it or somebody runs or is parked. A new key or executor of a task that runs changes nothing about the places
//! it has.
//!
//! **Deadlines.** An execution has run out of time when `started_at + deadline_ms <= now`. What did not run fails with an
//! entry that is numbered as that of a cancellation. Events as in a cancellation.
//!
//! **Lists.** "Newest first" is by key, highest first.
//!
//! **Schedules.** A schedule is kept as it is given; what a due time and an edit come to is the core's. A due time that has
//! an entry in the history is passed over without another. A schedule that has no further due time stays in force until
//! its run has ended. Edits of a schedule append `task.updated` as any edit; firing appends what an execution appends,
//! reports from outside append nothing.
//!
//! **Retention.** What [`apflow_core::retention`] says. [`Store::log_start`] is the position of the newest event that was
//! removed. A read of one tree after a position that is gone is refused only if events of that tree are gone. A tree that
//! was deleted keeps its owner in the log.
//!
//! **Webhooks.** Until something fails, nothing is recorded of it; `failing_since` is the time of the first failure since the
//! last success. A webhook that is disabled cannot be leased; what the holder of a lease records of it is still taken.
//!
//! [`Store::log_start`]: apflow_core::store::Store::log_start
//! [`QueuePlace::Blocked`]: apflow_core::store::QueuePlace::Blocked
//! [`Store::rescue`]: apflow_core::store::Store::rescue

#![expect(clippy::unwrap_used, reason = "cases are tests: what a store refuses fails them on the spot")]

pub mod attempts;
pub mod cancel;
pub mod claims;
pub mod clones;
pub mod cursors;
pub mod deadlines;
pub mod delete;
pub mod dependents;
pub mod events;
pub mod executions;
pub mod gates;
pub mod idempotency;
pub mod insertion;
pub mod leases;
pub mod plugins;
pub mod queries;
pub mod retention;
#[expect(missing_docs, reason = "its steps are named after what they do")]
pub mod rig;
pub mod schedules;
pub mod update;
pub mod walk;
pub mod webhooks;

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
            insertion {
                pre_order_without_execution
                armed_at_once
                every_field_comes_back
                json_text_is_kept
                a_taken_task_id_leaves_nothing
                a_taken_tree_id_leaves_nothing
                five_thousand_tasks
            }
            claims {
                order_is_priority_then_due_then_insertion
                released_tasks_keep_the_place_of_their_tree
                limits_and_more
                a_claim_carries_the_definition
                two_nodes_share_without_overlap
                concurrent_claims_do_not_overlap
                a_held_task_shows_its_run
                progress_is_for_the_current_run
                nothing_to_do
            }
            dependents {
                required_ones_gate
                two_ends_in_one_turn
                optional_ones_wait_for_any_end
                a_failed_result_is_offered
                a_failure_blocks_all_behind_it
                blocking_releases_optional_dependents
                a_failure_wins_over_a_completion
                diamond_runs_in_order
                chain_takes_one_turn_a_step
                fan_in_waits_for_the_last
                a_retry_decides_nothing
            }
            executions {
                re_execution_continues_a_failed_tree
                rerun_completed_runs_everything
                nothing_to_run_changes_nothing
                a_child_runs_with_what_it_needs
                a_running_tree_is_left_alone
                an_unknown_task_is_named
                blocked_from_the_start
                blocks_are_those_of_the_newest_execution
                started_seq_is_where_to_read_from
            }
            leases {
                a_stale_token_is_refused_and_listed
                a_newer_session_ends_the_older
                opening_takes_back_older_runs
                rescue_after_expiry
                rescue_revokes_the_token
                a_renewed_lease_is_not_rescued
                a_late_session_goes_on_until_it_is_rescued
                a_rescued_session_is_over
                closing_gives_the_runs_back
                rescued_tasks_keep_the_place_of_their_tree
                a_rescue_is_no_try
            }
            attempts {
                a_completion_is_kept
                a_failure_is_kept
                a_retry_waits_until_it_is_due
                a_retry_that_is_due_runs_at_once
                next_due_is_the_earliest
                a_delay_is_no_attempt
                numbers_go_on_over_executions
                resolved_inputs_are_shown_until_something_newer
                a_new_attempt_begins_clean
                an_unknown_task_has_none
            }
            cancel {
                a_pending_task
                a_running_task_stays_cancelled
                answers_are_in_order
                cascade_takes_descendants_and_dependents
                without_cascade_dependents_are_blocked
                a_tree_ends_once
                what_is_not_armed
                between_two_attempts
                several_trees_at_once
                one_takes_the_other
                a_blocked_task_counts_as_cancelled
                a_failure_outweighs_a_cancellation
            }
            update {
                every_field
                a_change_is_logged
                a_claim_gets_the_new_definition
                priority_moves_in_the_queue
                dependencies_of_an_unarmed_task
                dependencies_of_a_blocked_task
                bad_dependencies_change_nothing
                dependencies_of_other_tasks_stay
                dependencies_stay_while_a_dependent_runs
                a_failed_task_becomes_pending
                other_statuses_are_refused
                an_unknown_task_is_named
            }
            deadlines {
                everything_unfinished_fails
                executing_again_goes_on
                a_deadline_can_be_changed
                parked_and_blocked_tasks
            }
            delete {
                a_tree_goes_with_its_root
                a_part_goes_alone
                all_reasons_are_told
                dependents_outside_are_a_reason
                armed_tasks_are_a_reason
                a_blocked_task_may_go
                a_deleted_cause_blocks_no_more
                an_unknown_task_is_named
            }
            queries {
                get_answers_in_order
                subtree_is_in_pre_order
                children_are_by_priority
                lists_are_filtered_and_paged
                counts_are_by_status
                progress_is_of_a_task_and_what_is_below
                queue_facts_tell_the_place
                ready_positions_count
                tree_state_follows_the_tree
            }
            events {
                order_within_a_turn
                positions_grow
                filters
                reading_on_neither_skips_nor_repeats
                each_execution_ends_once
                shapes
                ends_have_no_data
                the_log_does_not_change
            }
            clones {
                a_copy_is_clean_and_runs
                a_copy_has_the_inputs_of_the_definition
                a_link_is_completed_and_empty
                copies_take_the_results_of_links
                a_link_gives_the_newest_completed_result
                clones_of_clones_name_the_original
                originals_are_checked_again
                a_taken_id_leaves_nothing
                archives_are_frozen
                an_archived_part_does_not_run_again
                what_is_not_completed_is_not_archived
                an_archived_link_stays_a_link
                a_linked_task_cannot_be_deleted
                a_large_tree
            }
            gates {
                a_key_lets_one_task_through
                more_counts_what_is_parked_and_could_go
                every_end_of_a_run_frees_its_place
                parked_tasks_can_be_cancelled_and_moved
                an_executor_and_a_key_both_count
                rules_can_change
                rules_about_many_keys
                a_rate_spaces_starts
                a_long_line_goes_through_in_order
                keys_go_with_their_tasks
                started_first
                priorities_are_strict
                a_gate_counts_all_hosts
            }
            idempotency {
                the_same_request_gets_the_same_tree
                an_execution_is_armed_once
                other_content_is_a_conflict
                owners_have_keys_of_their_own
                a_refused_tree_leaves_no_receipt
                a_key_goes_with_its_tree
                requests_at_the_same_time_make_one_tree
                a_large_tree
            }
            cursors {
                they_are_kept_by_name
            }
            plugins {
                state_is_kept_by_plugin_and_key
                state_is_compared_and_set
                a_plugin_has_so_many_keys
                a_checkpoint_is_of_one_execution
                trees_are_children_of_runs
                a_run_can_give_its_places_up
            }
            retention {
                the_oldest_go_and_the_log_says_so
                reading_what_has_gone_is_an_error
                a_tree_is_read_whole_or_not_at_all
                the_newest_stays_and_numbers_go_on
                open_executions_stay
                consumers_hold_the_log
                facts_of_tasks_stay
                readers_see_no_gap_while_it_goes
            }
            webhooks {
                they_are_kept_and_listed
                an_id_is_taken_once
                a_change_begins_anew
                one_host_delivers_at_a_time
                records_of_others_are_refused
                what_is_due
                failures_and_successes_are_told
                dead_letters_wait_for_their_owner
                only_the_newest_are_kept
                the_end_of_an_execution
                owners_are_told_apart_in_the_log
            }
            schedules {
                a_schedule_is_written_with_its_tree
                edits_set_change_and_take_away
                a_due_time_runs_the_whole_tree
                every_run_begins_clean
                a_due_time_is_handled_once
                due_times_during_a_run
                missed_due_times
                the_last_run_ends_the_schedule
                only_what_is_in_force_is_due
                runs_are_reported_from_outside
                lists_are_ordered_and_filtered
                a_deleted_tree_takes_its_schedule_along
                a_rescued_run_is_still_the_schedules
                a_task_that_never_ran_is_cancelled_again
            }
            walk {
                seed_1
                seed_2
                seed_3
                seed_4
                seed_5
                seed_6
            }
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

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed_in_its_area() {
        let list = include_str!("mod.rs");
        for (area, source) in [
            ("insertion", include_str!("insertion.rs")),
            ("claims", include_str!("claims.rs")),
            ("deadlines", include_str!("deadlines.rs")),
            ("gates", include_str!("gates.rs")),
            ("dependents", include_str!("dependents.rs")),
            ("executions", include_str!("executions.rs")),
            ("leases", include_str!("leases.rs")),
            ("attempts", include_str!("attempts.rs")),
            ("cancel", include_str!("cancel.rs")),
            ("update", include_str!("update.rs")),
            ("delete", include_str!("delete.rs")),
            ("queries", include_str!("queries.rs")),
            ("events", include_str!("events.rs")),
            ("clones", include_str!("clones.rs")),
            ("idempotency", include_str!("idempotency.rs")),
            ("cursors", include_str!("cursors.rs")),
            ("plugins", include_str!("plugins.rs")),
            ("retention", include_str!("retention.rs")),
            ("webhooks", include_str!("webhooks.rs")),
            ("schedules", include_str!("schedules.rs")),
            ("walk", include_str!("walk/mod.rs")),
        ] {
            let (_, listed) = list.split_once(&format!("            {area} {{\n")).unwrap();
            let (listed, _) = listed.split_once('}').unwrap();
            let listed: Vec<&str> = listed.split_whitespace().collect();
            let written: Vec<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('(').map(|(name, _)| name))
                .collect();
            assert_eq!(written, listed, "{area}");
        }
    }
}
