//! `aggregate_results_executor`: gathers the results of the tasks it depends on. The host hands them over as inputs,
//! keyed by task id; this plugin sorts out what is not a result and adds a summary.

use apflow_sdk::prelude::*;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Inputs that are never results: marks that older hooks leave.
const MARKS: [&str; 2] = ["_pre_hook_executed", "_pre_hook_timestamp"];

/// How many ids the summary names before it becomes unreadable.
const NAMED: usize = 3;

#[derive(Debug, Serialize, JsonSchema)]
struct Aggregate {
    /// One sentence: how many results, and of whom if there are few.
    summary: String,
    /// When they were gathered: RFC 3339, UTC.
    timestamp: String,
    /// The results by task id.
    results: Map<String, Value>,
    /// How many results there are.
    result_count: usize,
}

struct AggregateResults;

impl Executor for AggregateResults {
    const ID: &'static str = "aggregate_results_executor";
    const NAME: &'static str = "Aggregate results";
    const DESCRIPTION: &'static str = "Gathers the results of all tasks it depends on into one object, keyed by task id. \
        Inputs whose name contains a dot are not results and are left out. Needs nothing.";
    const TAGS: &'static [&'static str] = &["core", "aggregation"];
    const CANCELABLE: bool = true;
    const IDEMPOTENT: bool = true;
    type Input = Map<String, Value>;
    type Output = Aggregate;

    fn execute(input: Map<String, Value>, _ctx: &Context) -> Result<Aggregate, Failure> {
        aggregate(input, now())
    }

    fn examples() -> Vec<Value> {
        vec![json!({"cpu": {"cores": 8}, "memory": {"total_gb": 16.0}})]
    }

    fn demo_result() -> Option<Aggregate> {
        let results = Map::from_iter([("demo-task".to_owned(), json!({"result": "demo"}))]);
        aggregate(results, OffsetDateTime::UNIX_EPOCH).ok()
    }
}

apflow_sdk::export_executors!(AggregateResults);

/// Gathers everything in `input` that is a result.
fn aggregate(mut input: Map<String, Value>, at: OffsetDateTime) -> Result<Aggregate, Failure> {
    input.retain(|key, _| !key.contains('.') && !MARKS.contains(&key.as_str()));
    let timestamp = at.format(&Rfc3339).map_err(|error| Failure::from_error("bad_clock", &error))?;
    Ok(Aggregate { summary: summary(&input), timestamp, result_count: input.len(), results: input })
}

fn summary(results: &Map<String, Value>) -> String {
    let ids: Vec<&str> = results.keys().map(String::as_str).collect();
    match ids.len() {
        0 => "No task results to aggregate".to_owned(),
        1 => format!("Aggregated 1 task result from: {}", ids[0]),
        count if count <= NAMED => format!("Aggregated {count} task results from: {}", ids.join(", ")),
        count => format!("Aggregated {count} task results"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock which the host grants")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregated(input: Value) -> Aggregate {
        let Value::Object(input) = input else { panic!("not an object") };
        aggregate(input, OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1500)).unwrap()
    }

    #[test]
    fn gathers_results_by_task_id_nulls_included() {
        let done = aggregated(json!({"a": {"x": 1}, "b": null}));
        assert_eq!(Value::Object(done.results), json!({"a": {"x": 1}, "b": null}));
        assert_eq!(done.result_count, 2);
        assert_eq!(done.summary, "Aggregated 2 task results from: a, b");
        assert_eq!(done.timestamp, "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn leaves_out_what_is_not_a_result() {
        let done =
            aggregated(json!({"a": 1, "a.b": 2, "_pre_hook_executed": true, "_pre_hook_timestamp": "t"}));
        assert_eq!(Value::Object(done.results), json!({"a": 1}));
        assert_eq!(done.summary, "Aggregated 1 task result from: a");
    }

    #[test]
    fn says_so_when_there_is_nothing_or_much() {
        assert_eq!(aggregated(json!({})).summary, "No task results to aggregate");
        let many = aggregated(json!({"a": 1, "b": 2, "c": 3, "d": 4}));
        assert_eq!((many.summary.as_str(), many.result_count), ("Aggregated 4 task results", 4));
    }

    #[test]
    fn reads_the_clock_once_called() {
        let result = apflow_sdk::testing::call::<AggregateResults>(json!({"a": 1})).unwrap();
        let at = result["timestamp"].as_str().unwrap();
        assert!(at.len() > 20 && at.ends_with('Z') && at > "2025", "{at}");
    }
}
