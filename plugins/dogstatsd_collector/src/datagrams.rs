//! A batch of measurements as DogStatsD datagrams: counts are summed, durations are packed as several values of one
//! message, and messages are put together up to the size of a datagram.

use std::collections::{BTreeMap, BTreeSet};

use apflow_sdk::Measurement;

use crate::settings::Settings;

/// So many executors get a tag of their own; tasks may name executors that do not exist.
const MAX_EXECUTORS: usize = 500;
/// The executor of all beyond that.
const OTHERS: &str = "others";

/// A metric and its tags.
type Series = (&'static str, Vec<String>);

/// Makes datagrams and remembers the executors that have a tag.
#[derive(Debug, Default)]
pub struct Datagrams {
    executors: BTreeSet<String>,
}

impl Datagrams {
    /// The datagrams for a batch; a kind that this version does not know is not counted.
    pub fn of<'m>(
        &mut self,
        batch: impl IntoIterator<Item = &'m Measurement>,
        settings: &Settings,
    ) -> Vec<Vec<u8>> {
        let mut counts: BTreeMap<Series, u64> = BTreeMap::new();
        let mut durations: BTreeMap<Series, Vec<f64>> = BTreeMap::new();
        for measured in batch {
            let Some((subject, status)) = measured.kind.split_once('.') else { continue };
            let status = || format!("status:{}", clean(status));
            let millis = measured.duration.as_secs_f64() * 1000.0;
            if subject == "tree" {
                *counts.entry(("trees", vec![status()])).or_default() += 1;
                durations.entry(("tree.duration", vec![status()])).or_default().push(millis);
            } else if subject == "task" {
                let executor = self.tag(measured.executor.as_deref().unwrap_or_default());
                if measured.kind == "task.retrying" {
                    *counts.entry(("task.retries", vec![executor.clone()])).or_default() += 1;
                } else {
                    *counts.entry(("tasks", vec![executor.clone(), status()])).or_default() += 1;
                }
                // A task that was cancelled before it ran has no attempt, and so no duration.
                if measured.attempt > 0 {
                    durations.entry(("task.duration", vec![executor])).or_default().push(millis);
                }
            }
        }
        let mut packer = Packer { most: settings.datagram_bytes, datagrams: Vec::new() };
        for (series, count) in counts {
            packer.add(&format!("{}:{count}{}", name(&series, settings), tail(&series, "c", settings)));
        }
        for (series, values) in durations {
            packer.add_values(&name(&series, settings), &values, &tail(&series, "ms", settings));
        }
        packer.datagrams
    }

    fn tag(&mut self, executor: &str) -> String {
        if !self.executors.contains(executor) {
            if self.executors.len() >= MAX_EXECUTORS {
                return format!("executor:{OTHERS}");
            }
            self.executors.insert(executor.to_owned());
        }
        format!("executor:{}", clean(executor))
    }
}

fn name((metric, _): &Series, settings: &Settings) -> String {
    format!("{}.{metric}", settings.prefix)
}

/// Type and tags.
fn tail((_, tags): &Series, kind: &str, settings: &Settings) -> String {
    let tags: Vec<&str> = tags.iter().chain(&settings.tags).map(String::as_str).collect();
    format!("|{kind}|#{}", tags.join(","))
}

/// A text without the characters that separate parts of a message; at most 200 characters, as the agent takes.
pub fn clean(text: &str) -> String {
    let separates = |c: char| c.is_control() || matches!(c, ',' | '|' | '#' | '@' | ' ');
    text.chars().map(|c| if separates(c) { '_' } else { c }).take(200).collect()
}

/// Puts messages together.
struct Packer {
    most: usize,
    datagrams: Vec<Vec<u8>>,
}

impl Packer {
    fn add(&mut self, message: &str) {
        let most = self.most;
        match self.datagrams.last_mut() {
            Some(last) if last.len() + 1 + message.len() <= most => {
                last.push(b'\n');
                last.extend(message.as_bytes());
            }
            _ => self.datagrams.push(message.as_bytes().to_vec()),
        }
    }

    /// Several values of one metric: `name:1:2:3|ms|#tags`.
    fn add_values(&mut self, name: &str, values: &[f64], tail: &str) {
        let mut message = name.to_owned();
        for value in values {
            let text = format!(":{value:.3}");
            if message.len() > name.len() && message.len() + text.len() + tail.len() > self.most {
                self.add(&format!("{message}{tail}"));
                name.clone_into(&mut message);
            }
            message.push_str(&text);
        }
        if message.len() > name.len() {
            self.add(&format!("{message}{tail}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(datagram_bytes: usize, tags: &[&str]) -> Settings {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Settings { host: "h".into(), port: 1, prefix: "apflow".into(), tags, datagram_bytes }
    }

    fn texts(batch: &[Measurement], settings: &Settings) -> Vec<String> {
        let all = Datagrams::default().of(batch, settings);
        all.into_iter().map(|one| String::from_utf8(one).unwrap()).collect()
    }

    fn measured(kind: &str, executor: Option<&str>, millis: u64) -> Measurement {
        Measurement::for_test(kind, 1, executor, Duration::from_millis(millis))
    }

    #[test]
    fn counts_are_summed_and_durations_packed() {
        let batch = [
            measured("task.completed", Some("noop_executor"), 4),
            measured("task.completed", Some("noop_executor"), 6),
            measured("task.retrying", Some("noop_executor"), 1),
            measured("tree.completed", None, 12),
            measured("node.lost", None, 0),
        ];
        assert_eq!(
            texts(&batch, &settings(1432, &["env:test"])),
            ["apflow.task.retries:1|c|#executor:noop_executor,env:test\n\
              apflow.tasks:2|c|#executor:noop_executor,status:completed,env:test\n\
              apflow.trees:1|c|#status:completed,env:test\n\
              apflow.task.duration:4.000:6.000:1.000|ms|#executor:noop_executor,env:test\n\
              apflow.tree.duration:12.000|ms|#status:completed,env:test"]
        );
    }

    #[test]
    fn no_datagram_is_larger_than_allowed_and_nothing_is_lost() {
        let batch: Vec<_> = (0..500).map(|n| measured("task.completed", Some("e"), n)).collect();
        let all = texts(&batch, &settings(512, &[]));
        assert!(all.len() > 2 && all.iter().all(|one| one.len() <= 512));
        let values: usize = all
            .iter()
            .flat_map(|one| one.lines())
            .filter(|line| line.contains("|ms|"))
            .map(|line| line.split('|').next().unwrap().split(':').count() - 1)
            .sum();
        assert_eq!(values, 500);
    }

    #[test]
    fn odd_names_cannot_break_a_message() {
        let all = texts(&[measured("task.failed", Some("a,b|c\nd#e"), 1)], &settings(1432, &[]));
        assert!(all[0].contains("#executor:a_b_c_d_e,status:failed"), "{all:?}");
    }

    #[test]
    fn a_task_without_an_attempt_has_no_duration() {
        let never_ran = Measurement { attempt: 0, ..measured("task.cancelled", Some("x"), 0) };
        assert_eq!(
            texts(&[never_ran], &settings(1432, &[])),
            ["apflow.tasks:1|c|#executor:x,status:cancelled"]
        );
    }
}
