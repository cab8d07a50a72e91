//! Plugins of an embedder (Rust values) and components as one set, so that the engine sees a single catalog.

use std::sync::{Arc, Mutex, PoisonError};

use apflow_core::error::{Error, TaskError};
use apflow_core::plugin::{
    Catalog, Collector, Executor, GrantChange, Hook, PluginGrants, PluginInfo, PluginVersion, Plugins,
};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// What an embedder registers.
#[derive(Debug, Default)]
pub(crate) struct Native {
    /// By their own ids; they win over components with the same id.
    pub executors: Vec<Arc<dyn Executor>>,
    /// Asked in the order that they give themselves, among those of components.
    pub hooks: Vec<Arc<dyn Hook>>,
    /// Fed like those of components.
    pub collectors: Vec<Arc<dyn Collector>>,
}

impl Native {
    fn is_empty(&self) -> bool {
        self.executors.is_empty() && self.hooks.is_empty() && self.collectors.is_empty()
    }
}

/// Native plugins laid over the snapshots of another set. A joined catalog is made once for each snapshot.
#[derive(Debug)]
pub(crate) struct Joined {
    native: Native,
    components: Arc<dyn Plugins>,
    newest: Mutex<Option<Join>>,
}

#[derive(Debug)]
struct Join {
    of: Arc<Catalog>,
    joined: Arc<Catalog>,
}

impl Joined {
    /// Both; just the components if nothing is native.
    pub fn over(components: Arc<dyn Plugins>, native: Native) -> Arc<dyn Plugins> {
        if native.is_empty() {
            return components;
        }
        Arc::new(Self { native, components, newest: Mutex::new(None) })
    }

    fn join(&self, components: &Catalog) -> Catalog {
        let mut joined = components.clone();
        for executor in &self.native.executors {
            let id = executor.info().id.clone();
            if let Some(hidden) = joined.executors.insert(id.clone(), Arc::clone(executor)) {
                tracing::warn!(executor = %id, plugin = %hidden.info().provided_by,
                    "an executor of the embedding program replaces that of a plugin");
            }
        }
        joined.hooks.extend(self.native.hooks.iter().cloned());
        joined.hooks.sort_by(|a, b| a.order().cmp(&b.order()).then_with(|| a.name().cmp(b.name())));
        joined.collectors.extend(self.native.collectors.iter().cloned());
        joined
    }
}

#[async_trait]
impl Plugins for Joined {
    fn catalog(&self) -> Arc<Catalog> {
        let of = self.components.catalog();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(join) = newest.as_ref().filter(|join| Arc::ptr_eq(&join.of, &of)) {
            return Arc::clone(&join.joined);
        }
        let joined = Arc::new(self.join(&of));
        *newest = Some(Join { of, joined: Arc::clone(&joined) });
        joined
    }

    async fn reload(&self) -> Result<Map<String, Value>, TaskError> {
        self.components.reload().await
    }

    async fn policy(&self, plugin: &str) -> Result<PluginGrants, Error> {
        self.components.policy(plugin).await
    }

    async fn change_grants(&self, plugin: &str, change: GrantChange) -> Result<PluginGrants, Error> {
        self.components.change_grants(plugin, change).await
    }

    async fn history(&self, plugin: &str) -> Result<Vec<PluginVersion>, Error> {
        self.components.history(plugin).await
    }

    async fn roll_back(&self, plugin: &str, version: Option<&str>) -> Result<PluginInfo, Error> {
        self.components.roll_back(plugin, version).await
    }

    async fn unpin(&self, plugin: &str) -> Result<Map<String, Value>, Error> {
        self.components.unpin(plugin).await
    }
}

#[cfg(test)]
mod tests {
    use apflow_core::json::Json;
    use apflow_core::plugin::{ExecutorInfo, FixedPlugins, Invocation, Outcome, RunContext};
    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    struct Named(ExecutorInfo);

    #[async_trait]
    impl Executor for Named {
        fn info(&self) -> &ExecutorInfo {
            &self.0
        }

        async fn execute(&self, _: Invocation, _: Arc<dyn RunContext>) -> Outcome {
            Outcome::completed(Json::null())
        }
    }

    fn executor(id: &str, provided_by: &str) -> Arc<dyn Executor> {
        Arc::new(Named(ExecutorInfo {
            id: id.into(),
            name: id.into(),
            description: String::new(),
            tags: Vec::new(),
            examples: Vec::new(),
            input_schema: json!({"type": "object"}),
            output_schema: json!({}),
            cancelable: true,
            idempotent: true,
            demo_result: None,
            provided_by: provided_by.into(),
        }))
    }

    fn components(ids: &[&str]) -> Arc<dyn Plugins> {
        let executors = ids.iter().map(|id| ((*id).to_owned(), executor(id, "component"))).collect();
        Arc::new(FixedPlugins(Arc::new(Catalog { executors, ..Catalog::default() })))
    }

    #[test]
    fn native_executors_stand_beside_components_and_win() {
        let native =
            Native { executors: vec![executor("b", "native"), executor("c", "native")], ..Native::default() };
        let joined = Joined::over(components(&["a", "b"]), native);
        let catalog = joined.catalog();
        let by: Vec<&str> = catalog.executors.values().map(|one| one.info().provided_by.as_str()).collect();
        assert_eq!(by, ["component", "native", "native"]);
        assert!(Arc::ptr_eq(&catalog, &joined.catalog()), "joined once for each snapshot");
    }

    #[test]
    fn without_native_plugins_there_is_nothing_to_join() {
        let components = components(&["a"]);
        let joined = Joined::over(Arc::clone(&components), Native::default());
        assert!(Arc::ptr_eq(&components.catalog(), &joined.catalog()));
    }
}
