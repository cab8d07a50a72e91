//! "Why is this not running?"

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result};
use apflow_core::gate::{Gate, GateScope};
use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::plugin::HookRecord;
use apflow_core::store::{QueueFacts, QueuePlace};
use apflow_core::task::TaskStatus;
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::hooks::{Records, hooks_of};

/// One reason why a task is not running.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Blocker {
    /// `not_executed`, `finished`, `dependency`, `blocked`, `due`, `limit`, `gate`, `queue`, `executor_not_found`,
    /// `executor_missing`, `circuit_open`.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// Facts of that code.
    pub data: Value,
}

/// Everything that keeps a task from running.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The task.
    pub task_id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// A sentence for people.
    pub summary: String,
    /// The reasons; empty while it runs.
    pub blockers: Vec<Blocker>,
    /// Tasks that leave before it, if it is ready or parked: of the queue, or of those parked with it.
    pub position: Option<u64>,
    /// What hooks did when it was last claimed: put it off, or in its newest attempt.
    pub hooks: Vec<HookRecord>,
}

impl Engine {
    /// Why a task is not running.
    ///
    /// # Errors
    /// `TaskNotFound`.
    pub async fn explain(&self, id: &TaskId) -> Result<Explanation> {
        let facts = self.0.store.queue_facts(id).await?.ok_or_else(|| Error::task_not_found(id))?;
        let hooks = self.hooks_of(&facts).await?;
        let mut blockers = self.queue_blockers(&facts, &hooks);
        if !facts.task.status.is_terminal() {
            blockers.extend(self.executor_blocker(&facts));
        }
        let position = match facts.place {
            QueuePlace::Ready(ahead) | QueuePlace::Parked(_, ahead) => Some(ahead),
            _ => None,
        };
        let summary = match blockers.first() {
            None => "It is running".to_owned(),
            Some(_) => blockers.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; "),
        };
        Ok(Explanation { task_id: id.clone(), status: facts.task.status, summary, blockers, position, hooks })
    }

    async fn hooks_of(&self, facts: &QueueFacts) -> Result<Records> {
        if let Some(data) = &facts.put_off {
            return Ok(hooks_of(data.value().get("receipt")));
        }
        if facts.place == QueuePlace::Running {
            // Of the attempt that runs nothing is kept yet.
            return Ok(Records::new());
        }
        let newest = self.0.store.attempts(&facts.task.id).await?.pop();
        let receipt = newest.and_then(|attempt| attempt.receipt);
        Ok(hooks_of(receipt.as_ref().map(Json::value).as_ref()))
    }

    fn queue_blockers(&self, facts: &QueueFacts, hooks: &Records) -> Vec<Blocker> {
        let dependencies =
            || facts.unmet.iter().map(|(id, status, required)| dependency(id, *status, *required));
        match &facts.place {
            QueuePlace::Running => Vec::new(),
            QueuePlace::NotArmed if facts.task.status.is_terminal() => vec![Blocker {
                code: "finished",
                message: format!("It is {}; execute it again to run it", facts.task.status),
                data: json!({ "status": facts.task.status }),
            }],
            QueuePlace::NotArmed => vec![Blocker {
                code: "not_executed",
                message: "Nobody has asked to execute it (tasks.execute)".into(),
                data: json!({}),
            }],
            QueuePlace::Waiting(count) => {
                let list: Vec<Blocker> = dependencies().collect();
                if list.is_empty() {
                    vec![Blocker {
                        code: "dependency",
                        message: format!("It waits for {count} dependencies"),
                        data: json!({ "count": count }),
                    }]
                } else {
                    list
                }
            }
            QueuePlace::Blocked => {
                let cause = facts.task.blocked_by.as_ref().map(ToString::to_string).unwrap_or_default();
                let message = format!(
                    "It is blocked: required dependency '{cause}' did not complete; mend that task and execute the tree again"
                );
                let blocked = Blocker { code: "blocked", message, data: json!({ "blocked_by": cause }) };
                std::iter::once(blocked).chain(dependencies()).collect()
            }
            QueuePlace::Delayed(due) => vec![delayed(*due, facts.put_off.is_some(), hooks)],
            QueuePlace::Parked(gate, ahead) => vec![self.gate_blocker(gate, *ahead)],
            QueuePlace::Ready(ahead) => vec![self.ready_blocker(*ahead)],
        }
    }

