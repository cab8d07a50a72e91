//! Where plugins are found: folders, and what the program carries in itself. Only names, paths and bytes; whether they
//! are plugins is the loader's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Problem, WasmError};

/// A plugin inside the program.
#[derive(Debug, Clone, Copy)]
pub struct BundledPlugin {
    /// Its name.
    pub name: &'static str,
    /// The text of its `plugin.toml`.
    pub manifest: &'static str,
    /// Its component.
    pub component: &'static [u8],
}

/// Where one plugin comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Files.
    Files {
        /// The component.
        component: PathBuf,
        /// `plugin.toml`, where there is a folder for it.
        manifest: Option<PathBuf>,
    },
    /// The program itself.
    Bundled(BundledPlugin),
}

impl Source {
    /// The component's path, for messages.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Files { component, .. } => component.clone(),
            Self::Bundled(bundled) => Path::new("(bundled)").join(format!("{}.wasm", bundled.name)),
        }
    }

    /// Reads everything. Blocks.
    pub fn read(&self) -> Result<Package, WasmError> {
        let (component, manifest) = match self {
            Self::Bundled(bundled) => {
                (Cow::Borrowed(bundled.component), Some(Cow::Borrowed(bundled.manifest)))
            }
            Self::Files { component, manifest } => {
                let text = match manifest {
                    Some(path) => read_manifest(path)?.map(Cow::Owned),
                    None => None,
                };
                (Cow::Owned(read_component(component)?), text)
            }
        };
        let digest = hex(&Sha256::digest(&component));
        Ok(Package { path: self.path(), component, digest, manifest })
    }
}

fn read_component(path: &Path) -> Result<Vec<u8>, WasmError> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Problem::Missing.at(path),
        _ => Problem::Unreadable(error.to_string()).at(path),
    })
}

fn read_manifest(path: &Path) -> Result<Option<String>, WasmError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::Unreadable(error.to_string()).at(path)),
    }
}

/// A plugin as it was read.
#[derive(Debug)]
pub(crate) struct Package {
    /// Where the component was, for messages.
    pub path: PathBuf,
    /// The component.
    pub component: Cow<'static, [u8]>,
    /// SHA-256 of the component in hex.
    pub digest: String,
    /// The text of `plugin.toml`.
    pub manifest: Option<Cow<'static, str>>,
}

/// Everything that looks like a plugin, by name: what is bundled, then each folder, later ones winning.
pub(crate) fn scan(
    bundled: &[BundledPlugin],
    folders: &[PathBuf],
) -> Result<BTreeMap<String, Source>, WasmError> {
    let mut found: BTreeMap<String, Source> =
        bundled.iter().map(|one| (one.name.to_owned(), Source::Bundled(*one))).collect();
    for folder in folders {
        scan_folder(folder, &mut found).map_err(|error| Problem::Unreadable(error.to_string()).at(folder))?;
    }
    Ok(found)
}

fn scan_folder(folder: &Path, found: &mut BTreeMap<String, Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Files on their way into place, and those of tools.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if let Some((name, source)) = source_at(&entry.path()) {
            found.insert(name, source);
        }
    }
    Ok(())
}

/// The plugin at a path: `NAME/` with `NAME.wasm` or `plugin.toml` in it, or a file `NAME.wasm` alone.
pub(crate) fn source_at(path: &Path) -> Option<(String, Source)> {
    if path.is_dir() {
        let name = path.file_name()?.to_str()?.to_owned();
        let component = path.join(format!("{name}.wasm"));
        let manifest = path.join("plugin.toml");
        let there = component.is_file() || manifest.is_file();
        return there.then_some((name, Source::Files { component, manifest: Some(manifest) }));
    }
    let is_component = path.extension().is_some_and(|extension| extension == "wasm") && path.is_file();
    let name = path.file_stem().filter(|_| is_component)?.to_str()?.to_owned();
    Some((name, Source::Files { component: path.to_owned(), manifest: None }))
}

/// The name of the plugin that a changed path below `folder` belongs to.
pub(crate) fn name_of(folder: &Path, changed: &Path) -> Option<String> {
    let first = changed.strip_prefix(folder).ok()?.components().next()?;
    let first = Path::new(first.as_os_str());
    let name = if first.extension().is_some_and(|extension| extension == "wasm") {
        first.file_stem()
    } else {
        first.file_name()
    };
    Some(name?.to_str()?.to_owned())
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_lone_files_are_found_and_later_ones_win() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (top, path) in [
            (&one, "a/a.wasm"),
            (&one, "b.wasm"),
            (&one, "notes.txt"),
            (&one, "empty/x"),
            (&one, ".new.wasm"),
            (&two, "a.wasm"),
        ] {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::create_dir(two.path().join("unbuilt")).unwrap();
        std::fs::write(two.path().join("unbuilt/plugin.toml"), "").unwrap();
        let bundled = BundledPlugin { name: "b", manifest: "", component: b"" };
        let other = BundledPlugin { name: "c", ..bundled };
        let found = scan(&[bundled, other], &[one.path().into(), two.path().into()]).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c", "unbuilt"]);
        assert_eq!(found["a"].path(), two.path().join("a.wasm"));
        assert_eq!(found["b"].path(), one.path().join("b.wasm"));
        assert!(found["c"].path().starts_with("(bundled)"));
        assert_eq!(found["unbuilt"].read().unwrap_err().code(), "component_missing");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = scan(&[], &["/no/such/folder".into()]).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/folder: "), "{error}");
    }

    #[test]
    fn changes_belong_to_the_plugin_of_their_folder_or_file() {
        let top = Path::new("/p");
        for (changed, name) in [
            ("/p/a/a.wasm", Some("a")),
            ("/p/a", Some("a")),
            ("/p/b.wasm", Some("b")),
            ("/q/a", None),
            ("/p", None),
        ] {
            assert_eq!(name_of(top, Path::new(changed)).as_deref(), name, "{changed}");
        }
    }

    #[test]
    fn digests_are_hex() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
