//! The migrations of `migrations/sqlite`, compiled in. Listed by hand: the macro that reads the folder would build a second
//! SQLite for itself.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Name and text of each file, the first being version 1.
const FILES: [(&str, &str); 3] = [
    ("init", include_str!("../../../../migrations/sqlite/0001_init.sql")),
    ("origins", include_str!("../../../../migrations/sqlite/0002_origins.sql")),
    ("receipts", include_str!("../../../../migrations/sqlite/0003_receipts.sql")),
];

/// All of them, in order.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let numbered = (1..).zip(FILES);
    Migrator::with_migrations(
        numbered
            .map(|(version, (name, text))| {
                Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
            })
            .collect(),
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let listed: Vec<String> =
            (1..).zip(FILES).map(|(version, (name, _))| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(found, listed);
    }
}
