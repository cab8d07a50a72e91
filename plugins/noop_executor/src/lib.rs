//! `noop_executor`: does nothing, at once. What is left of a task's time is the host's own cost, so benchmarks use it;
//! with `echo` it shows what inputs a task really gets.

use apflow_sdk::prelude::*;

struct Noop;

impl Executor for Noop {
    const ID: &'static str = "noop_executor";
    const NAME: &'static str = "No operation";
    const DESCRIPTION: &'static str =
        "Returns {\"ok\": true} at once, or its inputs when the input `echo` is true. Needs nothing.";
    const TAGS: &'static [&'static str] = &["core", "test", "benchmark"];
    const CANCELABLE: bool = true;
    const IDEMPOTENT: bool = true;
    type Input = Map<String, Value>;
    type Output = Value;

    fn execute(input: Map<String, Value>, _ctx: &Context) -> Result<Value, Failure> {
        let echo = input.get("echo").is_some_and(|echo| echo == &Value::Bool(true));
        Ok(if echo { Value::Object(input) } else { json!({"ok": true}) })
    }

    fn examples() -> Vec<Value> {
        vec![json!({}), json!({"echo": true, "url": "https://example.org"})]
    }

    fn demo_result() -> Option<Value> {
        Some(json!({"ok": true}))
    }
}

apflow_sdk::export_executors!(Noop);

#[cfg(test)]
mod tests {
    use apflow_sdk::testing::call;

    use super::*;

    #[test]
    fn answers_ok() {
        assert_eq!(call::<Noop>(json!({"anything": [1]})).unwrap(), json!({"ok": true}));
    }

    #[test]
    fn echoes_on_request_only() {
        let inputs = json!({"echo": true, "x": 1});
        assert_eq!(call::<Noop>(inputs.clone()).unwrap(), inputs);
        assert_eq!(call::<Noop>(json!({"echo": "true"})).unwrap(), json!({"ok": true}));
    }
}
