//! Components that measure: the [`Collector`] trait, what it is fed ([`Measurement`]) and
//! [`export_collector!`](crate::export_collector).

use std::cell::RefCell;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::collector::exports::apflow::plugin::collector as wit;
use crate::{Failure, wire};

/// Takes measurements and renders figures. Its value is the state: it lives as long as the component's instance, which
/// the host keeps between calls but may replace at any time (a new version, an idle period, a trap). What must survive
/// that belongs in the backend.
///
/// ```
/// use apflow_sdk::prelude::*;
///
/// #[derive(Default)]
/// struct Count(u64);
///
/// impl Collector for Count {
///     fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
///         self.0 += batch.len() as u64;
///         Ok(())
///     }
///
///     fn render(&self) -> Result<String, Failure> {
///         Ok(format!("finished_total {}\n", self.0))
///     }
/// }
///
/// apflow_sdk::export_collector!(Count);
/// ```
pub trait Collector: Default {
    /// Takes a batch. It comes at least once: after a failure or a lost answer the same sequence numbers come again.
    fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure>;

    /// The present figures for backends that pull; empty where there is nothing to pull.
    fn render(&self) -> Result<String, Failure> {
        Ok(String::new())
    }
}

/// One finished attempt or tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// `task.completed`, `task.failed`, `task.cancelled`, `task.retrying`, `tree.completed`, `tree.failed` or
    /// `tree.cancelled`.
    pub kind: String,
    /// Number in the event log; grows, with gaps. A batch that is sent again carries the same numbers.
    pub sequence: u64,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// The tree.
    pub tree_id: String,
    /// The task; none for trees.
    pub task_id: Option<String>,
    /// The task's executor; none for trees.
    pub executor: Option<String>,
    /// Attempt number, from 1; 0 for trees.
    pub attempt: u32,
    /// From start to end.
    pub duration: Duration,
    /// The error code, where it failed.
    pub code: Option<String>,
    /// The receipt of the attempt, JSON text; see [`Measurement::receipt`].
    pub extra: String,
}

impl Measurement {
    /// The receipt of the attempt (CPU time, memory, bytes) as `T`.
    pub fn receipt<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        wire::from_json(&self.extra)
    }

    /// A measurement for unit tests: task `test-task` of `executor`, first attempt.
    pub fn for_test(kind: &str, sequence: u64, executor: Option<&str>, duration: Duration) -> Self {
        Self {
            kind: kind.to_owned(),
            sequence,
            at: "2026-01-01T00:00:00Z".to_owned(),
            tree_id: "test-tree".to_owned(),
            task_id: executor.map(|_| "test-task".to_owned()),
            executor: executor.map(str::to_owned),
            attempt: u32::from(executor.is_some()),
            duration,
            code: None,
            extra: Value::Object(serde_json::Map::new()).to_string(),
        }
    }
}

impl TryFrom<wit::Measurement> for Measurement {
    type Error = Failure;

    fn try_from(measured: wit::Measurement) -> Result<Self, Failure> {
        let sequence = measured.sequence.parse().map_err(|_| {
            let message = format!("sequence `{}` is not a decimal number", measured.sequence);
            Failure::bad_input("invalid_sequence", message, "/sequence")
        })?;
        Ok(Self {
            kind: measured.kind,
            sequence,
            at: measured.at,
            tree_id: measured.tree_id,
            task_id: measured.task_id,
            executor: measured.executor,
            attempt: measured.attempt,
            // Negative or not a number would be a host's error; a duration of nothing is the harmless reading.
            duration: Duration::try_from_secs_f64(measured.duration_ms / 1000.0).unwrap_or_default(),
            code: measured.code,
            extra: measured.extra,
        })
    }
}

/// Makes the given [`Collector`] type the collector of this component. Once per plugin crate.
#[macro_export]
macro_rules! export_collector {
    ($collector:ty) => {
        const _: fn(&$collector) -> ::core::result::Result<::std::string::String, $crate::Failure> =
            <$collector as $crate::Collector>::render;

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static STATE: ::core::cell::RefCell<$collector> = ::core::default::Default::default();
            }

            struct Component;

            impl $crate::bindings::collector::exports::apflow::plugin::collector::Guest for Component {
                fn collect(
                    batch: ::std::vec::Vec<
                        $crate::bindings::collector::exports::apflow::plugin::collector::Measurement,
                    >,
                ) -> $crate::__private::Collected {
                    STATE.with(|state| $crate::collector::collect(state, batch))
                }

                fn render() -> $crate::__private::Document {
                    STATE.with($crate::collector::render)
                }
            }

            $crate::bindings::collector::export_collector_world!(
                Component with_types_in $crate::bindings::collector
            );
        };
    };
}

/// Feeds a batch as the host sends it; a batch that cannot be read as a whole changes nothing.
#[doc(hidden)]
pub fn collect<C: Collector>(
    state: &RefCell<C>,
    batch: Vec<wit::Measurement>,
) -> crate::__private::Collected {
    let batch: Vec<Measurement> = batch.into_iter().map(TryInto::try_into).collect::<Result<_, Failure>>()?;
    Ok(state.borrow_mut().collect(&batch)?)
}

/// Renders the present figures.
#[doc(hidden)]
pub fn render<C: Collector>(state: &RefCell<C>) -> crate::__private::Document {
    Ok(state.borrow().render()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sum(Duration);

    impl Collector for Sum {
        fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
            self.0 += batch.iter().map(|m| m.duration).sum::<Duration>();
            Ok(())
        }

        fn render(&self) -> Result<String, Failure> {
            Ok(format!("{}", self.0.as_millis()))
        }
    }

    fn measured(sequence: &str, duration_ms: f64) -> wit::Measurement {
        wit::Measurement {
            kind: "task.completed".to_owned(),
            sequence: sequence.to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            tree_id: "t".to_owned(),
            task_id: None,
            executor: None,
            attempt: 1,
            duration_ms,
            code: None,
            extra: "{}".to_owned(),
        }
    }

    #[test]
    fn state_lives_from_batch_to_batch() {
        let state = RefCell::new(Sum::default());
        collect(&state, vec![measured("1", 2.0), measured("2", 0.5)]).unwrap();
        collect(&state, vec![measured("18446744073709551615", f64::NAN), measured("9", 7.5)]).unwrap();
        assert_eq!(render(&state).unwrap(), "10");
    }

    #[test]
    fn a_batch_that_cannot_be_read_changes_nothing() {
        let state = RefCell::new(Sum::default());
        assert!(collect(&state, vec![measured("1", 2.0), measured("x", 2.0)]).is_err());
        assert_eq!(render(&state).unwrap(), "0");
    }
}
