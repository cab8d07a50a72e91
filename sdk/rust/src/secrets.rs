//! References to secrets, feature `secrets`. Needs the `secrets` grant.

use crate::{Failure, wire};

/// The placeholder for the secret of this name. The host replaces it in headers and bodies of requests to hosts that own
/// the secret; the value is never here.
///
/// ```no_run
/// # use apflow_sdk::{Failure, secrets};
/// # fn run() -> Result<(), Failure> {
/// let authorization = format!("Bearer {}", secrets::placeholder("github_token")?);
/// # Ok(()) }
/// ```
pub fn placeholder(name: &str) -> Result<String, Failure> {
    border::placeholder(name).map_err(wire::refused)
}

/// The import; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use crate::bindings::secrets::placeholder;
}
#[cfg(not(target_family = "wasm"))]
mod border {
    pub(super) fn placeholder(_: &str) -> Result<String, crate::bindings::types::Issue> {
        Err(crate::wire::no_host("secrets").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_component_there_are_no_secrets() {
        assert_eq!(placeholder("token").unwrap_err().code(), "no_host");
    }
}
