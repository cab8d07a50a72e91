//! Newtypes for every identifier, so that no bare string or integer crosses a function.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::clock::Timestamp;

/// The longest task id, in bytes.
pub const MAX_ID_BYTES: usize = 255;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id!(
    /// A task's public id: chosen by the caller (at most [`MAX_ID_BYTES`]) or a UUID version 7.
    TaskId
);
text_id!(
    /// A tree's public id: the root task's id unless the caller chose another.
    TreeId
);
text_id!(
    /// A node: one running host of a database.
    NodeId
);
text_id!(
    /// A webhook's public id.
    WebhookId
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A task's key inside one store: small, and in the order of insertion.
    TaskKey
);
number_id!(
    /// A tree's key inside one store.
    TreeKey
);
number_id!(
    /// A position in the event log; from 1, increasing, with possible gaps.
    Seq
);
number_id!(
    /// A fencing token: grows with every claim of a task, so that the newest holder is known.
    Token
);

/// A new public id: UUID version 7 (RFC 9562), so that ids made one after another sort and index well.
pub fn new_id(now: Timestamp) -> String {
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    let at = uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, ((micros % 1_000_000) * 1000) as u32);
    Uuid::new_v7(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_differ_and_sort_by_time() {
        let early = new_id(Timestamp::from_micros(1_000_000_000));
        let late = new_id(Timestamp::from_micros(1_000_000_000_000));
        assert_eq!(early.len(), 36);
        assert!(early < late);
        assert_ne!(early, new_id(Timestamp::from_micros(1_000_000_000)));
    }
}
