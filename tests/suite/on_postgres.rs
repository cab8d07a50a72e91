//! The black-box cases once more, on PostgreSQL: this program runs itself with the other database.

use std::process::Command;

#[test]
fn the_same_cases_pass_on_postgres() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .arg("black_box")
        .env("APFLOW_TEST_DATABASE", "postgres")
        // Set by runners of tests for each test of theirs.
        .env_remove("NEXTEST_EXECUTION_MODE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("running 0 tests"), "{text}");
}
