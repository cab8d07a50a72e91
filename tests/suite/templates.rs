//! Every template is a project that builds, whose own cases pass in the real sandbox, and whose components a real host
//! runs. One test a language, so that a missing toolchain is told by name; the tools are fetched into the cache.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::binary;

const KINDS: [&str; 3] = ["executor", "hook", "collector"];

#[test]
fn rust_templates_are_plugins() {
    check("rust");
}

#[test]
fn javascript_templates_are_plugins() {
    check("javascript");
}

#[test]
fn typescript_templates_are_plugins() {
    check("typescript");
}

#[test]
fn python_templates_are_plugins() {
    check("python");
}

#[test]
fn c_templates_are_plugins() {
    check("c");
}

/// Writes, builds and tests a project of each kind, and lets one host run them together.
fn check(language: &str) {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    for kind in KINDS {
        let (name, project) = (format!("try-{kind}"), folder.path().join(kind));
        let place = project.display().to_string();
        apflow(&["plugin", "new", &name, "--lang", language, "--kind", kind, "--dir", &place]);
        let (code, tested) = apflow(&["plugin", "test", &place]);
        assert_eq!(code, Some(0), "{language} {kind}: {tested}");
        let cases = cases_in(&project);
        assert_eq!((&tested["passed"], &tested["failed"]), (&json!(cases), &json!(0)), "{tested}");
        let component = project.join("dist").join(&name).join(format!("{name}.wasm"));
        let (_, seen) = apflow(&["plugin", "inspect", &component.display().to_string()]);
        assert!(capabilities(&seen).is_empty(), "{language} {kind} imports what it did not ask for: {seen}");
        let installed = plugins.join(&name);
        std::fs::create_dir_all(&installed).unwrap();
        for file in [component.clone(), component.with_file_name("plugin.toml")] {
            std::fs::copy(&file, installed.join(file.file_name().unwrap())).unwrap();
        }
    }
    let task = |names: Value, metadata: Value| {
        json!([{"name": "greet", "executor": "try_executor", "inputs": {"names": names}, "metadata": metadata}])
    };
    let (code, done) = run(folder.path(), &plugins, &task(json!(["Ada", "Bo"]), json!({})));
    assert_eq!((code, &done["result"]), (Some(0), &json!({"greetings": ["Hello, Ada!", "Hello, Bo!"]})), "{done}");
    let (_, refused) = run(folder.path(), &plugins, &task(json!(["Ada", ""]), json!({})));
    assert_eq!(error_code(&refused), "empty_name", "{refused}");
    let (_, frozen) = run(folder.path(), &plugins, &task(json!(["Ada"]), json!({"frozen": true})));
    assert_eq!(error_code(&frozen), "frozen", "{frozen}");
}

/// The imports of the contract beside those of its base.
fn capabilities(seen: &Value) -> Vec<&str> {
    let imports = seen["imports"].as_array().unwrap_or_else(|| panic!("{seen}"));
    let ours = imports.iter().filter_map(|name| name.as_str()?.strip_prefix("apflow:plugin/"));
    ours.filter(|name| !["log@", "progress@", "types@"].iter().any(|base| name.starts_with(base))).collect()
}

fn cases_in(project: &Path) -> usize {
    let text = std::fs::read_to_string(project.join("tests/cases.toml")).unwrap();
    text.lines().filter(|line| *line == "[[case]]").count()
}

fn run(folder: &Path, plugins: &Path, tree: &Value) -> (Option<i32>, Value) {
    let file = folder.join("tree.json");
    std::fs::write(&file, tree.to_string()).unwrap();
    apflow(&["run", "--plugins", &plugins.display().to_string(), &file.display().to_string()])
}

fn error_code(done: &Value) -> &str {
    done["tasks"][0]["error"]["code"].as_str().unwrap_or_else(|| panic!("{done}"))
}

/// Runs the binary in a folder of its own; exit code, and its JSON.
fn apflow(words: &[&str]) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(words).args(["--output", "json"]).current_dir(folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words:?} gave no JSON: {text}\n{log}"));
    (output.status.code(), value)
}
