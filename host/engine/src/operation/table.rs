//! The rows of the operation table.

use super::params::{TaskRef, read};
use super::shape::{self, schema};
use super::{Category, Door, Operation, Permission, Reply, document};
use super::{clone, control, create, events, execute, plugins, query, running, schedules, system, webhooks};

/// Calls a function that takes typed parameters and gives something with a JSON form.
macro_rules! gives_value {
    ($function:path) => {
        |engine, params| {
            Box::pin(async move { document(&$function(engine, read(params)?).await?).map(Reply::Value) })
        }
    };
}

/// Calls a function that takes typed parameters and gives a [`Reply`].
macro_rules! gives_reply {
    ($function:path) => {
        |engine, params| Box::pin(async move { $function(engine, read(params)?).await })
    };
}

mod plugin_rows;
mod webhook_rows;

/// All operations, in the order of listings and documents.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        name: "tasks.create",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Create tasks",
        summary: "Creates one task or a tree of tasks, without executing it.",
        description: "`params` is the array of tasks itself, or one task object, or `{\"tasks\": […]}`. Either all tasks \
            are created or none. `parent_id` and `dependencies` may name tasks of the same call by id or by name. The \
            answer is one task object for one task, else an array in pre-order. With an `idempotency_key`, beside `tasks` or \
            at the root task, the tree is created once for its owner: the same key with the same content is answered with \
            the same tree, the same key with other content is refused, and the answer is `{\"receipt\": …, \"tasks\": […]}`. \
            A key is free again when its tree is deleted.",
        example: r#"[{"name": "report", "executor": "aggregate_results_executor", "dependencies": ["cpu"]}, {"name": "cpu", "parent_id": "report", "executor": "system_info_executor", "inputs": {"resource": "cpu"}}]"#,
        params: schema::<create::CreateForm>,
        result: schema::<create::Created>,
        permission: Permission::Write,
        streams: false,
        call: |engine, params| Box::pin(create::create(engine, params)),
    },
    Operation {
        name: "tasks.get",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Get a task",
        summary: "Reads one task; null if there is none with that id.",
        description: "A link is shown as it is stored, without inputs, params, schemas and result; `tasks.tree` reads through \
            it.",
        example: r#"{"task_id": "report"}"#,
        params: schema::<TaskRef>,
        result: schema::<Option<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::get),
    },
    Operation {
        name: "tasks.detail",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "Get a task in full",
        summary: "The same as `tasks.get`.",
        description: "",
        example: r#"{"task_id": "report"}"#,
        params: schema::<TaskRef>,
        result: schema::<Option<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::get),
    },
    Operation {
        name: "tasks.tree",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "Get a tree",
        summary: "Reads a task and everything below it.",
        description: "Trees of more than 500 levels are given in the flat form only. Links are read through: they show what \
            their originals show, at their own place in the tree.",
        example: r#"{"task_id": "report", "format": "nested"}"#,
        params: schema::<query::TreeParams>,
        result: schema::<shape::TreeForm>,
        permission: Permission::Read,
        streams: false,
        call: gives_reply!(query::tree),
    },
    Operation {
        name: "tasks.list",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List tasks",
        summary: "Lists tasks, newest first.",
        description: "",
        example: r#"{"root_only": false, "status": "failed", "limit": 20}"#,
        params: schema::<query::ListParams>,
        result: schema::<Vec<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::list),
    },
    Operation {
        name: "tasks.children",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List children",
        summary: "Lists the children of a task by priority, then in the order of creation.",
        description: "",
        example: r#"{"parent_id": "report"}"#,
        params: schema::<query::ChildrenParams>,
        result: schema::<Vec<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::children),
    },
    Operation {
        name: "tasks.count",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "Count tasks",
        summary: "Counts tasks by status.",
        description: "",
        example: r#"{"root_only": true}"#,
        params: schema::<query::CountParams>,
        result: schema::<query::Counted>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::count),
    },
    Operation {
        name: "tasks.execute",
        aliases: &[],
        door: Door::Tasks,
        category: Category::AgentAction,
        title: "Execute tasks",
        summary: "Executes a tree, a task with what it depends on, or a new tree.",
        description: "Pending and failed tasks run; completed ones only with `rerun`, cancelled ones never. Without \
            further parameters the answer comes when the execution has ended, with its outcome. With `wait: false` it \
            comes at once, with `status: \"started\"`. With `use_streaming: true` it comes at once and events follow until \
            the execution has ended. A tree has one execution at a time: a second request is answered with `success: \
            false` and `status: \"already_running\"`. If there is nothing to run, `status` says where the tree stands. An \
            execution goes on when the caller goes away. Links are completed and never run; an archived task is refused.",
        example: r#"{"task_id": "report"}"#,
        params: schema::<execute::ExecuteParams>,
        result: schema::<execute::Executed>,
        permission: Permission::Write,
        streams: true,
        call: gives_reply!(execute::execute),
    },
    Operation {
        name: "tasks.cancel",
        aliases: &["tasks.running.cancel"],
        door: Door::Tasks,
        category: Category::AgentAction,
        title: "Cancel tasks",
        summary: "Cancels pending and running tasks; the answer has one entry for each id.",
        description: "A running component is interrupted. What is cancelled stays cancelled. With `cascade`, which is the \
            default, everything below these tasks and everything that requires them is cancelled too.",
        example: r#"{"task_ids": ["cpu"], "error_message": "not needed any more"}"#,
        params: schema::<control::CancelParams>,
        result: schema::<Vec<control::CancelEntry>>,
        permission: Permission::Write,
        streams: false,
        call: gives_value!(control::cancel),
    },
    Operation {
        name: "tasks.update",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Change a task",
        summary: "Changes the definition of a task; all changes or none.",
        description: "`parent_id` and `user_id` are fixed. Results, errors and progress come from executing only. \
            Dependencies change only while the task is pending and not under execution, and nothing that depends on it runs. \
            Links and archived tasks are refused.",
        example: r#"{"task_id": "cpu", "inputs": {"resource": "memory"}, "priority": 0}"#,
        params: schema::<control::UpdateParams>,
        result: schema::<shape::Task>,
        permission: Permission::Write,
        streams: false,
        call: gives_value!(control::update),
    },
    Operation {
        name: "tasks.delete",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Delete a task",
        summary: "Deletes a task and everything below it.",
        description: "All of it must be pending (or a link), not under execution, and nothing else may depend on it or link to \
            it; the error lists every reason. Archived tasks are refused.",
        example: r#"{"task_id": "report"}"#,
        params: schema::<TaskRef>,
        result: schema::<control::DeletedTasks>,
        permission: Permission::Write,
        streams: false,
        call: gives_value!(control::delete),
    },
    Operation {
        name: "tasks.clone",
        aliases: &["tasks.copy"],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Clone tasks",
        summary: "Copies, links or archives a task and everything below it.",
        description: "A copy is a new tree with the same definitions: pending, without results, attempts and schedule; \
            references between its tasks follow. A link is a new tree of tasks that are completed, never run, and read through \
            to their originals: all of them must be completed, and belong to the same owner. An archive is the same tasks, \
            frozen where they are: all of them must be completed, and none can be changed, deleted or executed any more. \
            `mixed` makes links of the tasks in `link_task_ids` and copies of the others, which take the results of the links \
            as their inputs. Nothing is executed. The answer is one task object for one task, else an array in pre-order.",
        example: r#"{"task_id": "report", "origin_type": "mixed", "link_task_ids": ["cpu"]}"#,
        params: schema::<clone::CloneParams>,
        result: schema::<shape::OneOrMany>,
        permission: Permission::Write,
        streams: false,
        call: gives_reply!(clone::clone),
    },
    Operation {
        name: "tasks.progress",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "Get the progress of a tree",
        summary: "Counts a task and everything below it by status, and says how far they have come.",
        description: "",
        example: r#"{"task_id": "report"}"#,
        params: schema::<TaskRef>,
        result: schema::<query::ProgressOf>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::progress),
    },
    Operation {
        name: "tasks.explain",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "Explain a task",
        summary: "Says why a task is not running, and where it stands in the queue.",
        description: "",
        example: r#"{"task_id": "report"}"#,
        params: schema::<TaskRef>,
        result: schema::<shape::Explanation>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::explain),
    },
    Operation {
        name: "tasks.attempts",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List attempts",
        summary: "Lists the attempts at a task, oldest first, with node, times, outcome, inputs and receipt.",
        description: "",
        example: r#"{"task_id": "cpu"}"#,
        params: schema::<TaskRef>,
        result: schema::<Vec<shape::Attempt>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(query::attempts),
    },
    Operation {
        name: "tasks.running.list",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "List running tasks",
        summary: "Lists the tasks that a node runs at the moment, newest first.",
        description: "",
        example: r#"{"limit": 20}"#,
        params: schema::<running::RunningListParams>,
        result: schema::<Vec<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(running::list),
    },
    Operation {
        name: "tasks.running.status",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "Get the status of tasks",
        summary: "Gives status and progress of several tasks; one entry for each id.",
        description: "",
        example: r#"{"task_ids": "report,cpu"}"#,
        params: schema::<running::RunningStatusParams>,
        result: schema::<Vec<running::RunningStatus>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(running::status),
    },
    Operation {
        name: "tasks.running.count",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "Count running tasks",
        summary: "Counts the tasks that a node runs at the moment.",
        description: "",
        example: r#"{}"#,
        params: schema::<running::RunningCountParams>,
        result: schema::<running::RunningCount>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(running::count),
    },
    Operation {
        name: "tasks.scheduled.list",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List schedules",
        summary: "Lists the roots that have a schedule, by next due time, those without one last.",
        description: "Schedules are set by `tasks.create` and `tasks.update`; see [schedules](schedules.md).",
        example: r#"{"schedule_type": "cron", "limit": 20}"#,
        params: schema::<schedules::ScheduledListParams>,
        result: schema::<Vec<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(schedules::list),
    },
    Operation {
        name: "tasks.scheduled.due",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List due schedules",
        summary: "Lists schedules in force that are due by a point in time and do not wait for the end of a run.",
        description: "",
        example: r#"{"before": "2030-01-01T00:00:00Z"}"#,
        params: schema::<schedules::ScheduledDueParams>,
        result: schema::<Vec<shape::Task>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(schedules::due),
    },
    Operation {
        name: "tasks.scheduled.init",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Begin a schedule anew",
        summary: "Computes the next due time of a schedule anew.",
        description: "Setting a schedule does that by itself; this is for beginning at another time.",
        example: r#"{"task_id": "report"}"#,
        params: schema::<schedules::ScheduledInitParams>,
        result: schema::<shape::Task>,
        permission: Permission::Write,
        streams: false,
        call: gives_value!(schedules::init),
    },
    Operation {
        name: "tasks.scheduled.complete",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Crud,
        title: "Report a scheduled run",
        summary: "Counts a run that a scheduler outside has made, for the schedule's next due time.",
        description: "Runs that the host makes itself are counted by itself. The status of tasks is not changed.",
        example: r#"{"task_id": "report", "success": false, "error": "no connection"}"#,
        params: schema::<schedules::ScheduledCompleteParams>,
        result: schema::<shape::Task>,
        permission: Permission::Write,
        streams: false,
        call: gives_value!(schedules::complete),
    },
    Operation {
        name: "tasks.scheduled.history",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Query,
        title: "List scheduled runs",
        summary: "Lists what became of the due times of a schedule, the newest first.",
        description: "There is one entry for a due time at most.",
        example: r#"{"task_id": "report", "limit": 10}"#,
        params: schema::<schedules::ScheduledHistoryParams>,
        result: schema::<Vec<shape::ScheduleRun>>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(schedules::history),
    },
    Operation {
        name: "tasks.scheduled.export-ical",
        aliases: &["tasks.scheduled.export_ical"],
        door: Door::Tasks,
        category: Category::Query,
        title: "Export schedules",
        summary: "Writes schedules as an iCalendar document.",
        description: "",
        example: r#"{"calendar_name": "Nightly work"}"#,
        params: schema::<schedules::ExportParams>,
        result: schema::<schedules::Exported>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(schedules::export_ical),
    },
    Operation {
        name: "events.list",
        aliases: &[],
        door: Door::Tasks,
        category: Category::Monitoring,
        title: "Read the event log",
        summary: "Reads a page of the event log, oldest first.",
        description: "The log has every transition of every task, in order, as far back as events are kept; `after` a position \
            that is gone is refused. `GET /events` gives the same live.",
        example: r#"{"tree": "report", "after": 0, "limit": 50}"#,
        params: schema::<events::EventListParams>,
        result: schema::<events::EventPage>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(events::list),
    },
    webhook_rows::CREATE,
    webhook_rows::GET,
    webhook_rows::LIST,
    webhook_rows::UPDATE,
    webhook_rows::DELETE,
    webhook_rows::DELIVERIES,
    webhook_rows::DEAD_LETTERS,
    webhook_rows::REDELIVER,
    Operation {
        name: "system.health",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "Health",
        summary: "Says how the host is.",
        description: "",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: schema::<shape::Health>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(system::health),
    },
    Operation {
        name: "system.executors",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "List executors",
        summary: "Lists what tasks can name as their executor, with schemas of inputs and results.",
        description: "",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: system::executors_schema,
        permission: Permission::Read,
        streams: false,
        call: gives_reply!(system::executors),
    },
    Operation {
        name: "system.limits",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "List limits",
        summary: "Lists the limits of executors and concurrency keys over all trees, with what runs and what is parked.",
        description: "Limits of executors, and of keys other than one task at a time, are set in the configuration of the hosts.",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: schema::<system::Limits>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(system::limits),
    },
    Operation {
        name: "system.plugins",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "List plugins",
        summary: "Lists the loaded plugins, with what they ask for and what they are allowed.",
        description: "",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: system::plugins_schema,
        permission: Permission::Read,
        streams: false,
        call: gives_reply!(system::plugins),
    },
    Operation {
        name: "system.plugins.reload",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "Reload plugins",
        summary: "Looks at the plugin folders again and says what has changed.",
        description: "A plugin that cannot be loaded is reported, and what was loaded before stays in use. Runs keep the \
            version they began with.",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: schema::<system::Reloaded>,
        permission: Permission::Admin,
        streams: false,
        call: gives_value!(system::reload),
    },
    plugin_rows::POLICY,
    plugin_rows::GRANT,
    plugin_rows::REVOKE,
    plugin_rows::HISTORY,
    plugin_rows::ROLLBACK,
    plugin_rows::UNPIN,
    Operation {
        name: "system.operations",
        aliases: &[],
        door: Door::System,
        category: Category::System,
        title: "List operations",
        summary: "Lists all operations with the schemas of parameters and results.",
        description: "",
        example: r#"{}"#,
        params: schema::<system::NoParams>,
        result: schema::<system::Listing>,
        permission: Permission::Read,
        streams: false,
        call: gives_value!(system::operations),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn names_and_aliases_are_unique_and_found_behind_their_door() {
        let mut names = BTreeSet::new();
        for operation in OPERATIONS {
            for name in operation.aliases.iter().chain([&operation.name]) {
                assert!(names.insert(*name), "{name} is taken twice");
                assert_eq!(operation.door.find(name).unwrap().name, operation.name);
                let other = if operation.door == Door::Tasks { Door::System } else { Door::Tasks };
                assert!(other.find(name).is_err());
            }
        }
        let error = Door::System.find("system.config").unwrap_err();
        assert_eq!(error.message, "Unknown system method: system.config");
    }

    #[test]
    fn examples_fit_the_schemas_of_their_parameters() {
        for operation in OPERATIONS {
            let example: Value = serde_json::from_str(operation.example).unwrap();
            let validator = jsonschema::validator_for(&(operation.params)()).unwrap();
            let errors: Vec<String> = validator.iter_errors(&example).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", operation.name);
            jsonschema::validator_for(&(operation.result)()).unwrap();
        }
    }

    #[test]
    fn every_parameter_and_every_operation_is_described() {
        for operation in OPERATIONS {
            assert!(operation.summary.ends_with('.'), "{}", operation.name);
            let schema = (operation.params)();
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{}: {field}", operation.name);
            }
        }
    }
}
