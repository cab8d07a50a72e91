//! An executor inside a plugin.

use std::fmt;
use std::sync::Arc;

use apflow_core::error::{FailureKind, TaskError};
use apflow_core::json::Json;
use apflow_core::plugin::{Executor, ExecutorInfo, Invocation, Outcome, RunContext, RunFailure};
use async_trait::async_trait;

use crate::bindings::convert;
use crate::call::{Circumstances, Failed, Reply, Request, unexpected};
use crate::failure;
use crate::plugin::Plugin;
use crate::state::Identity;

/// How deep results may be nested; what reads them later (serde_json among others) goes no deeper.
const DEPTH: usize = 127;

/// One executor of a plugin.
pub(crate) struct PluginExecutor {
    info: ExecutorInfo,
    plugin: Arc<Plugin>,
}

impl PluginExecutor {
    /// The executor of `plugin` that `info` describes.
    pub fn new(info: ExecutorInfo, plugin: Arc<Plugin>) -> Self {
        Self { info, plugin }
    }
}

impl fmt::Debug for PluginExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.info.id, self.plugin)
    }
}

#[async_trait]
impl Executor for PluginExecutor {
    fn info(&self) -> &ExecutorInfo {
        &self.info
    }

    async fn execute(&self, call: Invocation, context: Arc<dyn RunContext>) -> Outcome {
        let limit = self.plugin.identity.limits.deadline();
        let request = convert::invocation(&call, call.timeout.map_or(limit, |own| own.min(limit)));
        let circumstances = Circumstances {
            task: call.task_id.to_string(),
            tree: Some(call.tree_id),
            attempt: call.attempt,
            timeout: call.timeout,
            run: Some(context),
            bytes_in: (call.inputs.as_str().len() + call.params.as_str().len()) as u64,
        };
        let ending = self.plugin.call(Request::Execute(request), circumstances).await;
        let mut receipt = ending.receipt;
        let result = match ending.result {
            Ok(Reply::Text(text)) => {
                receipt.bytes_out = text.len() as u64;
                checked(text, &self.plugin.identity).map_err(Failed::Host)
            }
            Ok(_) => Err(Failed::Host(unexpected())),
            Err(failed) => Err(failed),
        };
        self.plugin.record.count(result.as_ref().err().and_then(Failed::by_host));
        let result = result.map_err(|failed| match failed {
            Failed::Guest(failure) => convert::failure(failure),
            Failed::Host(error) => RunFailure::from(error),
        });
        Outcome { result, receipt: Some(receipt) }
    }
}

/// A result is a JSON document, not too large and not too deep.
fn checked(text: String, identity: &Identity) -> Result<Json, TaskError> {
    if text.len() as u64 > identity.limits.output_bytes {
        return Err(failure::output_too_large(identity));
    }
    let bad = |problem: String| {
        let message =
            format!("Plugin '{}' gave a result that is not JSON as it should be: {problem}", identity.name);
        TaskError::new(FailureKind::Plugin, "bad_output", message)
    };
    let depth = depth(&text);
    let json = Json::parse(text).map_err(|error| bad(error.to_string()))?;
    if depth > DEPTH {
        return Err(bad(format!("it is nested {depth} levels deep, at most {DEPTH} are possible")));
    }
    Ok(json)
}

/// How deep a JSON text is nested; any number for what is no JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_arrays_and_objects_outside_strings() {
        for (text, expected) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,{"b":2}],"c":[]}"#, 3),
            (r#"["[[[\"[[", []]"#, 2),
            (r#""\\""#, 0),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
