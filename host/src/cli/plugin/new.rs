//! `apflow plugin new`: a project to begin with.

use std::path::PathBuf;

use apflow_toolchain::{Kind, Language, Names, check_name, write_project};
use apflow_wasm::grants::PluginPolicy;
use serde_json::{Value, json};

use super::super::errors::{Exit, Failure};
use super::super::output::{Output, field};

/// Flags of `apflow plugin new`.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// What the plugin is called: `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter
    name: String,
    /// rust, javascript, typescript, python or c
    #[arg(long, visible_alias = "language", value_enum, hide_possible_values = true)]
    lang: Lang,
    /// executor (does work), hook (decides) or collector (measures)
    #[arg(long, value_enum, default_value_t = What::Executor, hide_possible_values = true)]
    kind: What,
    /// Folder to write [default: NAME in the working folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Lang {
    #[value(alias = "rs")]
    Rust,
    #[value(alias = "js")]
    Javascript,
    #[value(alias = "ts")]
    Typescript,
    #[value(alias = "py")]
    Python,
    C,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    Executor,
    #[value(alias = "hooks")]
    Hook,
    Collector,
}

/// Runs the command.
pub fn run(args: &NewArgs, output: Output) -> Result<Exit, Failure> {
    let language = match args.lang {
        Lang::Rust => Language::Rust,
        Lang::Javascript => Language::JavaScript,
        Lang::Typescript => Language::TypeScript,
        Lang::Python => Language::Python,
        Lang::C => Language::C,
    };
    let kind = match args.kind {
        What::Executor => Kind::Executor,
        What::Hook => Kind::Hook,
        What::Collector => Kind::Collector,
    };
    let name = &args.name;
    check_name(name).map_err(|problem| Failure::usage("invalid_params", problem))?;
    if PluginPolicy::shipped().contains_key(name) {
        let message = format!(
            "NAME is `{name}`, a plugin that comes with apflow and that yours would replace; choose another"
        );
        return Err(Failure::usage("name_taken", message));
    }
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    write_project(language, kind, &Names::of(name), &folder)
        .map_err(|error| Failure::usage("project_not_written", format!("{error:#}")))?;
    let written = json!({
        "name": name, "language": language.as_str(), "kind": kind.as_str(), "folder": folder.display().to_string(),
    });
    output.show(&written, text);
    Ok(Exit::Success)
}

fn text(written: &Value) -> String {
    let part = |name| field(written, name);
    format!(
        "Wrote {} ({} in {}) into {}\n\nBuild it and run its cases:\n  apflow plugin test {}",
        part("name"),
        part("kind"),
        part("language"),
        part("folder"),
        part("folder")
    )
}
