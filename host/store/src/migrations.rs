//! The migrations of `migrations/`, compiled in. Listed by hand: the macro that reads a folder would build a second SQLite
//! for itself.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and text of each file.
pub(crate) type Files = &'static [(i64, &'static str, &'static str)];

/// All of them, in order.
pub(crate) fn migrator(files: Files) -> Migrator {
    Migrator::with_migrations(
        files
            .iter()
            .map(|(version, name, text)| {
                Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
            })
            .collect(),
    )
}

/// The version that the last of them leads to.
pub(crate) fn latest(files: Files) -> i64 {
    files.last().map_or(0, |(version, _, _)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folders_is_listed() {
        for (name, files) in
            [("sqlite", crate::sqlite::MIGRATIONS), ("postgres", crate::postgres::MIGRATIONS)]
        {
            let folder = format!("{}/../../migrations/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            let listed: Vec<String> =
                files.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
            assert_eq!(found, listed);
            assert_eq!(migrator(files).iter().map(|one| one.version).max(), Some(latest(files)));
        }
    }
}
