//! `apflow.toml`: finding it, reading it, and saying where in it something is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apflow_core::error::{Error, ErrorCode, Result};
use toml::{Table, Value};

use super::{Config, DatabaseConfig};

/// The file that is read if nobody names one and it exists.
const DEFAULT_FILE: &str = "apflow.toml";

/// Finds the file: the one of the flag, the one of `APFLOW_CONFIG`, or `apflow.toml` in the working folder. A file that
/// was named must exist.
pub(super) fn find(
    flag: Option<&Path>,
    environment: &BTreeMap<String, String>,
    working_folder: &Path,
) -> Option<PathBuf> {
    let named = flag
        .map(Path::to_path_buf)
        .or_else(|| environment.get("APFLOW_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    if let Some(path) = named {
        return Some(working_folder.join(path));
    }
    Some(working_folder.join(DEFAULT_FILE)).filter(|path| path.is_file())
}

/// Reads and checks a file. Relative paths in it count from its folder.
pub(super) fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("The configuration file {} cannot be read: {error}", path.display());
        Error::new(ErrorCode::InvalidParams, message).with("file", path.display().to_string())
    })?;
    let mut table = parse(&text, &path.display().to_string())?;
    resolve_paths(&mut table, path.parent().unwrap_or(Path::new("")));
    Ok(table)
}

/// Parses the text of a file called `name` and checks every key and value in it.
pub(super) fn parse(text: &str, name: &str) -> Result<Table> {
    let table: Table = toml::from_str(text).map_err(|error| located(&error, text, name))?;
    toml::from_str::<Config>(text).map_err(|error| located(&error, text, name))?;
    Ok(table)
}

fn located(error: &toml::de::Error, text: &str, name: &str) -> Error {
    let start = error.span().map(|span| span.start);
    let line = start.map(|start| text[..start.min(text.len())].matches('\n').count() + 1);
    let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
    let message = format!("{place}: {}", with_nearest(error.message().trim()));
    let mut refused = Error::new(ErrorCode::InvalidParams, message).with("file", name);
    if let Some(line) = line {
        refused = refused.with("line", line);
    }
    refused
}

/// Turns serde's "unknown field `prot`, expected one of `host`, `port`" into a question with the nearest key.
pub(super) fn with_nearest(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next().filter(|_| message.starts_with("unknown ")) else {
        return message.to_owned();
    };
    let known: Vec<&str> = names.collect();
    let what = if message.starts_with("unknown field") { "key" } else { "value" };
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 2));
    let hint = match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known are {}", known.join(", ")),
    };
    format!("unknown {what} `{unknown}`; {hint}")
}

fn resolve_paths(table: &mut Table, folder: &Path) {
    if folder.as_os_str().is_empty() {
        return;
    }
    let join = |value: &mut Value| {
        if let Value::String(path) = value
            && !path.is_empty()
        {
            *path = folder.join(&*path).display().to_string();
        }
    };
    if let Some(Value::Table(sandbox)) = table.get_mut("sandbox") {
        if let Some(Value::Array(folders)) = sandbox.get_mut("folders") {
            folders.iter_mut().for_each(join);
        }
        for key in ["cache", "grants_file", "versions_folder"] {
            sandbox.get_mut(key).into_iter().for_each(join);
        }
    }
    if let Some(Value::Table(packages)) = table.get_mut("packages")
        && let Some(Value::Array(keys)) = packages.get_mut("keys")
    {
        // A key is a text, or the path of a file that has it.
        let is_path = |key: &Value| key.as_str().is_some_and(|key| key.ends_with(".pub"));
        keys.iter_mut().filter(|key| is_path(key)).for_each(join);
    }
    if let Some(Value::Table(webhooks)) = table.get_mut("webhooks") {
        webhooks.get_mut("secrets_folder").into_iter().for_each(join);
    }
    if let Some(Value::Table(database)) = table.get_mut("database")
        && let Some(Value::String(url)) = database.get_mut("url")
    {
        let mut config = DatabaseConfig { url: std::mem::take(url), ..DatabaseConfig::default() };
        config.resolve(folder);
        *url = config.url;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text, "apflow.toml").unwrap_err().message
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_nearest_key() {
        assert_eq!(
            refusal("[database]\nurl = \"sqlite:x\"\n\n[server]\nprot = 1\n"),
            "apflow.toml:5: unknown key `prot`; did you mean `port`?"
        );
        assert_eq!(
            refusal("[serve]\nport = 1\n"),
            "apflow.toml:1: unknown key `serve`; did you mean `server`?"
        );
        assert!(refusal("[log]\nqqqqqqqq = 1\n").ends_with("known are level, format"));
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        let text = refusal("[server]\n\nport = 70000\n");
        assert!(text.starts_with("apflow.toml:3: ") && text.contains("70000"), "{text}");
        let text = refusal("[database]\ndurability = \"ful\"\n");
        assert_eq!(text, "apflow.toml:2: unknown value `ful`; did you mean `full`?");
        let text = refusal("[server\n");
        assert!(text.starts_with("apflow.toml:1: "), "{text}");
    }

    #[test]
    fn relative_paths_count_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apflow.toml");
        let text = "[sandbox]\nfolders = [\"p\", \"/abs\"]\n[database]\nurl = \"sqlite:d.db\"\n";
        std::fs::write(&path, text).unwrap();
        let table = read(&path).unwrap();
        let config: Config = table.try_into().unwrap();
        assert_eq!(config.sandbox.folders, [folder.path().join("p"), PathBuf::from("/abs")]);
        assert_eq!(config.database.file(), Some(folder.path().join("d.db")));
    }
}
