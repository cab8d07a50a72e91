//! `dogstatsd_collector`: counts and durations of finished attempts and trees as DogStatsD datagrams. What a batch becomes is
//! in `datagrams`.

use std::time::Duration;

use apflow_sdk::net::Peer;
use apflow_sdk::prelude::*;

mod datagrams;
mod settings;

use datagrams::Datagrams;
use settings::Settings;

/// How far the event log is sent.
#[derive(Default)]
struct DogStatsdCollector {
    /// Highest sequence number that was sent; the log's numbers begin at 1.
    sent: u64,
    datagrams: Datagrams,
}

impl Collector for DogStatsdCollector {
    /// Batches come in order and at least once, so a number at or below the highest one was sent before.
    fn collect(&mut self, batch: &[Measurement]) -> Result<(), Failure> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        let new = || batch.iter().filter(|measured| measured.sequence > self.sent);
        let Some(last) = new().map(|measured| measured.sequence).max() else { return Ok(()) };
        let fresh: Vec<&Measurement> = new().collect();
        let datagrams = self.datagrams.of(fresh, &settings);
        let peer = Peer::new(&settings.host, settings.port).datagrams().timeout(Duration::from_secs(5));
        let mut agent = peer.connect()?;
        datagrams.iter().try_for_each(|datagram| agent.send(datagram))?;
        self.sent = last;
        Ok(())
    }
}

apflow_sdk::export_collector!(DogStatsdCollector);
