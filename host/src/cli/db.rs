//! `apflow db`: the database while no host works on it.

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_host::config::{DatabaseConfig, Durability};
use apflow_host::database::{self, SchemaState};
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::options::HostArgs;
use super::output::{Output, field, table, text_of};

/// Flags of `apflow db`.
#[derive(Debug, clap::Args)]
pub struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, clap::Subcommand)]
enum DbCommand {
    /// Show which schema the database has; changes nothing
    Status,
    /// Make the database if it is missing, and bring its schema up to date; a host does the same when it starts
    Migrate,
    /// Copy everything, runs and leases included, into another database that is empty; stop all hosts first
    Move {
        /// The other database, as sqlite:PATH or postgres://USER@HOST/DATABASE
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

/// Runs a command.
pub async fn run(args: DbArgs) -> Result<Exit, Failure> {
    let own = args.host.load(Vec::new())?.config.database;
    match &args.command {
        DbCommand::Status => args.output.show(&shown(&database::state(&own).await?, None), state),
        DbCommand::Migrate => {
            let before = database::migrate(&own).await?;
            args.output.show(&shown(&database::state(&own).await?, Some(before.version)), state);
        }
        DbCommand::Move { to } => {
            let to = DatabaseConfig { url: to.clone(), durability: Durability::Full };
            let tables = database::copy(&own, &to, SystemClock.now()).await?;
            let answer = json!({ "from": own.shown(), "to": to.shown(), "tables": tables });
            args.output.show(&answer, moved);
        }
    }
    Ok(Exit::Success)
}

fn shown(state: &SchemaState, before: Option<i64>) -> Value {
    let mut value = json!({
        "database": state.database,
        "version": state.version,
        "latest": state.latest,
        "up_to_date": state.version == state.latest,
    });
    if let Some(before) = before {
        value["before"] = before.into();
    }
    value
}

fn state(answer: &Value) -> String {
    let (database, version, latest) =
        (field(answer, "database"), field(answer, "version"), field(answer, "latest"));
    match (answer["up_to_date"].as_bool(), answer["before"].as_i64()) {
        (_, Some(before)) if answer["version"] != before => {
            format!("{database}: brought from schema {before} to {version}")
        }
        (Some(true), _) => format!("{database}: schema {version}, up to date"),
        _ if version == "0" => {
            format!("{database}: there is no database yet; `apflow db migrate` or a host makes it")
        }
        _ => format!("{database}: schema {version} of {latest}; `apflow db migrate` or a host upgrades it"),
    }
}

fn moved(answer: &Value) -> String {
    let mut lines = table(&["table", "rows"]);
    for one in answer["tables"].as_array().into_iter().flatten() {
        lines.add_row([field(one, "table"), field(one, "rows")]);
    }
    let (from, to) = (field(answer, "from"), field(answer, "to"));
    format!(
        "{}\nEverything of {from} is in {to}. Start hosts with --database-url {to}; the old database is as it was",
        text_of(&lines)
    )
}
