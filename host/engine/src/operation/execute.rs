//! `tasks.execute`: an existing tree or a new one, waited for, started only, or streamed.

use apflow_core::error::{Error, Result};
use apflow_core::id::{Seq, TaskId, TreeId, TreeKey};
use apflow_core::receipt::take_key;
use apflow_core::store::Execution;
use apflow_core::task::TreeStatus;
use apflow_core::webhook::{ExecutionScope, WebhookDefinition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::params::Id;
use super::shape::{self, NewTask};
use super::webhooks::WebhookConfig;
use super::{Reply, Stream, document};
use crate::{Engine, Receipted, Started};

/// What to execute and how to hear of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecuteParams {
    /// An existing task: a root for its whole tree, any other task for it and what it depends on. `id` and
    /// `root_task_id` are accepted too.
    #[serde(alias = "id", alias = "root_task_id")]
    task_id: Option<Id>,
    /// Instead of `task_id`: the tasks of a new tree, which is created and executed in one step.
    #[schemars(with = "Option<Vec<NewTask>>")]
    tasks: Option<Value>,
    /// With `tasks`: the tree is created and executed once, however often the request is sent; each is answered about that
    /// execution. It may stand at the root task instead.
    idempotency_key: Option<String>,
    /// True: answer with events until the execution has ended. Default false.
    use_streaming: Option<bool>,
    /// True (default, but not with `webhook_config`): answer when the execution has ended. False: answer at once.
    wait: Option<bool>,
    /// True: completed tasks run again. Default false: only pending and failed ones run.
    rerun: Option<bool>,
    /// Not supported by this version.
    use_demo: Option<bool>,
    /// Where to send the events of this execution, one request each. The answer then comes at once, unless `wait` is true.
    webhook_config: Option<WebhookConfig>,
}

/// What became of the request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Executed {
    /// Whether the execution completed, or was started, or had nothing to do.
    success: bool,
    /// Always `jsonrpc`.
    protocol: &'static str,
    /// The root of the tree.
    #[schemars(with = "String")]
    root_task_id: TaskId,
    /// The task that was asked for.
    #[schemars(with = "String")]
    task_id: TaskId,
    /// `completed`, `failed` or `cancelled` after waiting; `started`; `already_running`; or where the tree stands if
    /// there was nothing to run.
    status: &'static str,
    /// The same for people.
    message: String,
    /// The tree.
    #[schemars(with = "String")]
    tree_id: TreeId,
    /// Number of the execution; null if there was nothing to run.
    execution: Option<u32>,
    /// True if events follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    streaming: Option<bool>,
    /// Where events are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    /// For a request with a key: which tree it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::Receipt>")]
    receipt: Option<Receipted>,
}

/// An execution that this call has started.
struct Begun {
    tree: TreeKey,
    /// Position in the log before its first event.
    after: Seq,
    /// All but the status is final.
    answer: Executed,
}

