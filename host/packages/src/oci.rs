//! Packages in OCI registries. An artifact of the type below has one layer for each file of the package, named by the usual
//! annotation, so that general tools can pull it, too.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

use crate::archive::text;
use crate::error::{PackageError, Result};
use crate::package::{MANIFEST, Package, SIGNATURE, SMALL};
use crate::source::Access;

const ARTIFACT: &str = "application/vnd.apflow.plugin.v1";
const COMPONENT_LAYER: &str = "application/wasm";
const MANIFEST_LAYER: &str = "application/vnd.apflow.plugin.manifest.v1+toml";
const SIGNATURE_LAYER: &str = "application/vnd.apflow.plugin.signature.v1";
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";

/// Pulls a package. Every part is compared with the digest that the registry's manifest names, and that with the reference's.
pub(crate) async fn pull(reference: &Reference, access: &Access) -> Result<Package> {
    let what = reference.whole();
    let client = client(access)?;
    let manifest = manifest(&client, reference, access).await?;
    let layer = |kind: &str| manifest.layers.iter().find(|layer| layer.media_type == kind);
    let missing = |kind: &str| PackageError::Malformed {
        what: what.clone(),
        problem: format!("it has no layer of the type {kind}; `apflow plugin push` makes such artifacts"),
    };
    let about = layer(MANIFEST_LAYER).ok_or_else(|| missing(MANIFEST_LAYER))?;
    let component = layer(COMPONENT_LAYER).ok_or_else(|| missing(COMPONENT_LAYER))?;
    let about = text(&what, MANIFEST, blob(&client, reference, about, SMALL).await?)?;
    let signature = match layer(SIGNATURE_LAYER) {
        Some(layer) => Some(text(&what, SIGNATURE, blob(&client, reference, layer, SMALL).await?)?),
        None => None,
    };
    let component = blob(&client, reference, component, access.limits.max_bytes).await?;
    Package::new(&what, component, about, signature)
}

/// The SHA-256 of the component and of the manifest that a reference leads to now, without pulling them.
pub(crate) async fn digests(reference: &Reference, access: &Access) -> Result<(String, String)> {
    let manifest = manifest(&client(access)?, reference, access).await?;
    let digest = |kind: &str| {
        let layer = manifest.layers.iter().find(|layer| layer.media_type == kind);
        layer.map(|layer| layer.digest.trim_start_matches("sha256:").to_owned()).unwrap_or_default()
    };
    Ok((digest(COMPONENT_LAYER), digest(MANIFEST_LAYER)))
}

/// All tags of a repository.
pub(crate) async fn tags(reference: &Reference, access: &Access) -> Result<Vec<String>> {
    let client = client(access)?;
    client
        .auth(reference, &auth(access), RegistryOperation::Pull)
        .await
        .map_err(|e| failed(reference, &e))?;
    let (auth, mut all, mut last) = (auth(access), Vec::new(), None);
    loop {
        let page = client.list_tags(reference, &auth, Some(1000), last.as_deref()).await;
        let page = page.map_err(|error| failed(reference, &error))?.tags;
        let full = page.len() >= 1000 && all.len() < 10_000;
        last = page.last().cloned();
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

/// Sends a package; gives the digest of the artifact.
pub(crate) async fn push(reference: &Reference, package: &Package, access: &Access) -> Result<String> {
    let client = client(access)?;
    let titled = |name: &str| Some(BTreeMap::from([(TITLE.to_owned(), name.to_owned())]));
    let mut layers = vec![
        ImageLayer::new(package.component.clone(), COMPONENT_LAYER.into(), titled(&package.component_name())),
        ImageLayer::new(package.manifest.clone().into_bytes(), MANIFEST_LAYER.into(), titled(MANIFEST)),
    ];
    if let Some(signature) = &package.signature {
        layers.push(ImageLayer::new(signature.clone(), SIGNATURE_LAYER.into(), titled(SIGNATURE)));
    }
    let config = Config::new(&b"{}"[..], EMPTY_CONFIG.into(), None);
    let annotations = BTreeMap::from([
        (TITLE.to_owned(), package.name.clone()),
        ("org.opencontainers.image.version".to_owned(), package.version.clone()),
    ]);
    let mut manifest = OciImageManifest::build(&layers, &config, Some(annotations));
    manifest.artifact_type = Some(ARTIFACT.into());
    client
        .auth(reference, &auth(access), RegistryOperation::Push)
        .await
        .map_err(|e| failed(reference, &e))?;
    let sent = client.push(reference, &layers, config, &auth(access), Some(manifest)).await;
    let sent = sent.map_err(|error| failed(reference, &error))?;
    Ok(sent.manifest_url.rsplit('/').next().unwrap_or_default().to_owned())
}

async fn manifest(client: &Client, reference: &Reference, access: &Access) -> Result<OciImageManifest> {
    let pulled = client.pull_image_manifest(reference, &auth(access)).await;
    pulled.map(|(manifest, _)| manifest).map_err(|error| failed(reference, &error))
}

async fn blob(client: &Client, reference: &Reference, layer: &OciDescriptor, limit: u64) -> Result<Vec<u8>> {
    let source_name = reference.whole();
    let too_large = || PackageError::TooLarge { source_name: source_name.clone(), limit };
    if u64::try_from(layer.size).unwrap_or(u64::MAX) > limit {
        return Err(too_large());
    }
    let stream =
        client.pull_blob_stream(reference, layer).await.map_err(|error| failed(reference, &error))?;
    let mut stream = stream.stream;
    let mut bytes = Vec::new();
    // The stream ends with an error where the digest is not the layer's.
    while let Some(part) = stream.try_next().await.map_err(|error| broken(reference, &error))? {
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
    }
    crate::package::expect_sha256(&format!("a part of {source_name}"), &bytes, &layer.digest)?;
    Ok(bytes)
}

fn client(access: &Access) -> Result<Client> {
    crate::source::use_tls();
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(access.plain_http.clone()),
        connect_timeout: Some(access.limits.timeout),
        read_timeout: Some(access.limits.timeout),
        user_agent: crate::source::USER_AGENT,
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| PackageError::Unreachable {
        source_name: "the registry".into(),
        problem: error.to_string(),
    })
}

fn auth(access: &Access) -> RegistryAuth {
    match &access.registry_login {
        Some((user, password)) => RegistryAuth::Basic(user.clone(), password.clone()),
        None => RegistryAuth::Anonymous,
    }
}

fn failed(reference: &Reference, error: &OciDistributionError) -> PackageError {
    let source_name = reference.whole();
    match error {
        OciDistributionError::DigestError(error) => PackageError::CutOff {
            source_name,
            problem: format!("its bytes are not those of its digest ({error})"),
        },
        other => PackageError::Unreachable { source_name, problem: with_causes(other) },
    }
}

fn broken(reference: &Reference, error: &std::io::Error) -> PackageError {
    PackageError::CutOff { source_name: reference.whole(), problem: with_causes(error) }
}

/// An error with everything that caused it, which is where the reason usually is.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
