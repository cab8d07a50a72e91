//! A package as one file: an uncompressed tar of `plugin.toml`, `NAME.wasm` and perhaps `plugin.minisig`. The same package
//! always gives the same bytes, so that its digest can be named in advance.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use crate::error::{PackageError, Result};
use crate::folder::write_whole;
use crate::package::{MANIFEST, Package, SIGNATURE, SMALL, sha256};

/// What [`pack`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The archive.
    pub path: PathBuf,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// `plugin.name`.
    pub name: String,
    /// `plugin.version`.
    pub version: String,
    /// Bytes of the archive.
    pub size_bytes: u64,
}

/// Packs the plugin in `folder` into the file `out`, or, if that is a folder, into `NAME-VERSION.tar` in it.
///
/// # Errors
/// `package_malformed` if the folder holds no package, `file_error` if a file cannot be read or written.
pub fn pack(folder: &Path, out: &Path) -> Result<Packed> {
    let package = read_folder(folder)?;
    let path = if out.is_dir() {
        out.join(format!("{}-{}.tar", package.name, package.version))
    } else {
        out.to_owned()
    };
    let bytes = write(&package)?;
    write_whole(&path, &bytes)?;
    let Package { name, version, .. } = package;
    Ok(Packed { path, sha256: sha256(&bytes), name, version, size_bytes: bytes.len() as u64 })
}

/// The bytes of the archive.
///
/// # Errors
/// `package_malformed` if a part cannot be put into a tar.
pub fn write(package: &Package) -> Result<Vec<u8>> {
    let component = package.component_name();
    let mut parts: Vec<(&str, &[u8])> =
        vec![(MANIFEST, package.manifest.as_bytes()), (&component, &package.component)];
    if let Some(signature) = &package.signature {
        parts.push((SIGNATURE, signature.as_bytes()));
    }
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in parts {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, bytes).map_err(|error| malformed(&package.title(), error))?;
    }
    tar.into_inner().map_err(|error| malformed(&package.title(), error))
}

/// Reads an archive; `what` is for messages. Nothing but the three files may be in it.
///
/// # Errors
/// `package_malformed`.
pub fn read(what: &str, bytes: &[u8]) -> Result<Package> {
    let (mut manifest, mut signature, mut component) = (None, None, None);
    let mut tar = Archive::new(bytes);
    for entry in tar.entries().map_err(|error| malformed(what, error))? {
        let mut entry = entry.map_err(|error| malformed(what, error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        match entry.header().entry_type() {
            EntryType::Regular => {}
            EntryType::Directory if name.is_empty() => continue,
            _ => return Err(malformed(what, format!("`{name}` is not a regular file"))),
        }
        let slot = match name.as_str() {
            MANIFEST => &mut manifest,
            SIGNATURE => &mut signature,
            other if is_component(other) => &mut component,
            other => {
                let expected = "plugin.toml, NAME.wasm and plugin.minisig are all that may be in it";
                return Err(malformed(what, format!("it holds `{other}`; {expected}")));
            }
        };
        if slot.is_some() {
            return Err(malformed(what, format!("`{name}` is in it twice, or there are two components")));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| malformed(what, error))?;
        *slot = Some((name, content));
    }
    let (_, manifest) = manifest.ok_or_else(|| malformed(what, "there is no plugin.toml in it"))?;
    let (name, component) = component.ok_or_else(|| malformed(what, "there is no component in it"))?;
    let signature = signature.map(|(_, bytes)| text(what, SIGNATURE, bytes)).transpose()?;
    let package = Package::new(what, component, text(what, MANIFEST, manifest)?, signature)?;
    if name != package.component_name() {
        let problem = format!("plugin.toml names it `{}`, and its component is `{name}`", package.name);
        return Err(malformed(what, problem));
    }
    Ok(package)
}

/// Reads the package in a folder: `plugin.toml`, the component that it names, and perhaps `plugin.minisig`.
///
/// # Errors
/// `package_malformed` or `file_error`.
pub fn read_folder(folder: &Path) -> Result<Package> {
    let what = folder.display().to_string();
    let manifest = read_small(&folder.join(MANIFEST))?
        .ok_or_else(|| malformed(&what, "there is no plugin.toml in it"))?;
    let signature = read_small(&folder.join(SIGNATURE))?;
    // The manifest says what the component is called, so it is read twice: once for the name.
    let named = Package::new(&what, vec![0], manifest, signature)?;
    let path = folder.join(named.component_name());
    let component = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            malformed(&what, format!("there is no {} in it; build the plugin first", named.component_name()))
        }
        _ => PackageError::file(&path, error),
    })?;
    Package::new(&what, component, named.manifest, named.signature)
}

