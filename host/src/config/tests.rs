//! The layers together, and the documented defaults.

use super::keys::KEYS;
use super::*;

fn sources(file: Option<&Path>, environment: &[(&str, &str)], flags: &[(&'static str, Value)]) -> Sources {
    Sources {
        file: file.map(Path::to_path_buf),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        flags: flags.iter().map(|(key, value)| (*key, value.clone(), "--flag")).collect(),
        working_folder: std::env::temp_dir().join("apflow-no-such-folder"),
    }
}

#[test]
fn later_layers_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apflow.toml");
    std::fs::write(&file, "[server]\nhost = \"file\"\nport = 1\nmax_body_bytes = 2048\n").unwrap();
    let environment = [("APFLOW_API_HOST", "environment"), ("APFLOW_SERVER_PORT", "2")];
    let loaded = load(&sources(Some(&file), &environment, &[("server.port", Value::Integer(3))])).unwrap();
    let expected =
        ServerConfig { host: "environment".into(), port: 3, max_body_bytes: 2048, ..ServerConfig::default() };
    assert_eq!(loaded.config.server, expected);
    assert_eq!(loaded.config.engine, EngineConfig::default());
    assert_eq!(loaded.origins["server.host"], "APFLOW_API_HOST");
    assert_eq!(loaded.origins["server.port"], "--flag");
    assert_eq!(loaded.origins["server.max_body_bytes"], file.display().to_string());
    assert!(!loaded.origins.contains_key("log.level"));
}

#[test]
fn policies_of_plugins_are_joined_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apflow.toml");
    let text = "[plugins.command_executor.limits]\ndeadline_ms = 5\n[plugins.command_executor.grants]\nenv = [\"LANG\"]\n";
    std::fs::write(&file, text).unwrap();
    let loaded = load(&sources(Some(&file), &[("APFLOW_STDIO_ALLOW_COMMAND", "1")], &[])).unwrap();
    let policy = &loaded.config.plugins["command_executor"];
    assert_eq!(policy.limits.deadline_ms, Some(5));
    assert_eq!((policy.grants.env.len(), policy.grants.process.len()), (1, 1));
}

#[test]
fn shipped_grants_stay_until_a_table_of_grants_replaces_them() {
    let grants = |text: &str| Config::parse(text).unwrap().plugins["rest_executor"].grants.clone();
    let shipped = &PluginPolicy::shipped()["rest_executor"].grants;
    assert_eq!(&grants("[plugins.rest_executor.limits]\ndeadline_ms = 5\n"), shipped);
    assert!(grants("[plugins.rest_executor.grants]\n").is_empty());
    assert_eq!(grants("[plugins.rest_executor.grants]\nhttp = [\"https://a.test\"]\n").http.len(), 1);
}

#[test]
fn a_switch_adds_to_the_grants_in_force() {
    let switch = [("APFLOW_REST_ALLOW_PRIVATE_URLS", "1")];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apflow.toml");
    let shipped = PluginPolicy::shipped()["rest_executor"].grants.http.len();
    for (text, http) in [
        ("", shipped),
        ("[plugins.rest_executor.limits]\ndeadline_ms = 5\n", shipped),
        ("[plugins.rest_executor.grants]\nhttp = [\"https://a.test\"]\n", 1),
    ] {
        std::fs::write(&file, text).unwrap();
        let config = load(&sources(Some(&file), &switch, &[])).unwrap().config;
        let grants = &config.plugins["rest_executor"].grants;
        assert_eq!((grants.http.len(), grants.private_network.len()), (http, 1), "{text}");
    }
}

#[test]
fn a_value_out_of_range_names_what_set_it() {
    let error = load(&sources(None, &[("APFLOW_ENGINE_LEASE_MS", "1")], &[])).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParams);
    assert!(error.message.starts_with("engine.lease_ms is '1'"), "{error}");
    assert!(error.message.ends_with("(set by APFLOW_ENGINE_LEASE_MS)"), "{error}");
    let error = load(&sources(None, &[], &[("server.port", Value::Integer(99999))])).unwrap_err();
    assert!(error.message.starts_with("--flag=99999: "), "{error}");
}

#[test]
fn a_file_that_was_named_must_exist() {
    let error = load(&sources(Some(Path::new("/nowhere/apflow.toml")), &[], &[])).unwrap_err();
    assert!(error.message.contains("/nowhere/apflow.toml"), "{error}");
    let error = load(&sources(None, &[("APFLOW_CONFIG", "/nowhere/else.toml")], &[])).unwrap_err();
    assert!(error.message.contains("/nowhere/else.toml"), "{error}");
    assert_eq!(load(&sources(None, &[], &[])).unwrap().config, Config::default());
}

#[test]
fn the_documented_configuration_is_the_default_one() {
    assert_eq!(Config::parse(DEFAULT_CONFIG).unwrap(), Config::default());
}

/// In `docs/config.toml` prose begins with `# ` and an example with `#`, so that examples can be checked too.
#[test]
fn the_documented_examples_are_valid() {
    let uncommented: String = DEFAULT_CONFIG
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = Config::parse(&uncommented).unwrap();
    assert!(!config.plugins.is_empty());
}

#[test]
fn every_key_is_documented_and_has_its_variables() {
    let mut leaves = Vec::new();
    collect(&defaults().unwrap(), "", &mut leaves);
    for path in &leaves {
        let (section, key) = path.rsplit_once('.').unwrap();
        let documented = DEFAULT_CONFIG.split_once(&format!("[{section}]")).is_some_and(|(_, rest)| {
            rest.split("\n[").next().is_some_and(|part| part.contains(&format!("\n{key} = ")))
        });
        assert!(documented, "docs/config.toml does not set {path} to its default");
        let by_variable = KEYS.iter().any(|key| key.path == path);
        let in_file = ["sandbox.limits.", "sandbox.rollback."].iter().any(|table| path.starts_with(table));
        assert!(by_variable || in_file, "{path} is missing in keys.rs");
    }
    for key in KEYS {
        assert!(leaves.iter().any(|path| path == key.path), "{} in keys.rs is no key", key.path);
    }
}

fn collect(table: &Table, above: &str, leaves: &mut Vec<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            Value::Table(inner) => collect(inner, &path, leaves),
            _ => leaves.push(path),
        }
    }
}

#[test]
fn the_guide_names_every_key_and_variable() {
    let guide = include_str!("../../../docs/configuration.md");
    for key in KEYS {
        assert!(
            guide.contains(&format!("`{}`", key.path)),
            "docs/configuration.md does not name {}",
            key.path
        );
        for alias in key.aliases {
            assert!(guide.contains(&format!("`{alias}`")), "docs/configuration.md does not name {alias}");
        }
    }
}
