//! How rules are read that may be written as a text or as a table. Unlike serde's untagged enums this keeps the reason
//! of a refusal. Used by `http_rule` and `process_rule`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads a `Rule` from its text form or from a table of the shape `Table`; `expected` says what may be written.
pub(super) fn string_or_table<'de, Rule, Table, D>(
    deserializer: D,
    expected: &'static str,
) -> Result<Rule, D::Error>
where
    Rule: FromStr<Err = String> + TryFrom<Table, Error = String>,
    Table: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(StringOrTable { expected, shape: PhantomData })
}

struct StringOrTable<Rule, Table> {
    expected: &'static str,
    shape: PhantomData<(Rule, Table)>,
}

impl<'de, Rule, Table> Visitor<'de> for StringOrTable<Rule, Table>
where
    Rule: FromStr<Err = String> + TryFrom<Table, Error = String>,
    Table: Deserialize<'de>,
{
    type Value = Rule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rule, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
        Rule::try_from(Table::deserialize(MapAccessDeserializer::new(map))?).map_err(A::Error::custom)
    }
}
