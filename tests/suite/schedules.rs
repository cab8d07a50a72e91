//! Schedules on the real server: set over the wire, run by themselves, once for each due time whatever happens, and shown
//! on the command line and as a calendar.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Server, Setup, binary, hostile, server, server_on_postgres, shipped, with};

/// A task that runs every so many seconds.
fn every(secs: u32, more: Value) -> Value {
    let task = json!({
        "id": "tick", "name": "tick", "executor": "noop_executor", "schedule_type": "interval",
        "schedule_expression": secs.to_string(), "schedule_enabled": true,
    });
    with(task, more)
}

/// Waits for the end of an execution of a tree.
async fn ended(server: &Server, tree: &str, execution: u64) -> Value {
    let mut events = server.events(&format!("/events?tree={tree}&after=0"), None).await;
    loop {
        let event = events.next().await.expect("the stream ended").1;
        let is_end =
            ["tree.completed", "tree.failed", "tree.cancelled"].iter().any(|kind| event["kind"] == *kind);
        if is_end && event["attempt"] == execution {
            return event;
        }
    }
}

async fn history(server: &Server, task: &str) -> Vec<Value> {
    let runs = server.tasks("tasks.scheduled.history", json!({"task_id": task, "limit": 1000})).await;
    runs.as_array().unwrap().clone()
}

#[tokio::test]
async fn case_47_a_schedule_is_begun_listed_and_reported() {
    // Somebody else's scheduler executes the trees.
    let config = "[engine]\nschedules = false\n".to_owned();
    let server = Server::start(Setup { config, ..Setup::default() }).await;
    let created = server.tasks("tasks.create", every(60, json!({}))).await;
    assert!(created["next_run_at"].is_string(), "setting a schedule computes the next due time: {created}");
    let begun = server
        .tasks("tasks.scheduled.init", json!({"task_id": "tick", "from_time": "2030-01-01T00:00:00Z"}))
        .await;
    assert_eq!(begun["next_run_at"], "2030-01-01T00:01:00Z");
    let due = server.tasks("tasks.scheduled.due", json!({"before": "2099-01-01T00:00:00Z"})).await;
    assert_eq!((due.as_array().unwrap().len(), &due[0]["id"]), (1, &json!("tick")));
    assert_eq!(server.tasks("tasks.scheduled.due", json!({})).await, json!([]));
    let done = server.tasks("tasks.scheduled.complete", json!({"task_id": "tick"})).await;
    assert_eq!((&done["run_count"], &done["status"]), (&json!(1), &json!("pending")));
    assert!(done["last_run_at"].is_string(), "{done}");
    assert_eq!(done["next_run_at"], "2030-01-01T00:02:00Z");
    let failed =
        json!({"task_id": "tick", "success": false, "error": "no power", "calculate_next_run": false});
    let failed = server.tasks("tasks.scheduled.complete", failed).await;
    assert_eq!((&failed["run_count"], &failed["next_run_at"]), (&json!(2), &json!("2030-01-01T00:02:00Z")));
    let runs = history(&server, "tick").await;
    assert_eq!((&runs[0]["status"], &runs[0]["error"]), (&json!("failed"), &json!("no power")));
    assert_eq!(
        (&runs[1]["status"], &runs[1]["due_at"]),
        (&json!("completed"), &json!("2030-01-01T00:01:00Z"))
    );
}

