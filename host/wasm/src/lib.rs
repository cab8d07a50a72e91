//! The sandbox: plugins as WebAssembly components.

mod bindings;
pub mod grants;
pub mod guard;
pub mod limits;
pub mod manifest;
