//! Looking a plugin over before anyone runs it: what it is, whether its imports and its requests say the same, how long a
//! first and a warm call take, and whether what it shows as examples works. `apflow plugin check` shows it.

use std::path::Path;
use std::time::{Duration, Instant};

use apflow_core::error::FailureKind;
use apflow_core::plugin::{ExecutorInfo, PluginInfo};
use serde::Serialize;
use serde_json::Value;

use crate::call::{Circumstances, Request};
use crate::cases::{Case, CaseRunner, bare_run, call, invocation, violation};
use crate::error::WasmError;
use crate::pool::Sharing;
use crate::registry::WasmOptions;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// What the plugin is.
    #[serde(flatten)]
    pub info: PluginInfo,
    /// Loading, compiling included where nothing was cached, in microseconds.
    pub load_us: u64,
    /// The first call of a new instance (`describe`, `subscriptions` or `render`), in microseconds.
    pub first_call_us: u64,
    /// The same call again, in the same instance.
    pub warm_call_us: u64,
    /// The declared examples, run with nothing of the outside world.
    pub examples: Vec<Example>,
    /// What has to be mended.
    pub problems: Vec<Finding>,
}

/// An example that was run.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// The executor.
    pub executor: String,
    /// Its number among the executor's examples, from 1.
    pub number: usize,
    /// The first call, in microseconds.
    pub first_call_us: u64,
    /// The same call again, in the same instance.
    pub warm_call_us: u64,
    /// `completed`, or the code of the failure.
    pub outcome: String,
}

/// Something that has to be mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable.
    pub code: &'static str,
    /// What it is, and the remedy.
    pub message: String,
}

/// Loads the plugin at `path` as a host would, and looks it over.
///
/// # Errors
/// Why it would not be loaded.
pub async fn check(options: WasmOptions, path: &Path) -> Result<Checked, WasmError> {
    let began = Instant::now();
    let runner = CaseRunner::load(options, path).await?;
    let load_us = micros(began.elapsed());
    let shared = Some(Sharing::All { reuse: None });
    let plugin = runner.alone(shared)?;
    let mut calls = [0; 2];
    for span in &mut calls {
        let request = match runner.info().kinds.first().map(String::as_str) {
            Some("hooks") => Request::Subscriptions,
            Some("collector") => Request::Render,
            _ => Request::Describe,
        };
        let began = Instant::now();
        plugin.call(request, Circumstances::default()).await.result.map_err(|failed| {
            let error = apflow_core::error::TaskError::from(failed);
            crate::error::Problem::Describe { function: "describe", problem: error.to_string() }
        })?;
        *span = micros(began.elapsed());
    }
    let mut problems = imports_and_requests(runner.info());
    let mut examples = Vec::new();
    for info in runner.executors() {
        problems.extend(declared(info));
        for (at, inputs) in info.examples.iter().enumerate() {
            let plugin = runner.alone(shared)?;
            let mut example = Example {
                executor: info.id.clone(),
                number: at + 1,
                first_call_us: 0,
                warm_call_us: 0,
                outcome: String::new(),
            };
            for warm in [false, true] {
                let began = Instant::now();
                let ended =
                    call(&plugin, info, &bare_run(), invocation(&Case::default(), info, inputs.clone()))
                        .await;
                let span = micros(began.elapsed());
                if warm {
                    example.warm_call_us = span;
                    continue;
                }
                example.first_call_us = span;
                example.outcome = match ended {
                    Ok(result) => {
                        problems.extend(misfit("bad_result", info, at + 1, &info.output_schema, &result));
                        "completed".into()
                    }
                    Err((error, _)) => {
                        if error.kind == FailureKind::Plugin {
                            let (id, number) = (&info.id, at + 1);
                            let message = format!("example {number} of `{id}` breaks the plugin: {error}");
                            problems.push(Finding { code: "example_crashes", message });
                        }
                        error.code
                    }
                };
            }
            examples.push(example);
        }
    }
    let [first_call_us, warm_call_us] = calls;
    Ok(Checked { info: runner.info().clone(), load_us, first_call_us, warm_call_us, examples, problems })
}

