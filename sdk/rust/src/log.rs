//! Lines for the host's log: one function and a macro per level. The host adds plugin, task and attempt, and limits the
//! number and length of lines per call.

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// For authors of plugins.
    Debug,
    /// For operators.
    Info,
    /// Something is not as it should be, and the work goes on.
    Warn,
    /// The work does not go on.
    Error,
}

impl Level {
    /// The word that the host knows the level by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Writes one line; mostly called through [`info!`](crate::info) and its sisters.
#[cfg(target_family = "wasm")]
pub fn write(level: Level, message: &str) {
    crate::bindings::log::write(level.as_str(), message);
}

/// Writes one line; in unit tests, where there is no host, to standard error.
#[cfg(not(target_family = "wasm"))]
pub fn write(level: Level, message: &str) {
    eprintln!("{} {message}", level.as_str());
}

/// Logs a line for every step.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($message)+)) };
}

/// Logs a line for authors of plugins.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($message)+)) };
}

/// Logs a line for operators: `apflow_sdk::info!("fetched {count} items")`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($message)+)) };
}

/// Logs that something is not as it should be.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($message)+)) };
}

/// Logs that the work does not go on.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($message)+)) };
}
