//! The migrations of `migrations/sqlite`, compiled in. Listed by hand: the macro that reads the folder would build a second
//! SQLite for itself.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and text of each file.
const FILES: [(i64, &str, &str); 2] = [
    (1, "init", include_str!("../../../../migrations/sqlite/0001_init.sql")),
    (4, "schedules", include_str!("../../../../migrations/sqlite/0004_schedules.sql")),
];

/// All of them, in order.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    Migrator::with_migrations(
        FILES
            .into_iter()
            .map(|(version, name, text)| {
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
            FILES.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(found, listed);
    }
}
