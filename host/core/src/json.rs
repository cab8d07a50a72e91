//! JSON documents as checked text. Inputs and results travel from door to store to guest unchanged, so they are kept
//! as text and parsed only where someone looks inside.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use serde_json::value::RawValue;

/// The text of one valid JSON document.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// The parser's error, with line and column.
    pub fn parse(text: impl Into<Arc<str>>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Self(text))
    }

    /// Keeps text that is known to be JSON, because a [`Json`] wrote it to a store.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text form of any value.
    ///
    /// # Errors
    /// Where the value has no JSON form: map keys that are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// The empty object.
    pub fn object() -> Self {
        Self("{}".into())
    }

    /// The document `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Parses into a type.
    ///
    /// # Errors
    /// Where the document does not fit the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The document as a tree of values.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_checked_and_passed_on_unchanged() {
        let json = Json::parse(r#"{"b":1,  "a":[1.50]}"#).unwrap();
        assert_eq!(serde_json::to_string(&[&json]).unwrap(), r#"[{"b":1,  "a":[1.50]}]"#);
        assert!(Json::parse("{").is_err());
        assert!(Json::parse("{} {}").is_err());
        let back: Vec<Json> = serde_json::from_str(r#"[{"x":null}, 3]"#).unwrap();
        assert_eq!(back[0].as_str(), r#"{"x":null}"#);
    }
}
