//! Where a package comes from: an archive, a folder, an HTTPS address or an OCI registry. Downloads have limits of size, time
//! and redirects, and nothing is written here: what comes back is a package in memory.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::Reference;
use semver::Version;
use url::Url;

use crate::archive;
use crate::error::{PackageError, Result};
use crate::lock::Locked;
use crate::oci;
use crate::package::{Package, expect_sha256};

pub(crate) const USER_AGENT: &str = concat!("apflow/", env!("CARGO_PKG_VERSION"));
const REDIRECTS: usize = 5;

/// A place to take a package from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An archive.
    File(PathBuf),
    /// A folder with `plugin.toml` and its component.
    Folder(PathBuf),
    /// An archive at an address.
    Url(Url),
    /// `HOST[:PORT]/NAME[:TAG|@sha256:…]`.
    Oci(Reference),
}

/// How far a download may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a package.
    pub max_bytes: u64,
    /// For the whole of a download.
    pub timeout: Duration,
}

/// How sources are reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// Limits of every download.
    pub limits: Limits,
    /// Hosts (`HOST:PORT`, or `HOST` for port 80) that are asked without TLS.
    pub plain_http: Vec<String>,
    /// User and password for registries; none is anonymous.
    pub registry_login: Option<(String, String)>,
}

/// What a source has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where exactly; a newer tag than the lock's, if there is one.
    pub source: String,
    /// Whether it is other than what is installed.
    pub differs: bool,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
            Self::Oci(reference) => f.write_str(&reference.whole()),
        }
    }
}

impl Source {
    /// Reads what somebody gave. A path that exists is that path; else it is an address or a reference.
    ///
    /// # Errors
    /// `source_invalid`.
    pub fn parse(given: &str) -> Result<Self> {
        let invalid = |problem: String| PackageError::SourceInvalid { given: given.into(), problem };
        let path = Path::new(given);
        if path.is_dir() {
            return Ok(Self::Folder(whole_path(path)?));
        }
        if path.is_file() {
            let component = path.extension().is_some_and(|extension| extension == "wasm");
            return match path.parent().filter(|_| component) {
                Some(folder) => Ok(Self::Folder(whole_path(&Path::new(".").join(folder))?)),
                None => Ok(Self::File(whole_path(path)?)),
            };
        }
        if given.starts_with("https://") || given.starts_with("http://") {
            let url = Url::parse(given).map_err(|error| invalid(error.to_string()))?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(invalid("an address with user or password is not taken".into()));
            }
            return Ok(Self::Url(url));
        }
        let reference = given.strip_prefix("oci://").unwrap_or(given);
        let host = reference.split_once('/').map(|(host, _)| host).unwrap_or_default();
        if !host.contains(['.', ':']) && host != "localhost" {
            let forms =
                "there is no such file or folder, and it is neither https://… nor HOST[:PORT]/NAME[:TAG]";
            return Err(invalid(forms.into()));
        }
        reference.parse().map(Self::Oci).map_err(|error| invalid(format!("{error}")))
    }
}

fn whole_path(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| PackageError::file(path, error))
}

/// Takes a package. `sha256` is what the archive must have; for folders and registries it is that of the component.
///
/// # Errors
/// Whatever is in the way; see [`PackageError`].
pub async fn fetch(source: &Source, access: &Access, sha256: Option<&str>) -> Result<Package> {
    let what = source.to_string();
    let checked = |bytes: &[u8]| sha256.map_or(Ok(()), |expected| expect_sha256(&what, bytes, expected));
    match source {
        Source::File(path) => {
            let bytes = read_file(path, access.limits.max_bytes)?;
            checked(&bytes)?;
            archive::read(&what, &bytes)
        }
        Source::Folder(path) => {
            let package = archive::read_folder(path)?;
            checked(&package.component)?;
            Ok(package)
        }
        Source::Url(url) => {
            let bytes = within(access, &what, download(url, access)).await?;
            checked(&bytes)?;
            archive::read(&what, &bytes)
        }
        Source::Oci(reference) => {
            let package = within(access, &what, oci::pull(reference, access)).await?;
            checked(&package.component)?;
            Ok(package)
        }
    }
}

/// Sends a package to a registry; gives the digest of the artifact, for `NAME@sha256:…`.
///
/// # Errors
/// `source_invalid` if it is no reference, `source_unreachable` if the registry refuses.
pub async fn push(given: &str, package: &Package, access: &Access) -> Result<(String, String)> {
    let reference = match Source::parse(given)? {
        Source::Oci(reference) if reference.digest().is_none() => reference,
        _ => {
            let problem = "packages are pushed to HOST[:PORT]/NAME[:TAG]".into();
            return Err(PackageError::SourceInvalid { given: given.into(), problem });
        }
    };
    let what = reference.whole();
    let digest = within(access, &what, oci::push(&reference, package, access)).await?;
    Ok((what, digest))
}

