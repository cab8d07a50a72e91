//! Scenarios over HTTP, against server processes: what a client sees, and what a server needs.

use std::time::{Duration, Instant};

use apflow_core::clock::{Clock as _, SystemClock, Timestamp};
use apflow_host::Config;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::super::errors::Failure;
use super::place::Place;
use super::process::Server;
use super::report::{Row, figure, median, share};
use super::{BenchArgs, trees};

/// Between two requests to a server that is to be idle.
const PAUSE: Duration = Duration::from_millis(2);
/// Requests before those that count.
const WARM_UP: u32 = 50;
/// Trees that the scenario with several hosts shares out among them.
const TREES: u32 = 8;

/// Start of a server to its first answer, and its memory when idle.
pub async fn start(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let (mut first_answer, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let place = Place::new(config).await?;
        // The first start compiles components and makes the schema.
        Server::start(config, &place, "prepare").await?.kill().await?;
        let server = Server::start(config, &place, "bench").await?;
        first_answer.push(server.first_answer.as_secs_f64() * 1000.0);
        idle.push(server.memory());
        server.kill().await?;
        place.remove().await?;
    }
    Ok(Row {
        what: "server, warm cache".into(),
        figures: vec![
            figure("first answer", median(first_answer), "ms").at_most(150.0),
            figure("idle memory", median(idle), "MiB").at_most(80.0),
        ],
    })
}

/// From the request of one task to its start and to its end, as one client after the other sees it.
pub async fn latency(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let place = Place::new(config).await?;
        let server = Server::start(config, &place, "bench").await?;
        for request in 0..WARM_UP + args.requests {
            tokio::time::sleep(PAUSE).await;
            let (sent, began) = (SystemClock.now(), Instant::now());
            let root = server.run(trees::flat(1)).await?;
            let end = began.elapsed();
            let task = server.call("tasks.get", json!({ "task_id": root })).await?;
            if request >= WARM_UP {
                starts.push(millis(started_at(&task)?.since(sent)));
                ends.push(millis(end));
            }
        }
        server.kill().await?;
        place.remove().await?;
    }
    Ok(Row {
        what: "one task, idle server".into(),
        figures: vec![
            figure("request to start, p50", share(starts.iter().copied(), 0.5), "ms").at_most(2.0),
            figure("request to start, p99", share(starts, 0.99), "ms").at_most(10.0),
            figure("request to answer, p50", share(ends.iter().copied(), 0.5), "ms"),
            figure("request to answer, p99", share(ends, 0.99), "ms"),
        ],
    })
}

fn started_at(task: &Value) -> Result<Timestamp, Failure> {
    let text = task["started_at"].as_str().unwrap_or_default();
    Timestamp::parse(text).map_err(|error| Failure::missing("runtime_error", format!("started_at: {error}")))
}

/// Three steps, one after the other, and one client that waits for them.
pub async fn flow(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let mut times = Vec::new();
    for _ in 0..args.rounds {
        times.extend(flows(args.requests, config).await?);
    }
    Ok(Row {
        what: "flow of three steps, one client".into(),
        figures: vec![
            figure("request to answer, p50", share(times.iter().copied(), 0.5), "ms").at_most(2.0),
            figure("request to answer, p99", share(times, 0.99), "ms"),
        ],
    })
}

/// The milliseconds that each of some flows took, on a new server.
pub async fn flows(requests: u32, config: &Config) -> Result<Vec<f64>, Failure> {
    let place = Place::new(config).await?;
    let server = Server::start(config, &place, "bench").await?;
    let mut times = Vec::new();
    for request in 0..WARM_UP + requests {
        let began = Instant::now();
        server.run(trees::chain(3)).await?;
        if request >= WARM_UP {
            times.push(millis(began.elapsed()));
        }
    }
    server.kill().await?;
    place.remove().await?;
    Ok(times)
}

/// What a server needs when idle and while it runs independent tasks.
pub async fn memory(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let (mut idle, mut peak) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let place = Place::new(config).await?;
        let server = Server::start(config, &place, "bench").await?;
        idle.push(server.memory());
        server.run(trees::flat(args.tasks)).await?;
        peak.push(server.peak());
        server.kill().await?;
        place.remove().await?;
    }
    Ok(Row {
        what: format!("server, flat run of {} tasks", args.tasks),
        figures: vec![
            figure("idle memory", median(idle), "MiB").at_most(80.0),
            figure("peak memory", median(peak), "MiB").at_most(250.0),
        ],
    })
}

