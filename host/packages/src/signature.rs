//! Signatures of packages, in the form of the program `minisign`: Ed25519 over a BLAKE2b hash, with a comment that is signed
//! too. What is signed is the text that `sha256sum NAME.wasm plugin.toml` prints, so that a signature covers the component
//! and everything in its manifest: name, version and what it asks for.

use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};

use crate::error::{PackageError, Result};
use crate::package::Package;

/// A public key that packages may be signed with.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The key's id as `minisign` shows it: 16 hex digits.
    pub id: String,
    key: minisign_verify::PublicKey,
}

impl TrustedKey {
    /// Reads a key: the Base64 text itself (`RW…`), or the path of a `.pub` file.
    ///
    /// # Errors
    /// `key_invalid`.
    pub fn parse(given: &str) -> Result<Self> {
        let bad = |problem: String| PackageError::BadKey { key: given.into(), problem };
        let text = if Path::new(given).is_file() {
            let text = std::fs::read_to_string(given).map_err(|error| bad(error.to_string()))?;
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.rfind(|line| !line.starts_with("untrusted comment:")).unwrap_or_default().to_owned()
        } else {
            given.trim().to_owned()
        };
        let expected = "it is neither a file nor a minisign public key (`RW` and 54 more characters)";
        let key = minisign_verify::PublicKey::from_base64(&text).map_err(|_| bad(expected.into()))?;
        let id = PublicKey::from_base64(&text).map_err(|_| bad(expected.into()))?;
        Ok(Self { id: key_id(id.keynum()), key })
    }
}

/// Checks the signature of a package; gives the id of the key, or none if it is not signed.
///
/// # Errors
/// `signature_wrong`, or `unknown_key` if none of `keys` made it.
pub fn verify(package: &Package, keys: &[TrustedKey]) -> Result<Option<String>> {
    let Some(text) = &package.signature else { return Ok(None) };
    let bad = |problem: String| PackageError::BadSignature { what: package.title(), problem };
    let signature = minisign_verify::Signature::decode(text).map_err(|error| bad(error.to_string()))?;
    let boxed = SignatureBox::from_string(text).map_err(|error| bad(error.to_string()))?;
    let id = key_id(boxed.keynum());
    let key = keys
        .iter()
        .find(|key| key.id == id)
        .ok_or_else(|| PackageError::UnknownKey { what: package.title(), key: id.clone() })?;
    let signed = package.signed_text();
    key.key.verify(signed.as_bytes(), &signature, false).map_err(|error| bad(error.to_string()))?;
    Ok(Some(id))
}

/// Signs a package with the secret key in a file (`minisign -G` or [`make_keys`] made it); gives the signature's text.
///
/// # Errors
/// `key_invalid` if the key cannot be read or the password is wrong.
pub fn sign(package: &Package, secret_key: &Path, password: Option<String>) -> Result<String> {
    let bad = |problem: String| PackageError::BadKey { key: secret_key.display().to_string(), problem };
    let text = std::fs::read_to_string(secret_key).map_err(|error| bad(error.to_string()))?;
    let boxed = || SecretKeyBox::from_string(&text).map_err(|error| bad(error.to_string()));
    let key = match password {
        Some(password) => boxed()?.into_secret_key(Some(password)).map_err(|error| bad(error.to_string()))?,
        None => match without_checksum(&text) {
            Some(key) => key,
            None => boxed()?.into_unencrypted_secret_key().map_err(|error| {
                bad(format!("{error}; if it has a password, put that into APFLOW_SIGNING_PASSWORD"))
            })?,
        },
    };
    let (trusted, untrusted) = (format!("apflow {}", package.title()), "signature of an apflow package");
    let signed = Cursor::new(package.signed_text());
    let signature = minisign::sign(None, &key, signed, Some(&trusted), Some(untrusted));
    signature.map(SignatureBox::into_string).map_err(|error| bad(error.to_string()))
}

/// A key that `minisign -G -W` has made: not encrypted, and with zeros where the library wants a checksum.
fn without_checksum(text: &str) -> Option<SecretKey> {
    const KDF: std::ops::Range<usize> = 2..4;
    const CHECKSUM: usize = 32;
    let bytes = BASE64_STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    let checksum = bytes.get(bytes.len().checked_sub(CHECKSUM)?..)?;
    let plain = bytes.get(KDF)? == [0, 0] && checksum.iter().all(|byte| *byte == 0);
    if plain { SecretKey::from_bytes(&bytes).ok() } else { None }
}

