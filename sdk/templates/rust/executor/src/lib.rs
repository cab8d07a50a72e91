//! An executor that greets people by name.
use apflow_sdk::prelude::*;

/// What a task gives; the host checks it against the schema that is made of this type.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// Whom to greet.
    names: Vec<String>,
    /// How to greet.
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "Hello".to_owned()
}

#[derive(Serialize, JsonSchema)]
struct Greetings {
    /// One for each name.
    greetings: Vec<String>,
}

struct {{type}};

impl Executor for {{type}} {
    const ID: &'static str = "{{ident}}";
    const DESCRIPTION: &'static str = "Greets people by name.";
    const IDEMPOTENT: bool = true;
    type Input = Inputs;
    type Output = Greetings;

    fn execute(inputs: Inputs, ctx: &Context) -> Result<Greetings, Failure> {
        let mut greetings = Vec::new();
        for (at, name) in inputs.names.iter().enumerate() {
            if name.is_empty() {
                let message = format!("names/{at} is empty; say whom to greet");
                return Err(Failure::bad_input("empty_name", message, format!("/names/{at}")));
            }
            greetings.push(format!("{}, {name}!", inputs.greeting));
            ctx.progress((at + 1) as f64 / inputs.names.len() as f64, &format!("greeted {name}"));
        }
        apflow_sdk::info!("greeted {} people for {}", greetings.len(), ctx.task_id());
        Ok(Greetings { greetings })
    }
}

apflow_sdk::export_executors!({{type}});
