//! What the executor promises, tested on the developer's machine: no host and no WebAssembly take part.

use apflow_sdk::testing::call;

use super::*;

#[test]
fn greets_by_name() {
    assert_eq!(call::<Hello>(json!({"name": "world"})).unwrap(), "Hello, world!");
}

#[test]
fn wants_a_name() {
    let failure = call::<Hello>(json!({"name": 3})).unwrap_err();
    assert_eq!(failure.issue().unwrap().pointer.as_deref(), Some("/name"));
}