#[tokio::test]
async fn a_schedule_runs_its_tree_again_and_again_and_then_no_more() {
    let server = server().await;
    let child = json!({"id": "part", "name": "part", "parent_id": "tick", "executor": "noop_executor"});
    let root = every(1, json!({"dependencies": ["part"], "max_runs": 2}));
    server.tasks("tasks.create", json!([root, child])).await;
    ended(&server, "tick", 2).await;
    let task = server.task("tick").await;
    assert_eq!((&task["run_count"], &task["schedule_enabled"]), (&json!(2), &json!(false)), "{task}");
    assert_eq!((&task["next_run_at"], &task["status"]), (&Value::Null, &json!("completed")));
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "part"})).await;
    assert_eq!(attempts.as_array().unwrap().len(), 2, "{attempts}");
    assert_eq!(server.tasks("tasks.scheduled.list", json!({})).await, json!([]));
    let all = server.tasks("tasks.scheduled.list", json!({"enabled_only": false})).await;
    assert_eq!(all[0]["id"], "tick");
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused_by_name() {
    let server = server().await;
    let wrong = [
        (every(60, json!({"schedule_expression": "often"})), "'schedule_expression' is 'often'"),
        (every(60, json!({"schedule_timezone": "Nowhere/Land"})), "'schedule_timezone' is 'Nowhere/Land'"),
        (every(60, json!({"schedule_overlap": "allow"})), "one of skip, queue is expected"),
        (
            every(60, json!({"schedule_type": "hourly"})),
            "one of once, interval, cron, daily, weekly, monthly",
        ),
    ];
    for (task, part) in wrong {
        let (code, text) = server.refused("tasks.create", task).await;
        assert_eq!(code, -32111, "{text}");
        assert!(text.starts_with("Task at index 0: ") && text.contains(part), "{text}");
    }
    assert_eq!(server.total().await, 0);
    server
        .tasks("tasks.create", json!([{"id": "r", "name": "r"}, {"id": "c", "name": "c", "parent_id": "r"}]))
        .await;
    let daily = json!({"task_id": "c", "schedule_type": "daily", "schedule_expression": "09:00"});
    let (code, text) = server.refused("tasks.update", daily).await;
    assert_eq!(code, -32111);
    assert!(text.contains("'c' is not the root"), "{text}");
    let (code, _) = server.refused("tasks.scheduled.init", json!({"task_id": "r"})).await;
    assert_eq!(code, -32111);
    let (code, _) = server.refused("tasks.scheduled.complete", json!({"task_id": "nobody"})).await;
    assert_eq!(code, -32001);
}

#[tokio::test]
async fn a_killed_server_runs_each_due_time_once() {
    runs_each_due_time_once(server().await).await;
}

#[tokio::test]
async fn on_postgres_a_killed_server_runs_each_due_time_once() {
    runs_each_due_time_once(server_on_postgres().await).await;
}

