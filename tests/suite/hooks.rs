//! Hooks through the real binary: what they decide is honoured, kept and told, and survives a crash of the host.

use serde_json::{Value, json};

use crate::harness::{Server, Setup};

async fn start(config: &str) -> Server {
    Server::start(Setup { config: config.into(), ..Setup::default() }).await
}

fn echo(metadata: Value) -> Value {
    json!([{"name": "a", "id": "a", "executor": "echo", "inputs": {"x": 1}, "metadata": metadata}])
}

async fn explain(server: &Server) -> Value {
    server.tasks("tasks.explain", json!({"task_id": "a"})).await
}

#[tokio::test]
async fn what_a_hook_puts_off_stays_put_off_after_a_crash() {
    let mut server = start("").await;
    let begun = json!({"tasks": echo(json!({"ready_delay_ms": 3_600_000})), "use_streaming": false});
    let (stopped, _) = tokio::join!(server.await_event("tree=a", "task.delayed", Some("a")), async {
        // The execution ends only when the task is cancelled below, so nobody waits for its answer.
        let call = server.tasks("tasks.execute", begun);
        tokio::time::timeout(std::time::Duration::from_secs(2), call).await.ok()
    });
    let hooks =
        json!([{"hook": "veto_hook", "point": "task.ready", "decision": "delay", "delay_ms": 3_600_000}]);
    assert_eq!(stopped["data"]["receipt"]["hooks"], hooks);
    let before = explain(&server).await;
    assert_eq!((&before["hooks"], &before["blockers"][0]["data"]["hook"]), (&hooks, &json!("veto_hook")));
    assert!(
        before["summary"].as_str().unwrap().starts_with("Hook 'veto_hook' put it off until "),
        "{before}"
    );
    server.crash_and_restart().await;
    assert_eq!(explain(&server).await, before);
    let (_, health) = server.rpc("/system", "system.health", json!({})).await;
    assert_eq!(health["result"]["running_tasks_count"], 0, "it holds no place");
    server.tasks("tasks.cancel", json!({"task_ids": ["a"]})).await;
    assert_eq!(server.task("a").await["status"], "cancelled");
}

#[tokio::test]
async fn a_task_that_no_hook_wants_here_comes_again() {
    let server = start("").await;
    server.run(echo(json!({"not_here": true, "decide": "replace"}))).await;
    let put_off = server.await_event("tree=a", "task.delayed", Some("a")).await;
    let kept = &put_off["data"]["receipt"]["hooks"][0];
    assert_eq!(
        (&kept["point"], &kept["decision"], &kept["code"]),
        (&json!("placement"), &json!("veto"), &json!("not_here"))
    );
    assert!(kept["message"].as_str().unwrap().starts_with("not on "), "{kept}");
    server.await_event("tree=a", "tree.completed", None).await;
    assert_eq!(server.task("a").await["result"], json!({"x": 1, "replaced": true}));
    let attempts = server.tasks("tasks.attempts", json!({"task_id": "a"})).await;
    assert_eq!((attempts.as_array().unwrap().len(), &attempts[0]["attempt"]), (1, &json!(1)));
    let why = explain(&server).await;
    assert_eq!(
        why["hooks"],
        json!([{"hook": "veto_hook", "point": "task.before-run", "decision": "replace-inputs"}])
    );
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_interrupted_and_its_policy_counts() {
    for (policy, status) in [("closed", "failed"), ("open", "completed")] {
        let config = format!("[plugins.looping_hook.hooks]\ntimeout_ms = 200\nfailure = \"{policy}\"\n");
        let server = start(&config).await;
        server.run(echo(json!({"loop": true}))).await;
        server.await_event("tree=a", &format!("tree.{status}"), None).await;
        let why = explain(&server).await;
        let kept = &why["hooks"][0];
        assert_eq!((&kept["hook"], &kept["code"]), (&json!("looping_hook"), &json!("hook_timeout")), "{why}");
        assert_eq!((&kept["decision"], &kept["policy"]), (&json!("failed"), &json!(policy)));
        let message = kept["message"].as_str().unwrap();
        assert!(message.ends_with("plugins.looping_hook.hooks.timeout_ms is 200"), "{message}");
    }
}
