//! Who waits for what happens: the end of one execution, or the next event of the log. Nothing is buffered here; a
//! reader that falls behind reads on from the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apflow_core::error::Result;
use apflow_core::event::Event;
use apflow_core::id::{Seq, TreeId, TreeKey};
use apflow_core::store::{EventQuery, Store, TreeEnd};
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::{oneshot, watch};

/// Events that one read of the log fetches.
const READ_AHEAD: u32 = 500;

/// Who waits for an execution gets its end, or nothing if it shall look.
type Waiters = HashMap<(TreeKey, u32), Vec<oneshot::Sender<Option<TreeEnd>>>>;

/// Told of every commit.
#[derive(Debug)]
pub(crate) struct EventHub {
    /// Counts commits that wrote to the log.
    commits: watch::Sender<u64>,
    /// The newest position that a turn told of.
    newest: AtomicI64,
    waiters: Mutex<Waiters>,
}

impl EventHub {
    pub(crate) fn new(newest: Seq) -> Self {
        Self { commits: watch::Sender::new(0), newest: AtomicI64::new(newest.0), waiters: Mutex::default() }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a turn: the newest position, and the executions that ended in it.
    pub(crate) fn published(&self, seq: Seq, ended: Vec<TreeEnd>) {
        if self.newest.swap(seq.0, Ordering::AcqRel) != seq.0 {
            self.written(ended);
        }
    }

    /// After a commit that wrote to the log, with the executions that ended in it.
    pub(crate) fn written(&self, ended: Vec<TreeEnd>) {
        if !ended.is_empty() {
            let mut waiters = self.waiters();
            for end in ended {
                for waiter in waiters.remove(&(end.tree, end.execution)).into_iter().flatten() {
                    // A waiter that has gone away needs no answer.
                    let _ = waiter.send(Some(end.clone()));
                }
            }
        }
        self.commits.send_modify(|count| *count += 1);
    }

    /// Executions of these trees have ended on another host.
    pub(crate) fn ended_elsewhere(&self, trees: &[TreeKey]) {
        for (_, waiters) in self.waiters().extract_if(|(tree, _), _| trees.contains(tree)) {
            for waiter in waiters {
                let _ = waiter.send(None);
            }
        }
        self.commits.send_modify(|count| *count += 1);
    }

    /// The end of that execution, from now on; nothing where it must be looked for.
    pub(crate) fn wait(&self, tree: TreeKey, execution: u32) -> oneshot::Receiver<Option<TreeEnd>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters();
        let list = waiters.entry((tree, execution)).or_default();
        list.retain(|waiter| !waiter.is_closed());
        list.push(sender);
        receiver
    }

    /// Changes with every commit that wrote to the log.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// The log after `after`, live and without end.
    pub(crate) fn stream(
        &self,
        store: Arc<dyn Store>,
        tree: Option<TreeId>,
        after: Seq,
    ) -> impl Stream<Item = Result<Event>> + Send + 'static {
        let reader = Reader { store, tree, after, commits: self.watch() };
        stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next_batch().await {
                Ok(Some(batch)) => {
                    Some((stream::iter(batch.into_iter().map(Ok).collect::<Vec<_>>()), Some(reader)))
                }
                Ok(None) => None,
                Err(error) => Some((stream::iter(vec![Err(error)]), None)),
            }
        })
        .flatten()
    }
}

struct Reader {
    store: Arc<dyn Store>,
    tree: Option<TreeId>,
    after: Seq,
    commits: watch::Receiver<u64>,
}

impl Reader {
    /// Waits until there is something; none when the engine is gone.
    async fn next_batch(&mut self) -> Result<Option<Vec<Event>>> {
        loop {
            // Marked as seen before reading, so that a commit during the read is noticed.
            self.commits.borrow_and_update();
            let query = EventQuery {
                after: self.after,
                tree: self.tree.clone(),
                user_id: None,
                kinds: Vec::new(),
                limit: READ_AHEAD,
            };
            let batch = self.store.events(query).await?;
            if let Some(last) = batch.last() {
                self.after = last.seq;
                return Ok(Some(batch));
            }
            if self.commits.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
