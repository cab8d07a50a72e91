//! Key-value state of this plugin, feature `state`: shared by all its instances and kept over restarts. Needs the `state`
//! grant.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, wire};

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Changes with every write; for [`compare_and_set`].
    pub version: String,
}

/// Reads a key; none if it is not set. A value that does not fit `T` is a permanent failure, code `does_not_fit`.
///
/// ```no_run
/// # use apflow_sdk::{Failure, state};
/// // Counts, whoever else does at the same time.
/// fn count() -> Result<u64, Failure> {
///     loop {
///         let entry = state::get::<u64>("count")?;
///         let (count, version) = entry.map_or((0, None), |entry| (entry.value, Some(entry.version)));
///         if state::compare_and_set("count", version.as_deref(), &(count + 1))? {
///             return Ok(count + 1);
///         }
///     }
/// }
/// ```
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<Entry<T>>, Failure> {
    let Some(entry) = border::get(key).map_err(wire::refused)? else { return Ok(None) };
    let value = wire::from_kept(&entry.value, &format!("value of the key `{key}`"))?;
    Ok(Some(Entry { value, version: entry.version }))
}

/// Writes a key whatever is there.
pub fn put<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Failure> {
    border::put(key, Some(&document(key, value)?)).map_err(wire::refused)
}

/// Removes a key.
pub fn remove(key: &str) -> Result<(), Failure> {
    border::put(key, None).map_err(wire::refused)
}

/// Writes only if the version is still `expected` (none: only if the key is not set). Says whether it did.
pub fn compare_and_set<T: Serialize + ?Sized>(
    key: &str,
    expected: Option<&str>,
    value: &T,
) -> Result<bool, Failure> {
    border::compare_and_set(key, expected, Some(&document(key, value)?)).map_err(wire::refused)
}

/// Removes only if the version is still `expected`. Says whether it did.
pub fn compare_and_remove(key: &str, expected: &str) -> Result<bool, Failure> {
    border::compare_and_set(key, Some(expected), None).map_err(wire::refused)
}

fn document<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<String, Failure> {
    wire::to_json(value, &format!("value of the key `{key}`"))
}

/// The three imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use crate::bindings::state::{compare_and_set, get, put};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use crate::bindings::state::Entry;
    use crate::bindings::types::Issue;

    pub(super) fn get(_: &str) -> Result<Option<Entry>, Issue> {
        Err(crate::wire::no_host("state").into())
    }

    pub(super) fn put(_: &str, _: Option<&str>) -> Result<(), Issue> {
        Err(crate::wire::no_host("state").into())
    }

    pub(super) fn compare_and_set(_: &str, _: Option<&str>, _: Option<&str>) -> Result<bool, Issue> {
        Err(crate::wire::no_host("state").into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn outside_a_component_nothing_is_kept() {
        assert_eq!(get::<u8>("k").unwrap_err().code(), "no_host");
        assert_eq!(put("k", &1).unwrap_err().code(), "no_host");
        assert_eq!(remove("k").unwrap_err().code(), "no_host");
        assert_eq!(compare_and_set("k", None, &1).unwrap_err().code(), "no_host");
        assert_eq!(compare_and_remove("k", "1").unwrap_err().code(), "no_host");
    }

    #[test]
    fn values_that_json_cannot_hold_never_leave() {
        let failure = put("odd", &BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert!(failure.to_string().starts_with("not_json: the value of the key `odd`"), "{failure}");
    }

    #[test]
    fn kept_values_that_do_not_fit_are_not_the_input_s_fault() {
        let failure = wire::from_kept::<Vec<u8>>("[1, 300]", "value of the key `k`").unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{failure:?}");
        assert!(
            failure.to_string().starts_with("does_not_fit: the value of the key `k` does not fit: /1"),
            "{failure}"
        );
    }
}
