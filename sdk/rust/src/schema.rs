//! JSON Schema (2020-12) from Rust types, by schemars. The executor's description is built from it; the host checks
//! every call against the input schema before the plugin sees it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

/// The schema of what `T` accepts: optional fields are optional, `///` comments are descriptions and
/// `#[serde(deny_unknown_fields)]` is `"additionalProperties": false`. JSON text.
pub fn of_input<T: JsonSchema>() -> String {
    let settings = settings().for_deserialize();
    text(settings.into_generator().into_root_schema_for::<T>())
}

/// The schema of what `T` is written as. JSON text.
pub fn of_output<T: JsonSchema>() -> String {
    let settings = settings().for_serialize();
    text(settings.into_generator().into_root_schema_for::<T>())
}

/// Everything in place instead of behind `$ref`: people and language models read these schemas.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

fn text(schema: schemars::Schema) -> String {
    schema.to_value().to_string()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema is looked at")]
    struct Strict {
        /// Whom to greet.
        name: String,
        /// How often.
        #[serde(default = "once")]
        times: u32,
        note: Option<String>,
    }

    fn once() -> u32 {
        1
    }

    #[derive(Serialize, JsonSchema)]
    struct Result {
        result: String,
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn comments_defaults_and_strictness_reach_the_input_schema() {
        let schema = parsed(&of_input::<Strict>());
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["name"]));
        assert_eq!(schema["properties"]["name"]["description"], "Whom to greet.");
        assert_eq!(schema["properties"]["times"]["default"], 1);
    }

    #[test]
    fn output_schemas_promise_their_fields() {
        let schema = parsed(&of_output::<Result>());
        assert_eq!(schema["required"], json!(["result"]));
        assert_eq!(schema["properties"]["result"]["type"], "string");
    }
}