/// A small tree beside a large one, sent to servers and read from them.
pub async fn large(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push((whole(1_000, config).await?, whole(args.large, config).await?));
    }
    let of = |read: fn(&(Whole, Whole)) -> f64| median(rounds.iter().map(read));
    let (small, large) = (of(|round| round.0.per_task), of(|round| round.1.per_task));
    Ok(Row {
        what: format!("tree of 1,000 and of {}", args.large),
        figures: vec![
            figure("1,000: insert and run", small, "µs/task"),
            figure(format!("{}: insert and run", args.large), large, "µs/task"),
            figure("ratio", large / small, "×").at_most(1.3),
            figure("peak memory", of(|round| round.1.peak), "MiB").at_most(300.0),
            figure("tasks.tree, flat", of(|round| round.1.flat.seconds), "s"),
            figure("its answer", of(|round| round.1.flat.mib), "MiB"),
            figure("its peak memory", of(|round| round.1.flat.peak), "MiB").at_most(300.0),
            figure("tasks.tree, nested", of(|round| round.1.nested.seconds), "s"),
            figure("its answer", of(|round| round.1.nested.mib), "MiB"),
            figure("its peak memory", of(|round| round.1.nested.peak), "MiB").at_most(300.0),
        ],
    })
}

struct Whole {
    /// Microseconds of insertion and run.
    per_task: f64,
    /// MiB.
    peak: f64,
    flat: Reading,
    nested: Reading,
}

/// A tree that was asked for.
struct Reading {
    seconds: f64,
    mib: f64,
    peak: f64,
}

async fn whole(tasks: u32, config: &Config) -> Result<Whole, Failure> {
    let place = Place::new(config).await?;
    let server = Server::start(config, &place, "bench").await?;
    server.run(trees::diamonds(100)).await?;
    let tree = trees::flat(tasks);
    let began = Instant::now();
    let root = server.run(tree).await?;
    let per_task = began.elapsed().as_secs_f64() * 1e6 / f64::from(tasks);
    let peak = server.peak();
    let flat = reading(&server, &root, "flat").await?;
    let nested = reading(&server, &root, "nested").await?;
    server.kill().await?;
    place.remove().await?;
    Ok(Whole { per_task, peak, flat, nested })
}

async fn reading(server: &Server, root: &str, format: &str) -> Result<Reading, Failure> {
    server.forget_peak();
    let began = Instant::now();
    let bytes = server.size_of("tasks.tree", json!({ "task_id": root, "format": format })).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Reading { seconds, mib: bytes as f64 / f64::from(1 << 20), peak: server.peak() })
}

/// One host, and two, with the same trees on one database server; rounds of both take turns.
pub async fn hosts(args: &BenchArgs, config: &Config) -> Result<Row, Failure> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        one.push(shared_out(args.tasks, config, 1).await?);
        two.push(shared_out(args.tasks, config, 2).await?);
    }
    let (one, two) = (median(one), median(two));
    Ok(Row {
        what: format!("hosts on one database, {} tasks in {TREES} trees", args.tasks),
        figures: vec![
            figure("one host", one, "tasks/s"),
            figure("two hosts", two, "tasks/s"),
            figure("ratio", two / one, "×").at_least(1.0),
        ],
    })
}

/// Tasks a second.
async fn shared_out(tasks: u32, config: &Config, hosts: usize) -> Result<f64, Failure> {
    let place = Place::new(config).await?;
    let mut servers = Vec::new();
    for host in 0..hosts {
        let server = Server::start(config, &place, &format!("bench-{host}")).await?;
        server.run(trees::diamonds(100)).await?;
        servers.push(server);
    }
    let each = (tasks / TREES).max(1);
    let trees: Vec<Value> = (0..TREES).map(|_| trees::flat(each)).collect();
    let began = Instant::now();
    let runs = trees.into_iter().enumerate().map(|(i, tree)| servers[i % hosts].run(tree));
    try_join_all(runs).await?;
    let per_second = f64::from(each * TREES) / began.elapsed().as_secs_f64();
    for server in servers {
        server.kill().await?;
    }
    place.remove().await?;
    Ok(per_second)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
