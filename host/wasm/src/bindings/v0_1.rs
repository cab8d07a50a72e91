//! x
pub(crate) mod offered {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        inline: "
            package apflow:host;
            world offered {
                include apflow:plugin/base@0.1.0;
                import apflow:plugin/http@0.1.0;
                import apflow:plugin/process@0.1.0;
                import apflow:plugin/system@0.1.0;
            }
        ",
        world: "apflow:host/offered",
        imports: {
            "apflow:plugin/log": trappable,
            "apflow:plugin/progress": trappable,
            default: async | trappable,
        },
    });
}

pub(crate) mod executor {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "executor-plugin",
        exports: { default: async },
        with: {
            "apflow:plugin/types": super::offered::apflow::plugin::types,
            "apflow:plugin/log": super::offered::apflow::plugin::log,
            "apflow:plugin/progress": super::offered::apflow::plugin::progress,
        },
    });
}
