//! Packages of plugins: a component, its `plugin.toml` and perhaps a signature over both. Where they come from (files, URLs,
//! OCI registries), whether they are what somebody signed, and what is installed in a plugins folder. What a package asks for
//! is only carried here; whether that is granted is decided above, and whether it runs is the sandbox's business.

pub mod archive;
mod error;
mod folder;
mod lock;
mod oci;
mod package;
pub mod signature;
mod source;

pub use error::{PackageError, Result};
pub use folder::{Drift, PluginsFolder};
pub use lock::{Lock, Locked};
pub use package::Package;
pub use source::{Access, Found, Limits, Source, fetch, newest, push};
