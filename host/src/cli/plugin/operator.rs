//! The operator's commands: installing and updating packages, what plugins are allowed, and which version serves.

use super::super::errors::{Exit, Failure};
use super::super::output::Output;
use super::super::target::TargetArgs;
use super::{grant, history, install, key, remove, update};

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Install a plugin from a registry, a URL, an archive or a folder
    Install(install::InstallArgs),
    /// Take what the sources of installed plugins have now; what asks for more is held
    Update(update::UpdateArgs),
    /// Let in an update that is held because it asks for more
    Approve(update::ApproveArgs),
    /// Remove an installed plugin
    Remove(remove::RemoveArgs),
    /// Make a pair of keys for signing
    Key(key::KeyArgs),
    /// Sign a package
    Sign(key::SignArgs),
    /// Check who signed a package
    VerifySignature(key::VerifyArgs),
    /// Send a package to an OCI registry
    Push(install::PushArgs),
    /// Show what a plugin asks for, what it is allowed, and what it may do
    Policy(grant::PolicyArgs),
    /// Allow a plugin more, at once
    Grant(grant::GrantArgs),
    /// Allow a plugin less, at once
    Revoke(grant::RevokeArgs),
    /// List the versions of a plugin that have served
    History(history::HistoryArgs),
    /// Publish a version of a plugin that has served before
    Rollback(history::RollbackArgs),
    /// Take the files of a plugin again after a rollback
    Unpin(history::UnpinArgs),
}

/// Runs a command.
pub async fn run(command: &Command, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Install(args) => install::run(args, target, output).await,
        Command::Update(args) => update::run(args, target, output).await,
        Command::Approve(args) => update::approve(args, target, output).await,
        Command::Remove(args) => remove::run(args, target, output),
        Command::Key(args) => key::make(args, output),
        Command::Sign(args) => key::sign(args, output),
        Command::VerifySignature(args) => key::verify(args, target, output),
        Command::Push(args) => install::push(args, target, output).await,
        Command::Policy(args) => grant::policy(args, target, output).await,
        Command::Grant(args) => grant::grant(args, target, output).await,
        Command::Revoke(args) => grant::revoke(args, target, output).await,
        Command::History(args) => history::history(args, target, output).await,
        Command::Rollback(args) => history::rollback(args, target, output).await,
        Command::Unpin(args) => history::unpin(args, target, output).await,
    }
}
