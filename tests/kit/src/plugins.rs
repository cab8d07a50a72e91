//! Finds built components for tests. Building them takes minutes and other toolchains, so no test does it: where one is
//! missing the test fails with the command to run.

use std::path::{Path, PathBuf};

/// Folders with built plugins, below the top of the checkout: what ships, and what only tests load.
const DIST: [&str; 2] = ["plugins/dist", "plugins/dist-test"];

/// The folder of a built plugin, for example `dist("rest_executor")`; it holds `<name>.wasm` and `plugin.toml`. Any other
/// path below those folders can be asked for too.
///
/// # Panics
/// If it has not been built, with the command that builds it.
pub fn dist(name: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    find(&top, name).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The component of a built plugin.
///
/// # Panics
/// As [`dist`].
pub fn component(name: &str) -> PathBuf {
    dist(&format!("{name}/{name}.wasm"))
}

fn find(top: &Path, name: &str) -> Result<PathBuf, String> {
    let candidates = DIST.map(|folder| top.join(folder).join(name));
    candidates.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
        format!(
            "'{name}' is neither in {} nor in {}. Build the plugins first: cargo xtask plugins",
            DIST[0], DIST[1]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_found_in_either_folder_or_the_command_is_named() {
        let top = std::env::temp_dir().join(format!("apflow-testkit-{}", std::process::id()));
        for (folder, name) in [(DIST[0], "shipped"), (DIST[1], "hostile")] {
            std::fs::create_dir_all(top.join(folder).join(name)).unwrap();
        }
        assert_eq!(find(&top, "shipped"), Ok(top.join("plugins/dist/shipped")));
        assert_eq!(find(&top, "hostile"), Ok(top.join("plugins/dist-test/hostile")));
        assert!(find(&top, "absent").unwrap_err().contains("cargo xtask plugins"));
        std::fs::remove_dir_all(&top).unwrap();
    }
}
