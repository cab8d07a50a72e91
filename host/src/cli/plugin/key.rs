//! `apflow plugin key`, `sign` and `verify-signature`. Keys and signatures are those of the program `minisign`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use apflow_packages::signature::{self, TrustedKey};
use apflow_packages::{Package, PackageError, archive};
use serde_json::json;

use super::super::errors::{Exit, Failure};
use super::super::options::environment;
use super::super::output::{Output, field};
use super::super::target::TargetArgs;

/// Flags of `apflow plugin key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// File for the secret key; the public one goes into FILE.pub. APFLOW_SIGNING_PASSWORD encrypts the secret key
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Flags of `apflow plugin sign`.
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// The package: an archive, or a folder with plugin.toml and the component; the signature goes into it
    #[arg(value_name = "PACKAGE")]
    package: PathBuf,
    /// File of the secret key; its password, if it has one, is in APFLOW_SIGNING_PASSWORD
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Flags of `apflow plugin verify-signature`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The package: an archive, or a folder with plugin.toml and the component
    #[arg(value_name = "PACKAGE")]
    package: PathBuf,
    /// Public key: the text, or a .pub file [default: those of packages.keys]
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

/// Runs `key`.
pub fn make(args: &KeyArgs, output: Output) -> Result<Exit, Failure> {
    let (secret, public) = signature::make_keys(password())?;
    let public_file = PathBuf::from(format!("{}.pub", args.file.display()));
    let write = |path: &Path, text: &str, mode: u32| {
        // An old key is never overwritten: what it has signed could not be followed up.
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, &error))
    };
    write(&args.file, &secret, 0o600)?;
    write(&public_file, &public, 0o644)?;
    let key = public.lines().last().unwrap_or_default();
    let id = TrustedKey::parse(key)?.id;
    let answer = json!({ "id": id, "secret": args.file, "public": public_file, "key": key });
    output.show(&answer, |answer| {
        let line = |name: &str| format!("{name:<7} {}", field(answer, name));
        ["id", "secret", "public", "key"].map(line).join("\n")
    });
    Ok(Exit::Success)
}

/// Runs `sign`.
pub fn sign(args: &SignArgs, output: Output) -> Result<Exit, Failure> {
    let package = read(&args.package)?;
    let signature = signature::sign(&package, &args.key, password())?;
    let (place, bytes) = if args.package.is_dir() {
        (args.package.join("plugin.minisig"), signature.into_bytes())
    } else {
        let signed = Package { signature: Some(signature), ..package.clone() };
        (args.package.clone(), archive::write(&signed)?)
    };
    std::fs::write(&place, bytes).map_err(|error| failed(&place, &error))?;
    let answer = json!({ "name": package.name, "version": package.version, "signature_in": place });
    output.show(&answer, |answer| {
        let [name, version, place] = ["name", "version", "signature_in"].map(|part| field(answer, part));
        format!("Signed {name} {version}; the signature is in {place}")
    });
    Ok(Exit::Success)
}

/// Runs `verify-signature`.
pub fn verify(args: &VerifyArgs, target: &TargetArgs, output: Output) -> Result<Exit, Failure> {
    let package = read(&args.package)?;
    let named = if args.key.is_empty() { target.load()?.config.packages.keys } else { args.key.clone() };
    let keys = named.iter().map(|key| TrustedKey::parse(key)).collect::<Result<Vec<_>, _>>()?;
    let signer = signature::verify(&package, &keys)?
        .ok_or_else(|| Failure::refused("package_unsigned", format!("{} is not signed", package.title())))?;
    let answer = json!({ "name": package.name, "version": package.version, "signer": signer });
    output.show(&answer, |answer| {
        let [name, version, signer] = ["name", "version", "signer"].map(|part| field(answer, part));
        format!("{name} {version} is signed by {signer}")
    });
    Ok(Exit::Success)
}

fn read(path: &Path) -> Result<Package, Failure> {
    if path.is_dir() {
        return Ok(archive::read_folder(path)?);
    }
    let bytes = std::fs::read(path).map_err(|error| failed(path, &error))?;
    Ok(archive::read(&path.display().to_string(), &bytes)?)
}

fn password() -> Option<String> {
    environment().remove("APFLOW_SIGNING_PASSWORD").filter(|password| !password.is_empty())
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    PackageError::File { path: path.display().to_string(), problem: error.to_string() }.into()
}
