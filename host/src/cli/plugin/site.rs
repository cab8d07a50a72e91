//! What the commands that install work with: the plugins folder, how sources are reached, whose signatures count, and the
//! checks that every package passes before anything is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_host::Config;
use apflow_host::plugin::PluginInfo;
use apflow_packages::signature::{TrustedKey, verify};
use apflow_packages::{Access, Limits, Locked, Package, PackageError, PluginsFolder};
use apflow_wasm::grants::{Capabilities, Grants};
use apflow_wasm::manifest::Manifest;

use super::super::errors::Failure;
use super::super::options::environment;
use super::super::target::TargetArgs;

/// Where packages go.
#[derive(Debug)]
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// The plugins folder.
    pub folder: PluginsFolder,
    /// How sources are reached.
    pub access: Access,
}

/// A package that has passed every check.
#[derive(Debug)]
pub struct Checked {
    /// The package.
    pub package: Package,
    /// What it asks for.
    pub requested: Capabilities,
    /// The key that signed it.
    pub signer: Option<String>,
    /// What it says of itself.
    pub info: PluginInfo,
}

/// Whose word on a package's origin counts.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TrustArgs {
    /// Public key that must have signed it, in place of those of packages.keys: the text, or a .pub file
    #[arg(long, value_name = "KEY", conflicts_with = "allow_unsigned")]
    pub key: Option<String>,
    /// Take it without a signature even if packages.require_signature is set
    #[arg(long)]
    pub allow_unsigned: bool,
}

/// The folders that plugins are loaded from.
pub fn folders(target: &TargetArgs) -> Result<Vec<PluginsFolder>, Failure> {
    let config = target.load()?.config;
    Ok(config.sandbox.folders_or_default(Path::new("")).into_iter().map(PluginsFolder::new).collect())
}

impl Site {
    /// The folder that `--dir` names, else the strongest of those that plugins are loaded from.
    pub fn open(target: &TargetArgs, dir: Option<&Path>) -> Result<Self, Failure> {
        let folder = match dir {
            Some(dir) => PluginsFolder::new(dir),
            None => folders(target)?.pop().ok_or_else(|| {
                let message = "There is no plugins folder: name one with --dir, or set sandbox.folders";
                Failure::usage("invalid_params", message)
            })?,
        };
        Self::of(target, folder)
    }

    /// That of a folder.
    pub fn of(target: &TargetArgs, folder: PluginsFolder) -> Result<Self, Failure> {
        let config = target.load()?.config;
        Ok(Self { access: access(&config), config, folder })
    }

    /// Checks signature, manifest and component; loads it by itself as a host would.
    pub async fn check(&self, package: Package, trust: &TrustArgs) -> Result<Checked, Failure> {
        let signer = self.signer(&package, trust)?;
        let what = package.title();
        let manifest = Manifest::parse(&package.manifest).map_err(|error| {
            Failure::from(PackageError::Malformed { what: what.clone(), problem: error.to_string() })
        })?;
        let info = self.load(&package).await?;
        Ok(Checked { requested: manifest.requests, package, signer, info })
    }

    fn signer(&self, package: &Package, trust: &TrustArgs) -> Result<Option<String>, Failure> {
        // A key that is named must be the one; else any that the configuration trusts may be.
        let demanded = trust.key.is_some();
        let keys: Vec<&String> = match &trust.key {
            Some(key) => vec![key],
            None => self.config.packages.keys.iter().collect(),
        };
        let keys = keys.into_iter().map(|key| TrustedKey::parse(key)).collect::<Result<Vec<_>, _>>()?;
        let required = demanded || (self.config.packages.require_signature && !trust.allow_unsigned);
        match verify(package, &keys) {
            Ok(None) if required => Err(PackageError::Unsigned { what: package.title() }.into()),
            // Nobody's word is asked for, so that of a stranger is as good as none.
            Err(PackageError::UnknownKey { .. }) if !required && keys.is_empty() => Ok(None),
            other => Ok(other?),
        }
    }

    async fn load(&self, package: &Package) -> Result<PluginInfo, Failure> {
        let scratch = tempfile::tempdir()
            .map_err(|error| Failure::missing("file_error", format!("No temporary folder: {error}")))?;
        let staged = PluginsFolder::new(scratch.path());
        staged.install(package, self.entry(package, "", None, &Capabilities::default()))?;
        Ok(apflow_host::inspect_plugin(&self.config, &scratch.path().join(&package.name)).await?)
    }

    /// What the lock says of a package.
    pub fn entry(
        &self,
        package: &Package,
        source: &str,
        signer: Option<String>,
        approved: &Capabilities,
    ) -> Locked {
        Locked {
            name: package.name.clone(),
            version: package.version.clone(),
            source: source.to_owned(),
            component_sha256: package.component_sha256(),
            manifest_sha256: package.manifest_sha256(),
            signer,
            installed_at: SystemClock.now().to_string(),
            approved: toml::Table::try_from(approved).unwrap_or_default(),
        }
    }

    /// Adds to what a plugin is allowed, in the grants file: the plugin may not be loaded anywhere yet.
    pub fn allow(&self, plugin: &str, what: &Capabilities) -> Result<PathBuf, Failure> {
        let file = self.config.sandbox.grants_file_or_default(&self.config.database).ok_or_else(|| {
            let message =
                "There is no place for grants: set sandbox.grants_file, or write them into apflow.toml";
            Failure::usage("invalid_params", message)
        })?;
        let what = serde_json::to_value(what).unwrap_or_default();
        apflow_wasm::grants::grant_in_file(&file, plugin, &self.config.plugins, &what)?;
        Ok(file)
    }
}

/// What `requested` has beyond `approved`.
pub fn beyond(plugin: &str, requested: &Capabilities, approved: &toml::Table) -> Capabilities {
    // What cannot be read any more was approved for another kind of host: then nothing was.
    let approved: Capabilities = approved.clone().try_into().unwrap_or_default();
    Grants::new(plugin, requested.clone(), approved).unmet()
}

/// How sources are reached.
pub fn access(config: &Config) -> Access {
    let variables = environment();
    let of = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let login = of("APFLOW_REGISTRY_USER").zip(of("APFLOW_REGISTRY_PASSWORD"));
    Access {
        limits: Limits {
            max_bytes: config.packages.max_bytes,
            timeout: Duration::from_secs(config.packages.timeout_seconds),
        },
        plain_http: config.packages.plain_http.clone(),
        registry_login: login,
    }
}
