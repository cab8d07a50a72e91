//! `apflow plugin new`: a project from a template. It is written aside and moved into place whole, so that a refusal or
//! a failure leaves nothing behind.

use crate::embedded;
use crate::project::{Kind, Language};
use crate::sdk;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The forms of a plugin's name that templates use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// As given: `my-plugin`.
    pub name: String,
    /// Snake case: `my_plugin`.
    pub ident: String,
    /// Pascal case: `MyPlugin`.
    pub type_name: String,
}

impl Names {
    /// The forms of a name that [`check_name`](crate::check_name) has passed.
    pub fn of(name: &str) -> Self {
        let words = name.split(['_', '-']).filter(|word| !word.is_empty());
        let type_name = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
        Self { name: name.to_owned(), ident: name.replace('-', "_"), type_name }
    }

    fn fill(&self, text: &str, sdk: &str) -> String {
        text.replace("{{name}}", &self.name)
            .replace("{{ident}}", &self.ident)
            .replace("{{type}}", &self.type_name)
            .replace("{{sdk}}", sdk)
    }
}

/// Writes the project `folder` from the template of that language and kind, and the SDK into it.
///
/// # Errors
/// If the folder is there and not empty, there is no such template, or a file cannot be written.
pub fn write(language: Language, kind: Kind, names: &Names, folder: &Path) -> Result<()> {
    if folder.is_file() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is there already and is not empty; choose another name, or --dir", folder.display());
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let aside = tempfile::Builder::new().prefix(".apflow-new-").tempdir_in(&parent)?;
    let project = aside.path().join("project");
    fill(language, kind, names, &project)?;
    sdk::lay(language, &project.join(sdk::FOLDER))?;
    // An empty folder gives way; anything that was put there meanwhile does not.
    fs::rename(&project, folder).with_context(|| format!("cannot write {}", folder.display()))
}

fn fill(language: Language, kind: Kind, names: &Names, project: &Path) -> Result<()> {
    let template = format!("sdk/templates/{}/{}/", language.as_str(), kind.as_str());
    let place = format!("{}/sdk/{}", sdk::FOLDER, language.sdk());
    let mut files = 0;
    for (path, bytes) in embedded::below(&template) {
        let path = project.join(names.fill(path, &place));
        match std::str::from_utf8(bytes) {
            Ok(text) => embedded::put(&path, names.fill(text, &place).as_bytes())?,
            Err(_) => embedded::put(&path, bytes)?,
        }
        files += 1;
    }
    if files == 0 {
        bail!("there is no template for a {} in {}", kind.as_str(), language.as_str());
    }
    ignore(project)
}

/// The SDK and what is built do not belong into a project's history.
fn ignore(project: &Path) -> Result<()> {
    let path = project.join(".gitignore");
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    for line in [".apflow/", "dist/"] {
        if !text.lines().any(|one| one.trim_matches('/') == line.trim_matches('/')) {
            text.push_str(line);
            text.push('\n');
        }
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    #[test]
    fn names_have_three_forms() {
        let names = Names::of("my-first_plugin2");
        assert_eq!((names.ident.as_str(), names.type_name.as_str()), ("my_first_plugin2", "MyFirstPlugin2"));
    }

    #[test]
    fn a_project_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/word-count");
        write(Language::Rust, Kind::Executor, &Names::of("word-count"), &folder).unwrap();
        let project = Project::read(&folder).unwrap();
        assert_eq!((project.name.as_str(), project.language), ("word-count", Language::Rust));
        assert!(folder.join(".apflow/sdk/rust/src/lib.rs").is_file());
        let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap();
        assert!(ignored.contains(".apflow/") && ignored.contains("dist/"), "{ignored}");
        let mut folders = vec![folder.clone()];
        while let Some(one) = folders.pop() {
            for entry in fs::read_dir(one).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with(".apflow") {
                    folders.push(path);
                } else if path.is_file() {
                    let text = fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("{{"), "{} has a placeholder left: {text}", path.display());
                }
            }
        }
        let again = write(Language::Rust, Kind::Executor, &Names::of("word-count"), &folder).unwrap_err();
        assert!(again.to_string().contains("is not empty"), "{again}");
        let left: Vec<_> = fs::read_dir(dir.path().join("deep")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
