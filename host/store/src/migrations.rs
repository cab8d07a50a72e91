//! The migrations of `migrations/`, compiled in. Listed by hand: the macro that reads a folder would build a second SQLite
//! for itself.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Name and text of each file, the first being version 1.
pub(crate) type Files = &'static [(&'static str, &'static str)];

/// All of them, in order.
pub(crate) fn migrator(files: Files) -> Migrator {
    let numbered = (1..).zip(files);
    Migrator::with_migrations(
        numbered
            .map(|(version, (name, text))| {
                Migration::new(version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
            })
            .collect(),
    )
}

/// The version that the last of them leads to.
pub(crate) fn latest(files: Files) -> i64 {
    files.len() as i64
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
                (1..).zip(files).map(|(version, (name, _))| format!("{version:04}_{name}.sql")).collect();
            assert_eq!(found, listed);
            assert_eq!(migrator(files).iter().map(|one| one.version).max(), Some(latest(files)));
        }
    }
}