/// What an executor declares, against its own schemas.
fn declared(info: &ExecutorInfo) -> Vec<Finding> {
    let mut problems = Vec::new();
    for (at, example) in info.examples.iter().enumerate() {
        problems.extend(misfit("bad_example", info, at + 1, &info.input_schema, example));
    }
    if let Some(demo) = &info.demo_result
        && let Some(violation) = violation(&info.output_schema, demo)
    {
        let message = format!("the demo result of `{}` does not fit its output schema: {violation}", info.id);
        problems.push(Finding { code: "bad_demo_result", message });
    }
    problems
}

fn misfit(
    code: &'static str,
    info: &ExecutorInfo,
    number: usize,
    schema: &Value,
    value: &Value,
) -> Option<Finding> {
    let violation = violation(schema, value)?;
    let (what, which) = match code {
        "bad_example" => ("does not fit", "input"),
        _ => ("gives what does not fit", "output"),
    };
    let message = format!("example {number} of `{}` {what} the {which} schema: {violation}", info.id);
    Some(Finding { code, message })
}

/// What is imported and not asked for, and what is asked for and not imported.
fn imports_and_requests(info: &PluginInfo) -> Vec<Finding> {
    /// Imports that nothing has to be asked for.
    const FREE: [&str; 4] = ["types", "log", "progress", "checkpoint"];
    let own = |import: &str| {
        Some(import.strip_prefix("apflow:plugin/")?.split('@').next().unwrap_or_default().to_owned())
    };
    let mut imported: Vec<String> = info.imports.iter().filter_map(|import| own(import)).collect();
    if info.imports.iter().any(|import| import.starts_with("wasi:http/outgoing-handler@")) {
        imported.push("http".into());
    }
    let has = |name: &str| imported.iter().any(|import| import == name);
    let asked = |name: &str| info.requested.get(name).is_some();
    let mut problems = Vec::new();
    for import in imported.iter().filter(|import| !FREE.contains(&import.as_str())) {
        let covered = asked(import) || (import == "http" && asked("unix"));
        if !covered {
            let message = format!(
                "the component imports `{import}`, and plugin.toml does not ask for it: every use will be refused. Add \
                 `{import}` to [requests], or take it out of the plugin"
            );
            problems.push(Finding { code: "import_without_request", message });
        }
    }
    // Folders and variables come through WASI, which every language imports for itself.
    for (request, by) in [
        ("http", &["http"][..]),
        ("private_network", &["http", "net"]),
        ("unix", &["http"]),
        ("process", &["process"]),
        ("system", &["system"]),
        ("net", &["net"]),
        ("secrets", &["secrets"]),
        ("state", &["state"]),
        ("tasks", &["tasks"]),
    ] {
        if asked(request) && !by.iter().any(|name| has(name)) {
            let message = format!(
                "plugin.toml asks for `{request}`, and the component does not import `{}`: ask for no more than is used",
                by.join("` or `")
            );
            problems.push(Finding { code: "request_without_import", message });
        }
    }
    problems
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use apflow_core::clock::Timestamp;
    use serde_json::json;

    use super::*;

    fn codes(imports: &[&str], requested: Value) -> Vec<&'static str> {
        let info = PluginInfo {
            name: "p".into(),
            version: "1".into(),
            digest: String::new(),
            size_bytes: 0,
            kinds: Vec::new(),
            executors: Vec::new(),
            hook_points: Vec::new(),
            imports: imports.iter().map(|import| (*import).to_owned()).collect(),
            requested,
            granted: json!({}),
            path: String::new(),
            loaded_at: Timestamp::default(),
            problem: None,
            unset: Vec::new(),
        };
        imports_and_requests(&info).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn imports_and_requests_must_say_the_same() {
        let log = "apflow:plugin/log@0.1.0";
        let http = "apflow:plugin/http@0.1.0";
        assert!(codes(&[log, "wasi:io/streams@0.2.6"], json!({})).is_empty());
        assert!(
            codes(&[http], json!({"http": ["https://*"], "private_network": ["*"], "env": ["A"]})).is_empty()
        );
        assert!(codes(&["wasi:http/outgoing-handler@0.2.0"], json!({"http": ["https://*"]})).is_empty());
        assert_eq!(codes(&[http], json!({})), ["import_without_request"]);
        assert_eq!(codes(&[log], json!({"system": true})), ["request_without_import"]);
        assert_eq!(codes(&[http], json!({"http": ["*"], "state": true})), ["request_without_import"]);
    }
}
