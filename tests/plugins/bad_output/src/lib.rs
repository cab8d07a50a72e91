//! An executor whose result is text that is no JSON. The SDK cannot express that, so this one is written against the bare
//! WIT bindings.
#![expect(missing_docs, reason = "generated from the WIT files")]

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "executor-plugin" });

use apflow::plugin::types::{Failure, Invocation};
use exports::apflow::plugin::executor::{ExecutorInfo, Guest};

struct BadOutput;

impl Guest for BadOutput {
    fn describe() -> Result<Vec<ExecutorInfo>, Failure> {
        Ok(vec![ExecutorInfo {
            id: "bad_output".to_owned(),
            name: "Bad output".to_owned(),
            description: "Returns text that is no JSON.".to_owned(),
            tags: vec![],
            examples: vec![],
            input_schema: r#"{"type": "object"}"#.to_owned(),
            output_schema: "true".to_owned(),
            cancelable: true,
            idempotent: true,
            demo_result: None,
            extra: "{}".to_owned(),
        }])
    }

    fn execute(_call: Invocation) -> Result<String, Failure> {
        Ok("{\"ok\": tru".to_owned())
    }
}

#[cfg(target_family = "wasm")]
export!(BadOutput);
