//! `apflow plugin test`: a plugin's own cases, in the real sandbox with everything outside faked.

use std::path::{Path, PathBuf};

use apflow_host::Config;
use apflow_wasm::cases::{Case, CaseFile, Mismatch, Report};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::super::errors::{Exit, Failure};
use super::super::output::{Format, Output, print_text};
use super::build;

/// Flags of `apflow plugin test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Folder of the project; its cases are in tests/*.toml
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Only cases whose name has this in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs the command.
pub async fn run(args: &TestArgs, config: &Config, output: Output) -> Result<Exit, Failure> {
    // A file that is wrong is told before anybody waits for a compiler.
    let files = files(&args.dir)?;
    let wanted = |case: &&Case| args.filter.as_ref().is_none_or(|part| case.name.contains(part));
    let cases: Vec<(&Path, &Case)> = files
        .iter()
        .flat_map(|file| file.cases.iter().filter(wanted).map(|case| (file.path.as_path(), case)))
        .collect();
    if cases.is_empty() {
        let part = args.filter.as_deref().unwrap_or_default();
        return Err(Failure::usage("no_cases", format!("--filter {part}: no case has that in its name")));
    }
    let built = build::component(&args.dir)?;
    let runner = apflow_host::case_runner(config, &built.component).await?;
    let mut reports = Vec::with_capacity(cases.len());
    for (file, case) in cases {
        let report = runner.run(file, case).await.map_err(apflow_host::Error::from)?;
        if output.format() == Format::Human {
            print_text(&line(&report));
        }
        reports.push(report);
    }
    let failed = reports.iter().filter(|report| !report.passed).count();
    let passed = reports.len() - failed;
    match output.format() {
        Format::Human => print_text(&format!("\n{passed} passed, {failed} failed")),
        Format::Json | Format::Ids => output.json(&json!({
            "plugin": runner.info().name, "version": runner.info().version,
            "passed": passed, "failed": failed, "cases": reports,
        })),
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
}

/// The files of cases, in the order of their names.
fn files(dir: &Path) -> Result<Vec<CaseFile>, Failure> {
    let folder = dir.join("tests");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    paths.sort();
    if paths.is_empty() {
        let message = format!(
            "{} has no file of cases; write {}",
            folder.display(),
            folder.join("cases.toml").display()
        );
        return Err(Failure::usage("no_cases", message));
    }
    let files: Result<_, _> = paths.iter().map(|path| CaseFile::read(path)).collect();
    files.map_err(|error| Failure::usage("bad_cases", error.to_string()))
}

/// One line for a case, and what was not as expected below it.
fn line(report: &Report) -> String {
    let ms = report.wall_us as f64 / 1000.0;
    if report.passed {
        return format!("{} {} ({ms:.1} ms)", console::style("ok    ").green(), report.name);
    }
    let head =
        format!("{} {} ({ms:.1} ms, {})", console::style("FAILED").red(), report.name, report.file.display());
    std::iter::once(head).chain(report.mismatches.iter().map(difference)).collect::<Vec<_>>().join("\n")
}

fn difference(mismatch: &Mismatch) -> String {
    let Mismatch { what, expected, got } = mismatch;
    let (expected, got) = (shown(expected), shown(got));
    let mut text = format!("       {what}: - expected, + got");
    for change in TextDiff::from_lines(&expected, &got).iter_all_changes() {
        let (sign, line) = (change.tag(), change.value().trim_end_matches('\n'));
        let line = match sign {
            ChangeTag::Equal => format!("           {line}"),
            ChangeTag::Delete => console::style(format!("         - {line}")).red().to_string(),
            ChangeTag::Insert => console::style(format!("         + {line}")).green().to_string(),
        };
        text.push('\n');
        text.push_str(&line);
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        other => format!("{other:#}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_case_shows_what_differs() {
        let report = Report {
            name: "adds".into(),
            file: "tests/cases.toml".into(),
            passed: false,
            wall_us: 1200,
            mismatches: vec![Mismatch {
                what: "result".into(),
                expected: json!({"a": 1, "b": 2}),
                got: json!({"a": 1, "b": 3}),
            }],
            progress: Vec::new(),
        };
        let text = console::strip_ansi_codes(&line(&report)).into_owned();
        let expected = "FAILED adds (1.2 ms, tests/cases.toml)\n       result: - expected, + got\n           {\n             \
                        \"a\": 1,\n         -   \"b\": 2\n         +   \"b\": 3\n           }";
        assert_eq!(text, expected);
    }
}
