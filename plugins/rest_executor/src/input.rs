//! What a task of `rest_executor` may say: the inputs and params, and nothing about what is done with them.

use std::collections::BTreeMap;

use apflow_sdk::prelude::*;
use apflow_sdk::serde_json::Number;
use serde::{Deserializer, de::Error as _};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Absolute `http` or `https` URL.
    pub url: String,
    /// HTTP method.
    #[serde(default)]
    pub method: Method,
    /// Request headers; they win over those in the task's params.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, Scalar>>,
    /// Query parameters, added to those in the URL. A list repeats its parameter.
    #[serde(default)]
    pub params: Option<BTreeMap<String, Parameter>>,
    /// Request body, sent as JSON.
    #[serde(default)]
    pub json: Option<Value>,
    /// Request body: an object is sent as a form, text as it is.
    #[serde(default)]
    pub data: Option<Data>,
    /// Seconds from sending to the last byte of the response.
    #[serde(default = "thirty")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub timeout: f64,
    /// How to prove who asks; wins over the task's params.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Whether certificates are checked. They always are; `false` is refused.
    #[serde(default)]
    pub verify: Option<bool>,
}

fn thirty() -> f64 {
    30.0
}

/// What the task's `params` may hold for this executor: defaults for many tasks.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Params {
    pub headers: Option<BTreeMap<String, Scalar>>,
    pub auth: Option<Auth>,
    pub verify: Option<bool>,
    pub follow_redirects: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { headers: None, auth: None, verify: None, follow_redirects: true }
    }
}

/// HTTP method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Get,
    Post,
    Put,
    Delete,
    Patch,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }
}

/// Text, or what has one obvious text.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum Scalar {
    Text(String),
    Bool(bool),
    Number(Number),
}

impl TryFrom<Value> for Scalar {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Bool(value) => Ok(Self::Bool(value)),
            Value::Number(number) => Ok(Self::Number(number)),
            other => Err(format!("{other} is neither text nor a number nor true or false")),
        }
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// One value or several; null leaves the parameter out.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum Parameter {
    Nothing(()),
    One(Scalar),
    Many(Vec<Scalar>),
}

impl Parameter {
    pub fn values(&self) -> &[Scalar] {
        match self {
            Self::Nothing(()) => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl TryFrom<Value> for Parameter {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::Nothing(())),
            Value::Array(values) => {
                values.into_iter().map(Scalar::try_from).collect::<Result<_, _>>().map(Self::Many)
            }
            other => Scalar::try_from(other).map(Self::One),
        }
    }
}

/// A form, or text that is sent as it is.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Data {
    Form(BTreeMap<String, Parameter>),
    Text(String),
}

impl TryFrom<Value> for Data {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let field = |(name, value)| Ok((name, Parameter::try_from(value)?));
        match value {
            Value::Object(form) => form.into_iter().map(field).collect::<Result<_, _>>().map(Self::Form),
            Value::String(text) => Ok(Self::Text(text)),
            other => Err(format!("{other} is neither an object nor text")),
        }
    }
}

/// Reads a type by what its JSON value looks like: smaller than serde's untagged enums, and its errors name the value.
macro_rules! read_by_value {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                Value::deserialize(reader)?.try_into().map_err(D::Error::custom)
            }
        }
    )+};
}

read_by_value!(Scalar, Parameter, Data);

/// How to prove who asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// A key in a header or in the query.
    ApiKey {
        /// Name of the header or query parameter.
        key: String,
        /// Its value.
        value: String,
        /// Where it goes.
        #[serde(default)]
        location: Location,
    },
}

/// Where an API key goes.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    #[default]
    Header,
    Query,
}
