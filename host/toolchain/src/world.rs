//! The world of a plugin, written from its `plugin.toml`: the base, what it exports, and one import for each capability
//! that it asks for. A JavaScript or Python component imports all of its world, so what is not asked for must not be there.

use crate::embedded;
use crate::project::{Kind, Project};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The text of the world `plugin`.
pub fn text(project: &Project) -> String {
    let package = project.name.replace('_', "-");
    let mut text = format!("package apflow:{package}-plugin@0.1.0;\n\nworld plugin {{\n");
    for kind in &project.kinds {
        let _ = writeln!(text, "    include apflow:plugin/{}@0.1.0;", kind.world());
    }
    // Nothing has to be asked for to go on where an attempt before has stopped.
    let checkpoint = project.kinds.contains(&Kind::Executor).then_some("checkpoint");
    for capability in project.capabilities.iter().copied().chain(checkpoint) {
        let _ = writeln!(text, "    import apflow:plugin/{capability}@0.1.0;");
    }
    text.push_str("}\n");
    text
}

/// Puts the world and the contract into `wit` of a build folder. A plugin that brings a world of its own keeps it.
pub fn write(project: &Project, build: &Path) -> Result<()> {
    let wit = build.join("wit");
    embedded::lay("wit/v0.1/", &wit.join("deps/apflow-plugin"))?;
    let world = wit.join("world.wit");
    if !world.is_file() {
        fs::write(&world, text(project)).with_context(|| format!("cannot write {}", world.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Language;

    #[test]
    fn a_world_says_what_is_exported_and_asked_for() {
        let project = Project {
            folder: "".into(),
            name: "my_tool".into(),
            version: "1".into(),
            language: Language::Python,
            kinds: vec![Kind::Executor, Kind::Hook],
            capabilities: vec!["http", "state"],
        };
        let expected = "package apflow:my-tool-plugin@0.1.0;\n\nworld plugin {\n    \
            include apflow:plugin/executor-plugin@0.1.0;\n    include apflow:plugin/hooks-plugin@0.1.0;\n    \
            import apflow:plugin/http@0.1.0;\n    import apflow:plugin/state@0.1.0;\n    import apflow:plugin/checkpoint@0.1.0;\n}\n";
        assert_eq!(text(&project), expected);
    }
}
