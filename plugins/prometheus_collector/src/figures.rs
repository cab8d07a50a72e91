//! The figures: which counters and histograms there are, under which names and labels. Called by the collector.

use std::collections::BTreeSet;

use apflow_sdk::{Failure, Measurement};
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder, core::Collector,
};

/// Upper bounds in seconds: from a component that only computes to a call that waits for minutes.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// So many executors get a label of their own; tasks may name executors that do not exist, and every label costs memory.
const MAX_EXECUTORS: usize = 500;

/// Label of all executors beyond that.
const OTHERS: &str = "(others)";

/// Counters and histograms since this instance began.
pub struct Figures {
    registry: Registry,
    tasks: IntCounterVec,
    retries: IntCounterVec,
    trees: IntCounterVec,
    task_seconds: HistogramVec,
    tree_seconds: HistogramVec,
    executors: BTreeSet<String>,
}

impl Default for Figures {
    #[expect(clippy::expect_used, reason = "names and labels are constants, and every test makes one")]
    fn default() -> Self {
        Self::new().expect("the names and labels are valid and distinct")
    }
}

impl Figures {
    fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registered(&registry, counter)
        };
        let tasks = counter(
            "apflow_tasks_total",
            "Tasks that ended, by executor and status.",
            &["executor", "status"],
        )?;
        let retries =
            counter("apflow_task_retries_total", "Failed attempts that are made again.", &["executor"])?;
        let trees = counter("apflow_trees_total", "Executions of trees that ended, by status.", &["status"])?;
        let histogram = |name: &str, help: &str, label: &str| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            registered(&registry, HistogramVec::new(options, &[label])?)
        };
        let task_seconds =
            histogram("apflow_task_duration_seconds", "Duration of one attempt, by executor.", "executor")?;
        let tree_seconds = histogram(
            "apflow_tree_duration_seconds",
            "Duration of one execution of a tree, by status.",
            "status",
        )?;
        Ok(Self { registry, tasks, retries, trees, task_seconds, tree_seconds, executors: BTreeSet::new() })
    }

    /// Counts one measurement; a kind that this version does not know is not counted.
    pub fn count(&mut self, measured: &Measurement) {
        let Some((subject, status)) = measured.kind.split_once('.') else { return };
        match subject {
            "tree" => {
                self.trees.with_label_values(&[status]).inc();
                self.tree_seconds.with_label_values(&[status]).observe(measured.duration.as_secs_f64());
            }
            "task" => self.count_task(status, measured),
            _ => {}
        }
    }

    fn count_task(&mut self, status: &str, measured: &Measurement) {
        let executor = self.label(measured.executor.as_deref().unwrap_or_default());
        if status == "retrying" {
            self.retries.with_label_values(&[&executor]).inc();
        } else {
            self.tasks.with_label_values(&[executor.as_str(), status]).inc();
        }
        // A task that was cancelled before it ran has no attempt, and so no duration.
        if measured.attempt > 0 {
            self.task_seconds.with_label_values(&[&executor]).observe(measured.duration.as_secs_f64());
        }
    }

    fn label(&mut self, executor: &str) -> String {
        if !self.executors.contains(executor) {
            if self.executors.len() >= MAX_EXECUTORS {
                return OTHERS.to_owned();
            }
            self.executors.insert(executor.to_owned());
        }
        executor.to_owned()
    }

    /// All figures as Prometheus text 0.0.4.
    pub fn text(&self) -> Result<String, Failure> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(|error| Failure::from_error("render_failed", &error))?;
        String::from_utf8(text).map_err(|error| Failure::from_error("render_failed", &error))
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counted(measured: &[Measurement]) -> String {
        let mut figures = Figures::default();
        measured.iter().for_each(|one| figures.count(one));
        figures.text().unwrap()
    }

    fn task(kind: &str, executor: &str, millis: u64) -> Measurement {
        Measurement::for_test(kind, 1, Some(executor), Duration::from_millis(millis))
    }

    #[test]
    fn tasks_retries_trees_and_durations_have_their_families() {
        let text = counted(&[
            task("task.completed", "noop_executor", 4),
            task("task.retrying", "noop_executor", 40),
            Measurement::for_test("tree.completed", 2, None, Duration::from_secs(1)),
            Measurement::for_test("node.lost", 3, None, Duration::ZERO),
        ]);
        for line in [
            "# TYPE apflow_tasks_total counter",
            r#"apflow_tasks_total{executor="noop_executor",status="completed"} 1"#,
            r#"apflow_task_retries_total{executor="noop_executor"} 1"#,
            r#"apflow_trees_total{status="completed"} 1"#,
            r#"apflow_tree_duration_seconds_count{status="completed"} 1"#,
            "# TYPE apflow_task_duration_seconds histogram",
            r#"apflow_task_duration_seconds_bucket{executor="noop_executor",le="0.005"} 1"#,
            r#"apflow_task_duration_seconds_bucket{executor="noop_executor",le="+Inf"} 2"#,
            r#"apflow_task_duration_seconds_sum{executor="noop_executor"} 0.044"#,
            r#"apflow_task_duration_seconds_count{executor="noop_executor"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("lost"), "{text}");
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample_even_with_odd_names() {
        let text = counted(&[task("task.failed", "a\"b\\c\nd", 1)]);
        assert!(text.contains(r#"executor="a\"b\\c\nd""#), "{text}");
        for line in text.lines() {
            let number = line.rsplit(' ').next().unwrap();
            assert!(line.starts_with("# ") || number.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn a_task_without_an_attempt_has_no_duration() {
        let never_ran = Measurement { attempt: 0, ..task("task.cancelled", "x", 0) };
        let text = counted(&[never_ran]);
        assert!(
            text.contains(r#"status="cancelled"} 1"#) && !text.contains("duration_seconds_count"),
            "{text}"
        );
    }

    #[test]
    fn the_number_of_labels_is_limited() {
        let all: Vec<_> = (0..MAX_EXECUTORS + 2).map(|n| task("task.failed", &format!("e{n}"), 1)).collect();
        assert!(counted(&all).contains(r#"apflow_tasks_total{executor="(others)",status="failed"} 2"#));
    }
}
