//! The contracts of `apflow_core::plugin` over plugins: each adapter translates, and `call` does the work.

mod collector;
mod executor;
mod hook;

pub(crate) use collector::PluginCollector;
pub(crate) use executor::PluginExecutor;
pub(crate) use hook::PluginHook;
