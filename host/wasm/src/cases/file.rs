//! `tests/cases.toml`: what a plugin's author writes down. Read strictly, so that a misspelt expectation is an error with
//! its line and not a case that passes by checking nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apflow_core::clock::Timestamp;
use apflow_core::error::FailureKind;
use apflow_core::event::EventKind;
use apflow_core::plugin::HookPoint;
use apflow_core::task::TaskStatus;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};
use toml::Spanned;

/// Why a file of cases cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", .path.display(), .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct CaseFileError {
    /// The file.
    pub path: PathBuf,
    /// From 1; none where the problem has no place.
    pub line: Option<usize>,
    /// What is wrong, with the key and the remedy.
    pub problem: String,
}

/// A file of cases.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// Where it was read.
    pub path: PathBuf,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// One case: a call, the world around it, and what is expected of it; at least one thing is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What people call it.
    pub name: String,
    /// The executor; may be left out where the plugin has one.
    pub executor: Option<String>,
    /// The task's inputs.
    #[serde(default)]
    pub inputs: Option<Map<String, Value>>,
    /// The task's params.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// From 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// Given to the plugin; `case` where it is left out.
    pub idempotency_key: Option<String>,
    /// The task's own timeout in milliseconds.
    pub timeout_ms: Option<u64>,
    /// What the guest's clocks say; the real time where it is left out.
    #[serde(default, deserialize_with = "point")]
    pub now: Option<Timestamp>,
    /// The event that a hook is asked about.
    pub event: Option<EventOf>,
    /// The events that a collector is fed with.
    pub batch: Option<Vec<MeasurementOf>>,
    /// Answers in the network's stead.
    #[serde(default)]
    pub http: Vec<HttpAnswer>,
    /// Values of secrets by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The plugin's state before.
    #[serde(default)]
    pub state: BTreeMap<String, Value>,
    /// The task's checkpoint before.
    pub checkpoint: Option<Value>,
    /// Ends of child trees, in the order in which they are submitted.
    #[serde(default)]
    pub child: Vec<ChildOf>,
    /// The whole result.
    pub result: Option<Value>,
    /// The whole result as JSON text, for what TOML cannot write (`null`).
    pub result_json: Option<String>,
    /// A part of the result: keys of objects may be more, everything else is equal.
    pub result_contains: Option<Value>,
    /// A JSON Schema of the result.
    pub result_schema: Option<Value>,
    /// The failure instead of a result.
    pub failure: Option<FailureOf>,
    /// A hook's decision: `"proceed"`, or a table with one of `replace_inputs`, `supply_result`, `delay_ms`, `veto`.
    pub decision: Option<DecisionOf>,
    /// What the collector's `render` has after the batch.
    pub render_contains: Option<OneOrMore>,
    /// What one of the progress reports says.
    pub progress_contains: Option<String>,
    /// The plugin's state after; only the keys named here are looked at.
    pub state_after: Option<BTreeMap<String, Value>>,
    /// The task's checkpoint after.
    pub checkpoint_after: Option<Value>,
}

/// A failure, as far as it is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureOf {
    /// `bad_input`, `retryable`, `permanent`, `cancelled`, `plugin`.
    pub kind: Option<FailureKind>,
    /// Its code.
    pub code: Option<String>,
    /// A part of its sentence.
    pub message_contains: Option<String>,
    /// The JSON pointer into the inputs.
    pub pointer: Option<String>,
    /// The shortest wait that it names.
    pub after_ms: Option<u64>,
}

/// A faked answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAnswer {
    /// Of the request.
    #[serde(default = "get")]
    pub method: String,
    /// Of the request; `*` stands for any text.
    pub url: String,
    /// Headers that the request must have; others may be there.
    #[serde(default)]
    pub request_headers: BTreeMap<String, String>,
    /// What the request's body must have in it.
    pub request_contains: Option<String>,
    /// The request's body as JSON.
    pub request_json: Option<Value>,
    /// Of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Of the answer.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The answer's body as text.
    pub body: Option<String>,
    /// The answer's body as JSON, with the content type set.
    pub json: Option<Value>,
    /// How often it must be asked for.
    #[serde(default = "once")]
    pub times: u32,
}

/// What becomes of a child tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildOf {
    /// A part that the submitted tree must have, as `result_contains`.
    pub tree_contains: Option<Value>,
    /// `completed`, `failed` or `cancelled`.
    #[serde(default = "completed")]
    pub status: TaskStatus,
    /// The root's result.
    pub result: Option<Value>,
    /// The sentence of the root's error.
    pub error: Option<String>,
}

