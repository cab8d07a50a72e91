//! `apflow plugin install` and `push`: a package from where it is to where it shall be.

use std::path::PathBuf;

use apflow_packages::{Locked, Source, fetch};
use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};
use super::super::target::TargetArgs;
use super::approval::{Approval, ApprovalArgs, ask};
use super::site::{Checked, Site, TrustArgs, access, beyond};

/// Flags of `apflow plugin install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// HOST[:PORT]/NAME[:TAG|@sha256:…] in an OCI registry, https://… of an archive, an archive, or a folder with plugin.toml
    /// and the component
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(flatten)]
    approval: ApprovalArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// SHA-256 that the archive must have; for folders and registries, the component
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Plugins folder to install into [default: the last one that plugins are loaded from]
    #[arg(long, value_name = "PLUGINS")]
    dir: Option<PathBuf>,
}

/// Flags of `apflow plugin push`.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// HOST[:PORT]/NAME[:TAG]
    #[arg(value_name = "REF")]
    reference: String,
    /// The package: an archive, or a folder with plugin.toml and the component
    #[arg(value_name = "PACKAGE", default_value = ".")]
    package: String,
}

/// Runs `install`.
pub async fn run(args: &InstallArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let site = Site::open(target, args.dir.as_deref())?;
    let source = Source::parse(&args.source)?;
    let package = fetch(&source, &site.access, args.sha256.as_deref()).await?;
    let checked = site.check(package, &args.trust).await?;
    let lock = site.folder.lock()?;
    let approved = lock.get(&checked.package.name).map(|entry| entry.approved.clone()).unwrap_or_default();
    let more = beyond(&checked.package.name, &checked.requested, &approved);
    let approval = ask(&checked.package.title(), &more, args.approval)?;
    let answer = place(&site, &checked, &source.to_string(), approval)?;
    output.show(&answer, installed);
    Ok(Exit::Success)
}

/// Puts an approved package in its place.
pub fn place(site: &Site, checked: &Checked, source: &str, approval: Approval) -> Result<Value, Failure> {
    let Checked { package, requested, signer, info } = checked;
    let entry: Locked = site.entry(package, source, signer.clone(), requested);
    // First what it is allowed: then it is there when a host loads the plugin.
    let granted = match approval {
        Approval::Granted if !requested.is_empty() => Some(site.allow(&package.name, requested)?),
        Approval::Granted | Approval::Approved => None,
    };
    site.folder.install(package, entry)?;
    Ok(json!({
        "name": package.name, "version": package.version, "source": source, "folder": site.folder.path(),
        "digest": package.component_sha256(), "signer": signer, "requested": requested,
        "executors": info.executors, "granted_in": granted,
    }))
}

/// The sentence for people.
pub fn installed(answer: &Value) -> String {
    let (name, version) = (field(answer, "name"), field(answer, "version"));
    let mut text = vec![format!("Installed {name} {version} into {}", field(answer, "folder"))];
    if field(answer, "signer") != "-" {
        text.push(format!("signed by    {}", field(answer, "signer")));
    }
    if field(answer, "granted_in") != "-" {
        text.push(format!("granted in   {}", field(answer, "granted_in")));
    } else if answer.get("requested").is_some_and(|requested| *requested != json!({})) {
        text.push(format!("It is allowed what the configuration says; see `apflow plugin policy {name}`"));
    }
    text.join("\n")
}

/// Runs `push`.
pub async fn push(args: &PushArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let access = access(&target.load()?.config);
    let package = fetch(&Source::parse(&args.package)?, &access, None).await?;
    let (reference, digest) = apflow_packages::push(&args.reference, &package, &access).await?;
    let answer = json!({
        "name": package.name, "version": package.version, "reference": reference, "digest": digest,
        "signed": package.signature.is_some(),
    });
    output.show(&answer, |answer| {
        let [name, version, reference, digest] =
            ["name", "version", "reference", "digest"].map(|part| field(answer, part));
        format!("Pushed {name} {version} to {reference}\ndigest       {digest}")
    });
    Ok(Exit::Success)
}
