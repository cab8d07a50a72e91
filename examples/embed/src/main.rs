//! apflow inside a Rust program: no server, no command line. A native executor works beside components, the tree is
//! plain JSON, and the result comes back typed.
//!
//!     cargo run -p apflow-example-embed

use std::sync::Arc;

use apflow_host::plugin::{Executor, ExecutorInfo, Invocation, Outcome, RunContext};
use apflow_host::{Host, Json};
use serde_json::json;

/// An executor in Rust: counts the words of a text.
#[derive(Debug)]
struct CountWords(ExecutorInfo);

#[async_trait::async_trait]
impl Executor for CountWords {
    fn info(&self) -> &ExecutorInfo {
        &self.0
    }

    async fn execute(&self, call: Invocation, _: Arc<dyn RunContext>) -> Outcome {
        let text = call.inputs.value()["text"].as_str().unwrap_or_default().to_owned();
        Outcome::completed(Json::from(json!({ "words": text.split_whitespace().count() })))
    }
}

/// What the root of the tree gives.
#[derive(Debug, serde::Deserialize)]
struct Words {
    words: usize,
}

#[tokio::main]
async fn main() -> apflow_host::Result<()> {
    let count = CountWords(ExecutorInfo::native("count_words"));
    let host = Host::builder().database("sqlite::memory:").executor(Arc::new(count)).start().await?;
    let finished = host
        .run(json!([
            { "name": "second", "executor": "count_words", "dependencies": ["first"],
              "inputs": { "text": "a chain of two tasks" } },
            { "name": "first", "executor": "count_words", "parent_id": "second",
              "inputs": { "text": "to be or not to be" } },
        ]))
        .await?;
    let (first, second): (Words, Words) = (finished.result_of("first")?, finished.result()?);
    println!("{}: first {} words, second {} words", finished.status, first.words, second.words);
    host.stop().await;
    Ok(())
}
