//! A hook that does what the metadata of a task of `echo` asks for: `{"veto": true}`, or one decision or failure by name in
//! `{"decide": …}`; `{"ready_delay_ms": …}` and `{"not_here": true}` put the task off once before that, as a hook of
//! `task.ready` and of `placement`. It lets all others go on, so that it may be loaded beside other tests' plugins.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use apflow_sdk::prelude::*;

struct VetoHook;

impl Hook for VetoHook {
    fn subscriptions() -> Vec<Subscription> {
        let points = [Point::BeforeRun, Point::TaskReady, Point::Placement];
        points.map(|point| Subscription::to(point).only_executors(["echo"])).into()
    }

    fn on_event(event: &Event) -> Result<Decision, Failure> {
        let subject: Value = event.subject()?;
        let metadata = &subject["metadata"];
        match event.point {
            Point::TaskReady => {
                let wait = metadata["ready_delay_ms"].as_u64().filter(|_| is_new(event));
                return Ok(wait.map_or(Decision::Proceed, |ms| Decision::Delay(Duration::from_millis(ms))));
            }
            Point::Placement if metadata["not_here"] == true && is_new(event) => {
                let node: Value = event.extra()?;
                let reason = format!("not on {}", node["node"].as_str().unwrap_or("a node without name"));
                return Ok(Decision::veto("not_here", reason));
            }
            Point::Placement => return Ok(Decision::Proceed),
            _ => {}
        }
        if metadata["veto"] == true {
            return Ok(Decision::veto("vetoed", "the task's metadata asks for a veto; remove it"));
        }
        match metadata["decide"].as_str() {
            None => Ok(Decision::Proceed),
            Some("replace") => {
                let mut inputs = event.inputs::<Map<String, Value>>()?.unwrap_or_default();
                inputs.insert("replaced".to_owned(), true.into());
                Ok(Decision::ReplaceInputs(inputs))
            }
            Some("supply") => Decision::supply_result(&json!({"supplied": true})),
            Some("delay") if is_new(event) => Ok(Decision::Delay(Duration::from_millis(50))),
            Some("delay") => Ok(Decision::Proceed),
            Some("fail") => {
                Err(Failure::permanent("hook_failed", "the task's metadata asks the hook to fail"))
            }
            Some("trap") => panic!("the hook gives up on purpose"),
            Some(other) => Err(Failure::bad_input(
                "unknown_decision",
                format!("no decision is called '{other}'"),
                "/decide",
            )),
        }
    }
}

apflow_sdk::export_hooks!(VetoHook);

thread_local! {
    static DELAYED: RefCell<BTreeSet<String>> = RefCell::default();
}

/// Whether the task is seen for the first time: a delay is no attempt, so the same attempt is asked about again.
fn is_new(event: &Event) -> bool {
    let key = format!("{} {}", event.point.as_str(), event.task_id.as_deref().unwrap_or_default());
    DELAYED.with_borrow_mut(|seen| seen.insert(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(metadata: &Value) -> Result<Decision, Failure> {
        let subject = json!({"metadata": metadata});
        VetoHook::on_event(&Event::for_test(Point::BeforeRun, "echo", json!({"a": 1}), subject))
    }

    #[test]
    fn decides_what_it_is_asked_for() {
        assert_eq!(decided(&json!({})).unwrap(), Decision::Proceed);
        assert!(matches!(decided(&json!({"veto": true})).unwrap(), Decision::Veto(_)));
        let Decision::ReplaceInputs(inputs) = decided(&json!({"decide": "replace"})).unwrap() else {
            panic!()
        };
        assert_eq!(Value::Object(inputs), json!({"a": 1, "replaced": true}));
        let delay = || decided(&json!({"decide": "delay"})).unwrap();
        assert_eq!((delay(), delay()), (Decision::Delay(Duration::from_millis(50)), Decision::Proceed));
        assert_eq!(decided(&json!({"decide": "fail"})).unwrap_err().code(), "hook_failed");
        assert_eq!(decided(&json!({"decide": "sing"})).unwrap_err().code(), "unknown_decision");
    }
}
