//! `apflow plugin update` and `approve`: newer packages from where the old ones came. One that asks for more than was approved
//! is held beside, and the old one serves on.

use std::path::PathBuf;

use apflow_packages::{Locked, Package, PackageError, Source, fetch, newest};
use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::super::target::TargetArgs;
use super::approval::{Approval, ApprovalArgs, ask, lines};
use super::install::{installed, place};
use super::site::{Site, TrustArgs, beyond};

/// Flags of `apflow plugin update`.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// The plugin [default: all that were installed]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Plugins folder [default: the last one that plugins are loaded from]
    #[arg(long, value_name = "PLUGINS")]
    dir: Option<PathBuf>,
}

/// Flags of `apflow plugin approve`.
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    approval: ApprovalArgs,
    /// Plugins folder [default: the last one that plugins are loaded from]
    #[arg(long, value_name = "PLUGINS")]
    dir: Option<PathBuf>,
}

/// Runs `update`.
pub async fn run(args: &UpdateArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let site = Site::open(target, args.dir.as_deref())?;
    let lock = site.folder.lock()?;
    let entries: Vec<Locked> = match &args.name {
        Some(name) => vec![lock.get(name).cloned().ok_or_else(|| site.folder.not_installed(name))?],
        None => lock.plugins,
    };
    let mut rows = Vec::new();
    for entry in &entries {
        rows.push(match update(&site, entry).await {
            Ok(row) => row,
            Err(failure) => json!({
                "name": entry.name, "from": entry.version, "outcome": "failed", "error": failure.message(),
            }),
        });
    }
    let failed = rows.iter().any(|row| row["outcome"] == "failed");
    output.show(&json!({ "updates": rows }), |answer| {
        let rows: Vec<String> = answer["updates"].as_array().into_iter().flatten().map(told).collect();
        if rows.is_empty() { "Nothing was installed".into() } else { rows.join("\n") }
    });
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

async fn update(site: &Site, entry: &Locked) -> Result<Value, Failure> {
    let found = newest(entry, &site.access).await?;
    let row = |outcome: &str, to: &str, more: Value| {
        json!({
            "name": entry.name, "from": entry.version, "to": to, "outcome": outcome, "source": found.source,
            "asks_for_more": more,
        })
    };
    if !found.differs {
        return Ok(row("current", &entry.version, Value::Null));
    }
    let package: Package = fetch(&Source::parse(&found.source)?, &site.access, None).await?;
    if package.name != entry.name {
        let problem = format!("it is the plugin `{}` now, and `{}` was installed", package.name, entry.name);
        return Err(PackageError::Malformed { what: found.source, problem }.into());
    }
    // Who was signed before stays signed: an unsigned successor may be anybody's.
    if entry.signer.is_some() && package.signature.is_none() {
        return Err(PackageError::Unsigned { what: package.title() }.into());
    }
    // What was let in without a signature, by a flag, may be followed by its like.
    let trust = TrustArgs { key: None, allow_unsigned: entry.signer.is_none() };
    let checked = site.check(package, &trust).await?;
    let more = beyond(&entry.name, &checked.requested, &entry.approved);
    let to = checked.package.version.clone();
    if more.is_empty() {
        place(site, &checked, &found.source, Approval::Approved)?;
        return Ok(row("updated", &to, Value::Null));
    }
    let held = site.entry(&checked.package, &found.source, checked.signer.clone(), &checked.requested);
    site.folder.hold(&checked.package, &held)?;
    Ok(row("held", &to, serde_json::to_value(&more).unwrap_or_default()))
}

fn told(row: &Value) -> String {
    let (name, from, to) = (field(row, "name"), field(row, "from"), field(row, "to"));
    match field(row, "outcome").as_str() {
        "current" => format!("{name} {from} is what its source has"),
        "updated" => format!("{name} {from} → {to}"),
        "held" => {
            let more = serde_json::from_value(row["asks_for_more"].clone()).unwrap_or_default();
            format!(
                "{name} {from} → {to} is held, {from} serves on: it asks for more than was approved\n{}  \
                 let it in with `apflow plugin approve {name}`",
                lines(&more)
            )
        }
        _ => format!("{name} {from} was not updated: {}", field(row, "error")),
    }
}

/// Runs `approve`.
pub async fn approve(args: &ApproveArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let site = Site::open(target, args.dir.as_deref())?;
    let (package, entry) = site.folder.pending(&args.name)?;
    let trust = TrustArgs { key: None, allow_unsigned: entry.signer.is_none() };
    let checked = site.check(package, &trust).await?;
    let lock = site.folder.lock()?;
    let approved = lock.get(&args.name).map(|entry| entry.approved.clone()).unwrap_or_default();
    let more = beyond(&args.name, &checked.requested, &approved);
    let approval = ask(&checked.package.title(), &more, args.approval)?;
    let answer = place(&site, &checked, &entry.source, approval)?;
    output.show(&answer, installed);
    Ok(Exit::Success)
}
