//! Capabilities from inside a component: refused by default with the words that would permit them, and working where both
//! sides permit. HTTP goes to servers on this machine only.

use apflow_core::plugin::Plugins;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{call, failure, plugins, result};

/// A server that answers every request with this status and body, and closes.
async fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"hello\":true}\n";

#[tokio::test]
async fn everything_is_refused_by_default_and_says_what_would_permit_it() {
    let plugins = plugins(&["hostile"], "").await;
    for (id, code) in [("ask_denied_host", "http_denied"), ("spawn_denied", "process_denied")] {
        let error = failure(&plugins, id, json!({})).await;
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains("[plugins.hostile.grants]"), "{error}");
    }
    let path = result(&plugins, "read_env", json!({"name": "PATH"})).await;
    assert_eq!(path, json!({"value": null}));
    assert_eq!(failure(&plugins, "read_file", json!({"path": "/etc/hostname"})).await.code, "io_error");
}

#[tokio::test]
async fn http_reaches_a_granted_server_and_the_receipt_names_it() {
    let port = server(HELLO).await;
    let policies = format!(
        "[rest_executor.grants]\nhttp = [\"http://127.0.0.1:{port}\"]\nprivate_network = [\"127.0.0.1:{port}\"]\n"
    );
    let plugins = plugins(&["rest_executor"], &policies).await;
    let url = format!("http://127.0.0.1:{port}/x");
    let outcome = call(&plugins, "rest_executor", json!({ "url": url })).await;
    assert_eq!(outcome.result.unwrap().value()["json"], json!({"hello": true}));
    assert_eq!(outcome.receipt.unwrap().hosts, [format!("127.0.0.1:{port}")]);
    let other = failure(&plugins, "rest_executor", json!({"url": "http://127.0.0.1:1/"})).await;
    assert!(other.message.contains("rest_executor") && other.message.contains("127.0.0.1:1"), "{other}");
}

#[tokio::test]
async fn a_private_address_needs_its_own_grant() {
    let port = server(HELLO).await;
    let plugins = plugins(&["rest_executor"], "").await;
    for host in ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]"] {
        let error =
            failure(&plugins, "rest_executor", json!({"url": format!("http://{host}:{port}/")})).await;
        assert!(error.message.contains("private/reserved address"), "{host}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_place_that_is_not_granted_is_refused() {
    let hidden = server(HELLO).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{hidden}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let port = server(location.leak()).await;
    let policies =
        format!("[rest_executor.grants]\nhttp = [\"*\"]\nprivate_network = [\"127.0.0.1:{port}\"]\n");
    let plugins = plugins(&["rest_executor"], &policies).await;
    let error = failure(&plugins, "rest_executor", json!({"url": format!("http://127.0.0.1:{port}/")})).await;
    assert!(
        error.message.contains(&format!("127.0.0.1:{hidden}")) && error.message.contains("redirected"),
        "{error}"
    );
}

#[tokio::test]
async fn a_granted_program_runs_without_a_shell() {
    let policies = "[command_executor.grants]\nprocess = [\"echo\", \"cat\"]\n";
    let plugins = plugins(&["command_executor"], policies).await;
    let echoed = result(&plugins, "command_executor", json!({"command": "echo 'a;' id"})).await;
    assert_eq!((&echoed["stdout"], &echoed["return_code"]), (&json!("a; id"), &json!(0)), "{echoed}");
    let refused = failure(&plugins, "command_executor", json!({"command": "id"})).await;
    assert!(refused.message.contains("[plugins.command_executor.grants]"), "{refused}");
}

#[tokio::test]
async fn a_program_that_outlives_its_time_is_killed() {
    let policies = "[command_executor.grants]\nprocess = [\"sleep\"]\n";
    let plugins = plugins(&["command_executor"], policies).await;
    let error = failure(&plugins, "command_executor", json!({"command": "sleep 600", "timeout": 0.05})).await;
    assert_eq!(error.code, "process_timeout", "{error}");
}

#[tokio::test]
async fn granted_folders_are_there_in_their_mode_and_lead_nowhere_else() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("granted");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("in.txt"), "inside").unwrap();
    std::fs::write(top.path().join("out.txt"), "outside").unwrap();
    std::os::unix::fs::symlink(top.path().join("out.txt"), folder.join("link")).unwrap();
    let policies =
        format!("[hostile.grants]\nfs = [{{ guest = \"/data\", host = \"{}\" }}]\n", folder.display());
    let plugins = plugins(&["hostile"], &policies).await;
    let inside = result(&plugins, "read_file", json!({"path": "/data/in.txt"})).await;
    assert_eq!(inside["content"], "inside");
    for path in ["/data/../out.txt", "/data/link", "/etc/hostname"] {
        failure(&plugins, "read_file", json!({ "path": path })).await;
    }
    failure(&plugins, "read_file", json!({"path": "/data/new.txt", "write": "x"})).await;
    assert!(!folder.join("new.txt").exists(), "read-only is what the plugin asks for");
}

#[tokio::test]
async fn the_machines_figures_need_a_grant() {
    let plugins = plugins(&["system_info_executor"], "").await;
    let all = result(&plugins, "system_info_executor", json!({})).await;
    assert!(all["memory"].is_object() && all["cpu"].is_object(), "{all}");
    let refusing = crate::harness::plugins(&["system_info_executor"], "[system_info_executor]\n").await;
    let error = failure(&refusing, "system_info_executor", json!({})).await;
    assert_eq!(error.code, "system_denied", "{error}");
}

#[tokio::test]
async fn the_catalog_lists_what_is_asked_and_what_is_allowed() {
    let plugins = plugins(&["hostile"], "[hostile.grants]\nprocess = [\"true\"]\n").await;
    let info = plugins.catalog().plugins[0].clone();
    assert_eq!(info.granted, json!({"process": ["true"]}));
    assert_eq!(info.requested["http"], json!(["http://denied.invalid"]));
    assert!(
        info.imports.iter().any(|import| import.starts_with("apflow:plugin/http@")),
        "{:?}",
        info.imports
    );
    let allowed: Value = result(&plugins, "spawn_denied", json!({})).await;
    assert_eq!(allowed, json!(0), "both sides permit `true`");
}
