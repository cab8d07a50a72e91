//! What one call of a plugin may use at most: safe defaults, and what an operator changes about them for all plugins
//! or for one. Counting happens where the thing is used (`state`, `call`, `capability`); this file only knows numbers,
//! names and keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr,)*) => {
        /// The limits of one call. In TOML every key is optional; what is left out keeps its default.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits { $($(#[$doc])* pub $name: $type,)* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// Limits of one plugin, where they differ from those of all plugins.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LimitChanges {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
        }

        impl Limits {
            /// These limits with the changes for one plugin.
            #[must_use]
            pub fn with(&self, changes: &LimitChanges) -> Self {
                Self { $($name: changes.$name.unwrap_or(self.$name),)* }
            }
        }
    };
}

const MIB: u64 = 1024 * 1024;

limits! {
    /// The longest a call may take, in milliseconds. A task's own timeout can only shorten it.
    deadline_ms: u64 = 5 * 60 * 1000,
    /// Bytes of all memories of the guest together.
    memory_bytes: u64 = 256 * MIB,
    /// Elements of all tables of the guest together.
    table_elements: u64 = 200_000,
    /// Bytes of inputs and params together.
    input_bytes: u64 = 16 * MIB,
    /// Bytes of the result.
    output_bytes: u64 = 16 * MIB,
    /// Log lines of a call; more are dropped and counted.
    log_lines: u32 = 1000,
    /// Bytes of a log line; longer ones are cut.
    log_line_bytes: u32 = 8 * 1024,
    /// Calls from guest to host.
    host_calls: u64 = 10_000_000,
    /// Host resources (streams, bodies, processes, files) that are open at the same time.
    open_resources: u32 = 1000,
    /// Calls of one plugin at the same time; more wait.
    concurrent_calls: u32 = 256,
    /// Outgoing HTTP requests of a call, redirects included.
    http_requests: u32 = 1000,
    /// Bytes of the body of an outgoing request.
    http_request_bytes: u64 = 16 * MIB,
    /// Bytes of the body of a response.
    http_response_bytes: u64 = 64 * MIB,
    /// Programs that a call may start.
    processes: u32 = 100,
    /// Bytes of output that are kept of one program; the rest is cut off.
    process_output_bytes: u64 = 8 * MIB,
    /// Streams that a call may open with `net`.
    net_connections: u32 = 100,
    /// Bytes that a call may send and receive over them.
    net_bytes: u64 = 256 * MIB,
    /// Keys of the plugin's state.
    state_keys: u32 = 10_000,
    /// Bytes of one value of the state.
    state_value_bytes: u64 = 256 * 1024,
    /// Bytes of a checkpoint.
    checkpoint_bytes: u64 = MIB,
    /// Child trees that one execution of a task may submit.
    child_trees: u32 = 100,
    /// Levels of child trees below a task that is nobody's child.
    child_depth: u32 = 4,
}

impl Limits {
    /// The longest a call may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// What a guest is given to describe itself when it is loaded: little, and nothing from outside.
    #[must_use]
    pub fn for_describe(&self) -> Self {
        Self {
            // Interpreters start slowly on a busy machine, but nobody waits half a minute for a description.
            deadline_ms: self.deadline_ms.min(30_000),
            output_bytes: self.output_bytes.min(MIB),
            log_lines: self.log_lines.min(20),
            http_requests: 0,
            processes: 0,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let limits: Limits = toml::from_str("memory_bytes = 1048576\n").unwrap();
        assert_eq!(limits, Limits { memory_bytes: MIB, ..Limits::default() });
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<Limits>("memory = 1\n").unwrap_err();
        assert!(error.to_string().contains("unknown field `memory`"), "{error}");
    }

    #[test]
    fn changes_for_one_plugin_leave_the_rest_alone() {
        let all = Limits { log_lines: 7, ..Limits::default() };
        let changes: LimitChanges = toml::from_str("deadline_ms = 100\n").unwrap();
        assert_eq!(all.with(&changes), Limits { deadline_ms: 100, ..all.clone() });
    }
}
