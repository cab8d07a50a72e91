//! An executor that greets.
use apflow_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Whom to greet.
    name: String,
}

struct {{type}};

impl Executor for {{type}} {
    const ID: &'static str = "{{ident}}";
    type Input = Greet;
    type Output = String;

    fn execute(input: Greet, ctx: &Context) -> Result<String, Failure> {
        if input.name.is_empty() {
            return Err(Failure::bad_input("no_name", "name is empty; say whom to greet", "/name"));
        }
        ctx.progress(0.5, "greeting");
        Ok(format!("Hello, {}!", input.name))
    }
}

apflow_sdk::export_executors!({{type}});
