//! `apflow bench --compare`: ours beside other programs that do the same work, in one run and in turns, so that whatever else
//! the machine does meanwhile is shared among all. What is not installed is named, never guessed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use apflow_host::Config;
use apflow_host::config::DEFAULT_URL;
use serde_json::{Value, json};
use tokio::process::Command;

use super::super::errors::Failure;
use super::super::output::{Format, print_text, table, text_of};
use super::place::Place;
use super::report::{median, rounded, share};
use super::{BenchArgs, local, served, trees};

/// No round of another program takes this long.
const PATIENCE: Duration = Duration::from_secs(600);
/// Tasks of the trees that the original gets; more take it minutes.
const SMALL: u32 = 100;

/// What programs are compared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Independent jobs in a queue on PostgreSQL: graphile-worker
    Queue,
    /// A durable flow of three steps, one client: Restate
    Flow,
    /// A small tree and a chain: the Python original; takes minutes
    Trees,
}

/// The same work for several programs.
struct Contest {
    kind: Kind,
    what: String,
    /// The figures that each gives.
    figures: &'static [Measure],
    contestants: Vec<(&'static str, Contestant)>,
}

struct Measure {
    /// The member of the answer of a driver.
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
}

enum Contestant {
    Ours(Work, Box<Config>),
    Other(Driver),
}

/// What we do in a contest.
enum Work {
    Queue(u32),
    Flow(u32),
    Trees,
}

/// A script that runs another program for one round and ends with one line of JSON.
struct Driver {
    /// What must be there for it to run.
    program: PathBuf,
    script: &'static str,
    arguments: Vec<String>,
    /// It gets the URL of an empty database before its other arguments.
    wants_database: bool,
}

const QUEUE: &[Measure] = &[
    Measure { key: "run", name: "run", unit: "tasks/s", more_is_better: true },
    Measure { key: "whole", name: "insert and run", unit: "tasks/s", more_is_better: true },
];
const FLOW: &[Measure] = &[
    Measure { key: "p50", name: "p50", unit: "ms", more_is_better: false },
    Measure { key: "p99", name: "p99", unit: "ms", more_is_better: false },
];
const TREES: &[Measure] = &[
    Measure { key: "tree", name: "independent, each", unit: "ms", more_is_better: false },
    Measure { key: "chain", name: "chain, each", unit: "ms", more_is_better: false },
];

/// Runs all contests and prints what came out.
pub async fn run(args: &BenchArgs, config: &Config) -> Result<(), Failure> {
    if !config.database.is_server() {
        let text = "--compare needs a database server for the queues: name a database on it with --database-url \
                    postgres://USER@HOST/DATABASE, or let `cargo xtask bench --compare` start one";
        return Err(Failure::usage("invalid_params", text));
    }
    let folder = yardsticks(args)?;
    let mut outcomes = Vec::new();
    let wanted = |contest: &Contest| args.contest.is_empty() || args.contest.contains(&contest.kind);
    for contest in contests(args, config, &folder).into_iter().filter(wanted) {
        let outcome = contest.hold(args.rounds, config, &folder).await?;
        outcomes.push((contest, outcome));
    }
    show(args, &outcomes);
    Ok(())
}

fn yardsticks(args: &BenchArgs) -> Result<PathBuf, Failure> {
    if let Some(folder) = &args.yardsticks {
        return std::path::absolute(folder)
            .map_err(|error| Failure::usage("invalid_params", format!("--yardsticks: {error}")));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Failure::usage("invalid_params", "there is no home folder: name the yardsticks with --yardsticks DIR")
    })?;
    Ok(cache.join("apflow/yardsticks"))
}

