//! Counters and histograms since this instance began, and their form in the protocol (cumulative, so that a lost export
//! loses nothing).

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_sdk::Measurement;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use crate::wire::attribute;

/// Upper bounds in seconds: from a component that only computes to a call that waits for minutes.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// So many executors get a series of their own; tasks may name executors that do not exist.
const MAX_EXECUTORS: usize = 500;
/// The executor of all beyond that.
const OTHERS: &str = "(others)";

/// Values of the two attributes of a series: executor and status, either of which may be missing.
type Series = (Option<String>, Option<String>);

#[derive(Debug, Clone, Default)]
struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    count: u64,
    sum: f64,
}

impl Durations {
    fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.count += 1;
        self.sum += seconds;
    }
}

/// All figures.
#[derive(Debug, Default)]
pub struct Figures {
    tasks: BTreeMap<Series, u64>,
    retries: BTreeMap<Series, u64>,
    trees: BTreeMap<Series, u64>,
    task_durations: BTreeMap<Series, Durations>,
    tree_durations: BTreeMap<Series, Durations>,
    executors: usize,
}

impl Figures {
    /// Counts one measurement; a kind that this version does not know is not counted.
    pub fn count(&mut self, measured: &Measurement) {
        match measured.kind.split_once('.') {
            Some(("tree", status)) => {
                let series = (None, Some(status.to_owned()));
                *self.trees.entry(series.clone()).or_default() += 1;
                self.tree_durations.entry(series).or_default().observe(measured.duration);
            }
            Some(("task", status)) => self.count_task(status, measured),
            _ => {}
        }
    }

    fn count_task(&mut self, status: &str, measured: &Measurement) {
        let mut executor = measured.executor.clone().unwrap_or_default();
        let alone = (Some(executor.clone()), None);
        if !self.retries.contains_key(&alone) {
            if self.executors < MAX_EXECUTORS {
                self.executors += 1;
            } else {
                OTHERS.clone_into(&mut executor);
            }
        }
        // Every known executor has a row of retries, if only a zero.
        let retries = self.retries.entry((Some(executor.clone()), None)).or_default();
        if status == "retrying" {
            *retries += 1;
        } else {
            let series = (Some(executor.clone()), Some(status.to_owned()));
            *self.tasks.entry(series).or_default() += 1;
        }
        // A task that was cancelled before it ran has no attempt, and so no duration.
        if measured.attempt > 0 {
            self.task_durations.entry((Some(executor), None)).or_default().observe(measured.duration);
        }
    }

    /// All of them, from `start` to `now` in nanoseconds since 1970.
    pub fn metrics(&self, start: u64, now: u64) -> Vec<Metric> {
        let sum = |name: &str, description: &str, unit: &str, rows: &BTreeMap<Series, u64>| {
            let data_points = rows.iter().map(|(series, count)| NumberDataPoint {
                attributes: attributes(series),
                start_time_unix_nano: start,
                time_unix_nano: now,
                value: Some(Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX))),
                ..NumberDataPoint::default()
            });
            let temporality = AggregationTemporality::Cumulative.into();
            let data = Sum {
                data_points: data_points.collect(),
                aggregation_temporality: temporality,
                is_monotonic: true,
            };
            metric(name, description, unit, Data::Sum(data))
        };
        let histogram = |name: &str, description: &str, rows: &BTreeMap<Series, Durations>| {
            let data_points = rows.iter().map(|(series, durations)| HistogramDataPoint {
                attributes: attributes(series),
                start_time_unix_nano: start,
                time_unix_nano: now,
                count: durations.count,
                sum: Some(durations.sum),
                bucket_counts: durations.counts.to_vec(),
                explicit_bounds: BOUNDS.to_vec(),
                ..HistogramDataPoint::default()
            });
            let temporality = AggregationTemporality::Cumulative.into();
            let data = Histogram { data_points: data_points.collect(), aggregation_temporality: temporality };
            metric(name, description, "s", Data::Histogram(data))
        };
        let mut all = vec![
            sum("apflow.tasks", "Tasks that ended.", "{task}", &self.tasks),
            sum("apflow.task.retries", "Failed attempts that are made again.", "{attempt}", &self.retries),
            sum("apflow.trees", "Executions of trees that ended.", "{tree}", &self.trees),
            histogram("apflow.task.duration", "Duration of one attempt.", &self.task_durations),
            histogram("apflow.tree.duration", "Duration of one execution of a tree.", &self.tree_durations),
        ];
        all.retain(|metric| match &metric.data {
            Some(Data::Sum(sum)) => !sum.data_points.is_empty(),
            Some(Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
            _ => false,
        });
        all
    }
}

fn metric(name: &str, description: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes((executor, status): &Series) -> Vec<KeyValue> {
    let executor = executor.as_deref().map(|executor| attribute("apflow.executor", executor));
    let status = status.as_deref().map(|status| attribute("apflow.status", status));
    executor.into_iter().chain(status).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(kinds: &[(&str, &str, u64)]) -> Figures {
        let mut figures = Figures::default();
        for (kind, executor, millis) in kinds {
            let duration = Duration::from_millis(*millis);
            figures.count(&Measurement::for_test(kind, 1, Some(executor), duration));
        }
        figures
    }

    fn sum(metrics: &[Metric], name: &str) -> Vec<i64> {
        let metric = metrics.iter().find(|one| one.name == name).unwrap();
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        assert!(sum.is_monotonic);
        sum.data_points
            .iter()
            .map(|point| match point.value {
                Some(Value::AsInt(count)) => count,
                _ => panic!("{point:?}"),
            })
            .collect()
    }

    #[test]
    fn tasks_retries_trees_and_durations_are_counted() {
        let figures = figures(&[
            ("task.completed", "a", 4),
            ("task.completed", "a", 4),
            ("task.retrying", "a", 40),
            ("tree.completed", "", 1000),
            ("node.lost", "", 0),
        ]);
        let metrics = figures.metrics(1, 2);
        assert_eq!(sum(&metrics, "apflow.tasks"), [2]);
        assert_eq!(sum(&metrics, "apflow.task.retries"), [1]);
        assert_eq!(sum(&metrics, "apflow.trees"), [1]);
        let Some(Data::Histogram(durations)) = &metrics[3].data else { panic!() };
        let point = &durations.data_points[0];
        assert_eq!((point.count, point.bucket_counts[2], point.bucket_counts[5]), (3, 2, 1));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
    }

    #[test]
    fn the_number_of_series_is_limited() {
        let names: Vec<String> = (0..MAX_EXECUTORS + 3).map(|n| format!("e{n}")).collect();
        let all: Vec<_> = names.iter().map(|name| ("task.failed", name.as_str(), 1)).collect();
        let figures = figures(&all);
        assert_eq!(figures.tasks.len(), MAX_EXECUTORS + 1);
        assert_eq!(figures.tasks[&(Some(OTHERS.to_owned()), Some("failed".to_owned()))], 3);
    }
}