/// An event for a hook.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventOf {
    /// The point.
    #[serde(deserialize_with = "hook_point")]
    pub point: HookPoint,
    /// The task's executor.
    pub executor: Option<String>,
    /// From 1; 0 where there is none.
    #[serde(default)]
    pub attempt: u32,
    /// Resolved inputs.
    pub inputs: Option<Map<String, Value>>,
    /// After a run.
    pub outcome: Option<Value>,
    /// Name, owner, params, priority and metadata.
    #[serde(default)]
    pub subject: Map<String, Value>,
}

/// A hook's decision.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionOf {
    /// Go on.
    Proceed,
    /// With these inputs.
    ReplaceInputs(Value),
    /// Without a run.
    SupplyResult(Value),
    /// Later.
    DelayMs(u64),
    /// Refused.
    Veto(FailureOf),
}

/// An event for a collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementOf {
    /// As in the event log: `task.completed`, …
    pub kind: EventKind,
    /// The task's executor.
    pub executor: Option<String>,
    /// From 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// From start to end in milliseconds.
    #[serde(default)]
    pub duration_ms: f64,
    /// The error's code, where it failed.
    pub code: Option<String>,
    /// The receipt.
    pub receipt: Option<Value>,
}

/// One text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

impl CaseFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first problem with its line.
    pub fn read(path: &Path) -> Result<Self, CaseFileError> {
        let text = std::fs::read_to_string(path).map_err(|error| CaseFileError {
            path: path.to_owned(),
            line: None,
            problem: format!("cannot be read: {error}"),
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first problem with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaseFileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            case: Vec<Spanned<Case>>,
        }
        let refuse = |line, problem| CaseFileError { path: path.to_owned(), line, problem };
        let before = |offset: usize| text.as_bytes().iter().take(offset);
        let line_of = |offset| before(offset).filter(|byte| **byte == b'\n').count() + 1;
        let file: File = toml::from_str(text).map_err(|error| {
            refuse(error.span().map(|span| line_of(span.start)), error.message().trim_end().to_owned())
        })?;
        if file.case.is_empty() {
            return Err(refuse(None, "there is no [[case]]".into()));
        }
        for case in &file.case {
            let name = &case.get_ref().name;
            let at = |problem| refuse(Some(line_of(case.span().start)), format!("case `{name}`: {problem}"));
            case.get_ref().check().map_err(at)?;
        }
        let cases = file.case.into_iter().map(Spanned::into_inner).collect();
        Ok(Self { path: path.to_owned(), cases })
    }
}

impl Case {
    /// What the shape alone cannot say.
    fn check(&self) -> Result<(), String> {
        let kinds = [self.event.is_some(), self.batch.is_some()];
        let is_task = kinds == [false, false];
        if kinds == [true, true] {
            return Err("`event` is for hooks and `batch` for collectors; a case has one of them".into());
        }
        let of_task: [(&str, bool); 10] = [
            ("executor", self.executor.is_some()),
            ("inputs", self.inputs.is_some()),
            ("params", !self.params.is_empty()),
            ("result", self.result.is_some()),
            ("result_json", self.result_json.is_some()),
            ("result_contains", self.result_contains.is_some()),
            ("result_schema", self.result_schema.is_some()),
            ("checkpoint", self.checkpoint.is_some()),
            ("child", !self.child.is_empty()),
            ("progress_contains", self.progress_contains.is_some()),
        ];
        if let (false, Some((key, _))) = (is_task, of_task.iter().find(|(_, there)| *there)) {
            return Err(format!("`{key}` is for executors, and this case has an `event` or a `batch`"));
        }
        if self.decision.is_some() && self.event.is_none() {
            return Err("`decision` is for hooks: say about which `event`".into());
        }
        if self.render_contains.is_some() && self.batch.is_none() {
            return Err("`render_contains` is for collectors: say after which `batch`".into());
        }
        let results = of_task[3..7].iter().any(|(_, there)| *there);
        if self.failure.is_some() && (results || self.decision.is_some() || self.render_contains.is_some()) {
            return Err("a case that expects a `failure` cannot expect a result, too".into());
        }
        let others = self.state_after.is_some() || self.checkpoint_after.is_some() || !self.http.is_empty();
        let any = results || others || self.failure.is_some() || self.decision.is_some();
        if !any && self.render_contains.is_none() && self.progress_contains.is_none() {
            let remedy =
                "`result`, `result_contains`, `result_schema`, `failure`, `decision` or `render_contains`";
            return Err(format!("it expects nothing; write {remedy}"));
        }
        if let Some(text) = &self.result_json {
            serde_json::from_str::<Value>(text)
                .map_err(|error| format!("`result_json` is not JSON: {error}"))?;
        }
        if let Some(schema) = &self.result_schema {
            jsonschema::validator_for(schema)
                .map_err(|error| format!("`result_schema` is not a JSON Schema: {error}"))?;
        }
        if let Some(answer) = self.http.iter().find(|answer| answer.body.is_some() && answer.json.is_some()) {
            return Err(format!(
                "the answer to {} {} has `body` and `json`; write one",
                answer.method, answer.url
            ));
        }
        Ok(())
    }
}

