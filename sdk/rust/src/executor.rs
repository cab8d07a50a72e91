//! Components that do work: the [`Executor`] trait and [`export_executors!`](crate::export_executors). The functions
//! below the trait turn one typed executor into what the WIT interface speaks; the macro picks among several.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::executor::exports::apflow::plugin::executor::ExecutorInfo;
use crate::bindings::types::Invocation;
use crate::{Context, Failure, Issue, schema, wire};

/// Does one kind of work. Implemented by an empty type; a component may hold several.
///
/// ```
/// use apflow_sdk::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Greet {
///     /// Whom to greet.
///     name: String,
/// }
///
/// struct Hello;
///
/// impl Executor for Hello {
///     const ID: &'static str = "hello_executor";
///     type Input = Greet;
///     type Output = String;
///
///     fn execute(input: Greet, _ctx: &Context) -> Result<String, Failure> {
///         Ok(format!("Hello, {}!", input.name))
///     }
/// }
///
/// apflow_sdk::export_executors!(Hello);
/// ```
pub trait Executor {
    /// What tasks name in `executor`: lower case, digits and `_`, at most 100 characters. Checked when compiling.
    const ID: &'static str;
    /// A title for people.
    const NAME: &'static str = Self::ID;
    /// One paragraph: what it does and what it needs.
    const DESCRIPTION: &'static str = "";
    /// Words to find it by.
    const TAGS: &'static [&'static str] = &[];
    /// Whether an interrupted call leaves the outside world whole.
    const CANCELABLE: bool = false;
    /// Whether running it twice with the same idempotency key has the effect of running it once.
    const IDEMPOTENT: bool = false;

    /// The task's inputs. Its schema is the executor's input schema, against which the host checks every call.
    type Input: DeserializeOwned + JsonSchema;
    /// The task's result. Its schema is the executor's output schema.
    type Output: Serialize + JsonSchema;

    /// Runs one attempt.
    fn execute(input: Self::Input, ctx: &Context) -> Result<Self::Output, Failure>;

    /// Example inputs, each satisfying the input schema.
    fn examples() -> Vec<Value> {
        Vec::new()
    }

    /// The result to give in demo mode, without doing any work.
    fn demo_result() -> Option<Self::Output> {
        None
    }
}

/// Makes the given [`Executor`] types the executors of this component. Once per plugin crate; may stand beside
/// [`export_hooks!`](crate::export_hooks) and [`export_collector!`](crate::export_collector).
///
/// On targets other than WebAssembly it only checks the types, so that plugin crates can run their unit tests.
#[macro_export]
macro_rules! export_executors {
    ($($executor:ty),+ $(,)?) => {
        $(const _: () = $crate::executor::check_id(<$executor as $crate::Executor>::ID);)+

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::bindings::executor::exports::apflow::plugin::executor::Guest for Component {
                fn describe() -> $crate::__private::Described {
                    $crate::executor::described([$($crate::executor::describe::<$executor>),+])
                }

                fn execute(call: $crate::bindings::types::Invocation) -> $crate::__private::Document {
                    $(
                        if call.executor == <$executor as $crate::Executor>::ID {
                            return $crate::executor::call::<$executor>(call).map_err(::core::convert::Into::into);
                        }
                    )+
                    ::core::result::Result::Err($crate::executor::unknown(&call.executor).into())
                }
            }

            $crate::bindings::executor::export_executor_world!(
                Component with_types_in $crate::bindings::executor
            );
        };
    };
}

/// Fails to compile where `id` is not a valid executor id.
#[doc(hidden)]
pub const fn check_id(id: &str) {
    let bytes = id.as_bytes();
    assert!(!bytes.is_empty() && bytes.len() <= 100, "an executor's ID has 1 to 100 characters");
    let mut at = 0;
    while at < bytes.len() {
        let fits = bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'_';
        assert!(fits, "an executor's ID is made of lower case letters, digits and `_`");
        at += 1;
    }
}

