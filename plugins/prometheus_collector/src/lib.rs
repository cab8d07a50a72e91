//! `prometheus_collector`: counts and durations of finished attempts and trees, rendered as Prometheus text (0.0.4). What is
//! counted is here; the figures themselves are in `figures`.

use apflow_sdk::prelude::*;

mod figures;

use figures::Figures;

/// The figures and how far the event log is counted.
#[derive(Default)]
struct PrometheusCollector {
    /// Highest sequence number that was counted; the log's numbers begin at 1.
    counted: u64,
    figures: Figures,
}

impl Collector for PrometheusCollector {
    /// Batches come in order and at least once, so a number at or below the highest one was counted before.
    fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
        for measured in batch {
            if measured.sequence > self.counted {
                self.figures.count(measured);
                self.counted = measured.sequence;
            }
        }
        Ok(())
    }

    fn render(&self) -> Result<String, Failure> {
        self.figures.text()
    }
}

apflow_sdk::export_collector!(PrometheusCollector);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn task(kind: &str, sequence: u64) -> Measurement {
        Measurement::for_test(kind, sequence, Some("rest_executor"), Duration::from_millis(40))
    }

    #[test]
    fn a_batch_that_comes_again_is_not_counted_again() {
        let mut collector = PrometheusCollector::default();
        let batch = [task("task.completed", 3), task("task.failed", 7)];
        collector.collect(&batch).unwrap();
        let once = collector.render().unwrap();
        collector.collect(&batch).unwrap();
        collector.collect(&[task("task.failed", 7), task("task.completed", 9)]).unwrap();
        let text = collector.render().unwrap();
        assert!(
            once.contains(r#"apflow_tasks_total{executor="rest_executor",status="completed"} 1"#),
            "{once}"
        );
        assert!(
            text.contains(r#"apflow_tasks_total{executor="rest_executor",status="completed"} 2"#),
            "{text}"
        );
        assert!(text.contains(r#"apflow_tasks_total{executor="rest_executor",status="failed"} 1"#), "{text}");
    }
}
