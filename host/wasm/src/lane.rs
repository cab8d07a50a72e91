//! Where a guest computes: where its caller is, because most calls are over in microseconds; and on threads of its own
//! once it has computed for longer, so that the caller's runtime, with its timers, sockets and short calls, is not held
//! up by guests that come back only at every tick.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::call::Measured;
use crate::sandbox::{Sandbox, TICK};
use crate::usage::Usage;

/// Two ticks: enough for nearly every call, little for everyone who waits.
const PATIENCE: Duration = TICK.saturating_mul(2);

/// Runs `work` to its end, wherever that is best. Dropping the future drops the work.
pub(crate) async fn run<T, F>(
    sandbox: &Arc<Sandbox>,
    work: Pin<Box<F>>,
    usage: &Arc<Usage>,
) -> wasmtime::Result<T>
where
    F: Future<Output = wasmtime::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let here = Measured::new(work, Arc::clone(usage));
    Lane { place: Place::Here(here), sandbox, usage }.await
}

struct Lane<'a, T, F> {
    place: Place<T, F>,
    sandbox: &'a Arc<Sandbox>,
    usage: &'a Arc<Usage>,
}

enum Place<T, F> {
    Here(Measured<F>),
    Away(Away<T>),
    Moving,
}

/// A task on the long lane, which ends with its caller.
struct Away<T>(JoinHandle<wasmtime::Result<T>>);

impl<T> Drop for Away<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T, F> Future for Lane<'_, T, F>
where
    F: Future<Output = wasmtime::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    type Output = wasmtime::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Place::Here(work) = &mut self.place {
            if let Poll::Ready(output) = Pin::new(work).poll(context) {
                return Poll::Ready(output);
            }
            if self.usage.busy() < PATIENCE {
                return Poll::Pending;
            }
            self.move_away();
        }
        match &mut self.place {
            Place::Away(away) => {
                let joined = ready!(Pin::new(&mut away.0).poll(context));
                Poll::Ready(joined.unwrap_or_else(|lost| Err(lost.into())))
            }
            // There are no other threads; it goes on here.
            Place::Here(_) | Place::Moving => Poll::Pending,
        }
    }
}

impl<T, F> Lane<'_, T, F>
where
    F: Future<Output = wasmtime::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    fn move_away(&mut self) {
        let Some(threads) = self.sandbox.long_lane() else { return };
        match std::mem::replace(&mut self.place, Place::Moving) {
            Place::Here(work) => self.place = Place::Away(Away(threads.spawn(work))),
            other => self.place = other,
        }
    }
}