/// kill -9 while due times come every second: each has one entry at most, each entry one execution, and none is lost.
async fn runs_each_due_time_once(mut server: Server) {
    let more = json!({"executor": "slow", "inputs": {"ms": 300}, "schedule_missed": "all", "schedule_overlap": "queue"});
    let first =
        server.tasks("tasks.create", every(1, more)).await["next_run_at"].as_str().unwrap().to_owned();
    for round in 1..=3u64 {
        // In the middle of a run that its schedule began.
        let mut events = server.events("/events?tree=tick&after=0", None).await;
        loop {
            let event = events.next().await.expect("the stream ended").1;
            if event["kind"] == "task.started" && event["attempt"].as_u64() > Some(2 * round) {
                break;
            }
        }
        server.crash_and_restart().await;
    }
    let last = server.tasks("tasks.update", json!({"task_id": "tick", "schedule_enabled": false})).await;
    let execution =
        history(&server, "tick").await.iter().filter_map(|run| run["execution"].as_u64()).max().unwrap();
    ended(&server, "tick", execution).await;

    let runs = history(&server, "tick").await;
    // From the first due time to the one that was not handled any more, every second is there, once.
    let due: Vec<String> = runs.iter().rev().map(|run| run["due_at"].as_str().unwrap().to_owned()).collect();
    let instant = |text: &str| apflow_core::clock::Timestamp::parse(text).unwrap().as_micros();
    assert_eq!(due[0], first);
    for (i, at) in due.iter().enumerate() {
        assert_eq!(instant(at) - instant(&first), i as i64 * 1_000_000, "{due:?}");
    }
    let next = instant(last["next_run_at"].as_str().unwrap());
    assert_eq!(next - instant(&first), due.len() as i64 * 1_000_000, "{last}");
    let mut of_execution: BTreeMap<u64, u32> = BTreeMap::new();
    for run in &runs {
        assert_eq!((&run["status"], &run["due_count"]), (&json!("completed"), &json!(1)), "{run}");
        *of_execution.entry(run["execution"].as_u64().unwrap()).or_default() += 1;
    }
    let expected: BTreeMap<u64, u32> = (1..=runs.len() as u64).map(|execution| (execution, 1)).collect();
    assert_eq!(of_execution, expected);
    let task = server.task("tick").await;
    assert_eq!(task["run_count"], json!(runs.len()), "{task}");
    // And on the log each execution began once and ended once.
    let log = server.tasks("events.list", json!({"tree": "tick", "limit": 10_000})).await;
    for kind in ["tree.started", "tree.completed"] {
        let of_kind = log["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind);
        let executions: Vec<u64> = of_kind.map(|event| event["attempt"].as_u64().unwrap()).collect();
        assert_eq!(executions, (1..=runs.len() as u64).collect::<Vec<_>>(), "{kind}");
    }
}

#[tokio::test]
async fn due_times_that_passed_while_the_server_was_down_are_one_run() {
    let mut server = server().await;
    server.tasks("tasks.create", every(3600, json!({}))).await;
    // As if the server had been down for a long time.
    let past = json!({"task_id": "tick", "next_run_at": "2026-01-01T00:00:00Z", "schedule_enabled": false});
    server.tasks("tasks.update", past).await;
    server
        .tasks(
            "tasks.update",
            json!({"task_id": "tick", "schedule_enabled": true, "next_run_at": "2026-01-01T00:00:00Z"}),
        )
        .await;
    server.crash_and_restart().await;
    ended(&server, "tick", 1).await;
    let runs = history(&server, "tick").await;
    assert_eq!((runs.len(), &runs[0]["due_at"]), (1, &json!("2026-01-01T00:00:00Z")), "{runs:?}");
    assert!(runs[0]["due_count"].as_u64() > Some(1), "{runs:?}");
    let task = server.task("tick").await;
    assert_eq!(task["run_count"], 1);
    assert!(task["next_run_at"].as_str().unwrap().ends_with(":00:00Z"), "on the grid: {task}");
}

#[tokio::test]
async fn schedules_on_the_command_line() {
    let server = server().await;
    let text = |args: &[&str]| {
        let output = Command::new(binary())
            .args(["tasks", "--server", &server.url])
            .args(args)
            .current_dir(server.folder.path())
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        shown
    };
    server
        .tasks("tasks.create", json!({"id": "report", "name": "a; report", "executor": "noop_executor"}))
        .await;
    text(&[
        "update",
        "report",
        "--schedule-type",
        "weekly",
        "--schedule-expression",
        "1,5 09:00",
        "--schedule-timezone",
        "Europe/Berlin",
        "--schedule-enabled",
    ]);
    let list = text(&["scheduled", "list"]);
    assert!(
        list.contains("report") && list.contains("1,5 09:00") && list.contains("Europe/Berlin"),
        "{list}"
    );
    assert!(text(&["scheduled", "due"]).contains("No schedules"));
    assert!(text(&["scheduled", "due", "--before", "2099-01-01T00:00:00Z"]).contains("report"));
    assert!(text(&["scheduled", "history", "report"]).contains("No runs"));
    assert!(
        text(&["scheduled", "complete", "report", "--failed", "--error", "rain"]).contains("is due next at")
    );
    assert!(text(&["scheduled", "history", "report"]).contains("rain"));
    assert!(
        text(&["scheduled", "init", "report", "--from-time", "2030-01-01T00:00:00Z"])
            .contains("2030-01-04T08:00:00Z")
    );
    let shown = text(&["scheduled", "export-ical", "--name", "Mine"]);
    assert!(
        shown.starts_with("BEGIN:VCALENDAR") && shown.contains("RRULE:FREQ=WEEKLY;BYDAY=MO,FR"),
        "{shown}"
    );
    assert!(text(&["scheduled", "export-ical", "-f", "plan.ics"]).contains("Wrote 1 events"));
    let file = std::fs::read_to_string(server.path("plan.ics")).unwrap();
    assert!(file.contains("SUMMARY:a\\; report\r\n") && file.contains("TZID:Europe/Berlin\r\n"), "{file}");
    assert_eq!(text(&["scheduled", "list", "--output", "ids"]).trim(), "report");
}

/// A command on the local database does what it is asked for and nothing else.
#[test]
fn local_commands_do_not_run_what_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let (shipped, hostile) = (shipped(), hostile());
    let apflow = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).args(["--local", "--plugins", shipped.to_str().unwrap()]);
        command.args(["--plugins", hostile.to_str().unwrap(), "--output", "json"]).current_dir(folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    apflow(&["tasks", "create", "--tasks", &every(1, json!({})).to_string()]);
    apflow(&["tasks", "create", "--tasks", r#"{"id": "x", "name": "x", "executor": "noop_executor"}"#]);
    apflow(&["tasks", "update", "tick", "--changes", r#"{"next_run_at": "2026-01-01T00:00:00Z"}"#]);
    apflow(&["tasks", "execute", "x"]);
    assert_eq!(apflow(&["tasks", "scheduled", "due"])[0]["id"], "tick");
    assert_eq!(apflow(&["tasks", "scheduled", "history", "tick"]), json!([]));
}
