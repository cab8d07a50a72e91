//! The collector of a plugin.

use std::sync::Arc;

use apflow_core::error::TaskError;
use apflow_core::event::Event;
use apflow_core::plugin::Collector;
use async_trait::async_trait;

use crate::bindings::convert;
use crate::call::{Circumstances, Failed, Reply, Request, unexpected};
use crate::plugin::Plugin;

/// A plugin that measures.
#[derive(Debug)]
pub(crate) struct PluginCollector(pub Arc<Plugin>);

#[async_trait]
impl Collector for PluginCollector {
    fn name(&self) -> &str {
        &self.0.identity.name
    }

    async fn collect(&self, batch: Vec<Event>) -> Result<(), TaskError> {
        let batch = batch.iter().map(convert::measurement).collect();
        let ended = self.0.call(Request::Collect(batch), Circumstances::default()).await.result;
        self.0.record.count(ended.as_ref().err().and_then(Failed::by_host));
        match ended? {
            Reply::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    async fn render(&self) -> Result<String, TaskError> {
        let ended = self.0.call(Request::Render, Circumstances::default()).await.result;
        self.0.record.count(ended.as_ref().err().and_then(Failed::by_host));
        match ended? {
            Reply::Text(text) => Ok(text),
            _ => Err(unexpected()),
        }
    }
}