    fn ready_blocker(&self, ahead: u64) -> Blocker {
        let (active, limit) = (self.0.runs.active(), self.0.runs.limit());
        if active >= limit {
            let message = format!(
                "It is ready; all {limit} places are taken (engine.max_concurrent_runs) and {ahead} tasks leave before it"
            );
            return Blocker {
                code: "limit",
                message,
                data: json!({ "limit": limit, "running": active, "ahead": ahead }),
            };
        }
        let message = format!("It is ready and about to start; {ahead} tasks leave before it");
        Blocker { code: "queue", message, data: json!({ "ahead": ahead }) }
    }

    fn gate_blocker(&self, gate: &Gate, ahead: u64) -> Blocker {
        let of = match gate.scope {
            GateScope::Executor => format!("tasks of executor '{}'", gate.name),
            GateScope::Key => format!("tasks with concurrency_key '{}'", gate.name),
        };
        let why = match gate.limits.max_running {
            Some(max) if gate.running >= max => {
                format!("{} of {max} {of} that may run at a time are running", gate.running)
            }
            _ => format!("the rate of {of} lets the next one start at {}", gate.opens_at),
        };
        let max_running = gate.limits.max_running;
        Blocker {
            code: "gate",
            message: format!("It is parked: {why}, and {ahead} of them leave before it"),
            data: json!({
                "scope": gate.scope,
                "name": gate.name,
                "running": gate.running,
                "max_running": max_running,
                "opens_at": gate.limits.rate.map(|_| gate.opens_at),
                "ahead": ahead,
            }),
        }
    }

    fn executor_blocker(&self, facts: &QueueFacts) -> Option<Blocker> {
        let Some(id) = &facts.task.executor else {
            let message = "It names no executor and will fail: set 'executor'".into();
            return Some(Blocker { code: "executor_missing", message, data: json!({}) });
        };
        if !self.catalog().executors.contains_key(id) {
            return Some(Blocker {
                code: "executor_not_found",
                message: format!("No loaded plugin provides executor '{id}'"),
                data: json!({ "executor": id }),
            });
        }
        self.0.breakers.open_until(id, self.0.now()).map(|until| Blocker {
            code: "circuit_open",
            message: format!(
                "Executor '{id}' failed too often in a row and is left alone until {until} (engine.breaker_failures)"
            ),
            data: json!({ "executor": id, "until": until }),
        })
    }
}

/// Why a task is delayed: a hook that put it off, or else its newest attempt failed, or its executor is left alone.
fn delayed(due: Timestamp, put_off: bool, hooks: &Records) -> Blocker {
    let by = hooks.iter().rev().find(|one| put_off && one.delay_ms.is_some());
    let message = match by {
        Some(HookRecord { hook, point, message, .. }) => {
            let why = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            format!("Hook '{hook}' put it off until {due} at {}{why}", point.as_str())
        }
        None => format!("It is put off until {due}"),
    };
    let mut data = json!({ "due": due });
    if let Some(by) = by {
        data["hook"] = by.hook.as_str().into();
    }
    Blocker { code: "due", message, data }
}

fn dependency(id: &TaskId, status: TaskStatus, required: bool) -> Blocker {
    let wanted = if required { "completed" } else { "finished" };
    Blocker {
        code: "dependency",
        message: format!("Dependency '{id}' is {status}, it must be {wanted}"),
        data: json!({ "task_id": id, "status": status, "required": required }),
    }
}
