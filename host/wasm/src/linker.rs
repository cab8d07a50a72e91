//! What components may import, and the refusal of those that import anything else, by name. The grants decide what an
//! import that is there may do; see `capability`.

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::v0_1::offered::Offered;
use crate::capability;
use crate::error::Problem;
use crate::state::GuestState;

/// Interfaces of `apflow:plugin` that this host has.
const OFFERED: [&str; 11] = [
    "types",
    "log",
    "progress",
    "http",
    "net",
    "process",
    "system",
    "secrets",
    "state",
    "tasks",
    "checkpoint",
];
/// Packages of WASI that this host has, in version 0.2.
const WASI: [&str; 7] = [
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:http/",
];

/// A linker with everything that is offered.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<GuestState>, Problem> {
    let mut linker = Linker::new(engine);
    fill(&mut linker).map_err(|error| Problem::Sandbox(format!("{error:#}")))?;
    Ok(linker)
}

fn fill(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    capability::add_wasi_http(linker)?;
    Offered::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// Names of the interfaces that a component imports.
pub(crate) fn imports(component: &Component, engine: &Engine) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Resolves a component's imports.
pub(crate) fn link(
    linker: &Linker<GuestState>,
    component: &Component,
    imports: &[String],
) -> Result<InstancePre<GuestState>, Problem> {
    imports.iter().try_for_each(|name| check(name))?;
    linker.instantiate_pre(component).map_err(|error| Problem::WrongTypes(format!("{error:#}")))
}

fn check(import: &str) -> Result<(), Problem> {
    let unknown = |reason| Err(Problem::UnknownImport { interface: import.to_owned(), reason });
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if let Some(name) = interface.strip_prefix("apflow:plugin/") {
        return match version.starts_with("0.1.") {
            true if OFFERED.contains(&name) => Ok(()),
            true => unknown("which this version of the host does not know; use a newer host"),
            false => {
                unknown("and this host offers version 0.1; build the plugin with the WIT files of this host")
            }
        };
    }
    if !WASI.iter().any(|package| interface.starts_with(package)) {
        return unknown("which this host does not offer; take it out of the plugin's world");
    }
    if !version.starts_with("0.2.") {
        return unknown("and this host offers WASI 0.2; build the plugin for wasm32-wasip2");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_that_are_not_offered_are_refused_by_name() {
        for (import, part) in [
            ("apflow:plugin/dreams@0.1.0", "does not know"),
            ("apflow:plugin/log@0.2.0", "offers version 0.1"),
            ("wasi:cli/environment@0.3.0", "offers WASI 0.2"),
            ("wasi:keyvalue/store@0.2.0", "does not offer"),
            ("acme:thing/log", "does not offer"),
            ("some-function", "does not offer"),
        ] {
            let problem = check(import).unwrap_err().to_string();
            assert!(problem.contains(part) && problem.contains(import), "{problem}");
        }
        for import in [
            "apflow:plugin/http@0.1.7",
            "apflow:plugin/checkpoint@0.1.0",
            "wasi:http/types@0.2.12",
            "wasi:sockets/tcp@0.2.6",
        ] {
            assert_eq!(check(import), Ok(()));
        }
    }

    #[test]
    fn everything_offered_can_be_linked_once() {
        let sandbox = crate::sandbox::Sandbox::new(1).unwrap();
        assert!(linker(sandbox.engine()).is_ok());
    }
}
