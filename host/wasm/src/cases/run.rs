//! Running cases: each has instances, grants, network and services of its own, and shares only the compiled code.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_core::clock::Timestamp;
use apflow_core::error::TaskError;
use apflow_core::event::{Event, EventKind};
use apflow_core::id::{Seq, TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::plugin::{
    Collector, Executor, ExecutorInfo, Hook, HookEvent, Invocation, PluginInfo, RunContext, schema_violation,
};
use serde_json::{Map, Value, json};

use super::expect;
use super::file::{Case, EventOf, MeasurementOf};
use super::network::Network;
use super::report::{Mismatch, Report};
use super::services::{Run, SECRET, Secrets, State};
use crate::adapter::{PluginCollector, PluginExecutor, PluginHook};
use crate::error::{Problem, WasmError};
use crate::grants::{Capabilities, Grants, LiveGrants, SecretRule};
use crate::http::{HttpClient, HttpClientOptions};
use crate::plugin::{Loaded, Plugin};
use crate::pool::Sharing;
use crate::registry::{WasmOptions, WasmPlugins};
use crate::state::{Identity, Services};

/// When everything happens in cases that name no time: 2026-01-01T00:00:00Z.
const THEN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A loaded plugin that cases are run against.
#[derive(Debug)]
pub struct CaseRunner {
    loaded: Loaded,
}

/// What a case has around its plugin.
struct Surroundings {
    plugin: Arc<Plugin>,
    network: Arc<Network>,
    state: Arc<State>,
    run: Arc<Run>,
}

/// A result or a failure with the shortest wait.
type Ended = Result<Value, (TaskError, Option<Duration>)>;

impl CaseRunner {
    /// Loads the plugin at `path`: a component with its `plugin.toml` beside it. Of the options, cache and limits count.
    ///
    /// # Errors
    /// Why it would not be loaded.
    pub async fn load(options: WasmOptions, path: &Path) -> Result<Self, WasmError> {
        let options = WasmOptions { folders: Vec::new(), bundled: Vec::new(), watch: false, ..options };
        let plugins = WasmPlugins::open(options).await?;
        Ok(Self { loaded: plugins.load_file(path).await? })
    }

    /// What the plugin is.
    pub fn info(&self) -> &PluginInfo {
        &self.loaded.info
    }

    /// What its executors say of themselves.
    pub fn executors(&self) -> &[ExecutorInfo] {
        &self.loaded.executors
    }

    /// Runs one case of the file `file`.
    ///
    /// # Errors
    /// If the sandbox cannot be set up; whatever the plugin does is in the report.
    pub async fn run(&self, file: &Path, case: &Case) -> Result<Report, WasmError> {
        let around = self.surroundings(case, allowed(self.asked()), None)?;
        let began = Instant::now();
        let (mut mismatches, said) = if let Some(event) = &case.event {
            self.ask_hook(&around, case, event).await
        } else if let Some(batch) = &case.batch {
            self.feed(&around, case, batch).await
        } else {
            self.execute(&around, case).await
        };
        let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        mismatches.extend(around.network.mismatches());
        mismatches.extend(around.after(case));
        mismatches.extend(around.leaks(case, &said));
        Ok(Report {
            name: case.name.clone(),
            file: file.to_owned(),
            passed: mismatches.is_empty(),
            wall_us,
            mismatches,
            progress: around.run.progress(),
        })
    }

    /// A plugin by itself, for `check`: nothing of the machine is granted, and nothing is faked.
    pub(crate) fn alone(&self, sharing: Option<Sharing>) -> Result<Arc<Plugin>, WasmError> {
        let outside = Capabilities::default();
        Ok(self.surroundings(&Case::default(), outside, sharing)?.plugin)
    }

    fn asked(&self) -> Capabilities {
        self.loaded.plugin.identity.grants.get().requested().clone()
    }

    fn surroundings(
        &self,
        case: &Case,
        allowed: Capabilities,
        sharing: Option<Sharing>,
    ) -> Result<Surroundings, WasmError> {
        let network = Arc::new(Network::new(case.http.clone()));
        let state = Arc::new(State::new(&case.state));
        let run = Arc::new(Run::new(case.checkpoint.as_ref(), &case.child));
        let http = HttpClient::new(HttpClientOptions {
            stand_in: Some(Arc::clone(&network) as _),
            secrets: Arc::new(Secrets(case.secrets.clone())),
            ..HttpClientOptions::default()
        })
        .map_err(|error| Problem::Sandbox(format!("no TLS: {error}")))?;
        let known = &self.loaded.plugin.identity;
        let identity = Identity {
            grants: LiveGrants::new(Grants::new(known.name.clone(), self.asked(), allowed)),
            http: Arc::new(http),
            services: Services { state: Arc::clone(&state) as _, ..known.services.clone() },
            time: case.now,
            ..Identity::clone(known)
        };
        let plugin = self.loaded.plugin.afresh(identity, sharing);
        Ok(Surroundings { plugin, network, state, run })
    }

    async fn execute(&self, around: &Surroundings, case: &Case) -> (Vec<Mismatch>, String) {
        let info = match self.executor(case.executor.as_deref()) {
            Ok(info) => info,
            Err(mismatch) => return (vec![mismatch], String::new()),
        };
        let inputs = Value::Object(case.inputs.clone().unwrap_or_default());
        let ended = match refuse(info, &inputs) {
            Some(error) => Err((error, None)),
            None => call(&around.plugin, info, &around.run, invocation(case, info, inputs)).await,
        };
        let said = match &ended {
            Ok(result) => result.to_string(),
            Err((error, _)) => expect::value(error).to_string(),
        };
        (expect::outcome(case, &ended), said)
    }

    fn executor(&self, named: Option<&str>) -> Result<&ExecutorInfo, Mismatch> {
        let all = &self.loaded.executors;
        let found = match (named, all.as_slice()) {
            (Some(id), all) => all.iter().find(|info| info.id == id),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let ids = || all.iter().map(|info| info.id.as_str()).collect::<Vec<_>>();
        found.ok_or_else(|| Mismatch::new("executor", named.unwrap_or("one that the case names"), ids()))
    }

    async fn ask_hook(&self, around: &Surroundings, case: &Case, event: &EventOf) -> (Vec<Mismatch>, String) {
        let subscriptions = self.loaded.subscriptions.clone().unwrap_or_default();
        if !subscriptions.iter().any(|one| one.covers(event.point, event.executor.as_deref())) {
            let points: Vec<_> = subscriptions.iter().map(|one| one.point.as_str()).collect();
            let expected = format!("{} for executor {:?}", event.point.as_str(), event.executor);
            return (vec![Mismatch::new("subscription", expected, points)], String::new());
        }
        let hook = PluginHook::new(Arc::clone(&around.plugin), subscriptions, self.loaded.hooks);
        match hook.on_event(hook_event(case, event)).await {
            Ok(got) => {
                let said = format!("{got:?}");
                let mismatches = match (&case.decision, &case.failure) {
                    (Some(expected), _) => expect::decision(expected, &got),
                    (None, Some(_)) => vec![Mismatch::new("failure", "a failure", said.as_str())],
                    (None, None) => Vec::new(),
                };
                (mismatches, said)
            }
            Err(error) => (failed(case, "decision", &error), expect::value(&error).to_string()),
        }
    }

    async fn feed(
        &self,
        around: &Surroundings,
        case: &Case,
        batch: &[MeasurementOf],
    ) -> (Vec<Mismatch>, String) {
        if !self.loaded.collects {
            let kinds = self.loaded.info.kinds.clone();
            return (vec![Mismatch::new("kind", "collector", kinds)], String::new());
        }
        let collector = PluginCollector(Arc::clone(&around.plugin));
        let at = case.now.unwrap_or(THEN);
        let events = (1_i64..).zip(batch).map(|(seq, one)| measured(seq, at, one)).collect();
        let rendered = match collector.collect(events).await {
            Ok(()) => collector.render().await,
            Err(error) => Err(error),
        };
        match rendered {
            Ok(text) => {
                let parts =
                    case.render_contains.as_ref().map(super::file::OneOrMore::all).unwrap_or_default();
                let missing = parts.iter().filter(|part| !text.contains(part.as_str()));
                let mut mismatches: Vec<_> = missing
                    .map(|part| Mismatch::new("render_contains", part.as_str(), text.as_str()))
                    .collect();
                if case.failure.is_some() {
                    mismatches.push(Mismatch::new("failure", "a failure", text.as_str()));
                }
                (mismatches, text)
            }
            Err(error) => (failed(case, "render", &error), expect::value(&error).to_string()),
        }
    }
}

impl Surroundings {
    /// What the plugin has left behind, against what the case says.
    fn after(&self, case: &Case) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        for (key, expected) in case.state_after.iter().flatten() {
            let got = self.state.value(key);
            if !got.as_ref().is_some_and(|got| expect::same(expected, got)) {
                mismatches.push(Mismatch::new(&format!("state.{key}"), expected.clone(), got));
            }
        }
        let checkpoint = self.run.checkpoint();
        if let Some(expected) = &case.checkpoint_after
            && !checkpoint.as_ref().is_some_and(|got| expect::same(expected, got))
        {
            mismatches.push(Mismatch::new("checkpoint", expected.clone(), checkpoint));
        }
        let reports = self.run.progress();
        if let Some(part) = &case.progress_contains
            && !reports.iter().any(|report| report.contains(part))
        {
            mismatches.push(Mismatch::new("progress_contains", part.as_str(), reports));
        }
        let (refused, left) = self.run.children();
        for tree in refused {
            mismatches.push(Mismatch::new("unexpected child tree", "a [[case.child]] for it", tree));
        }
        if left > 0 {
            mismatches.push(Mismatch::new("child trees that were not submitted", 0, left));
        }
        mismatches
    }

    /// Values of secrets that the plugin has seen, as everything shows that it gave away.
    fn leaks(&self, case: &Case, said: &str) -> Vec<Mismatch> {
        let all = [said, &self.run.text(), &self.state.text()].concat();
        let leaked =
            case.secrets.iter().filter(|(_, value)| !value.is_empty() && all.contains(value.as_str()));
        leaked
            .map(|(name, _)| {
                Mismatch::new(
                    &format!("secret `{name}`"),
                    "never in the plugin's hands",
                    "its value came back",
                )
            })
            .collect()
    }
}

/// One call of an executor.
pub(crate) async fn call(
    plugin: &Arc<Plugin>,
    info: &ExecutorInfo,
    run: &Arc<impl RunContext>,
    call: Invocation,
) -> Ended {
    let executor = PluginExecutor::new(info.clone(), Arc::clone(plugin));
    let outcome = executor.execute(call, Arc::clone(run) as Arc<dyn RunContext>).await;
    outcome.result.map(|json| json.value()).map_err(|failure| (failure.error, failure.retry_after))
}

/// A run of nothing but a call.
pub(crate) fn bare_run() -> Arc<impl RunContext> {
    Arc::new(Run::default())
}

/// The call of a case.
pub(crate) fn invocation(case: &Case, info: &ExecutorInfo, inputs: Value) -> Invocation {
    Invocation {
        executor: info.id.clone(),
        task_id: TaskId::from("case".to_owned()),
        tree_id: TreeId::from("case".to_owned()),
        attempt: case.attempt.max(1),
        idempotency_key: case.idempotency_key.clone().unwrap_or_else(|| "case".into()),
        timeout: case.timeout_ms.map(Duration::from_millis),
        inputs: Json::from(inputs),
        params: Json::from(Value::Object(case.params.clone())),
        trace_parent: None,
    }
}

/// What the host says to inputs that do not fit, before the plugin sees them.
fn refuse(info: &ExecutorInfo, inputs: &Value) -> Option<TaskError> {
    let violation = super::violation(&info.input_schema, inputs)?;
    Some(schema_violation(&info.id, violation.pointer, violation.problem))
}

/// The operator's side of a case, which is in the way of nothing that the plugin asks for, so that a refusal speaks of the
/// plugin's side alone. Secrets come from the case, sockets lead nowhere, and streams, which cannot be faked, are not there.
fn allowed(mut asked: Capabilities) -> Capabilities {
    let everywhere = || "*".parse().into_iter().collect::<Vec<_>>();
    asked.secrets = asked
        .secrets
        .into_iter()
        .map(|rule| SecretRule {
            from: Some(format!("{SECRET}{}", rule.name)),
            hosts: if rule.hosts.is_empty() { everywhere() } else { rule.hosts },
            name: rule.name,
        })
        .collect();
    for rule in &mut asked.unix {
        rule.socket = Some("/nonexistent".into());
    }
    Capabilities {
        http: everywhere(),
        private_network: "*".parse().into_iter().collect(),
        process: "*".parse().into_iter().collect(),
        system: true,
        state: true,
        tasks: true,
        net: Vec::new(),
        ..asked
    }
}

fn failed(case: &Case, what: &str, error: &TaskError) -> Vec<Mismatch> {
    match &case.failure {
        Some(expected) => expect::failure("failure", expected, error, None),
        None => vec![Mismatch::new(what, "no failure", expect::value(error))],
    }
}

fn hook_event(case: &Case, event: &EventOf) -> HookEvent {
    let object = |map: &Map<String, Value>| Json::from(Value::Object(map.clone()));
    let of_tree = event.point.as_str().starts_with("tree.");
    HookEvent {
        point: event.point,
        at: case.now.unwrap_or(THEN),
        tree_id: TreeId::from("case".to_owned()),
        task_id: (!of_tree).then(|| TaskId::from("case".to_owned())),
        executor: event.executor.clone(),
        attempt: event.attempt,
        inputs: event.inputs.as_ref().map(object),
        outcome: event.outcome.clone().map(Json::from),
        subject: object(&event.subject),
        extra: Json::object(),
    }
}

fn measured(seq: i64, at: Timestamp, one: &MeasurementOf) -> Event {
    let of_tree = one.kind.ends_tree() || one.kind == EventKind::TreeStarted;
    let mut data = Map::new();
    if let Some(code) = &one.code {
        data.insert("error".into(), json!({ "code": code }));
    }
    if let Some(receipt) = &one.receipt {
        data.insert("receipt".into(), receipt.clone());
    }
    Event {
        seq: Seq(seq),
        tree_id: TreeId::from("case".to_owned()),
        task_id: (!of_tree).then(|| TaskId::from("case".to_owned())),
        executor: one.executor.clone(),
        attempt: one.attempt,
        kind: one.kind,
        at,
        started_at: Some(at.minus(Duration::try_from_secs_f64(one.duration_ms / 1000.0).unwrap_or_default())),
        data: Some(Json::from(Value::Object(data))),
    }
}
