//! The shipped plugins inside the binary, where the feature `bundled` puts them; `build.rs` writes the list.

use apflow_wasm::BundledPlugin;

/// All of them.
#[cfg(feature = "bundled")]
pub(crate) const PLUGINS: &[BundledPlugin] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
/// None without the feature.
#[cfg(not(feature = "bundled"))]
pub(crate) const PLUGINS: &[BundledPlugin] = &[];
