//! Secrets that guests refer to and never see. A guest holds a placeholder; the one way out puts the value in its place, in
//! headers and bodies of requests to hosts that both sides name, and takes it out of the answer again, so that an echo gives
//! nothing away. What is compressed could not be searched, so such answers are asked for as they are.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;
use sha2::{Digest, Sha256};

use crate::grants::Grants;
use crate::http::HttpError;

/// The shortest value that can be told from other text in an answer.
pub(crate) const SHORTEST: usize = 8;

/// The placeholder for a secret of a plugin: the same as long as the process lives, so that a shared instance may keep it, and
/// nothing that anybody else can guess.
pub(crate) fn placeholder(plugin: &str, name: &str) -> String {
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        for _ in 0..4 {
            // Each is keyed with numbers from the system.
            hash.update(
                std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "key").to_le_bytes(),
            );
        }
        hash.finalize().into()
    });
    let mut hash = Sha256::new_with_prefix(*KEY);
    hash.update(plugin);
    hash.update([0]);
    hash.update(name);
    let digits: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("apflow-secret-{name}-{digits}")
}

/// A value and what stands for it.
#[derive(Clone)]
pub(crate) struct Filled {
    placeholder: Bytes,
    value: Bytes,
}

impl std::fmt::Debug for Filled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filled({:?})", self.placeholder)
    }
}

impl Filled {
    /// The value for a placeholder.
    pub fn new(placeholder: &str, value: &str) -> Self {
        Self {
            placeholder: Bytes::copy_from_slice(placeholder.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
        }
    }
}

/// The names of a plugin's secrets whose placeholders are in a request.
pub(crate) fn mentioned<'g>(grants: &'g Grants, headers: &HeaderMap, body: &[u8]) -> Vec<&'g str> {
    let is_in = |placeholder: &str| {
        let needle = placeholder.as_bytes();
        contains(body, needle) || headers.values().any(|value| contains(value.as_bytes(), needle))
    };
    grants.secret_names().filter(|name| is_in(&placeholder(grants.plugin(), name))).collect()
}

/// Puts values in the place of placeholders.
pub(crate) fn fill(filled: &[Filled], headers: &mut HeaderMap, body: &mut Bytes) -> Result<(), HttpError> {
    for one in filled {
        replace_in_headers(headers, &one.placeholder, &one.value)?;
        if contains(body, &one.placeholder) {
            *body = replaced(body, &one.placeholder, &one.value).into();
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(())
}

/// Takes values out of an answer's headers. Its length may be another one then.
pub(crate) fn hide(filled: &[Filled], headers: &mut HeaderMap) {
    for one in filled {
        // Placeholders are plain text, so they fit into any header.
        let _ = replace_in_headers(headers, &one.value, &one.placeholder);
    }
    headers.remove(header::CONTENT_LENGTH);
}

fn replace_in_headers(headers: &mut HeaderMap, from: &[u8], to: &[u8]) -> Result<(), HttpError> {
    let hit = |value: &HeaderValue| contains(value.as_bytes(), from);
    if !headers.values().any(hit) {
        return Ok(());
    }
    let old: Vec<(HeaderName, HeaderValue)> =
        headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    headers.clear();
    for (name, value) in old {
        let value = match hit(&value) {
            false => value,
            true => HeaderValue::from_bytes(&replaced(value.as_bytes(), from, to)).map_err(|_| {
                HttpError::Other {
                    code: "secret_unavailable",
                    message: format!("the value of a secret does not fit into the header `{name}`: it has line ends or other control characters"),
                }
            })?,
        };
        headers.append(name, value);
    }
    Ok(())
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    memmem::find(text, needle).is_some()
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for at in memmem::find_iter(text, from) {
        out.extend_from_slice(&text[done..at]);
        out.extend_from_slice(to);
        done = at + from.len();
    }
    out.extend_from_slice(&text[done..]);
    out
}

/// Takes values out of a body that comes in pieces: the end of a piece that may be the beginning of a value is held back.
#[derive(Debug)]
pub(crate) struct Scrubber {
    filled: Vec<Filled>,
    held: Vec<u8>,
}

impl Scrubber {
    /// None if there is nothing to take out.
    pub fn new(filled: Vec<Filled>) -> Option<Self> {
        (!filled.is_empty()).then_some(Self { filled, held: Vec::new() })
    }

    /// What may be passed on after this piece.
    pub fn pass(&mut self, piece: &[u8]) -> Bytes {
        self.held.extend_from_slice(piece);
        for one in &self.filled {
            if contains(&self.held, &one.value) {
                self.held = replaced(&self.held, &one.value, &one.placeholder);
            }
        }
        let begins = |at: &usize| self.filled.iter().any(|one| one.value.starts_with(&self.held[*at..]));
        let longest = self.filled.iter().map(|one| one.value.len()).max().unwrap_or_default();
        let first = self.held.len().saturating_sub(longest.saturating_sub(1));
        let keep = (first..self.held.len()).find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        std::mem::replace(&mut self.held, rest).into()
    }

    /// The same for trailers.
    pub fn hide(&self, trailers: &mut HeaderMap) {
        hide(&self.filled, trailers);
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was held back, at the end.
    pub fn end(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "s3cr3t-s3cr3t-value";

    #[test]
    fn placeholders_are_of_one_plugin_and_one_name() {
        let one = placeholder("a", "github");
        assert_eq!(one, placeholder("a", "github"));
        assert_ne!(one, placeholder("b", "github"));
        assert_ne!(one, placeholder("a", "gitlab"));
        assert!(one.starts_with("apflow-secret-github-") && one.len() == "apflow-secret-github-".len() + 32);
    }

    #[test]
    fn values_come_in_and_go_out_again() {
        let filled = [Filled::new("P1", VALUE)];
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer P1"));
        headers.append(header::ACCEPT, HeaderValue::from_static("a"));
        headers.append(header::ACCEPT, HeaderValue::from_static("b"));
        let mut body = Bytes::from_static(b"{\"key\":\"P1\",\"again\":\"P1\"}");
        fill(&filled, &mut headers, &mut body).unwrap();
        assert_eq!(headers[header::AUTHORIZATION], format!("Bearer {VALUE}"));
        assert_eq!(headers.get_all(header::ACCEPT).iter().count(), 2);
        assert_eq!(body, format!("{{\"key\":\"{VALUE}\",\"again\":\"{VALUE}\"}}"));
        hide(&filled, &mut headers);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer P1");
        assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn a_value_with_a_line_end_is_no_header() {
        let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("P1"))]);
        let error = fill(&[Filled::new("P1", "a\r\nx: y")], &mut headers, &mut Bytes::new()).unwrap_err();
        assert_eq!(error.code(), "secret_unavailable");
    }

    #[test]
    fn an_echo_in_any_pieces_gives_nothing_away() {
        let text = format!("a {VALUE} s3cr3t-s3 b {VALUE}{VALUE} s3cr3t-s3cr3t-s3cr3t-value end s3cr");
        let expected = "a P1 s3cr3t-s3 b P1P1 s3cr3t-P1 end s3cr";
        for size in 1..text.len() {
            let mut scrubber = Scrubber::new(vec![Filled::new("P1", VALUE)]).unwrap();
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                out.extend_from_slice(&scrubber.pass(piece));
            }
            out.extend_from_slice(&scrubber.end());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "pieces of {size}");
        }
    }
}
