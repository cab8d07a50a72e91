//! Clocks of a guest whose time stands still: the wall clock at the point that the case names, the monotonic one a
//! millisecond later at each reading, so that what measures a span gets one, the same in every run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use apflow_core::clock::Timestamp;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// What the monotonic clock gains by a reading.
const STEP: Duration = Duration::from_millis(1);

/// The wall clock that always says this.
pub(crate) struct Wall(pub Timestamp);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.as_micros()).unwrap_or_default())
    }
}

/// A monotonic clock that counts its readings.
#[derive(Default)]
pub(crate) struct Steps(AtomicU64);

impl HostMonotonicClock for Steps {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let step = u64::try_from(STEP.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(step, Relaxed)
    }
}
