//! One component with all the executors that tests need and nobody else wants: `hostile` ones break a limit or a rule,
//! `denied` ones ask for what they were not granted, `small` ones are the building blocks of test trees.
//! One component, because every component is compiled anew in every test process without a cache.

mod denied;
mod hostile;
mod small;

use denied::{AskDeniedHost, ReadEnv, ReadFile, SpawnDenied};
use hostile::{EatMemory, HugeOutput, LogFlood, LoopForever, SleepHost, Trap};
use small::{Echo, FailRetryable, ReturnsNull, Slow, UrlConsumer, UrlProducer};

apflow_sdk::export_executors!(
    AskDeniedHost,
    EatMemory,
    Echo,
    FailRetryable,
    HugeOutput,
    LogFlood,
    LoopForever,
    ReadEnv,
    ReadFile,
    ReturnsNull,
    SleepHost,
    Slow,
    SpawnDenied,
    Trap,
    UrlConsumer,
    UrlProducer,
);