fn read_small(path: &Path) -> Result<Option<String>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PackageError::file(path, error)),
    };
    if size > SMALL {
        return Err(PackageError::file(path, format!("it is larger than {SMALL} bytes")));
    }
    fs::read_to_string(path).map(Some).map_err(|error| PackageError::file(path, error))
}

pub(crate) fn text(what: &str, name: &str, bytes: Vec<u8>) -> Result<String> {
    if bytes.len() as u64 > SMALL {
        return Err(malformed(what, format!("{name} is larger than {SMALL} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| malformed(what, format!("{name} is not UTF-8")))
}

fn is_component(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "wasm") && !name.contains('/')
}

#[expect(clippy::needless_pass_by_value, reason = "errors of any kind are given as they come")]
fn malformed(what: &str, problem: impl ToString) -> PackageError {
    PackageError::Malformed { what: what.into(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::sample;

    #[test]
    fn the_same_package_gives_the_same_bytes_and_comes_back() {
        let package = Package { signature: Some("signature".into()), ..sample("1") };
        let bytes = write(&package).unwrap();
        assert_eq!(bytes, write(&package).unwrap());
        assert_eq!(read("x", &bytes).unwrap(), package);
    }

    #[test]
    fn a_folder_is_packed_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let package = sample("1.2.0");
        assert!(pack(folder.path(), folder.path()).unwrap_err().to_string().contains("no plugin.toml"));
        fs::write(folder.path().join(MANIFEST), &package.manifest).unwrap();
        assert!(
            pack(folder.path(), folder.path()).unwrap_err().to_string().contains("build the plugin first")
        );
        fs::write(folder.path().join("sample.wasm"), &package.component).unwrap();
        let packed = pack(folder.path(), folder.path()).unwrap();
        assert_eq!(packed.path, folder.path().join("sample-1.2.0.tar"));
        let bytes = fs::read(&packed.path).unwrap();
        assert_eq!((packed.sha256, packed.size_bytes), (sha256(&bytes), bytes.len() as u64));
        assert_eq!(read("x", &bytes).unwrap(), package);
    }

    /// An archive with these entries.
    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            let mut header = Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            // Written past the checks of the library, as an attacker would.
            header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn nothing_else_may_be_in_an_archive() {
        let manifest = sample("1").manifest;
        let whole = ("plugin.toml", EntryType::Regular, manifest.as_bytes());
        let component = ("sample.wasm", EntryType::Regular, &b"c"[..]);
        for (entries, part) in [
            (vec![whole], "no component"),
            (vec![component], "no plugin.toml"),
            (vec![whole, component, component], "twice"),
            (vec![whole, ("other.wasm", EntryType::Regular, &b"c"[..])], "its component is `other.wasm`"),
            (
                vec![whole, component, ("../../etc/x", EntryType::Regular, &b"c"[..])],
                "it holds `../../etc/x`",
            ),
            (vec![whole, component, ("a/b.wasm", EntryType::Regular, &b"c"[..])], "it holds `a/b.wasm`"),
            (vec![whole, ("sample.wasm", EntryType::Symlink, &b""[..])], "not a regular file"),
        ] {
            let error = read("x", &archive(&entries)).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let cut = &write(&sample("1")).unwrap()[..1200];
        assert_eq!(read("x", cut).unwrap_err().code(), "package_malformed");
    }
}
