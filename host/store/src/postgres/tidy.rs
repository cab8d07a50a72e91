//! Vacuums the queues. Their rows live for a moment, so that after a minute of work, which is how often autovacuum comes, most
//! of a queue is dead rows, and every claim goes past them.

use apflow_core::error::Result;

use super::PostgresStore;
use crate::database::sql;
use crate::error::store;

/// Dead rows of a queue that are worth a vacuum.
const DEAD: i64 = 20_000;
/// Tables whose rows are inserted and deleted, or updated, all the time.
const QUEUES: &str = "'ready', 'running', 'waiting', 'delayed', 'gates', 'trees', 'sessions'";

pub(super) async fn tidy(postgres: &PostgresStore) -> Result<()> {
    let text = format!(
        "SELECT relname FROM pg_stat_user_tables
          WHERE schemaname = 'apflow' AND relname IN ({QUEUES}) AND n_dead_tup > $1 ORDER BY relname"
    );
    let question = sqlx::query_scalar(sql(text)).bind(DEAD);
    let tables: Vec<String> = question.fetch_all(&postgres.readers).await.map_err(store)?;
    for table in tables {
        // One that another host or autovacuum is at is passed over. The end of a queue is not given back to the disk: that
        // would lock the table, and it is filled again in a moment.
        let text = format!("VACUUM (SKIP_LOCKED, TRUNCATE FALSE) apflow.{table}");
        sqlx::query(sql(text)).execute(&postgres.writers).await.map_err(store)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use apflow_testkit::postgres::Database;

    use super::*;
    use crate::postgres::tests::store as open;

    #[tokio::test]
    async fn a_queue_with_many_dead_rows_is_vacuumed() {
        let database = Database::new();
        let postgres = open(&database).await.0;
        let text = "INSERT INTO delayed (n, tree, priority, due, attempt, base, token)
                    SELECT n, 1, 0, 9000000000000000000, 0, 0, 0 FROM generate_series(1, 25000) AS s (n)";
        for text in [text, "DELETE FROM delayed", "SELECT pg_stat_force_next_flush()", "SELECT 1"] {
            sqlx::query(text).execute(&postgres.writers).await.unwrap();
        }
        let vacuums = async || -> i64 {
            let text = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'delayed'";
            sqlx::query_scalar(text).fetch_one(&postgres.readers).await.unwrap()
        };
        // What the server knows of its tables comes a moment later.
        while vacuums().await == 0 {
            tidy(&postgres).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}
