//! A hook that never answers, for tasks of `echo` that have `loop: true` in their metadata; it lets all others go on, so that
//! it may be loaded beside other tests' plugins.

use apflow_sdk::prelude::*;

struct LoopingHook;

impl Hook for LoopingHook {
    fn subscriptions() -> Vec<Subscription> {
        vec![Subscription::to(Point::BeforeRun).only_executors(["echo"])]
    }

    fn on_event(event: &Event) -> Result<Decision, Failure> {
        let subject: Value = event.subject()?;
        if subject["metadata"]["loop"] == true {
            never_return();
        }
        Ok(Decision::Proceed)
    }
}

apflow_sdk::export_hooks!(LoopingHook);

fn never_return() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tasks_go_on() {
        let event = Event::for_test(Point::BeforeRun, "echo", json!({}), json!({"metadata": {}}));
        assert_eq!(LoopingHook::on_event(&event).unwrap(), Decision::Proceed);
    }
}
