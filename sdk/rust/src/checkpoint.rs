//! Where a later attempt at the same task goes on, feature `checkpoint`. Every executor may use it; there is nothing to ask for.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, wire};

/// The newest checkpoint of this task; none if there is none. One that does not fit `T` is a permanent failure, code
/// `does_not_fit`.
///
/// ```no_run
/// # use apflow_sdk::{Failure, checkpoint};
/// # fn send(_: usize) -> Result<(), Failure> { Ok(()) }
/// # fn run() -> Result<(), Failure> {
/// let first = checkpoint::load::<usize>()?.unwrap_or(0);
/// for page in first..100 {
///     send(page)?;
///     checkpoint::save(&(page + 1))?;
/// }
/// # Ok(()) }
/// ```
pub fn load<T: DeserializeOwned>() -> Result<Option<T>, Failure> {
    let document = border::load().map_err(wire::refused)?;
    document.as_deref().map(|text| wire::from_kept(text, "checkpoint")).transpose()
}

/// Replaces the checkpoint. It is durable when this returns.
pub fn save<T: Serialize + ?Sized>(data: &T) -> Result<(), Failure> {
    border::save(&wire::to_json(data, "checkpoint")?).map_err(wire::refused)
}

/// The two imports; outside a component there is no host to ask.
#[cfg(target_family = "wasm")]
mod border {
    pub(super) use crate::bindings::checkpoint::{load, save};
}
#[cfg(not(target_family = "wasm"))]
mod border {
    use crate::bindings::types::Issue;

    pub(super) fn load() -> Result<Option<String>, Issue> {
        Err(crate::wire::no_host("checkpoint").into())
    }

    pub(super) fn save(_: &str) -> Result<(), Issue> {
        Err(crate::wire::no_host("checkpoint").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_component_there_is_no_task_to_go_on_with() {
        assert_eq!(load::<u8>().unwrap_err().code(), "no_host");
        assert_eq!(save(&1).unwrap_err().code(), "no_host");
    }
}
