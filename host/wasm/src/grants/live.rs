//! Grants that change while calls run: every check reads the present ones, so that what is revoked is refused from then on.

use std::sync::{Arc, PoisonError, RwLock};

use super::Grants;

/// The present grants of a loaded plugin. Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct LiveGrants(Arc<RwLock<Arc<Grants>>>);

impl LiveGrants {
    /// Begins with these.
    pub fn new(grants: Grants) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(grants))))
    }

    /// The present ones. Hold them for one decision, not for longer.
    pub fn get(&self) -> Arc<Grants> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what the operator allows.
    pub fn allow(&self, allowed: super::Capabilities) {
        let mut present = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *present = Arc::new(Grants::new(present.plugin(), present.requested().clone(), allowed));
    }
}

impl Grants {
    /// Whether an instance that was set up under `self` holds a folder or a variable that `present` does not grant.
    pub(crate) fn exceeds(&self, present: &Self) -> bool {
        let (folders, names) = (present.folders(), present.granted_env());
        let covered = |mine: &super::Folder| {
            folders
                .iter()
                .any(|other| other.guest == mine.guest && other.host == mine.host && other.mode >= mine.mode)
        };
        !self.folders().iter().all(covered) || self.granted_env().iter().any(|name| !names.contains(name))
    }

    /// Whether an instance that was set up under `self` is as one that begins under `present`.
    pub(crate) fn sets_up_like(&self, present: &Self) -> bool {
        self.folders() == present.folders() && self.granted_env() == present.granted_env()
    }

    fn granted_env(&self) -> Vec<String> {
        // The names alone: what counts is whether they are granted, not what they are set to.
        self.env(|_| Some(String::new())).into_iter().map(|(name, _)| name).collect()
    }
}