fn first() -> u32 {
    1
}

fn once() -> u32 {
    1
}

fn ok() -> u16 {
    200
}

fn get() -> String {
    "GET".into()
}

fn completed() -> TaskStatus {
    TaskStatus::Completed
}

fn point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Timestamp::parse(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

fn hook_point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HookPoint, D::Error> {
    let text = String::deserialize(deserializer)?;
    HookPoint::parse(&text).ok_or_else(|| {
        let all: Vec<_> = HookPoint::ALL.iter().map(|point| point.as_str()).collect();
        D::Error::custom(format!("`{text}` is not a point of hooks; there are {}", all.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CaseFile, CaseFileError> {
        CaseFile::parse(Path::new("tests/cases.toml"), text)
    }

    #[test]
    fn a_whole_case_is_read() {
        let file = parse(
            r#"
[[case]]
name = "asks for the weather"
executor = "weather"
inputs = { city = "Aachen" }
now = "2026-01-01T00:00:00Z"
secrets = { key = "s3cr3t-value" }
state = { seen = 1 }
result_contains = { warm = false }

[[case.http]]
url = "https://api.example.com/*"
request_headers = { authorization = "Bearer s3cr3t-value" }
json = { degrees = 3 }
times = 2

[[case]]
name = "decides"
event = { point = "task.before-run", inputs = {} }
decision = { delay_ms = 500 }

[[case]]
name = "refuses"
event = { point = "tree.created" }
decision = { veto = { code = "no" } }

[[case]]
name = "goes on"
event = { point = "tree.created" }
decision = "proceed"

[[case]]
name = "counts"
batch = [{ kind = "task.completed", duration_ms = 3.5 }]
render_contains = ["a 1", "b 2"]
"#,
        )
        .unwrap();
        assert_eq!(file.cases.len(), 5);
        assert_eq!((file.cases[0].http[0].times, file.cases[0].http[0].method.as_str()), (2, "GET"));
        assert!(matches!(file.cases[1].decision, Some(DecisionOf::DelayMs(500))));
        assert!(matches!(file.cases[3].decision, Some(DecisionOf::Proceed)));
        assert_eq!(file.cases[4].render_contains.as_ref().unwrap().all().len(), 2);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        let case = |rest: &str| format!("[[case]]\nname = 'a'\n{rest}\n");
        for (text, line, part) in [
            (String::new(), None, "no [[case]]"),
            (case("result = 1\ninput = {}"), Some(4), "unknown field `input`"),
            (format!("\n\n{}", case("")), Some(3), "it expects nothing"),
            ("[[case]]\nresult = 1\n".into(), Some(1), "missing field `name`"),
            (case("result = 1\nfailure = { code = 'x' }"), Some(1), "cannot expect a result"),
            (case("result = 1\nnow = 'noon'"), Some(4), "not an RFC 3339 time"),
            (case("event = { point = 'lunch' }\ndecision = 'proceed'"), Some(3), "`lunch` is not a point"),
            (case("decision = 'proceed'"), Some(1), "say about which `event`"),
            (case("event = { point = 'placement' }\nresult = 1"), Some(1), "`result` is for executors"),
            (case("result_json = '{'"), Some(1), "is not JSON"),
            (case("failure = { kind = 'angry' }"), Some(3), "unknown variant `angry`"),
            ("[[case]\n".into(), Some(1), ""),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.problem.contains(part), "{text}: {error}");
        }
    }
}
