//! Notices changed plugin files and has them loaded: events of the file system are gathered until they pause, and only
//! the plugins that they concern are looked at.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::{Problem, WasmError};
use crate::registry::WasmPlugins;
use crate::source::name_of;

/// A build writes for a while; this long without an event means that it has finished.
const PAUSE: Duration = Duration::from_millis(40);
/// Even if events never pause.
const LONGEST: Duration = Duration::from_millis(500);

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    _events: RecommendedWatcher,
    task: AbortHandle,
}

impl Watcher {
    /// Watches `folders` for `plugins`.
    pub fn start(folders: &[PathBuf], plugins: Weak<WasmPlugins>) -> Result<Self, WasmError> {
        let (sender, names) = unbounded_channel();
        let own: Vec<PathBuf> = folders.to_vec();
        let notice = move |event: notify::Result<notify::Event>| match event {
            Ok(event) if changes(event.kind) => {
                let names =
                    event.paths.iter().flat_map(|path| own.iter().filter_map(|folder| name_of(folder, path)));
                for name in names {
                    // Nobody listens any more when the watcher is about to be dropped.
                    let _ = sender.send(name);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "changes of plugin files may have been missed"),
        };
        let mut events = notify::recommended_watcher(notice)
            .map_err(|error| Problem::Sandbox(format!("files cannot be watched: {error}")))?;
        for folder in folders {
            events
                .watch(folder, RecursiveMode::Recursive)
                .map_err(|error| Problem::Unreadable(format!("it cannot be watched: {error}")).at(folder))?;
        }
        let task = tokio::spawn(reload(names, plugins)).abort_handle();
        Ok(Self { _events: events, task })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether an event can mean that content is other than before. Reading is an event too, and ours.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any => true,
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Other => false,
    }
}

async fn reload(mut names: UnboundedReceiver<String>, plugins: Weak<WasmPlugins>) {
    while let Some(concerned) = gather(&mut names).await {
        let Some(plugins) = plugins.upgrade() else { return };
        if let Err(error) = plugins.refresh(Some(&concerned)).await {
            tracing::error!("plugins were not reloaded: {error}");
        }
    }
}

/// The names of one burst of events; none when there will be no more.
async fn gather(names: &mut UnboundedReceiver<String>) -> Option<BTreeSet<String>> {
    let mut concerned = BTreeSet::from([names.recv().await?]);
    let latest = Instant::now() + LONGEST;
    while let Ok(Some(name)) = timeout_at(latest.min(Instant::now() + PAUSE), names.recv()).await {
        concerned.insert(name);
    }
    Some(concerned)
}
