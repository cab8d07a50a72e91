//! From the configuration to plugins in a sandbox: which folders, which cache, which limits and grants. What a sandbox is
//! and does is `apflow-wasm`'s business.

use std::path::Path;
use std::sync::Arc;

use apflow_core::clock::{Clock, SystemClock};
use apflow_core::error::Result;
use apflow_core::plugin::services::{PluginState, SecretSource};
use apflow_core::plugin::{Catalog, FixedPlugins, PluginInfo, Plugins};
use apflow_wasm::cases::CaseRunner;
use apflow_wasm::{Checked, VersionOptions, WasmOptions, WasmPlugins};

use crate::bundled;
use crate::config::{Config, Home};

/// Loads everything that the configuration names. Where there is nothing to load, no sandbox is set up.
///
/// # Errors
/// `PluginError` if the sandbox cannot be set up or a folder cannot be read; single broken plugins are reported in
/// the log and in listings, and left out.
pub(crate) async fn load(
    config: &Config,
    clock: &Arc<dyn Clock>,
    state: Arc<dyn PluginState>,
    secrets: Arc<dyn SecretSource>,
) -> Result<Arc<dyn Plugins>> {
    let sandbox = &config.sandbox;
    let mut options = WasmOptions { state, secrets, ..options(config, clock) };
    options.folders = sandbox.folders_or_default(Path::new(""));
    options.bundled = if sandbox.bundled { bundled::PLUGINS.to_vec() } else { Vec::new() };
    options.watch = sandbox.watch;
    if options.folders.is_empty() && options.bundled.is_empty() {
        return Ok(Arc::new(FixedPlugins(Arc::new(Catalog::default()))));
    }
    Ok(WasmPlugins::open(options).await?)
}

/// Loads the plugin at `path` (a component, or the folder of a plugin) by itself, as far as describing itself, and says
/// what it is, what it asks for and what this configuration would grant.
///
/// # Errors
/// `PluginError`: why it would not be loaded.
pub async fn inspect_plugin(config: &Config, path: &Path) -> Result<PluginInfo> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let plugins = WasmPlugins::open(options(config, &clock)).await?;
    Ok(plugins.inspect_file(path).await?)
}

/// Loads the plugin at `path` by itself and looks it over: imports, requests, examples, times.
///
/// # Errors
/// `PluginError`: why it would not be loaded.
pub async fn check_plugin(config: &Config, path: &Path) -> Result<Checked> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(apflow_wasm::check(options(config, &clock), path).await?)
}

/// Loads the plugin at `path` by itself, to run its cases against it.
///
/// # Errors
/// `PluginError`: why it would not be loaded.
pub async fn case_runner(config: &Config, path: &Path) -> Result<CaseRunner> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(CaseRunner::load(options(config, &clock), path).await?)
}

/// All but what is to be loaded.
fn options(config: &Config, clock: &Arc<dyn Clock>) -> WasmOptions {
    WasmOptions {
        cache: config.sandbox.cache_or_default(&Home::find()),
        limits: config.sandbox.limits.clone(),
        policies: config.plugins.clone(),
        max_instances: config.sandbox.max_instances,
        clock: Arc::clone(clock),
        grants_file: config.sandbox.grants_file_or_default(&config.database),
        versions: VersionOptions {
            folder: config.sandbox.versions_folder_or_default(&config.database),
            keep: config.sandbox.keep_versions as usize,
            trial_calls: config.sandbox.rollback.calls,
            trial_threshold: config.sandbox.rollback.threshold,
        },
        ..WasmOptions::default()
    }
}
