//! `cargo xtask quickstart` and `polyglot`: builds what an example needs, starts its small site, runs its tree.
//!
//! An example is a folder with `tree.json`, an optional `apflow.toml` and an optional `site/`. Where they name the site's
//! address, it is filled in: in copies of the two files, and in the pages as they are served.

use crate::layout::Layout;
use crate::plugins;
use crate::process::{run as run_program, say};
use crate::site::{self, Site};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// An example and what has to be built for it.
pub struct Example {
    name: &'static str,
    rust_only: bool,
}

/// Rust components alone: needs rustup and a C compiler.
pub const QUICKSTART: Example = Example { name: "quickstart", rust_only: true };
/// Components in Rust, JavaScript and Python.
pub const POLYGLOT: Example = Example { name: "polyglot", rust_only: false };

#[derive(clap::Args)]
pub struct Options {
    /// Arguments for `apflow`: for an example more of those of `apflow run`, such as `--output json`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    run: Vec<OsString>,
}

/// Runs the example; the exit code is that of `apflow run`.
pub fn run(layout: &Layout, example: &Example, options: &Options) -> Result<ExitCode> {
    let folder = layout.root.join("examples").join(example.name);
    let tree = folder.join("tree.json");
    if !tree.is_file() {
        bail!("{} is missing: an example needs a task tree", tree.display());
    }
    build(layout, example)?;
    let pages = folder.join("site");
    let site = if pages.is_dir() { Some(Site::start(&pages)?) } else { None };
    if let Some(site) = &site {
        say(&format!("serving {} at {}", shown(layout, &pages), site.url));
    }
    let mut apflow = command(layout, &folder, site.as_ref())?;
    say(&format!("apflow run {}", shown(layout, &tree)));
    exit_code_of(apflow.args(&options.run))
}

/// The command `apflow`: from the shared target folder, so that nothing is built twice.
pub fn apflow(layout: &Layout, options: &Options) -> Result<ExitCode> {
    build_apflow(layout)?;
    exit_code_of(Command::new(layout.apflow("debug")).args(&options.run))
}

fn exit_code_of(apflow: &mut Command) -> Result<ExitCode> {
    let status = apflow.status().context("cannot start apflow")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn build(layout: &Layout, example: &Example) -> Result<()> {
    let options = plugins::Options { rust_only: example.rust_only, shipped_only: true, only: None };
    plugins::build(layout, &options)?;
    build_apflow(layout)
}

fn build_apflow(layout: &Layout) -> Result<()> {
    say("cargo build --bin apflow (the first time takes minutes)");
    // With the workspace, so that its dependencies have the same features as for the tests, and are built once.
    run_program(layout.cargo().args(["build", "--workspace", "--bin", "apflow"]))
}

// All that the command line of `apflow run` has to fit is here.
fn command(layout: &Layout, folder: &Path, site: Option<&Site>) -> Result<Command> {
    let ready = layout.target.join("xtask").join(folder.file_name().context("an example has a name")?);
    fs::create_dir_all(&ready).with_context(|| format!("cannot make {}", ready.display()))?;
    let url = site.map_or("", |site| &site.url);
    let mut apflow = Command::new(layout.apflow("debug"));
    apflow.current_dir(&layout.root).arg("run").arg(filled_in(&folder.join("tree.json"), &ready, url)?);
    if folder.join("apflow.toml").is_file() {
        apflow.arg("--config").arg(filled_in(&folder.join("apflow.toml"), &ready, url)?);
    }
    apflow.arg("--plugins").arg("plugins/dist");
    Ok(apflow)
}

fn filled_in(file: &Path, ready: &Path, url: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let copy = ready.join(file.file_name().context("a file has a name")?);
    fs::write(&copy, site::fill_in(&text, url))
        .with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

fn shown(layout: &Layout, path: &Path) -> String {
    path.strip_prefix(&layout.root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_gets_a_tree_and_grants_that_name_the_site() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("examples/small");
        fs::create_dir_all(folder.join("site")).unwrap();
        fs::write(folder.join("tree.json"), r#"[{"url": "{{site}}/a.json"}]"#).unwrap();
        fs::write(folder.join("apflow.toml"), r#"private_network = ["{{site-authority}}"]"#).unwrap();
        let root = dir.path().to_owned();
        let layout = Layout { cache: root.join("cache"), target: root.join("target"), root };
        let site = Site::start(&folder.join("site")).unwrap();

        let run = command(&layout, &folder, Some(&site)).unwrap();

        let args: Vec<_> = run.get_args().map(Path::new).collect();
        let ready = layout.target.join("xtask/small");
        let (tree, config) = (ready.join("tree.json"), ready.join("apflow.toml"));
        let expected = ["run".as_ref(), &*tree, "--config".as_ref(), &config, "--plugins".as_ref()];
        assert_eq!(args[..5], expected);
        assert_eq!(fs::read_to_string(tree).unwrap(), format!(r#"[{{"url": "{}/a.json"}}]"#, site.url));
        let authority = site.url.strip_prefix("http://").unwrap();
        assert_eq!(fs::read_to_string(config).unwrap(), format!(r#"private_network = ["{authority}"]"#));
    }
}
