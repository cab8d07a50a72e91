//! What hooks cost a run, as the engine asks them before it: with no hook loaded, with one that does not listen there, and with one
//! that does (the shipped `default_policies_hook`, warm). `cargo bench --bench hooks`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use apflow_core::clock::{Clock as _, SystemClock};
use apflow_core::id::{TaskId, TreeId};
use apflow_core::json::Json;
use apflow_core::plugin::{Catalog, Decision, HookEvent, HookPoint, Plugins as _};
use apflow_wasm::{WasmOptions, WasmPlugins};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

const EXECUTOR: Option<&str> = Some("noop_executor");

fn event(point: HookPoint) -> HookEvent {
    HookEvent {
        point,
        at: SystemClock.now(),
        tree_id: TreeId::from("tree"),
        task_id: Some(TaskId::from("task")),
        executor: EXECUTOR.map(str::to_owned),
        attempt: 1,
        inputs: Some(Json::object()),
        outcome: None,
        subject: Json::from(json!({
            "name": "task", "user_id": null, "priority": 2, "params": {}, "metadata": null,
        })),
        extra: Json::object(),
    }
}

/// Asks whoever listens, and makes an event only for them.
async fn ask(catalog: &Catalog, point: HookPoint) {
    if !catalog.listens(black_box(point), black_box(EXECUTOR)) {
        return;
    }
    let event = event(point);
    for hook in catalog.interested(point, EXECUTOR) {
        assert_eq!(hook.on_event(event.clone()).await, Ok(Decision::Proceed));
    }
}

async fn loaded() -> Arc<Catalog> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist");
    let folder = tempfile::tempdir().expect("a folder");
    let name = "default_policies_hook";
    let plugin = dist.join(name).canonicalize().expect("the hook: run `cargo xtask plugins`");
    std::os::unix::fs::symlink(plugin, folder.path().join(name)).expect("a link");
    let options = WasmOptions { folders: vec![folder.path().into()], ..WasmOptions::default() };
    WasmPlugins::open(options).await.expect("plugins").catalog()
}

fn before_run(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (none, one) = (Catalog::default(), runtime.block_on(loaded()));
    assert_eq!(one.hooks.len(), 1);
    let mut group = criterion.benchmark_group("hooks");
    for (name, catalog, point) in [
        ("none", &none, HookPoint::BeforeRun),
        ("one, not subscribed", &*one, HookPoint::TaskReady),
        ("one, subscribed", &*one, HookPoint::BeforeRun),
    ] {
        group.bench_function(name, |bencher| bencher.to_async(&runtime).iter(|| ask(catalog, point)));
    }
    group.finish();
}

criterion_group!(benches, before_run);
criterion_main!(benches);
