//! Executors that break a limit: deadline, memory, output, log lines, and the trap that stands for every crash.

use std::hint::black_box;
use std::time::Duration;

use apflow_sdk::prelude::*;

/// Never returns and never calls the host.
pub struct LoopForever;

impl Executor for LoopForever {
    const ID: &'static str = "loop_forever";
    type Input = Map<String, Value>;
    type Output = ();

    fn execute(_input: Map<String, Value>, _ctx: &Context) -> Result<(), Failure> {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Amount {
    /// How many MiB; everything there is if left out.
    mib: Option<usize>,
}

/// Takes memory until it is refused, or as much as it is told to.
pub struct EatMemory;

impl Executor for EatMemory {
    const ID: &'static str = "eat_memory";
    type Input = Amount;
    type Output = usize;

    fn execute(input: Amount, _ctx: &Context) -> Result<usize, Failure> {
        let mut eaten: Vec<Vec<u8>> = Vec::new();
        while input.mib.is_none_or(|mib| eaten.len() < mib) {
            eaten.push(black_box(vec![1; 1 << 20]));
        }
        Ok(eaten.len())
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Way {
    /// `panic`, `unreachable` or `stack`.
    #[serde(default = "panicking")]
    how: String,
}

fn panicking() -> String {
    "panic".to_owned()
}

/// Ends the instance.
pub struct Trap;

impl Executor for Trap {
    const ID: &'static str = "trap";
    type Input = Way;
    type Output = u64;

    fn execute(input: Way, _ctx: &Context) -> Result<u64, Failure> {
        match input.how.as_str() {
            "panic" => panic!("the guest gives up on purpose"),
            "unreachable" => std::process::abort(),
            "stack" => Ok(deeper(1)),
            other => {
                Err(Failure::bad_input("unknown_way", format!("no way to trap is called '{other}'"), "/how"))
            }
        }
    }
}

/// Recursion that no optimiser can turn into a loop.
#[expect(unconditional_recursion, reason = "it is meant to run out of stack")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    deeper(depth + 1).wrapping_add(black_box(&frame)[0])
}

#[derive(Deserialize, JsonSchema)]
pub struct Size {
    /// How many bytes of text.
    #[serde(default = "four_mib")]
    bytes: usize,
}

fn four_mib() -> usize {
    4 << 20
}

/// Gives a result of that size.
pub struct HugeOutput;

impl Executor for HugeOutput {
    const ID: &'static str = "huge_output";
    type Input = Size;
    type Output = String;

    fn execute(input: Size, _ctx: &Context) -> Result<String, Failure> {
        Ok("x".repeat(input.bytes))
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct Flood {
    /// How many lines.
    #[serde(default = "ten_thousand")]
    lines: u32,
}

fn ten_thousand() -> u32 {
    10_000
}

/// Writes that many log lines and completes.
pub struct LogFlood;

impl Executor for LogFlood {
    const ID: &'static str = "log_flood";
    type Input = Flood;
    type Output = u32;

    fn execute(input: Flood, _ctx: &Context) -> Result<u32, Failure> {
        for line in 0..input.lines {
            apflow_sdk::info!("flood, line {line}");
        }
        Ok(input.lines)
    }
}

/// Blocked inside the host for an hour: no guest code runs that an epoch could stop.
pub struct SleepHost;

impl Executor for SleepHost {
    const ID: &'static str = "sleep_host";
    type Input = Map<String, Value>;
    type Output = ();

    fn execute(_input: Map<String, Value>, _ctx: &Context) -> Result<(), Failure> {
        super::small::wait(Duration::from_secs(3600));
        Ok(())
    }
}
