//! The long trials in short: `cargo xtask campaign` and `cargo xtask soak` run them at length.

use apflow_tests::trial::campaign::Campaign;
use apflow_tests::trial::database::Kind;
use apflow_tests::trial::misfortune::Misfortune;
use apflow_tests::trial::soak::Soak;

use crate::harness::{binary, hostile, shipped};

/// What a host may grow by while it runs tasks that leave nothing behind, in KiB.
const GROWTH: u64 = 100 * 1024;

async fn campaign(kind: Kind, cycles: u32, seed: u64) {
    let campaign = Campaign { cycles, seed, kind, apflow: binary(), plugins: vec![shipped(), hostile()] };
    let report = campaign.run(|line| println!("{line}")).await.unwrap_or_else(|error| panic!("{error:#}"));
    let killed = |(misfortune, _): &(&Misfortune, &u32)| **misfortune != Misfortune::Stopped;
    let befell: u32 = report.misfortunes.iter().filter(killed).map(|(_, times)| times).sum();
    assert!(befell > cycles / 2 && report.summary.executions > 0, "{report:?}");
    assert!(!report.record.told.trees.is_empty() && !report.record.told.keys.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_campaign_of_crashes_loses_nothing() {
    campaign(Kind::Sqlite, 12, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_campaign_on_postgres_with_two_hosts_loses_nothing() {
    campaign(Kind::Postgres, 10, 10).await;
}

async fn soak(kind: Kind, tasks: u64) {
    let soak = Soak { tasks, every: tasks / 4, kind, apflow: binary(), plugins: vec![shipped()] };
    // That everything has completed and the queues are empty is checked by the soak itself.
    let measured = soak.run(|one| println!("{one}")).await.unwrap_or_else(|error| panic!("{error:#}"));
    let (first, last) = (&measured[0], &measured[3]);
    assert_eq!(last.tasks, tasks);
    assert!(last.resident_kib < first.resident_kib + GROWTH, "the host grows: {measured:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_leaves_nothing_behind() {
    soak(Kind::Sqlite, 8_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_on_postgres_leaves_nothing_behind() {
    soak(Kind::Postgres, 6_000).await;
}
