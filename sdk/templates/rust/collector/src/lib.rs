//! A collector that counts finished tasks and the time they took.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use apflow_sdk::prelude::*;

#[derive(Default)]
struct {{type}} {
    /// The newest measurement that was counted: a batch may come again.
    newest: u64,
    /// By executor and kind of end.
    tasks: BTreeMap<(String, String), (u64, Duration)>,
}

impl Collector for {{type}} {
    fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
        for one in batch.iter().filter(|one| one.sequence > self.newest) {
            if let Some(executor) = &one.executor {
                let (count, time) = self.tasks.entry((executor.clone(), one.kind.clone())).or_default();
                *count += 1;
                *time += one.duration;
            }
        }
        self.newest = batch.iter().map(|one| one.sequence).fold(self.newest, u64::max);
        Ok(())
    }

    fn render(&self) -> Result<String, Failure> {
        let mut text = String::new();
        for ((executor, kind), (count, time)) in &self.tasks {
            let labels = format!("{{executor=\"{executor}\",kind=\"{kind}\"}}");
            let _ = writeln!(text, "tasks_total{labels} {count}");
            let _ = writeln!(text, "tasks_seconds_total{labels} {}", time.as_secs_f64());
        }
        Ok(text)
    }
}

apflow_sdk::export_collector!({{type}});
