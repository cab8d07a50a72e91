//! The host of a case: state, secrets, checkpoint and child trees, as far as the case names them. Each keeps what the
//! plugin did, to be compared afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apflow_core::error::{Error, ErrorCode, FailureKind, Result, TaskError};
use apflow_core::id::TaskId;
use apflow_core::json::Json;
use apflow_core::plugin::RunContext;
use apflow_core::plugin::services::{ChildEnd, ChildLimits, Expected, PluginState, SecretSource, StateEntry};
use async_trait::async_trait;
use serde_json::Value;

use super::expect::contains;
use super::file::ChildOf;

/// What stands before the name of a secret in grants that a case makes.
pub(crate) const SECRET: &str = "case:";

/// Secrets by name.
#[derive(Debug)]
pub(crate) struct Secrets(pub BTreeMap<String, String>);

#[async_trait]
impl SecretSource for Secrets {
    async fn secret(&self, reference: &str) -> Result<String> {
        let name = reference.strip_prefix(SECRET).unwrap_or(reference);
        self.0.get(name).cloned().ok_or_else(|| {
            Error::new(ErrorCode::InvalidParams, format!("the case has no `{name}` in `secrets`"))
        })
    }
}

/// State in memory.
#[derive(Debug, Default)]
pub(crate) struct State(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    entries: BTreeMap<String, StateEntry>,
    writes: u64,
}

impl State {
    pub fn new(before: &BTreeMap<String, Value>) -> Self {
        let entry = |value: &Value| StateEntry { value: Json::from(value.clone()), version: 0 };
        let entries = before.iter().map(|(key, value)| (key.clone(), entry(value))).collect();
        Self(Mutex::new(States { entries, writes: 0 }))
    }

