//! Well-behaved executors that test trees are built of: echo, delay, retry, null, and the two ends of a passed result.

use std::time::{Duration, Instant};

use apflow_sdk::prelude::*;

/// Gives its inputs back.
pub struct Echo;

impl Executor for Echo {
    const ID: &'static str = "echo";
    const IDEMPOTENT: bool = true;
    type Input = Map<String, Value>;
    type Output = Map<String, Value>;

    fn execute(input: Map<String, Value>, _ctx: &Context) -> Result<Map<String, Value>, Failure> {
        Ok(input)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Delay {
    /// How long.
    #[serde(default = "a_second")]
    ms: u64,
    /// Computes all the time instead of waiting inside the host.
    #[serde(default)]
    busy: bool,
    /// How many progress reports on the way.
    #[serde(default)]
    reports: u32,
}

fn a_second() -> u64 {
    1000
}

#[derive(Serialize, JsonSchema)]
pub struct Waited {
    /// How long it really took.
    waited_ms: u128,
}

/// Takes its time.
pub struct Slow;

impl Executor for Slow {
    const ID: &'static str = "slow";
    const CANCELABLE: bool = true;
    const IDEMPOTENT: bool = true;
    type Input = Delay;
    type Output = Waited;

    fn execute(input: Delay, ctx: &Context) -> Result<Waited, Failure> {
        let began = Instant::now();
        let parts = input.reports + 1;
        for part in 1..=parts {
            let until = Duration::from_millis(input.ms) * part / parts;
            if input.busy {
                while began.elapsed() < until {
                    std::hint::spin_loop();
                }
            } else {
                wait(until.saturating_sub(began.elapsed()));
            }
            if part < parts {
                ctx.progress(f64::from(part) / f64::from(parts), "waiting");
            }
        }
        Ok(Waited { waited_ms: began.elapsed().as_millis() })
    }
}

/// The guest's sleep is a wait inside the host.
#[expect(clippy::disallowed_methods, reason = "to wait inside the host is what these executors are for")]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[derive(Deserialize, JsonSchema)]
pub struct Flaky {
    /// How many attempts fail before one completes.
    #[serde(default = "once")]
    failures: u32,
    /// The shortest wait that the failure names.
    after_ms: Option<u64>,
}

fn once() -> u32 {
    1
}

#[derive(Serialize, JsonSchema)]
pub struct Succeeded {
    /// Number of the attempt that completed.
    attempt: u32,
    /// The same for every attempt.
    idempotency_key: String,
}

/// Fails its first attempts in a way that may pass.
pub struct FailRetryable;

impl Executor for FailRetryable {
    const ID: &'static str = "fail_retryable";
    type Input = Flaky;
    type Output = Succeeded;

    fn execute(input: Flaky, ctx: &Context) -> Result<Succeeded, Failure> {
        let attempt = ctx.attempt();
        if attempt <= input.failures {
            let message = format!("attempt {attempt} fails, {} are to fail", input.failures);
            return Err(Failure::retryable("flaky", message, input.after_ms.map(Duration::from_millis)));
        }
        Ok(Succeeded { attempt, idempotency_key: ctx.idempotency_key().to_owned() })
    }
}

/// Completes with null.
pub struct ReturnsNull;

impl Executor for ReturnsNull {
    const ID: &'static str = "returns_null";
    type Input = Map<String, Value>;
    type Output = ();

    fn execute(_input: Map<String, Value>, _ctx: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Serialize, JsonSchema)]
pub struct Produced {
    /// The only property, so that what is inside it fills the consumer's properties.
    result: Address,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// Some address; it is never called.
    url: String,
}

/// Gives `{"result": {"url": "x"}}`.
pub struct UrlProducer;

impl Executor for UrlProducer {
    const ID: &'static str = "url_producer";
    type Input = Map<String, Value>;
    type Output = Produced;

    fn execute(_input: Map<String, Value>, _ctx: &Context) -> Result<Produced, Failure> {
        Ok(Produced { result: Address { url: "x".to_owned() } })
    }
}

/// Takes a `url` and gives it back.
pub struct UrlConsumer;

impl Executor for UrlConsumer {
    const ID: &'static str = "url_consumer";
    type Input = Address;
    type Output = Address;

    fn execute(input: Address, _ctx: &Context) -> Result<Address, Failure> {
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use apflow_sdk::{executor, testing::call};

    use super::*;

    #[test]
    fn the_producers_schema_has_result_alone_and_the_consumers_has_url() {
        let schema = |text: &str| apflow_sdk::serde_json::from_str::<Value>(text).unwrap();
        let output = schema(&executor::describe::<UrlProducer>().unwrap().output_schema);
        let names: Vec<_> = output["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["result"]);
        let input = schema(&executor::describe::<UrlConsumer>().unwrap().input_schema);
        assert!(input["properties"]["url"].is_object(), "{input}");
        assert_eq!(call::<UrlProducer>(json!({})).unwrap(), json!({"result": {"url": "x"}}));
    }

    #[test]
    fn only_so_many_attempts_fail() {
        let failure = call::<FailRetryable>(json!({"after_ms": 20})).unwrap_err();
        assert!(matches!(failure, Failure::Retryable { after: Some(_), .. }), "{failure:?}");
        assert_eq!(call::<FailRetryable>(json!({"failures": 0})).unwrap()["attempt"], 1);
    }

    #[test]
    fn null_is_null_and_echo_is_echo() {
        assert_eq!(call::<ReturnsNull>(json!({})).unwrap(), Value::Null);
        assert_eq!(call::<Echo>(json!({"a": [1]})).unwrap(), json!({"a": [1]}));
    }

    #[test]
    fn slow_takes_at_least_its_time() {
        let waited = call::<Slow>(json!({"ms": 3, "busy": true, "reports": 2})).unwrap();
        assert!(waited["waited_ms"].as_u64().unwrap() >= 3, "{waited}");
    }
}
