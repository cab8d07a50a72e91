//! A hook that fills in a region and keeps frozen tasks from running.
use apflow_sdk::prelude::*;

struct {{type}};

impl Hook for {{type}} {
    fn subscriptions() -> Vec<Subscription> {
        vec![Subscription::to(Point::BeforeRun)]
    }

    fn on_event(event: &Event) -> Result<Decision, Failure> {
        let subject: Value = event.subject()?;
        if subject["metadata"]["frozen"] == true {
            return Ok(Decision::veto("frozen", format!("{} is frozen; thaw it first", subject["name"])));
        }
        let mut inputs: Map<String, Value> = event.inputs()?.unwrap_or_default();
        if inputs.contains_key("region") {
            return Ok(Decision::Proceed);
        }
        inputs.insert("region".to_owned(), json!("eu"));
        Ok(Decision::ReplaceInputs(inputs))
    }
}

apflow_sdk::export_hooks!({{type}});
