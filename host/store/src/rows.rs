//! Between rows and the domain: the numbers of statuses, the packed rest of a definition, and the way from columns to
//! core types. Columns are read by position, in the order of the statement that selects them.

use apflow_core::clock::Timestamp;
use apflow_core::error::{Error, Result, TaskError};
use apflow_core::id::NodeId;
use apflow_core::json::Json;
use apflow_core::retry::RetryPolicy;
use apflow_core::task::{Attempt, DependencyKind, OriginType, TaskStatus, TreeStatus};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row};

use crate::error::{corrupt, store, unreadable};

/// The stored number of a status. Stable.
pub(crate) const fn status_number(status: TaskStatus) -> i64 {
    match status {
        TaskStatus::Pending => 0,
        TaskStatus::InProgress => 1,
        TaskStatus::Completed => 2,
        TaskStatus::Failed => 3,
        TaskStatus::Cancelled => 4,
    }
}

/// The status with that number.
pub(crate) fn status(number: i64) -> Result<TaskStatus> {
    TaskStatus::ALL
        .into_iter()
        .find(|status| status_number(*status) == number)
        .ok_or_else(|| corrupt(format!("A stored task has the status number {number}, which there is not")))
}

/// The status of a tree with that number; they are those of tasks.
pub(crate) fn tree_status(number: i64) -> Result<TreeStatus> {
    Ok(match status(number)? {
        TaskStatus::Pending => TreeStatus::Pending,
        TaskStatus::InProgress => TreeStatus::InProgress,
        TaskStatus::Completed => TreeStatus::Completed,
        TaskStatus::Failed => TreeStatus::Failed,
        TaskStatus::Cancelled => TreeStatus::Cancelled,
    })
}

/// The stored number of a dependency's kind. Stable.
pub(crate) const fn kind_number(kind: DependencyKind) -> i64 {
    match kind {
        DependencyKind::Result => 0,
        DependencyKind::Reference => 1,
    }
}

/// The kind with that number.
pub(crate) fn kind(number: i64) -> DependencyKind {
    if number == kind_number(DependencyKind::Result) {
        DependencyKind::Result
    } else {
        DependencyKind::Reference
    }
}

/// The stored number of an origin. Stable; an archived task keeps the one it had, so that [`ARCHIVE`] is only ever read.
///
/// [`ARCHIVE`]: OriginType::Archive
pub(crate) const fn origin_number(origin: OriginType) -> i64 {
    match origin {
        OriginType::Create => 0,
        OriginType::Copy => 1,
        OriginType::Link => 2,
        OriginType::Archive => 3,
    }
}

/// The origin with that number.
pub(crate) fn origin(number: i64) -> Result<OriginType> {
    [OriginType::Create, OriginType::Copy, OriginType::Link, OriginType::Archive]
        .into_iter()
        .find(|origin| origin_number(*origin) == number)
        .ok_or_else(|| corrupt(format!("A stored task has the origin number {number}, which there is not")))
}

/// The fields of a definition that nothing filters or joins by: one column instead of six, null where all are at their
/// defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct More {
    /// None for the empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schemas: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl More {
    pub(crate) fn read(column: Option<&str>) -> Result<Self> {
        column.map_or_else(|| Ok(Self::default()), |text| from_json("task definition", text))
    }

    /// The column.
    pub(crate) fn text(&self) -> Result<Option<String>> {
        if *self == Self::default() { Ok(None) } else { to_json("task definition", self).map(Some) }
    }

    /// Takes the schemas of a definition in.
    pub(crate) fn with_schemas(mut self, schemas: &Json) -> Self {
        self.schemas = (schemas.as_str() != "{}").then(|| schemas.clone());
        self
    }

    /// The schemas, the empty object included.
    pub(crate) fn schemas(&mut self) -> Json {
        self.schemas.take().unwrap_or_else(Json::object)
    }
}

/// Text of a value for a column or a list parameter.
pub(crate) fn to_json(what: &str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(apflow_core::error::ErrorCode::Internal, format!("A {what} has no JSON form: {error}"))
    })
}

/// A value from a column.
pub(crate) fn from_json<'t, T: Deserialize<'t>>(what: &str, text: &'t str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(what, error))
}

/// A row of either database, reduced to the four types that columns have. Without the driver's own check of types, which
/// asks SQLite about each value of each row: tables are strict, and what does not fit fails to decode all the same.
pub(crate) trait Cells: Send + Sync + 'static {
    fn int(&self, column: usize) -> Result<Option<i64>>;
    fn real(&self, column: usize) -> Result<Option<f64>>;
    fn text(&self, column: usize) -> Result<Option<&str>>;
    fn flag(&self, column: usize) -> Result<Option<bool>>;
    /// What a row of a [`crate::database::Step`] or of a turn is about, where they give rows of several kinds.
    fn what(&self) -> Result<&str>;
}