/// What the source of an installed plugin has now. In a registry, a tag that is a version gives way to the highest one.
///
/// # Errors
/// As for [`fetch`].
pub async fn newest(entry: &Locked, access: &Access) -> Result<Found> {
    let source = Source::parse(&entry.source)?;
    let what = source.to_string();
    let Source::Oci(reference) = &source else {
        let package = fetch(&source, access, None).await?;
        let differs = package.component_sha256() != entry.component_sha256
            || package.manifest_sha256() != entry.manifest_sha256;
        return Ok(Found { source: what, differs });
    };
    if reference.digest().is_some() {
        return Ok(Found { source: what, differs: false });
    }
    let newest = within(access, &what, higher(reference, access)).await?;
    let (component, manifest) = within(access, &what, oci::digests(&newest, access)).await?;
    let differs = component != entry.component_sha256 || manifest != entry.manifest_sha256;
    Ok(Found { source: newest.whole(), differs })
}

/// The reference with the highest version among the tags, if its own tag is a version. Pre-releases are for those who name
/// them.
async fn higher(reference: &Reference, access: &Access) -> Result<Reference> {
    let Some(own) = reference.tag().and_then(version) else { return Ok(reference.clone()) };
    let tags = oci::tags(reference, access).await?;
    let newer = tags.iter().filter_map(|tag| Some((version(tag)?, tag)));
    let newest = newer.filter(|(version, _)| version.pre.is_empty() && *version > own).max();
    Ok(newest.map_or_else(
        || reference.clone(),
        |(_, tag)| {
            let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
            Reference::with_tag(registry, repository, tag.clone())
        },
    ))
}

fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

async fn within<T>(access: &Access, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let timeout = access.limits.timeout;
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(PackageError::TooSlow { source_name: what.into(), seconds: timeout.as_secs() })
    })
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| PackageError::file(path, error))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| PackageError::file(path, error))?;
    if bytes.len() as u64 > limit {
        return Err(PackageError::TooLarge { source_name: path.display().to_string(), limit });
    }
    Ok(bytes)
}

async fn download(url: &Url, access: &Access) -> Result<Vec<u8>> {
    let source_name = url.to_string();
    let unreachable =
        |problem: String| PackageError::Unreachable { source_name: source_name.clone(), problem };
    allowed(url, &access.plain_http).map_err(unreachable)?;
    let plain = access.plain_http.clone();
    let follow = reqwest::redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.error(format!("more than {REDIRECTS} redirects"));
        }
        match allowed(attempt.url(), &plain) {
            Ok(()) => attempt.follow(),
            Err(problem) => attempt.error(problem),
        }
    });
    use_tls();
    let client = reqwest::Client::builder().redirect(follow).user_agent(USER_AGENT);
    let client = client.build().map_err(|error| unreachable(oci::with_causes(&error)))?;
    let response = client.get(url.clone()).send().await;
    let mut response = response
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| unreachable(oci::with_causes(&error.without_url())))?;
    let limit = access.limits.max_bytes;
    let too_large = || PackageError::TooLarge { source_name: source_name.clone(), limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        let part = response.chunk().await.map_err(|error| PackageError::CutOff {
            source_name: source_name.clone(),
            problem: oci::with_causes(&error.without_url()),
        })?;
        let Some(part) = part else { return Ok(bytes) };
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
    }
}

/// Without TLS only where the operator says so.
fn allowed(url: &Url, plain_http: &[String]) -> std::result::Result<(), String> {
    if url.scheme() == "https" {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if url.scheme() == "http" && plain_http.contains(&host) {
        return Ok(());
    }
    Err(format!("{}://{host} has no TLS; use https, or add \"{host}\" to packages.plain_http", url.scheme()))
}

/// The clients take rustls' cryptography from the process. Whoever has chosen one before keeps it.
pub(crate) fn use_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        std::fs::write(&file, "x").unwrap();
        std::fs::write(folder.path().join("a.wasm"), "x").unwrap();
        let parse = |path: &Path| Source::parse(path.to_str().unwrap()).unwrap();
        assert!(matches!(parse(&file), Source::File(_)));
        assert!(matches!(parse(folder.path()), Source::Folder(_)));
        assert!(matches!(parse(&folder.path().join("a.wasm")), Source::Folder(_)));
        assert!(matches!(Source::parse("https://example.test/a.tar"), Ok(Source::Url(_))));
        let Ok(Source::Oci(reference)) = Source::parse("127.0.0.1:5000/team/a:1.0.0") else {
            panic!("no reference")
        };
        assert_eq!((reference.registry(), reference.tag()), ("127.0.0.1:5000", Some("1.0.0")));
        assert!(matches!(Source::parse("oci://registry.example.test/a"), Ok(Source::Oci(_))));
        for wrong in ["nothing", "team/a", "https://user:secret@example.test/a.tar", "example.test/A B"] {
            assert_eq!(Source::parse(wrong).unwrap_err().code(), "source_invalid", "{wrong}");
        }
    }

    #[test]
    fn tls_may_be_left_out_only_where_that_is_said() {
        let url = |text: &str| Url::parse(text).unwrap();
        let plain = ["127.0.0.1:5000".to_owned()];
        assert_eq!(allowed(&url("https://a.test/"), &[]), Ok(()));
        assert_eq!(allowed(&url("http://127.0.0.1:5000/x"), &plain), Ok(()));
        let problem = allowed(&url("http://127.0.0.1:5001/x"), &plain).unwrap_err();
        assert!(problem.contains("add \"127.0.0.1:5001\" to packages.plain_http"), "{problem}");
        assert!(allowed(&url("ftp://127.0.0.1:5000/x"), &plain).is_err());
    }
}
