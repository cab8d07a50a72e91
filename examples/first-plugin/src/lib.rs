//! A first plugin: one executor that greets.
use apflow_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Whom to greet.
    name: String,
}

struct Hello;
impl Executor for Hello {
    const ID: &'static str = "hello_executor";
    type Input = Greet;
    type Output = String;
    fn execute(input: Greet, _ctx: &Context) -> Result<String, Failure> {
        Ok(format!("Hello, {}!", input.name))
    }
}
apflow_sdk::export_executors!(Hello);

#[cfg(test)]
mod tests;
