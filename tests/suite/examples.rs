//! The examples do what their READMEs say, on the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{binary, root, shipped};
use crate::site::site;

/// Runs an example as `cargo xtask` does: its files with the site's address filled in.
async fn run(name: &str) -> (Option<i32>, Value) {
    let example = root().join("examples").join(name);
    let folder = tempfile::tempdir().unwrap();
    let url = site(&example.join("site")).await;
    let tree = fill_in(&example.join("tree.json"), folder.path(), &url);
    let config = fill_in(&example.join("apflow.toml"), folder.path(), &url);
    let mut command = Command::new(binary());
    command
        .args(["run", "--output", "json", "--config"])
        .arg(config)
        .arg("--plugins")
        .arg(shipped())
        .arg(tree);
    command.current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}\n{log}")))
}

fn fill_in(file: &Path, folder: &Path, url: &str) -> PathBuf {
    let text = std::fs::read_to_string(file).unwrap();
    let authority = url.strip_prefix("http://").unwrap();
    let copy = folder.join(file.file_name().unwrap());
    std::fs::write(&copy, text.replace("{{site}}", url).replace("{{site-authority}}", authority)).unwrap();
    copy
}

#[tokio::test]
async fn quickstart_gathers_a_report() {
    let (code, done) = run("quickstart").await;
    assert_eq!((code, &done["status"]), (Some(0), &json!("completed")), "{done}");
    let results = &done["result"]["results"];
    assert_eq!(results["collection"], "Three works about machines that work");
    assert_eq!(results["first"], json!({"title": "Notes on the Engine", "author": "A. Lovelace"}));
    assert_eq!(results["third"]["author"], "J. Harrison");
    assert_eq!(done["tasks"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn polyglot_runs_three_languages() {
    for (plugin, needs) in [("json_transform", "Node with npm"), ("text_date", "Python with pip")] {
        assert!(
            shipped().join(plugin).is_dir(),
            "{plugin} is not built: it needs {needs}; run `cargo xtask plugins`"
        );
    }
    let (code, done) = run("polyglot").await;
    assert_eq!(code, Some(0), "{done}");
    let results = &done["result"]["results"];
    assert_eq!(results["books"], json!({"titles": ["The Tides", "Harbours"], "pages": 762}), "{done}");
    assert_eq!((&results["frequent"], &results["due"]), (&json!("harbour"), &json!("2026-03-23")));
}

#[tokio::test]
async fn embed_needs_no_server() {
    let program = binary().with_file_name(format!("apflow-example-embed{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: run `cargo build -p apflow-example-embed`", program.display());
    let output = Command::new(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.trim(),
        "completed: first 6 words, second 5 words",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_first_executor_is_under_twenty_lines() {
    let text = std::fs::read_to_string(root().join("examples/first-plugin/src/lib.rs")).unwrap();
    let whole: Vec<&str> = text.lines().take_while(|line| !line.contains("#[cfg(test)]")).collect();
    let lines = whole.iter().filter(|line| !line.trim().is_empty() && !line.starts_with("//!")).count();
    assert!(lines < 20, "{lines} lines");
    // The README shows this very code.
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for line in whole.iter().filter(|line| !line.trim().is_empty() && !line.starts_with("//!")) {
        assert!(readme.contains(line.trim()), "the README does not show {line:?}");
    }
}