/// The descriptions of all executors of a component.
#[doc(hidden)]
pub fn described<const N: usize>(
    each: [fn() -> Result<ExecutorInfo, Failure>; N],
) -> crate::__private::Described {
    let mut all = Vec::with_capacity(N);
    for describe in each {
        all.push(describe()?);
    }
    Ok(all)
}

/// What the host and its users learn about `E`.
#[doc(hidden)]
pub fn describe<E: Executor>() -> Result<ExecutorInfo, Failure> {
    let demo_result = E::demo_result().map(|result| wire::to_json(&result, "demo result")).transpose()?;
    Ok(ExecutorInfo {
        id: E::ID.to_owned(),
        name: E::NAME.to_owned(),
        description: E::DESCRIPTION.to_owned(),
        tags: E::TAGS.iter().map(|&tag| tag.to_owned()).collect(),
        examples: E::examples().iter().map(Value::to_string).collect(),
        input_schema: schema::of_input::<E::Input>(),
        output_schema: schema::of_output::<E::Output>(),
        cancelable: E::CANCELABLE,
        idempotent: E::IDEMPOTENT,
        demo_result,
        extra: "{}".to_owned(),
    })
}

/// Runs one attempt of `E`, from the inputs' JSON text to the result's.
#[doc(hidden)]
pub fn call<E: Executor>(mut call: Invocation) -> Result<String, Failure> {
    let inputs = std::mem::take(&mut call.inputs);
    let input = wire::from_json(&inputs)?;
    let output = E::execute(input, &Context::new(call))?;
    wire::to_json(&output, "result")
}

/// The component was asked for an executor that it does not hold.
#[doc(hidden)]
pub fn unknown(executor: &str) -> Failure {
    let message = format!("this component holds no executor `{executor}`; load the plugin that describes it");
    Failure::BadInput(Issue::new("unknown_executor", message))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[derive(Deserialize, JsonSchema)]
    struct Input {
        a: u8,
        b: u8,
    }

    struct Add;

    impl Executor for Add {
        const ID: &'static str = "add_executor";
        const TAGS: &'static [&'static str] = &["math"];
        type Input = Input;
        type Output = u8;

        fn execute(input: Input, _ctx: &Context) -> Result<u8, Failure> {
            let overflow = || Failure::permanent("overflow", format!("{} + {} > 255", input.a, input.b));
            input.a.checked_add(input.b).ok_or_else(overflow)
        }

        fn examples() -> Vec<Value> {
            vec![json!({"a": 1, "b": 2})]
        }

        fn demo_result() -> Option<u8> {
            Some(3)
        }
    }

    #[test]
    fn describes_itself() {
        let info = describe::<Add>().unwrap();
        assert_eq!((info.id.as_str(), info.name.as_str()), ("add_executor", "add_executor"));
        assert_eq!(info.examples, [r#"{"a":1,"b":2}"#]);
        assert_eq!(info.demo_result.as_deref(), Some("3"));
        assert_eq!(info.tags, ["math"]);
        let schema: Value = serde_json::from_str(&info.input_schema).unwrap();
        assert_eq!(schema["required"], json!(["a", "b"]));
    }

    #[test]
    fn works_from_json_to_json() {
        assert_eq!(testing::call::<Add>(json!({"a": 1, "b": 2})).unwrap(), json!(3));
        assert_eq!(testing::call::<Add>(json!({"a": 200, "b": 100})).unwrap_err().code(), "overflow");
    }

    #[test]
    fn inputs_that_do_not_fit_never_reach_the_executor() {
        let failure = testing::call::<Add>(json!({"a": 1, "b": 256})).unwrap_err();
        assert_eq!(failure.issue().unwrap().pointer.as_deref(), Some("/b"));
    }

    #[test]
    fn ids_are_checked() {
        check_id(Add::ID);
        assert!(std::panic::catch_unwind(|| check_id("Add")).is_err());
        assert!(std::panic::catch_unwind(|| check_id("")).is_err());
    }
}
