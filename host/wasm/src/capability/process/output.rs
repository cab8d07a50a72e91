//! What a program writes, read in the background so that it never waits for a guest that is busy: up to a cap it is
//! kept until the guest reads it; beyond that the program waits while the guest may still read, and the rest is thrown
//! away once the guest only waits for the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// One output stream of a program.
#[derive(Debug)]
pub(crate) struct Output {
    shared: Arc<Shared>,
    pump: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    cap: usize,
    state: Mutex<State>,
    /// Told when bytes have come or gone.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    /// Nobody reads piece by piece any more.
    discard: bool,
    truncated: bool,
}

impl Output {
    /// Reads `stream` to its end in the background, keeping at most `cap` bytes.
    pub fn pump(stream: Option<impl AsyncRead + Unpin + Send + 'static>, cap: usize) -> Self {
        let shared = Arc::new(Shared { cap: cap.max(1), state: Mutex::default(), changed: Notify::new() });
        let own = Arc::clone(&shared);
        let pump = tokio::spawn(async move {
            if let Some(stream) = stream {
                own.fill(stream).await;
            }
            own.with(|state| state.ended = true);
            own.changed.notify_waiters();
        });
        Self { shared, pump: pump.abort_handle() }
    }

    /// The next bytes, at most `max`; none at the end. Waits until there is something.
    pub async fn read(&self, max: usize) -> Option<Vec<u8>> {
        loop {
            let changed = self.shared.changed.notified();
            let taken = self.shared.with(|state| {
                let count = max.min(state.bytes.len());
                let piece: Vec<u8> = state.bytes.drain(..count).collect();
                (!piece.is_empty() || max == 0).then_some(Some(piece)).or(state.ended.then_some(None))
            });
            if let Some(taken) = taken {
                self.shared.changed.notify_waiters();
                return taken;
            }
            changed.await;
        }
    }

    /// Everything that was not read, and whether more was thrown away. Waits for the end of the stream.
    pub async fn rest(&self) -> (Vec<u8>, bool) {
        loop {
            let shared = Arc::clone(&self.shared);
            let changed = shared.changed.notified();
            if shared.with(|state| state.ended) {
                return self.so_far();
            }
            changed.await;
        }
    }

    /// Everything that was not read yet, and whether more was thrown away.
    pub fn so_far(&self) -> (Vec<u8>, bool) {
        self.shared.with(|state| (std::mem::take(&mut state.bytes).into(), state.truncated))
    }

    /// From now on the stream is only kept, not read piece by piece.
    pub fn discard_overflow(&self) {
        self.shared.with(|state| state.discard = true);
        self.shared.changed.notify_waiters();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fill(&self, mut stream: impl AsyncRead + Unpin) {
        let mut piece = vec![0; 16 * 1024];
        // A stream that breaks off has ended.
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            let mut rest = &piece[..count];
            while !rest.is_empty() {
                let changed = self.changed.notified();
                let took = self.with(|state| {
                    let room = self.cap.saturating_sub(state.bytes.len()).min(rest.len());
                    state.bytes.extend(&rest[..room]);
                    if room < rest.len() && state.discard {
                        state.truncated = true;
                        return rest.len();
                    }
                    room
                });
                rest = &rest[took..];
                if took == 0 {
                    changed.await;
                } else {
                    self.changed.notify_waiters();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_the_end_is_none() {
        let output = Output::pump(Some(&b"abcdef"[..]), 4);
        assert_eq!(output.read(3).await.as_deref(), Some(&b"abc"[..]));
        let mut rest = Vec::new();
        while let Some(piece) = output.read(10).await {
            rest.extend(piece);
        }
        assert_eq!(rest, b"def");
    }

    #[tokio::test]
    async fn what_is_over_the_cap_is_cut_off_when_nobody_reads() {
        let output = Output::pump(Some(&b"abcdef"[..]), 4);
        output.discard_overflow();
        assert_eq!(output.rest().await, (b"abcd".to_vec(), true));
    }

    #[tokio::test]
    async fn a_stream_that_is_not_there_has_ended() {
        let output = Output::pump(None::<&[u8]>, 4);
        assert_eq!(output.read(1).await, None);
        assert_eq!(output.rest().await, (Vec::new(), false));
    }
}
