//! A package in memory: a component, the text of its `plugin.toml`, and perhaps a signature over both.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{PackageError, Result};

/// The manifest's name in folders and archives.
pub(crate) const MANIFEST: &str = "plugin.toml";
/// The signature's name in folders and archives.
pub(crate) const SIGNATURE: &str = "plugin.minisig";
/// Bytes of a manifest or a signature at most.
pub(crate) const SMALL: u64 = 256 * 1024;

/// A package. Its name and version are those in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `plugin.name`.
    pub name: String,
    /// `plugin.version`.
    pub version: String,
    /// The component.
    pub component: Vec<u8>,
    /// The text of `plugin.toml`.
    pub manifest: String,
    /// A minisign signature over [`Package::signed_text`].
    pub signature: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    plugin: About,
}

#[derive(Deserialize)]
struct About {
    name: String,
    version: String,
}

impl Package {
    /// Puts a package together; `what` is for messages.
    ///
    /// # Errors
    /// `package_malformed` if the manifest has no usable name and version, or the component is empty.
    pub fn new(what: &str, component: Vec<u8>, manifest: String, signature: Option<String>) -> Result<Self> {
        let malformed =
            |problem: &str| PackageError::Malformed { what: what.into(), problem: problem.into() };
        let About { name, version } = toml::from_str::<Manifest>(&manifest)
            .map_err(|error| malformed(&format!("plugin.toml: {}", error.message())))?
            .plugin;
        // The name becomes a folder and a file: nothing in it may lead elsewhere.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let fits = name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_lowercase());
        if !fits || !name.chars().all(plain) {
            return Err(malformed(&format!(
                "`plugin.name` is `{name}`; it must be 1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter"
            )));
        }
        if component.is_empty() {
            return Err(malformed("the component is empty"));
        }
        Ok(Self { name, version, component, manifest, signature })
    }

    /// `NAME VERSION`, for messages.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The file name of the component.
    pub fn component_name(&self) -> String {
        format!("{}.wasm", self.name)
    }

    /// SHA-256 of the component in hex.
    pub fn component_sha256(&self) -> String {
        sha256(&self.component)
    }

    /// SHA-256 of the manifest in hex.
    pub fn manifest_sha256(&self) -> String {
        sha256(self.manifest.as_bytes())
    }

    /// The bytes that a signature is over: what `sha256sum NAME.wasm plugin.toml` prints.
    pub fn signed_text(&self) -> String {
        let (component, manifest) = (self.component_sha256(), self.manifest_sha256());
        format!("{component}  {}\n{manifest}  {MANIFEST}\n", self.component_name())
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
        text
    })
}

/// Compares a digest that somebody named.
pub(crate) fn expect_sha256(what: &str, bytes: &[u8], expected: &str) -> Result<()> {
    let (actual, expected) = (sha256(bytes), expected.trim().trim_start_matches("sha256:").to_lowercase());
    if actual == expected {
        return Ok(());
    }
    Err(PackageError::DigestMismatch { what: what.into(), expected, actual })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A package as small as one can be.
    pub fn sample(version: &str) -> Package {
        let manifest =
            format!("[plugin]\nname = \"sample\"\nversion = \"{version}\"\nkind = [\"executor\"]\n");
        Package::new("sample", format!("component {version}").into_bytes(), manifest, None).unwrap()
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../up", "/root", "a/b", "A", "", ".hidden", "a.b"] {
            let manifest = format!("[plugin]\nname = \"{name}\"\nversion = \"1\"\n");
            let error = Package::new("x", vec![1], manifest, None).unwrap_err();
            assert_eq!(error.code(), "package_malformed", "{name}");
        }
        assert_eq!(
            Package::new("x", vec![1], "[plugin".into(), None).unwrap_err().code(),
            "package_malformed"
        );
    }

    #[test]
    fn what_is_signed_is_what_sha256sum_prints() {
        let package = sample("1");
        let text = package.signed_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("  sample.wasm") && lines[1].ends_with("  plugin.toml"), "{text}");
        assert_eq!(lines[0].split("  ").next(), Some(package.component_sha256().as_str()));
    }

    #[test]
    fn digests_are_compared_whatever_their_spelling() {
        let upper = format!("sha256:{}", sha256(b"x").to_uppercase());
        assert_eq!(expect_sha256("x", b"x", &upper), Ok(()));
        assert_eq!(expect_sha256("x", b"y", &upper).unwrap_err().code(), "digest_mismatch");
    }
}