macro_rules! cells {
    ($row:ty, $what:expr) => {
        impl Cells for $row {
            fn int(&self, column: usize) -> Result<Option<i64>> {
                self.try_get_unchecked(column).map_err(store)
            }

            fn real(&self, column: usize) -> Result<Option<f64>> {
                self.try_get_unchecked(column).map_err(store)
            }

            fn text(&self, column: usize) -> Result<Option<&str>> {
                self.try_get_unchecked(column).map_err(store)
            }

            fn flag(&self, column: usize) -> Result<Option<bool>> {
                self.try_get_unchecked(column).map_err(store)
            }

            fn what(&self) -> Result<&str> {
                let what: fn(&Self) -> Result<&str> = $what;
                what(self)
            }
        }
    };
}

cells!(SqliteRow, |row| Ok(row.column(0).name()));
// The last column of the type `answer`.
cells!(PgRow, |row| Ok(row.text(12)?.unwrap_or_default()));

/// A type that columns are read as.
pub(crate) trait Cell<'r>: Sized {
    fn of(row: &'r impl Cells, column: usize) -> Result<Self>;
}

macro_rules! cell {
    ($($type:ty, $read:ident, $convert:expr;)*) => {$(
        impl<'r> Cell<'r> for Option<$type> {
            fn of(row: &'r impl Cells, column: usize) -> Result<Self> {
                row.$read(column)?.map($convert).transpose()
            }
        }

        impl<'r> Cell<'r> for $type {
            fn of(row: &'r impl Cells, column: usize) -> Result<Self> {
                at::<Option<$type>>(row, column)?
                    .ok_or_else(|| corrupt(format!("Column {column} of a stored row is null, which it must not be")))
            }
        }
    )*};
}

cell! {
    i64, int, Ok;
    u32, int, narrow;
    u8, int, narrow;
    f64, real, Ok;
    bool, flag, Ok;
    &'r str, text, Ok;
    String, text, |text| Ok(text.to_owned());
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| corrupt(format!("A stored number is out of range: {number}")))
}

/// A column by position.
pub(crate) fn at<'r, T: Cell<'r>>(row: &'r impl Cells, column: usize) -> Result<T> {
    T::of(row, column)
}

/// A column that holds a JSON document.
pub(crate) fn json(row: &impl Cells, column: usize) -> Result<Json> {
    at::<&str>(row, column).map(Json::trusted)
}

/// A column that may hold a JSON document.
pub(crate) fn optional_json(row: &impl Cells, column: usize) -> Result<Option<Json>> {
    at::<Option<&str>>(row, column).map(|text| text.map(Json::trusted))
}

/// A column that holds a point in time.
pub(crate) fn time(row: &impl Cells, column: usize) -> Result<Timestamp> {
    at(row, column).map(Timestamp::from_micros)
}

/// A column that may hold a point in time.
pub(crate) fn optional_time(row: &impl Cells, column: usize) -> Result<Option<Timestamp>> {
    at::<Option<i64>>(row, column).map(|micros| micros.map(Timestamp::from_micros))
}

/// A column that holds the error of an attempt.
pub(crate) fn optional_error(row: &impl Cells, column: usize) -> Result<Option<TaskError>> {
    at::<Option<&str>>(row, column)?.map(|text| from_json("task error", text)).transpose()
}

/// An attempt; columns: attempt, status, node, started_at, ended_at, result, error, inputs, receipt.
pub(crate) fn attempt(row: &impl Cells) -> Result<Attempt> {
    Ok(Attempt {
        attempt: at(row, 0)?,
        status: status(at(row, 1)?)?,
        node: at::<Option<&str>>(row, 2)?.map(NodeId::from),
        started_at: optional_time(row, 3)?,
        completed_at: time(row, 4)?,
        result: optional_json(row, 5)?,
        error: optional_error(row, 6)?,
        inputs: optional_json(row, 7)?,
        receipt: optional_json(row, 8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for one in TaskStatus::ALL {
            assert_eq!(status(status_number(one)), Ok(one));
            assert_eq!(tree_status(status_number(one)).unwrap().as_str(), one.as_str());
        }
        assert!(status(9).is_err());
        for one in [OriginType::Create, OriginType::Copy, OriginType::Link, OriginType::Archive] {
            assert_eq!(origin(origin_number(one)), Ok(one));
        }
        assert!(origin(9).is_err());
        for one in [DependencyKind::Result, DependencyKind::Reference] {
            assert_eq!(kind(kind_number(one)), one);
        }
    }

    #[test]
    fn a_plain_definition_takes_no_column_and_a_full_one_comes_back() {
        assert_eq!(More::default().with_schemas(&Json::object()).text(), Ok(None));
        let full = More {
            schemas: Some(Json::trusted(r#"{"method":"m"}"#)),
            metadata: Some(Json::trusted(r#"{"a":1.50}"#)),
            retry: Some(RetryPolicy { max_attempts: 3, ..RetryPolicy::default() }),
            timeout_ms: Some(5),
            concurrency_key: Some("k".into()),
            description: Some("d".into()),
        };
        let text = full.text().unwrap().unwrap();
        assert_eq!(More::read(Some(&text)), Ok(full));
    }
}
