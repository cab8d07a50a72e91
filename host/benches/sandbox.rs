//! One call of a component, ours beside wasmtime's bare cost for the same component with the same limits: in a fresh
//! instance (store, instantiation, first call, drop), and in one that has served before. Then the same call of an executor
//! in each language of the SDKs, which reads its inputs, reports progress, logs a line and gives a small object.
//! `cargo bench --bench sandbox`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_host::plugin::{Executor, Invocation, Plugins as _, RunContext};
use apflow_host::{Json, clock::SystemClock};
use apflow_wasm::grants::{Isolation, PluginPolicy};
use apflow_wasm::{WasmOptions, WasmPlugins};
use criterion::{Criterion, criterion_group, criterion_main};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit/v0.1", world: "executor-plugin", exports: { default: async } });
}

struct NoProgress;

impl RunContext for NoProgress {
    fn report(&self, _: f64, _: Option<String>, _: Option<Json>) {}
}

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn dist() -> PathBuf {
    plugins("dist")
}

fn plugins(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name);
    assert!(folder.is_dir(), "no plugins: run `cargo xtask plugins`");
    folder
}

/// wasmtime as it comes: pooling, epochs, a WASI context, nothing counted and nothing checked.
struct Bare {
    engine: Engine,
    pre: bindings::ExecutorPluginPre<Guest>,
}

impl Bare {
    fn new() -> Self {
        let mut pool = PoolingAllocationConfig::default();
        pool.max_memory_size(256 << 20);
        let mut config = Config::new();
        config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("a sandbox");
        let file = dist().join("noop_executor/noop_executor.wasm");
        let component = Component::from_file(&engine, file).expect("the component");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
        linker.define_unknown_imports_as_traps(&component).expect("the rest");
        let pre = linker.instantiate_pre(&component).expect("all imports");
        Self { engine, pre: bindings::ExecutorPluginPre::new(pre).expect("an executor") }
    }

    async fn call(&self) {
        self.ask(&mut self.instance().await).await;
    }

    async fn instance(&self) -> (Store<Guest>, bindings::ExecutorPlugin) {
        let guest = Guest { wasi: WasiCtxBuilder::new().build(), table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, guest);
        store.set_epoch_deadline(1_000_000);
        let instance = self.pre.instantiate_async(&mut store).await.expect("an instance");
        (store, instance)
    }

    async fn ask(&self, (store, instance): &mut (Store<Guest>, bindings::ExecutorPlugin)) {
        let call = bindings::exports::apflow::plugin::executor::Invocation {
            executor: "noop_executor".into(),
            task_id: "task".into(),
            tree_id: "tree".into(),
            attempt: 1,
            idempotency_key: "task:1".into(),
            timeout_ms: None,
            inputs: "{}".into(),
            params: "{}".into(),
            trace_parent: None,
            extra: "{}".into(),
        };
        let answer = instance.apflow_plugin_executor().call_execute(store, &call).await;
        assert!(answer.expect("no trap").is_ok());
    }
}

fn invocation() -> Invocation {
    Invocation {
        executor: "noop_executor".into(),
        task_id: "task".into(),
        tree_id: "tree".into(),
        attempt: 1,
        idempotency_key: "task:1".into(),
        timeout: None,
        inputs: Json::object(),
        params: Json::object(),
        trace_parent: None,
    }
}

/// Executors of plugins of the same names.
async fn ours<const N: usize>(
    folder: PathBuf,
    names: [&str; N],
    isolation: Isolation,
) -> [Arc<dyn Executor>; N] {
    let policy = |name: &str| {
        let policy = PluginPolicy { isolation: Some(isolation), ..PluginPolicy::default() };
        (name.to_owned(), policy)
    };
    let options = WasmOptions {
        folders: vec![folder],
        policies: names.into_iter().map(policy).collect(),
        watch: false,
        clock: Arc::new(SystemClock),
        ..WasmOptions::default()
    };
    let plugins = WasmPlugins::open(options).await.expect("plugins");
    names.map(|name| Arc::clone(&plugins.catalog().executors[name]))
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let bare = Bare::new();
    let progress: Arc<dyn RunContext> = Arc::new(NoProgress);
    for (name, isolation) in [("fresh instance and call", Isolation::Call), ("call", Isolation::Shared)] {
        let mut group = criterion.benchmark_group(name);
        group.measurement_time(Duration::from_secs(5));
        match isolation {
            Isolation::Call => {
                group.bench_function("bare wasmtime", |bencher| {
                    bencher.to_async(&runtime).iter(|| bare.call());
                });
            }
            _ => {
                let one = tokio::sync::Mutex::new(runtime.block_on(bare.instance()));
                group.bench_function("bare wasmtime", |bencher| {
                    bencher.to_async(&runtime).iter(|| async { bare.ask(&mut *one.lock().await).await });
                });
            }
        }
        let [executor] = runtime.block_on(ours(dist(), ["noop_executor"], isolation));
        group.bench_function("apflow", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let outcome = executor.execute(invocation(), Arc::clone(&progress)).await;
                assert!(outcome.result.is_ok());
            });
        });
        group.finish();
    }
}

fn languages(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let progress: Arc<dyn RunContext> = Arc::new(NoProgress);
    for (group, isolation) in
        [("languages, fresh instance", Isolation::Call), ("languages, call", Isolation::Shared)]
    {
        let mut group = criterion.benchmark_group(group);
        group.measurement_time(Duration::from_secs(5));
        let names = ["surface_rust", "surface_c", "surface_javascript", "surface_python"];
        let executors = runtime.block_on(ours(plugins("dist-test"), names, isolation));
        for (name, executor) in names.into_iter().zip(executors) {
            group.bench_function(name, |bencher| {
                bencher.to_async(&runtime).iter(|| async {
                    let inputs = Json::parse(r#"{"do": "context"}"#).expect("JSON");
                    let call = Invocation { executor: name.into(), inputs, ..invocation() };
                    let outcome = executor.execute(call, Arc::clone(&progress)).await;
                    assert!(outcome.result.is_ok());
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, calls, languages);
criterion_main!(benches);