/// The texts of a new key pair: secret, public. With a password the secret key is encrypted.
///
/// # Errors
/// `key_invalid` if the machine gives no random numbers.
pub fn make_keys(password: Option<String>) -> Result<(String, String)> {
    let bad =
        |error: minisign::PError| PackageError::BadKey { key: "(new)".into(), problem: error.to_string() };
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(bad)?;
    let secret = pair.sk.to_box(Some("apflow secret key")).map_err(bad)?.into_string();
    Ok((secret, pair.pk.to_box().map_err(bad)?.into_string()))
}

/// As `minisign` writes it: the number is stored with its lowest byte first.
fn key_id(number: &[u8]) -> String {
    use std::fmt::Write as _;
    number.iter().rev().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}"); // Writing to a string cannot fail.
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::sample;

    fn keys(folder: &Path, password: Option<String>) -> (std::path::PathBuf, TrustedKey) {
        let (secret, public) = make_keys(password).unwrap();
        std::fs::write(folder.join("key"), secret).unwrap();
        std::fs::write(folder.join("key.pub"), &public).unwrap();
        let key = TrustedKey::parse(folder.join("key.pub").to_str().unwrap()).unwrap();
        assert_eq!(TrustedKey::parse(public.lines().last().unwrap()).unwrap().id, key.id);
        (folder.join("key"), key)
    }

    #[test]
    fn a_signature_covers_component_and_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, key) = keys(folder.path(), None);
        let keys = [key];
        let package = sample("1");
        assert_eq!(verify(&package, &keys), Ok(None));
        let signed = Package { signature: Some(sign(&package, &secret, None).unwrap()), ..package };
        assert_eq!(verify(&signed, &keys), Ok(Some(keys[0].id.clone())));
        let other = Package { component: b"other".to_vec(), ..signed.clone() };
        assert_eq!(verify(&other, &keys).unwrap_err().code(), "signature_wrong");
        let asks = format!("{}\n[requests]\nsystem = true\n", signed.manifest);
        let asks = Package { manifest: asks, ..signed.clone() };
        assert_eq!(verify(&asks, &keys).unwrap_err().code(), "signature_wrong");
        assert_eq!(verify(&signed, &[]).unwrap_err().code(), "unknown_key");
        let nonsense = Package { signature: Some("nonsense".into()), ..signed };
        assert_eq!(verify(&nonsense, &keys).unwrap_err().code(), "signature_wrong");
    }

    #[test]
    fn a_key_with_a_password_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, key) = keys(folder.path(), Some("open".into()));
        let package = sample("1");
        assert!(sign(&package, &secret, None).unwrap_err().to_string().contains("APFLOW_SIGNING_PASSWORD"));
        assert_eq!(sign(&package, &secret, Some("shut".into())).unwrap_err().code(), "key_invalid");
        let signature = sign(&package, &secret, Some("open".into())).unwrap();
        let signed = Package { signature: Some(signature), ..package };
        assert_eq!(verify(&signed, std::slice::from_ref(&key)), Ok(Some(key.id)));
    }

    #[test]
    fn a_key_of_minisign_without_password_has_no_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, key) = keys(folder.path(), None);
        let text = std::fs::read_to_string(&secret).unwrap();
        let (comment, encoded) = text.trim_end().split_once('\n').unwrap();
        let mut bytes = BASE64_STANDARD.decode(encoded).unwrap();
        let length = bytes.len();
        bytes[length - 32..].fill(0);
        std::fs::write(&secret, format!("{comment}\n{}\n", BASE64_STANDARD.encode(bytes))).unwrap();
        let package = sample("1");
        let signed = Package { signature: Some(sign(&package, &secret, None).unwrap()), ..package };
        assert_eq!(verify(&signed, std::slice::from_ref(&key)), Ok(Some(key.id)));
    }

    #[test]
    fn what_is_no_key_is_said() {
        assert!(TrustedKey::parse("RWnonsense").unwrap_err().to_string().contains("neither a file nor"));
    }
}
