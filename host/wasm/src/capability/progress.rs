//! `progress`: how far a run has come, passed to the engine. Reports never fail a call: what cannot be passed on as it is
//! is mended or left out.

use apflow_core::json::Json;
use wasmtime::Result;

use crate::bindings::convert::cut;
use crate::bindings::v0_1::progress::Host;
use crate::state::GuestState;

/// Bytes of a report's sentence that are kept.
const MESSAGE: usize = 1024;

impl Host for GuestState {
    fn report(&mut self, fraction: f64, message: Option<String>, partial: Option<String>) -> Result<()> {
        self.enter()?;
        let Some(run) = &self.call.run else { return Ok(()) };
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let fits = |text: &String| text.len() as u64 <= self.identity.limits.output_bytes;
        let partial = partial.filter(fits).and_then(|text| Json::parse(text).ok());
        run.report(fraction, message.map(|text| cut(text, MESSAGE)), partial);
        Ok(())
    }
}
