//! `default_policies_hook`: two rules before every run. Executors that take a `timeout` always get one, and never a longer
//! one than the operator allows; and inputs that a task asks to keep from its executor are blacked out (`redact`).

use apflow_sdk::prelude::*;

mod redact;

/// Executors that take a `timeout` in seconds.
const TIMED: [&str; 2] = ["command_executor", "rest_executor"];

/// What the operator sets; environment variables of the host that the plugin is granted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Policy {
    /// Seconds for a task that says nothing.
    default_timeout: f64,
    /// The most seconds that any task gets.
    max_timeout: Option<f64>,
}

impl Policy {
    /// A variable that is there and no number above 0 is an error: a limit must not vanish by a typing error.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let seconds = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Ok(Some(seconds)),
                _ => Err(Failure::permanent(
                    "invalid_policy",
                    format!("{name} is '{text}'; set it to a number of seconds above 0"),
                )),
            },
        };
        Ok(Self {
            default_timeout: seconds("APFLOW_DEFAULT_TIMEOUT_SECONDS")?.unwrap_or(30.0),
            max_timeout: seconds("APFLOW_MAX_TIMEOUT_SECONDS")?,
        })
    }
}

/// The part of the task that decides about redaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    params: Params,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Params {
    redact_inputs: Value,
}

struct DefaultPolicies;

impl Hook for DefaultPolicies {
    fn subscriptions() -> Vec<Subscription> {
        vec![Subscription::to(Point::BeforeRun)]
    }

    fn on_event(event: &Event) -> Result<Decision, Failure> {
        decide(event, || Policy::read(|name| std::env::var(name).ok()))
    }
}

apflow_sdk::export_hooks!(DefaultPolicies);

/// Reads no more than the task needs: most tasks have neither a timeout nor anything to black out.
fn decide(event: &Event, policy: impl Fn() -> Result<Policy, Failure>) -> Result<Decision, Failure> {
    let timed = event.executor.as_deref().is_some_and(|executor| TIMED.contains(&executor));
    let names = match redact::Names::from_param(event.subject::<Subject>()?.params.redact_inputs) {
        Ok(names) => names,
        // Running on with what should have been blacked out would be the one wrong answer.
        Err(problem) => return Ok(Decision::veto("invalid_redact_inputs", problem)),
    };
    if !timed && names.is_none() {
        return Ok(Decision::Proceed);
    }
    let Some(mut inputs) = event.inputs::<Map<String, Value>>()? else { return Ok(Decision::Proceed) };
    let limited = timed && limit_timeout(&mut inputs, policy()?);
    let redacted = names.is_some_and(|names| names.redact(&mut inputs));
    Ok(if limited || redacted { Decision::ReplaceInputs(inputs) } else { Decision::Proceed })
}

/// Whether anything was changed. A timeout that is no number is left for the executor to refuse.
fn limit_timeout(inputs: &mut Map<String, Value>, policy: Policy) -> bool {
    let wanted = match inputs.get("timeout") {
        None | Some(Value::Null) => policy.default_timeout,
        Some(Value::Number(seconds)) => seconds.as_f64().unwrap_or(policy.default_timeout),
        Some(_) => return false,
    };
    let granted = policy.max_timeout.map_or(wanted, |max| wanted.min(max));
    let given = inputs.get("timeout").and_then(Value::as_f64);
    if given == Some(granted) {
        return false;
    }
    inputs.insert("timeout".to_owned(), granted.into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what `json!` makes")]
    fn decided(executor: &str, inputs: Value, params: Value, max_timeout: Option<f64>) -> Decision {
        let event =
            Event::for_test(Point::BeforeRun, executor, inputs, json!({"name": "n", "params": params}));
        decide(&event, || Ok(Policy { default_timeout: 30.0, max_timeout })).unwrap()
    }

    fn replaced(executor: &str, inputs: Value, params: Value, max_timeout: Option<f64>) -> Value {
        match decided(executor, inputs, params, max_timeout) {
            Decision::ReplaceInputs(inputs) => Value::Object(inputs),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_timeout_gets_the_default() {
        let inputs = replaced("rest_executor", json!({"url": "http://h/"}), json!({}), None);
        assert_eq!(inputs, json!({"url": "http://h/", "timeout": 30.0}));
        let null = replaced("command_executor", json!({"timeout": null}), json!({}), Some(10.0));
        assert_eq!(null, json!({"timeout": 10.0}));
    }

    #[test]
    fn a_timeout_is_cut_to_the_maximum_and_never_made_longer() {
        assert_eq!(replaced("rest_executor", json!({"timeout": 90}), json!({}), Some(60.0))["timeout"], 60.0);
        let short = decided("rest_executor", json!({"timeout": 5}), json!({}), Some(60.0));
        assert_eq!(short, Decision::Proceed);
        let odd = decided("rest_executor", json!({"timeout": "soon"}), json!({}), Some(60.0));
        assert_eq!(odd, Decision::Proceed, "the executor refuses it");
    }

    #[test]
    fn executors_without_a_timeout_are_left_alone() {
        assert_eq!(
            decided("noop_executor", json!({"timeout": 9000}), json!({}), Some(1.0)),
            Decision::Proceed
        );
    }

    #[test]
    fn redaction_happens_where_the_task_asks_for_it_only() {
        let inputs = json!({"a": {"api-key": "k", "n": 1}});
        assert_eq!(decided("noop_executor", inputs.clone(), json!({}), None), Decision::Proceed);
        let redacted = replaced("noop_executor", inputs, json!({"redact_inputs": true}), None);
        assert_eq!(redacted, json!({"a": {"api-key": "[redacted]", "n": 1}}));
    }

    #[test]
    fn a_request_for_redaction_that_cannot_be_read_refuses_the_run() {
        let Decision::Veto(issue) =
            decided("noop_executor", json!({}), json!({"redact_inputs": "token"}), None)
        else {
            panic!("not refused")
        };
        assert_eq!(issue.code, "invalid_redact_inputs");
    }

    #[test]
    fn the_operators_variables_are_read_strictly() {
        let policy = |text: &'static str| {
            Policy::read(move |name| (name == "APFLOW_MAX_TIMEOUT_SECONDS").then(|| text.to_owned()))
        };
        assert_eq!(policy("60").unwrap(), Policy { default_timeout: 30.0, max_timeout: Some(60.0) });
        for wrong in ["1m", "0", "-5", "inf", ""] {
            assert_eq!(policy(wrong).unwrap_err().code(), "invalid_policy", "{wrong}");
        }
    }
}
