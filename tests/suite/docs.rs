//! What the documents say is so: links lead somewhere, commands exist, figures stand beside their command.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{binary, root};

fn documents() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(|line| root().join(line)).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = path.is_empty() || path.contains("://") || path.contains(' ');
            if !outside && !document.parent().unwrap().join(Path::new(path)).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn commands_in_documents_exist() {
    let xtask = binary().with_file_name(format!("apflow-xtask{}", std::env::consts::EXE_SUFFIX));
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (program, start) in [(&xtask, "cargo xtask "), (&binary(), "apflow ")] {
            // Commands stand in indented blocks or in code marks.
            let commands = text.lines().filter_map(|line| {
                let code = line.strip_prefix("    ").or_else(|| line.split('`').nth(1))?;
                code.trim_start().strip_prefix(start)?.split_whitespace().next()
            });
            for command in commands.filter(|word| {
                word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
            }) {
                let known = Command::new(program).args([command, "--help"]).output().unwrap();
                assert!(known.status.success(), "{}: `{start}{command}` is no command", document.display());
            }
        }
    }
}

#[test]
fn figures_stand_beside_the_command_that_makes_them() {
    let text = std::fs::read_to_string(root().join("docs/performance.md")).unwrap();
    assert!(text.contains("cargo xtask bench") && text.contains("µs"), "no command or no figures");
}

#[test]
fn every_error_code_is_explained() {
    let text = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    for code in apflow_core::error::ErrorCode::ALL {
        let look = apflow_host::server::error::look(*code);
        let row = format!("| `{code}` | {} | {} |", look.rpc, look.status.as_u16());
        assert!(text.contains(&row), "no row {row}");
    }
}
