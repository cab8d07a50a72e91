//! The house keeps its shape: dependencies between crates, the top level, file headers, one home for the clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::harness::root;

/// What each crate may depend on inside the project, and which heavy crates it fences. `docs/architecture.md` shows
/// the same table to people.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("apflow-core", &[], &[]),
    ("apflow-engine", &["apflow-core"], &["tokio"]),
    ("apflow-packages", &[], &["oci-client", "reqwest", "tokio"]),
    ("apflow-store", &["apflow-core"], &["sqlx", "tokio"]),
    ("apflow-wasm", &["apflow-core"], &["wasmtime", "wasmtime-wasi", "wasmtime-wasi-http", "hyper", "tokio"]),
    ("apflow-server", &["apflow-core", "apflow-engine"], &["axum", "tokio"]),
    (
        "apflow-host",
        &[
            "apflow-core",
            "apflow-engine",
            "apflow-packages",
            "apflow-store",
            "apflow-toolchain",
            "apflow-wasm",
            "apflow-server",
        ],
        &["axum", "clap", "hyper", "tokio"],
    ),
    ("apflow-sdk", &[], &[]),
    ("apflow-testkit", &["apflow-core"], &["tokio"]),
    ("apflow-toolchain", &[], &[]),
    ("apflow-xtask", &["apflow-toolchain"], &["clap"]),
    ("apflow-example-embed", &["apflow-host"], &["tokio"]),
    ("apflow-tests", &["apflow-core", "apflow-store", "apflow-testkit"], &["clap", "hyper", "tokio"]),
];

/// Crates that only the ones named in the table may use.
const FENCED: &[&str] = &[
    "wasmtime",
    "wasmtime-wasi",
    "wasmtime-wasi-http",
    "sqlx",
    "axum",
    "clap",
    "hyper",
    "oci-client",
    "reqwest",
    "tokio",
];

#[test]
fn dependencies_point_down() {
    let manifest = root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let members: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let known: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(members, known, "every crate has a row in the table");
    for package in &metadata.packages {
        let row = TABLE.iter().find(|row| row.0 == package.name.as_str()).unwrap();
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let name = dependency.name.as_str();
            let ours = name.starts_with("apflow-");
            assert!(!ours || row.1.contains(&name), "{} must not depend on {name}", package.name);
            let fenced = FENCED.contains(&name);
            assert!(!fenced || row.2.contains(&name), "{} must not depend on {name}", package.name);
        }
    }
}

#[test]
fn the_top_level_holds_what_the_architecture_names() {
    const EXPECTED: &[&str] = &[
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "docs",
        "examples",
        "host",
        "migrations",
        "plugins",
        "rustfmt.toml",
        "sdk",
        "tests",
        "wit",
    ];
    let listed = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(top, EXPECTED.iter().copied().collect::<BTreeSet<_>>());
}

#[test]
fn every_rust_file_says_what_lives_in_it() {
    let missing: Vec<PathBuf> = rust_files()
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let first = text.lines().find(|line| !line.starts_with("#![") && !line.trim().is_empty());
            !first.is_some_and(|line| line.starts_with("//!"))
        })
        .collect();
    assert!(missing.is_empty(), "no `//!` header: {missing:#?}");
}

#[test]
fn no_file_has_grown_a_second_topic() {
    let long: Vec<(usize, PathBuf)> = rust_files()
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(long.is_empty(), "over 600 lines: {long:#?}");
}

#[test]
fn the_contract_of_this_version_is_one_package() {
    for entry in std::fs::read_dir(root().join("wit/v0.1")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("package apflow:plugin@0.1.0;"), "{}", path.display());
        for banned in ["u64", "s64", "f32", "char", "flags ", "map<"] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("///"));
            assert!(
                code.clone().all(|line| !line.contains(banned)),
                "{}: {banned} differs between languages",
                path.display()
            );
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["host", "sdk", "plugins", "tests", "examples"] {
        walk(&root().join(folder), &mut files);
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "dist", "dist-test", "node_modules"].contains(&name.as_str()) {
            walk(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}
