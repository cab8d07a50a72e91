//! The composition root: opens the database, loads plugins, starts the engine, and stops all of it in reverse order.
//! The only place that knows every floor below. Nothing here is global: two hosts can live in one process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use apflow_core::clock::{Clock, SystemClock};
use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::TreeId;
use apflow_core::plugin::services::SecretSource;
use apflow_core::plugin::{Collector, Executor, Hook};
use apflow_core::task::{Task, TaskStatus, TreeStatus};
use apflow_core::webhook::WebhookOptions;
use apflow_engine::{Engine, Started};
use apflow_store::StoreOptions;
use apflow_wasm::HttpWebhooks;
use apflow_wasm::http::HttpClientOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::components;
use crate::config::{Config, Durability, WebhooksConfig};
use crate::lock::DatabaseLock;
use crate::plugins::{Joined, Native};
use crate::secrets::HostSecrets;
use crate::services::{Secrets, StoredState};

/// What a [`Host`] is made of. Every part has a default.
#[derive(Debug, Default)]
pub struct HostBuilder {
    config: Config,
    folders: Vec<PathBuf>,
    native: Native,
    clock: Option<Arc<dyn Clock>>,
    secrets: Secrets,
}

impl HostBuilder {
    /// Takes a whole configuration; calls that follow change single parts of it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps tasks and events in this database: `sqlite:PATH`, made if it is missing, `sqlite::memory:`, or
    /// `postgres://USER@HOST:PORT/DATABASE`, which may be shared with other hosts if each has a node name of its own.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.config.database.url = url.into();
        self
    }

    /// Loads the plugins in this folder, beside those of the configuration; later folders win. If no folder is named
    /// anywhere, `plugins/dist` in the working folder and `plugins` beside the program are taken where they exist.
    #[must_use]
    pub fn plugins_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Registers an executor written in Rust; it wins over a component with the same id.
    #[must_use]
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.native.executors.push(executor);
        self
    }

    /// Registers a hook written in Rust.
    #[must_use]
    pub fn hook(mut self, hook: Arc<dyn Hook>) -> Self {
        self.native.hooks.push(hook);
        self
    }

    /// Registers a collector written in Rust.
    #[must_use]
    pub fn collector(mut self, collector: Arc<dyn Collector>) -> Self {
        self.native.collectors.push(collector);
        self
    }

    /// Takes the time from there, for tests and simulation.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Lets operators name secrets of plugins as `NAME:…`; what comes after the colon is given to the provider. `env`, `file`
    /// and `command` are there already and cannot be replaced.
    #[must_use]
    pub fn secret_provider(mut self, name: impl Into<String>, provider: Arc<dyn SecretSource>) -> Self {
        self.secrets.providers.insert(name.into(), provider);
        self
    }

    /// Opens the database, loads the plugins and starts. Needs a tokio runtime.
    ///
    /// # Errors
    /// `InvalidParams` where the configuration is wrong, `StoreUnavailable` or `StoreCorrupt` for the database,
    /// `PluginError` if the sandbox cannot be set up. A single broken plugin is reported and left out.
    pub async fn start(mut self) -> Result<Host> {
        self.config.sandbox.folders.append(&mut self.folders);
        let Self { config, native, clock, secrets, folders: _ } = self;
        config.check()?;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock));
        let lock = config.database.file().map(|file| prepare(&file)).transpose()?;
        let durability = durability(config.database.durability);
        let options = StoreOptions { durability, ..StoreOptions::default() };
        let store = apflow_store::open(&config.database.url, options).await?;
        let state = Arc::new(StoredState(Arc::clone(&store)));
        let components = components::load(&config, &clock, state, Arc::new(secrets)).await?;
        let plugins = Joined::over(components, native);
        let mut options = config.engine.options(&config.limits, env!("CARGO_PKG_VERSION"));
        options.retention = config.events.policy();
        options.webhooks = Some(webhooks(&config, &clock)?);
        let engine = Engine::start(store, plugins, clock, options).await;
        let engine = engine.map_err(|error| named(error, &config.database.shown()))?;
        Ok(Host { engine, config, lock: Mutex::new(lock) })
    }
}

/// A running host: an engine with its database and plugins.
#[derive(Debug)]
pub struct Host {
    engine: Engine,
    config: Config,
    lock: Mutex<Option<DatabaseLock>>,
}

impl Host {
    /// Starts to describe a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// The engine: every operation there is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Accepts a tree (an array of task objects, or one) and starts it, in one transaction.
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is stored.
    pub async fn submit(&self, tasks: Value) -> Result<Started> {
        self.engine.submit(tasks).await
    }

    /// Accepts a tree, runs it and waits for its end. A tree that fails is no error: see [`Finished::status`].
    ///
    /// # Errors
    /// What is wrong with the tasks; then nothing is stored. `ShuttingDown` if the host stops first.
    pub async fn run(&self, tasks: Value) -> Result<Finished> {
        let started = self.submit(tasks).await?;
        self.wait(&started).await
    }

