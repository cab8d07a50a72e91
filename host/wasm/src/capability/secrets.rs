//! `secrets`: references to values that a guest never sees. The placeholder is filled in where requests leave (`http`).

use wasmtime::Result;

use crate::bindings::convert::say;
use crate::bindings::v0_1::secrets::Host;
use crate::bindings::v0_1::types::Issue;
use crate::secrets;
use crate::state::GuestState;

impl Host for GuestState {
    async fn placeholder(&mut self, name: String) -> Result<std::result::Result<String, Issue>> {
        self.enter()?;
        let grants = self.identity.grants.get();
        Ok(match grants.secret(&name) {
            Ok(()) => Ok(secrets::placeholder(&self.identity.name, &name)),
            Err(denied) => Err(say(denied.code(), denied.to_string())),
        })
    }
}