    /// The value of a key now.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.lock().entries.get(key).map(|entry| entry.value.value())
    }

    /// All of it as one text.
    pub fn text(&self) -> String {
        self.lock().entries.values().map(|entry| entry.value.as_str().to_owned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PluginState for State {
    async fn get(&self, _: &str, key: &str) -> Result<Option<StateEntry>> {
        Ok(self.lock().entries.get(key).cloned())
    }

    async fn write(
        &self,
        _: &str,
        key: &str,
        expected: Expected,
        value: Option<Json>,
        most_keys: u32,
    ) -> Result<bool> {
        let mut states = self.lock();
        let there = states.entries.get(key).map(|entry| entry.version);
        let fits = match expected {
            Expected::Any => true,
            Expected::Absent => there.is_none(),
            Expected::Version(version) => there == Some(version),
        };
        if !fits {
            return Ok(false);
        }
        states.writes += 1;
        let version = states.writes;
        match value {
            None => drop(states.entries.remove(key)),
            Some(_) if there.is_none() && states.entries.len() >= most_keys as usize => {
                let text = format!("The plugin has {most_keys} keys already, the most it may have");
                return Err(Error::new(ErrorCode::LimitExceeded, text));
            }
            Some(value) => drop(states.entries.insert(key.to_owned(), StateEntry { value, version })),
        }
        Ok(true)
    }
}

/// The run that a case is.
#[derive(Debug, Default)]
pub(crate) struct Run(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    progress: Vec<String>,
    checkpoint: Option<Json>,
    /// Not yet submitted.
    children: Vec<ChildOf>,
    submitted: Vec<(String, Json, ChildOf)>,
    refused: Vec<String>,
}

impl Run {
    pub fn new(checkpoint: Option<&Value>, children: &[ChildOf]) -> Self {
        let checkpoint = checkpoint.cloned().map(Json::from);
        Self(Mutex::new(Running { checkpoint, children: children.to_vec(), ..Running::default() }))
    }

    /// Sentences and partial results of the reports.
    pub fn progress(&self) -> Vec<String> {
        self.lock().progress.clone()
    }

    /// The checkpoint now.
    pub fn checkpoint(&self) -> Option<Value> {
        self.lock().checkpoint.as_ref().map(Json::value)
    }

    /// Trees that the case has no end for, and ends that no tree came for.
    pub fn children(&self) -> (Vec<String>, usize) {
        let running = self.lock();
        (running.refused.clone(), running.children.len())
    }

    /// Everything that the plugin gave away here, as one text.
    pub fn text(&self) -> String {
        let running = self.lock();
        let trees = running.submitted.iter().map(|(_, tree, _)| tree.as_str());
        let checkpoint = running.checkpoint.iter().map(Json::as_str);
        running.progress.iter().map(String::as_str).chain(trees).chain(checkpoint).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RunContext for Run {
    fn report(&self, fraction: f64, message: Option<String>, partial: Option<Json>) {
        let partial = partial.map(|json| format!(" {}", json.as_str())).unwrap_or_default();
        let message = message.unwrap_or_default();
        self.lock().progress.push(format!("{:.0} % {message}{partial}", fraction * 100.0));
    }

    async fn load_checkpoint(&self) -> Result<Option<Json>> {
        Ok(self.lock().checkpoint.clone())
    }

    async fn save_checkpoint(&self, data: Option<Json>) -> Result<()> {
        self.lock().checkpoint = data;
        Ok(())
    }

    async fn submit_child(&self, tree: Json, key: &str, limits: ChildLimits) -> Result<TaskId> {
        let mut running = self.lock();
        let root = |at: usize| TaskId::from(format!("child-{}", at + 1));
        if let Some(at) = running.submitted.iter().position(|(one, ..)| one == key) {
            if running.submitted[at].1.value() != tree.value() {
                let text = format!("The key `{key}` stands for another tree already");
                return Err(Error::new(ErrorCode::IdempotencyConflict, text));
            }
            return Ok(root(at));
        }
        limits.check(0, u32::try_from(running.submitted.len()).unwrap_or(u32::MAX))?;
        let fits =
            |child: &ChildOf| child.tree_contains.as_ref().is_none_or(|part| contains(part, &tree.value()));
        let Some(at) = running.children.iter().position(fits) else {
            running.refused.push(tree.as_str().to_owned());
            return Err(Error::new(ErrorCode::InvalidTree, "no [[case.child]] is for this tree"));
        };
        let child = running.children.remove(at);
        running.submitted.push((key.to_owned(), tree, child));
        Ok(root(running.submitted.len() - 1))
    }

    async fn await_child(&self, id: &TaskId) -> Result<ChildEnd> {
        let running = self.lock();
        let number = id.as_str().strip_prefix("child-").and_then(|number| number.parse::<usize>().ok());
        let child = number.and_then(|number| running.submitted.get(number.checked_sub(1)?));
        let Some((_, _, child)) = child else { return Err(Error::task_not_found(id)) };
        Ok(ChildEnd {
            status: child.status,
            result: child.result.clone().map(Json::from),
            error: child
                .error
                .as_ref()
                .map(|text| TaskError::new(FailureKind::Permanent, "case", text.as_str())),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn state_compares_and_sets() {
        let state = State::new(&BTreeMap::from([("a".to_owned(), json!(1))]));
        let version = state.get("p", "a").await.unwrap().unwrap().version;
        let write = |expected, value: i32| state.write("p", "a", expected, Some(json!(value).into()), 1);
        assert!(!write(Expected::Absent, 2).await.unwrap());
        assert!(write(Expected::Version(version), 3).await.unwrap());
        assert!(!write(Expected::Version(version), 4).await.unwrap());
        assert_eq!(state.value("a"), Some(json!(3)));
        assert!(
            state.write("p", "b", Expected::Any, Some(json!(1).into()), 1).await.is_err(),
            "one key is the most"
        );
    }

    #[tokio::test]
    async fn children_end_as_the_case_says() {
        let child: ChildOf = toml::from_str("tree_contains = [{ name = \"x\" }]\nresult = 7").unwrap();
        let run = Run::new(None, &[child]);
        let limits = ChildLimits { count: 9, depth: 1 };
        let other = run.submit_child(json!([{"name": "y"}]).into(), "1", limits).await;
        assert_eq!(other.unwrap_err().code, ErrorCode::InvalidTree);
        let root =
            run.submit_child(json!([{"name": "x", "executor": "e"}]).into(), "2", limits).await.unwrap();
        assert_eq!(run.await_child(&root).await.unwrap().result, Some(json!(7).into()));
        assert_eq!(run.children().0.len(), 1);
        assert!(run.await_child(&TaskId::from("child-2".to_owned())).await.is_err());
    }
}
