//! Where a guest's standard output and error go: the last few kilobytes are kept, because that is where a runtime says
//! why it gives up. They are put into the failure of a call that traps; nothing is written to the host's own streams.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// As much as explains a crash, and little enough to store with a task.
const KEPT: usize = 4 * 1024;

/// The end of what one instance has written in the present call.
#[derive(Debug, Default)]
pub(crate) struct Captured(Mutex<Tail>);

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Captured {
    /// Forgets everything; a new call begins.
    pub fn clear(&self) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.bytes.clear();
        tail.cut = false;
    }

    fn append(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (tail.bytes.len() + bytes.len()).saturating_sub(KEPT);
        tail.cut |= over > 0;
        tail.bytes.drain(..over);
        tail.bytes.extend(bytes);
    }

    /// What was kept, from the beginning of a line where the beginning is lost.
    pub fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        match text.split_once('\n') {
            Some((_, whole_lines)) if tail.cut => whole_lines.trim_end().to_owned(),
            _ => text.trim_end().to_owned(),
        }
    }
}

/// Standard output or error of a guest: a writer that never blocks.
#[derive(Debug, Clone)]
pub(crate) struct GuestOutput(pub Arc<Captured>);

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_in_whole_lines() {
        let captured = Captured::default();
        captured.append(b"first\nsecond\n");
        assert_eq!(captured.text(), "first\nsecond");
        for line in 0..2000 {
            captured.append(format!("line {line}\n").as_bytes());
        }
        let text = captured.text();
        assert!(text.len() <= KEPT && text.starts_with("line ") && text.ends_with("line 1999"), "{text}");
        captured.append(&[b'x'; 3 * KEPT]);
        assert_eq!(captured.text().len(), KEPT);
        captured.clear();
        assert_eq!(captured.text(), "");
    }
}
