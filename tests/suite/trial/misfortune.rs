//! What befalls hosts and databases: one thing a cycle, at a moment that the seed chooses.

use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::database::Database;
use super::host::Post;

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfortune {
    /// kill -9 at any moment.
    Killed,
    /// kill -9 right after an answer.
    KilledAfterAnswer,
    /// kill -9 right after a turn was committed, when the next one is under way.
    KilledInTurn,
    /// kill -9 while the host starts and takes back what its last life left, several times.
    KilledAtStart,
    /// kill -9 in the middle of a graceful stop.
    KilledWhileStopping,
    /// A graceful stop.
    Stopped,
    /// kill -9 of every host.
    AllKilled,
    /// The database server is stopped in good order and comes back.
    DatabaseStopped,
    /// The database server crashes and comes back.
    DatabaseCrashed,
    /// All connections to the database are ended.
    ConnectionsCut,
}

impl Misfortune {
    const ANYWHERE: [Self; 7] = [
        Self::Killed,
        Self::KilledAfterAnswer,
        Self::KilledInTurn,
        Self::KilledAtStart,
        Self::KilledWhileStopping,
        Self::Stopped,
        Self::AllKilled,
    ];
    const OF_SERVERS: [Self; 3] = [Self::DatabaseStopped, Self::DatabaseCrashed, Self::ConnectionsCut];

    /// One that can befall this database. Each comes as often as every other.
    pub fn draw(random: &mut Rng, database: &Database) -> Self {
        let servers: &[Self] = if database.is_server() { &Self::OF_SERVERS } else { &[] };
        let all: Vec<Self> = Self::ANYWHERE.iter().chain(servers).copied().collect();
        all[random.usize(0..all.len())]
    }
}

/// What can be awaited to find a moment.
#[derive(Debug)]
pub struct Moments {
    /// Changes with every answer to a caller.
    pub answers: watch::Receiver<u64>,
    /// Changes with every event that a reader has seen.
    pub events: watch::Receiver<u64>,
}

/// Lets it befall. Afterwards the database is there; hosts may be down.
///
/// # Errors
/// If a host or the database does not do what it must.
pub async fn befall(
    misfortune: Misfortune,
    posts: &mut [Post],
    database: &Database,
    moments: &mut Moments,
    random: &mut Rng,
) -> Result<()> {
    sleep(Duration::from_millis(random.u64(0..600))).await;
    let some = random.usize(0..posts.len());
    let post = &mut posts[some];
    match misfortune {
        Misfortune::Killed => post.kill().await,
        Misfortune::KilledAfterAnswer => {
            next(&mut moments.answers, "answer").await?;
            post.kill().await
        }
        Misfortune::KilledInTurn => {
            next(&mut moments.events, "event").await?;
            sleep(Duration::from_micros(random.u64(0..4_000))).await;
            post.kill().await
        }
        Misfortune::KilledAtStart => {
            post.kill().await?;
            for _ in 0..random.u8(1..4) {
                post.start_and_kill(Duration::from_millis(random.u64(5..700))).await?;
            }
            Ok(())
        }
        Misfortune::KilledWhileStopping => {
            post.ask_to_stop()?;
            sleep(Duration::from_micros(random.u64(0..60_000))).await;
            post.kill_whatever().await
        }
        Misfortune::Stopped => post.stop().await,
        Misfortune::AllKilled => {
            for post in posts {
                post.kill().await?;
            }
            Ok(())
        }
        Misfortune::DatabaseStopped | Misfortune::DatabaseCrashed => {
            database.stop(misfortune == Misfortune::DatabaseStopped);
            sleep(Duration::from_millis(random.u64(0..2_500))).await;
            database.restart();
            Ok(())
        }
        Misfortune::ConnectionsCut => {
            for _ in 0..random.u8(1..4) {
                database.cut_connections();
            }
            Ok(())
        }
    }
}

async fn next(moments: &mut watch::Receiver<u64>, what: &str) -> Result<()> {
    moments.borrow_and_update();
    match timeout(PATIENCE, moments.changed()).await {
        Ok(changed) => Ok(changed?),
        Err(_) => bail!("no {what} came for {} s", PATIENCE.as_secs()),
    }
}
