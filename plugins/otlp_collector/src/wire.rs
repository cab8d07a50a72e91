//! Values of the protocol: attributes, ids, times.

use std::time::Duration;

use apflow_sdk::Failure;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What an attribute can be here.
pub enum Attribute {
    Text(String),
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// An attribute.
pub fn attribute(key: &str, value: impl Into<Attribute>) -> KeyValue {
    let value = match value.into() {
        Attribute::Text(text) => Value::StringValue(text),
        Attribute::Number(number) => Value::IntValue(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The ids of trace and span in a `traceparent`.
pub fn trace_parent(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = text.split('-').skip(1);
    let (trace, span) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
    (trace.len() == 16 && span.len() == 8).then_some((trace, span))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Nanoseconds since 1970 of an RFC 3339 time.
pub fn nanos(at: &str) -> Result<u64, Failure> {
    let time = OffsetDateTime::parse(at, &Rfc3339)
        .map_err(|_| Failure::bad_input("invalid_time", format!("'{at}' is no RFC 3339 time"), "/at"))?;
    Ok(u64::try_from(time.unix_timestamp_nanos()).unwrap_or_default())
}

/// A duration in nanoseconds.
pub fn span_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ids_are_taken() {
        let (trace, span) = trace_parent("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01").unwrap();
        assert_eq!((trace[15], span[0]), (0x10, 0x11));
        for wrong in ["", "00-01-02-01", "00-zz02030405060708090a0b0c0d0e0f10-1112131415161718-01"] {
            assert_eq!(trace_parent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_nanoseconds() {
        assert_eq!(nanos("1970-01-01T00:00:01.5Z").unwrap(), 1_500_000_000);
        assert_eq!(nanos("noon").unwrap_err().code(), "invalid_time");
    }
}
