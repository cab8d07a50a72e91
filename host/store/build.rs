//! Rebuilds the crate when a migration is added: `sqlx::migrate!` sees only the files that were there when it last ran.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