fn contests(args: &BenchArgs, config: &Config, folder: &Path) -> Vec<Contest> {
    let mut file = config.clone();
    DEFAULT_URL.clone_into(&mut file.database.url);
    let ours = |work, config: &Config| Contestant::Ours(work, Box::new(config.clone()));
    let node = |package: &str, script, arguments: &[String], wants_database| {
        Contestant::Other(Driver {
            program: folder.join("node_modules").join(package),
            script,
            arguments: arguments.to_vec(),
            wants_database,
        })
    };
    let queue = |mode: &str| {
        node("graphile-worker", "graphile.mjs", &[mode.to_owned(), args.tasks.to_string()], true)
    };
    let flow = node("@restatedev/restate-server", "restate.mjs", &[args.requests.to_string()], false);
    let original = Contestant::Other(Driver {
        program: folder.join("venv/bin/python"),
        script: "original.py",
        arguments: vec![SMALL.to_string()],
        wants_database: false,
    });
    vec![
        Contest {
            kind: Kind::Queue,
            what: format!("{} independent jobs, PostgreSQL", args.tasks),
            figures: QUEUE,
            contestants: vec![
                ("apflow", ours(Work::Queue(args.tasks), config)),
                ("apflow, shared instances", ours(Work::Queue(args.tasks), &local::sharing(config))),
                ("graphile-worker, plain", queue("plain")),
                ("graphile-worker, batching", queue("batching")),
            ],
        },
        Contest {
            kind: Kind::Flow,
            what: "durable flow of three steps, one client".into(),
            figures: FLOW,
            contestants: vec![
                ("apflow, SQLite", ours(Work::Flow(args.requests), &file)),
                ("apflow, PostgreSQL", ours(Work::Flow(args.requests), config)),
                ("Restate", flow),
            ],
        },
        Contest {
            kind: Kind::Trees,
            what: format!("tree of {SMALL} and chain of {SMALL}"),
            figures: TREES,
            contestants: vec![
                ("apflow, SQLite", ours(Work::Trees, &file)),
                ("apflow 0.18.2 (Python), DuckDB", original),
            ],
        },
    ]
}

/// What each contestant gave in all rounds; nothing for who is not installed.
type Outcome = BTreeMap<usize, Vec<Vec<f64>>>;

impl Contest {
    /// All rounds, in each of which all contestants take their turn.
    async fn hold(&self, rounds: u32, config: &Config, folder: &Path) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::new();
        for round in 1..=rounds {
            for (place, (name, contestant)) in self.contestants.iter().enumerate() {
                // The whole takes minutes.
                eprintln!("round {round} of {rounds}, {}: {name}", self.what);
                let figures = match contestant {
                    Contestant::Ours(work, config) => work.perform(config).await?,
                    Contestant::Other(driver) if driver.program.exists() => {
                        let answer = driver.perform(name, config, folder).await?;
                        self.figures.iter().map(|one| answer[one.key].as_f64().unwrap_or(f64::NAN)).collect()
                    }
                    Contestant::Other(_) => continue,
                };
                outcome.entry(place).or_default().push(figures);
            }
        }
        Ok(outcome)
    }

    /// The median of a figure of a contestant.
    fn figure(&self, outcome: &Outcome, contestant: usize, figure: usize) -> Option<f64> {
        Some(median(outcome.get(&contestant)?.iter().map(|round| round[figure])))
    }

    /// How many times better the first of us is than this one.
    fn ratio(&self, outcome: &Outcome, contestant: usize, figure: usize) -> Option<f64> {
        let (ours, theirs) = (self.figure(outcome, 0, figure)?, self.figure(outcome, contestant, figure)?);
        Some(if self.figures[figure].more_is_better { ours / theirs } else { theirs / ours })
    }
}

impl Work {
    async fn perform(&self, config: &Config) -> Result<Vec<f64>, Failure> {
        match self {
            Self::Queue(tasks) => {
                let round = local::round(config, trees::flat(*tasks)).await?;
                Ok([round.run, round.whole()].map(|time| round.tasks / time.as_secs_f64()).to_vec())
            }
            Self::Flow(requests) => {
                let times = served::flows(*requests, config).await?;
                Ok(vec![share(times.iter().copied(), 0.5), share(times, 0.99)])
            }
            Self::Trees => {
                let mut each = Vec::new();
                for tree in [trees::flat(SMALL), trees::chain(SMALL)] {
                    let round = local::round(config, tree).await?;
                    each.push(round.whole().as_secs_f64() * 1000.0 / round.tasks);
                }
                Ok(each)
            }
        }
    }
}