    /// Waits for the end of what [`Host::submit`] has started.
    ///
    /// # Errors
    /// `ShuttingDown` if the host stops first.
    pub async fn wait(&self, started: &Started) -> Result<Finished> {
        let end = self.engine.wait(started.tree, started.execution, &started.root).await?;
        let tasks = self.engine.subtree(&started.root).await?;
        Ok(Finished { status: end.status, tree_id: started.tree_id.clone(), tasks })
    }

    /// Writes into the lock file of the database where this host is reached, for those who find the database in use.
    pub fn announce(&self, address: &str) {
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            lock.announce(address);
        }
    }

    /// Stops claiming, lets runs end for a while, gives back what is unfinished and frees the database. What was
    /// accepted goes on when a host is started on the same database. A second call returns at once.
    pub async fn stop(&self) {
        self.engine.stop().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A tree that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finished {
    /// How.
    pub status: TreeStatus,
    /// The tree.
    pub tree_id: TreeId,
    /// All tasks in pre-order, the root first.
    pub tasks: Vec<Task>,
}

impl Finished {
    /// The root, unless the tree has been deleted meanwhile.
    pub fn root(&self) -> Option<&Task> {
        self.tasks.first()
    }

    /// The result of the task with this name.
    ///
    /// # Errors
    /// `TaskNotFound` if there is no such task, `InvalidParams` if its result does not fit `T`, and the task's own
    /// error as `DependencyNotSatisfied` if it has no result.
    pub fn result_of<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let task = self.tasks.iter().find(|task| task.name == name).ok_or_else(|| {
            Error::new(ErrorCode::TaskNotFound, format!("The tree has no task named '{name}'"))
                .with("name", name)
        })?;
        result_of(task)
    }

    /// The result of the root.
    ///
    /// # Errors
    /// As [`Finished::result_of`].
    pub fn result<T: DeserializeOwned>(&self) -> Result<T> {
        let root = self.root().ok_or_else(|| {
            Error::new(ErrorCode::TaskNotFound, format!("The tree '{}' has been deleted", self.tree_id))
        })?;
        result_of(root)
    }
}

fn result_of<T: DeserializeOwned>(task: &Task) -> Result<T> {
    // A failed task may show something in place of a result; that is not one.
    let completed = task.result.as_ref().filter(|_| task.status == TaskStatus::Completed);
    let result = completed.ok_or_else(|| {
        let why = task.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let message = format!("Task '{}' has no result, it is {}{why}", task.name, task.status);
        Error::new(ErrorCode::DependencyNotSatisfied, message).with("task_id", task.id.as_str())
    })?;
    result
        .read()
        .map_err(|error| Error::invalid_params(&task.name, format!("its result does not fit: {error}")))
}

/// Makes the folder of a database file and takes the right to run its engine.
pub(crate) fn prepare(file: &Path) -> Result<DatabaseLock> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        make(folder).map_err(|error| {
            let message = format!("The folder {} of the database cannot be made: {error}", folder.display());
            Error::new(ErrorCode::StoreUnavailable, message).with("folder", folder.display().to_string())
        })?;
    }
    DatabaseLock::take(file)
}

/// The folder of the default database lies in projects, whose version control must not take it.
fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if folder.file_name().is_some_and(|name| name == ".apflow") {
        std::fs::write(folder.join(".gitignore"), "*\n")?;
    }
    Ok(())
}

/// Says in an error of the store which database it is, unless it does so already.
fn named(error: Error, database: &str) -> Error {
    let of_store = matches!(error.code, ErrorCode::StoreUnavailable | ErrorCode::StoreCorrupt);
    if !of_store || error.data.contains_key("database") {
        return error;
    }
    let message = format!("Database '{database}': {}", error.message);
    Error { message, ..error }.with("database", database)
}

/// What messages are sent with.
fn webhooks(config: &Config, clock: &Arc<dyn Clock>) -> Result<WebhookOptions> {
    let WebhooksConfig { http, private_network, secrets_folder, max_concurrent } = config.webhooks.clone();
    let transport = HttpWebhooks::new(http, private_network, Arc::clone(clock), HttpClientOptions::default());
    let transport = transport.map_err(|error| {
        Error::new(ErrorCode::Internal, format!("The client that sends webhooks cannot be set up: {error}"))
    })?;
    let secrets = Arc::new(HostSecrets { folder: secrets_folder });
    Ok(WebhookOptions { transport: Arc::new(transport), secrets, max_concurrent })
}

const fn durability(durability: Durability) -> apflow_store::Durability {
    match durability {
        Durability::Full => apflow_store::Durability::Full,
        Durability::Normal => apflow_store::Durability::Normal,
    }
}

#[cfg(test)]
mod tests;
