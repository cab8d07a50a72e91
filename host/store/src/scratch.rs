//! Databases for a while, on a server that is there: for measuring and trying out, where nothing may be left of the round
//! before.

use apflow_core::error::{Error, ErrorCode, Result};

use crate::{Location, postgres};

/// Makes an empty database called `name` on the server of the database at `url`; gives its URL.
///
/// # Errors
/// `InvalidParams` if `url` is not of a server, `StoreUnavailable` if the server cannot be reached or does not let this user
/// make databases.
pub async fn create(url: &str, name: &str) -> Result<String> {
    postgres::create_beside(server(url)?, name).await
}

/// Removes the database at `url`, with whatever still is connected to it.
///
/// # Errors
/// As [`create`].
pub async fn remove(url: &str) -> Result<()> {
    postgres::remove(server(url)?).await
}

fn server(url: &str) -> Result<&str> {
    match Location::of(url)? {
        Location::Postgres(url) => Ok(url),
        Location::Sqlite(_) => {
            let text =
                format!("'{url}' is a file; name a database of a server: postgres://USER@HOST/DATABASE");
            Err(Error::new(ErrorCode::InvalidParams, text).with("field", "database_url").with("value", url))
        }
    }
}
