//! A random walk: hundreds of operations, drawn from a seed, are done to the store under test and to the store in
//! memory, which must agree after every step on the answer, the tasks, the queues and the log. At the end everything is
//! brought to rest, and the whole log is checked by [`crate::history`]. A failure names seed, step and the last
//! operations; the same seed walks the same way again.

mod draw;
mod pair;
mod seen;

use std::sync::Arc;

use apflow_core::store::Store;

use draw::Draw;
use pair::Pair;

/// Operations of one walk.
const STEPS: usize = 300;

/// What is shown of the way to a failure.
const SHOWN: usize = 12;

async fn walk(store: Arc<dyn Store>, seed: u64) {
    let mut draw = Draw::new(seed);
    let mut pair = Pair::new(store).await;
    let mut way: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let op = draw.op(&pair);
        if pair.is_ambiguous(&op).await {
            continue;
        }
        way.push(format!("{step}: {op:?}"));
        let agreed = pair.step(&op).await;
        if let Err(difference) = agreed {
            let shown = way[way.len().saturating_sub(SHOWN)..].join("\n  ");
            panic!("seed {seed}, step {step}: {difference}\nthe last operations:\n  {shown}");
        }
    }
    if let Err(difference) = pair.rest().await {
        panic!("seed {seed}, coming to rest: {difference}");
    }
    pair.check_history().await.unwrap_or_else(|broken| panic!("seed {seed}: {}", broken.join("\n")));
}

/// A walk.
pub async fn seed_1(store: Arc<dyn Store>) {
    walk(store, 1).await;
}

/// Another walk.
pub async fn seed_2(store: Arc<dyn Store>) {
    walk(store, 2).await;
}

/// Another walk.
pub async fn seed_3(store: Arc<dyn Store>) {
    walk(store, 3).await;
}

/// Another walk.
pub async fn seed_4(store: Arc<dyn Store>) {
    walk(store, 4).await;
}

/// Another walk.
pub async fn seed_5(store: Arc<dyn Store>) {
    walk(store, 5).await;
}

/// Another walk.
pub async fn seed_6(store: Arc<dyn Store>) {
    walk(store, 6).await;
}
