//! The secrets of webhooks. Whoever makes a webhook chooses the reference, so it reaches only what the operator has put there
//! for this: variables with one prefix, files of one folder.

use std::path::PathBuf;

use apflow_core::error::Result;
use apflow_core::webhook::{WebhookSecrets, invalid};

use crate::config::SECRETS;

/// Looks into the environment and a folder.
#[derive(Debug)]
pub(crate) struct HostSecrets {
    /// Empty for none.
    pub folder: PathBuf,
}

impl WebhookSecrets for HostSecrets {
    fn find(&self, reference: &str) -> Result<String> {
        match reference.split_once(':') {
            Some(("env", name)) => variable(name),
            Some(("file", name)) => self.file(name),
            _ => Err(invalid("secret", "a reference is `env:NAME` or `file:NAME`")),
        }
    }
}

fn variable(name: &str) -> Result<String> {
    if !name.starts_with(SECRETS) {
        return Err(invalid(
            "secret",
            format!("`env:{name}`: only variables whose names begin with {SECRETS} are read"),
        ));
    }
    std::env::var(name).map_err(|_| invalid("secret", format!("`env:{name}`: the host has no such variable")))
}

impl HostSecrets {
    fn file(&self, name: &str) -> Result<String> {
        let refuse = |problem: &str| Err(invalid("secret", format!("`file:{name}`: {problem}")));
        if self.folder.as_os_str().is_empty() {
            return refuse("the host has no folder of secrets (`webhooks.secrets_folder`)");
        }
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', ':']) {
            return refuse("write the name of a file in the folder of secrets, without a path");
        }
        std::fs::read_to_string(self.folder.join(name))
            .or_else(|_| refuse("there is no such file in the folder of secrets, or it cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_it_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("orders"), "whsec_x\n").unwrap();
        let secrets = HostSecrets { folder: folder.path().to_owned() };
        assert_eq!(secrets.find("file:orders").unwrap(), "whsec_x\n");
        for wrong in [
            "file:",
            "file:../orders",
            "file:.orders",
            "file:/etc/passwd",
            "file:none",
            "env:PATH",
            "env:APFLOW_WEBHOOK_NONE",
            "x",
        ] {
            let error = secrets.find(wrong).unwrap_err();
            assert_eq!(error.data["field"], "secret", "{wrong}");
        }
        assert!(HostSecrets { folder: PathBuf::new() }.find("file:orders").is_err());
    }
}