impl Driver {
    async fn perform(&self, name: &str, config: &Config, folder: &Path) -> Result<Value, Failure> {
        let failed = |what: String| Failure::missing("runtime_error", format!("{name}: {what}"));
        let place = if self.wants_database { Some(Place::new(config).await?) } else { None };
        let interpreter =
            if self.script.ends_with(".py") { self.program.as_os_str() } else { "node".as_ref() };
        let mut command = Command::new(interpreter);
        command
            .arg(folder.join(self.script))
            .args(place.as_ref().map(|place| &place.url))
            .args(&self.arguments);
        command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(PATIENCE, command.output()).await;
        let ended = ended.map_err(|_| failed(format!("took longer than {PATIENCE:?}")))?;
        let output = ended.map_err(|error| failed(format!("cannot be started: {error}")))?;
        if let Some(place) = place {
            place.remove().await?;
        }
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("ended with {}: {}", output.status, errors.trim())));
        }
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| failed(format!("gave no figures but '{last}'")))
    }
}

fn show(args: &BenchArgs, outcomes: &[(Contest, Outcome)]) {
    if args.output.format() != Format::Human {
        let list: Vec<Value> = outcomes.iter().map(|(contest, outcome)| in_json(contest, outcome)).collect();
        args.output.json(&json!({ "rounds": args.rounds, "contests": list }));
        return;
    }
    let mut table = table(&["contest", "who", "figure", "median", "unit", "apflow is"]);
    for (contest, outcome) in outcomes {
        for (place, (name, _)) in contest.contestants.iter().enumerate() {
            for (at, measure) in contest.figures.iter().enumerate() {
                let figure = contest.figure(outcome, place, at);
                let ratio = contest.ratio(outcome, place, at).filter(|_| place > 0);
                table.add_row([
                    contest.what.clone(),
                    (*name).to_owned(),
                    measure.name.to_owned(),
                    figure.map_or_else(|| "not installed: cargo xtask yardsticks".to_owned(), rounded),
                    figure.map_or_else(String::new, |_| measure.unit.to_owned()),
                    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} × as good")),
                ]);
            }
        }
    }
    print_text(&text_of(&table));
}

fn in_json(contest: &Contest, outcome: &Outcome) -> Value {
    let contestants: Vec<Value> = contest
        .contestants
        .iter()
        .enumerate()
        .map(|(place, (name, _))| {
            let figures: Vec<Value> = contest
                .figures
                .iter()
                .enumerate()
                .filter_map(|(at, measure)| {
                    let value = contest.figure(outcome, place, at)?;
                    let ratio = contest.ratio(outcome, place, at);
                    Some(
                        json!({ "name": measure.name, "value": value, "unit": measure.unit, "ratio": ratio }),
                    )
                })
                .collect();
            json!({ "name": name, "installed": outcome.contains_key(&place), "figures": figures })
        })
        .collect();
    json!({ "contest": contest.what, "contestants": contestants })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_says_how_much_better_the_first_is() {
        let contest =
            |figures| Contest { kind: Kind::Queue, what: String::new(), figures, contestants: Vec::new() };
        let outcome = Outcome::from([
            (0, vec![vec![30.0, 1.0], vec![20.0, 1.0], vec![10.0, 1.0]]),
            (1, vec![vec![5.0, 1.0], vec![4.0, 1.0], vec![90.0, 1.0]]),
        ]);
        let ratio = |figures| contest(figures).ratio(&outcome, 1, 0).map(|ratio| ratio.to_string());
        assert_eq!((ratio(QUEUE), ratio(FLOW)), (Some("4".into()), Some("0.25".into())));
        assert_eq!(contest(QUEUE).ratio(&outcome, 2, 0), None);
    }
}