pub(super) async fn execute(engine: &Engine, params: ExecuteParams) -> Result<Reply> {
    refuse_unsupported(&params)?;
    let webhook = params.webhook_config.map(WebhookConfig::definition).transpose()?;
    if let Some(definition) = &webhook {
        engine.check_webhook(definition)?;
    }
    let begun = match (params.task_id, params.tasks) {
        (Some(_), None) if params.idempotency_key.is_some() => {
            return Err(Error::invalid_params(
                "idempotency_key",
                "it goes with `tasks`; a task that exists has one execution at a time anyway",
            ));
        }
        (Some(Id(task)), None) => {
            // Read before starting, so that nothing of the execution lies before it.
            let follows = params.use_streaming.unwrap_or(false) || webhook.is_some();
            let after = if follows { engine.last_seq().await? } else { Seq(0) };
            start(engine, task, params.rerun.unwrap_or(false), after).await?
        }
        (None, Some(mut tasks)) => match take_key(&mut tasks, params.idempotency_key)? {
            Some(key) => Ok(submit_once(engine, tasks, &key).await?),
            None => Ok(begun(engine.submit(tasks).await?)),
        },
        (None, None) => {
            return Err(Error::invalid_params(
                "task_id",
                "it is missing; give `task_id`, or `tasks` for a new tree",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_params("tasks", "give either `task_id` or `tasks`, not both"));
        }
    };
    let mut begun = match begun {
        Ok(begun) => begun,
        Err(answer) => return document(&answer).map(Reply::Value),
    };
    let waits = params.wait.unwrap_or(webhook.is_none());
    if let Some(definition) = webhook {
        begun = follow(engine, begun, definition).await?;
    }
    if params.use_streaming.unwrap_or(false) {
        let answer = Executed { streaming: Some(true), ..begun.answer };
        return Ok(Reply::Stream(Stream {
            first: document(&answer)?,
            execution: answer.execution.unwrap_or_default(),
            tree_id: answer.tree_id,
            root: answer.root_task_id,
            after: begun.after,
        }));
    }
    let answer = if waits { end(engine, begun).await? } else { begun.answer };
    document(&answer).map(Reply::Value)
}

fn refuse_unsupported(params: &ExecuteParams) -> Result<()> {
    if params.use_demo.unwrap_or(false) {
        return Err(Error::invalid_params(
            "use_demo",
            "this version does not support demo mode; leave it out",
        ));
    }
    Ok(())
}

/// Sends the events of the execution.
async fn follow(engine: &Engine, begun: Begun, mut definition: WebhookDefinition) -> Result<Begun> {
    let Begun { tree, after, answer } = begun;
    let execution = answer.execution.unwrap_or_default();
    definition.tree = Some(answer.tree_id.clone());
    definition.execution = Some(ExecutionScope { root: answer.root_task_id.clone(), execution });
    let webhook_url = Some(definition.url.clone());
    engine.follow_execution(tree, definition, after).await?;
    let answer = Executed { streaming: Some(true), webhook_url, ..answer };
    Ok(Begun { tree, after, answer })
}

/// Starts an existing task. The inner error is an answer: there is nothing to wait for.
async fn start(engine: &Engine, task: TaskId, rerun: bool, after: Seq) -> Result<Result<Begun, Executed>> {
    let started = engine.execute(&task, rerun).await?;
    let (tree, tree_id, root, execution) = match started {
        Execution::Started { tree, tree_id, root, execution } => (tree, tree_id, root, execution),
        Execution::AlreadyRunning { tree_id, root, execution, .. } => {
            let message = format!(
                "Task '{task}' was not started: its tree is already running (execution {execution}). Wait for it, or \
                 cancel it first"
            );
            let execution = Some(execution);
            let answer = answer(task, root, tree_id, execution, "already_running", message);
            return Ok(Err(Executed { success: false, ..answer }));
        }
        Execution::NothingToRun { tree_id, root, status, .. } => {
            return Ok(Err(answer(
                task,
                root,
                tree_id,
                None,
                status.as_str(),
                nothing_to_run(status).into(),
            )));
        }
    };
    let answer = answer(task, root, tree_id, Some(execution), "started", STARTED.into());
    Ok(Ok(Begun { tree, after, answer }))
}

async fn submit_once(engine: &Engine, tasks: Value, key: &str) -> Result<Begun> {
    let (receipt, started) = engine.submit_once(tasks, key).await?;
    let begun = begun(started);
    Ok(Begun { answer: Executed { receipt: Some(receipt), ..begun.answer }, ..begun })
}

const STARTED: &str = "Task execution started";

fn begun(started: Started) -> Begun {
    let Started { tree, tree_id, root, execution, started_seq } = started;
    let answer = answer(root.clone(), root, tree_id, Some(execution), "started", STARTED.into());
    Begun { tree, after: started_seq, answer }
}

fn answer(
    task_id: TaskId,
    root_task_id: TaskId,
    tree_id: TreeId,
    execution: Option<u32>,
    status: &'static str,
    message: String,
) -> Executed {
    Executed {
        success: true,
        protocol: "jsonrpc",
        root_task_id,
        task_id,
        status,
        message,
        tree_id,
        execution,
        streaming: None,
        webhook_url: None,
        receipt: None,
    }
}

fn nothing_to_run(status: TreeStatus) -> &'static str {
    match status {
        TreeStatus::Completed => {
            "Nothing was run again: all tasks are completed. Pass \"rerun\": true to run completed tasks again"
        }
        TreeStatus::Pending | TreeStatus::InProgress | TreeStatus::Failed | TreeStatus::Cancelled => {
            "Nothing was run: what was asked for is completed, cancelled or stands behind a cancelled task. Pass \
             \"rerun\": true to run completed tasks again; cancelled ones never run again"
        }
    }
}

async fn end(engine: &Engine, begun: Begun) -> Result<Executed> {
    let Begun { tree, answer, .. } = begun;
    let end = engine.wait(tree, answer.execution.unwrap_or_default(), &answer.root_task_id).await?;
    let message = match end.status {
        TreeStatus::Completed => "Task execution completed".into(),
        status => format!("Task execution ended with status: {status}"),
    };
    Ok(Executed {
        success: end.status == TreeStatus::Completed,
        status: end.status.as_str(),
        message,
        ..answer
    })
}
