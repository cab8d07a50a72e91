//! Calling an executor in a unit test, without a host: JSON in, JSON out, through the same code as in a component.

use serde_json::Value;

use crate::bindings::types::Invocation;
use crate::{Context, Executor, Failure, executor};

/// Runs `E` once with these inputs: reads them, executes, writes the result.
pub fn call<E: Executor>(inputs: Value) -> Result<Value, Failure> {
    call_with::<E>(inputs, Value::Object(serde_json::Map::new()))
}

/// As [`call`], with the task's params.
pub fn call_with<E: Executor>(inputs: Value, params: Value) -> Result<Value, Failure> {
    let call = Invocation { executor: E::ID.to_owned(), ..invocation(inputs, params) };
    Ok(serde_json::from_str(&executor::call::<E>(call)?)?)
}

/// A context with these params: task `test-task`, tree `test-tree`, first attempt, no timeout.
pub fn context(params: Value) -> Context {
    Context::new(invocation(Value::Null, params))
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
fn invocation(inputs: Value, params: Value) -> Invocation {
    Invocation {
        executor: "test_executor".to_owned(),
        task_id: "test-task".to_owned(),
        tree_id: "test-tree".to_owned(),
        attempt: 1,
        idempotency_key: "test-key".to_owned(),
        timeout_ms: None,
        inputs: inputs.to_string(),
        params: params.to_string(),
        trace_parent: None,
        extra: "{}".to_owned(),
    }
}
