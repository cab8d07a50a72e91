//! Changes of what an operator allows: adding, taking away, and what both sides have in common. All of it works on the
//! written form (a table of lists, switches and tables), so that a new kind of grant needs nothing here.

use apflow_core::error::{Error, Result};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Capabilities, Grants};

/// `allowed` with `more` added.
///
/// # Errors
/// `InvalidParams` if `more` is not in the form of `[plugins.NAME.grants]`.
pub(crate) fn add(allowed: &Capabilities, more: &Json) -> Result<Capabilities> {
    let mut table = written(allowed);
    join(&mut table, written(&read("add", more)?));
    back("add", table)
}

/// `allowed` without `less`.
///
/// # Errors
/// `InvalidParams` if `less` is not in that form, or names something that is not allowed as it stands there.
pub(crate) fn remove(allowed: &Capabilities, less: &Json) -> Result<Capabilities> {
    let mut table = written(allowed);
    // Folders may be named without their mode, and so may all tables by a part of them.
    let raw = raw(less);
    let normal = read("remove", less)?;
    for (key, value) in written(&normal) {
        let missing = |what: &Value| {
            let there = allowed_text(allowed, &key);
            Error::invalid_params(
                "remove",
                format!("{key} = {what} is not allowed as it stands here; {there}"),
            )
        };
        let Some(present) = table.get_mut(&key) else { return Err(missing(&value)) };
        match (present, value) {
            (Value::Array(present), Value::Array(gone)) => {
                let said = raw.get(&key).and_then(Value::as_array).cloned().unwrap_or_default();
                for (at, one) in gone.iter().enumerate() {
                    let before = present.len();
                    present
                        .retain(|other| other != one && !said.get(at).is_some_and(|part| names(part, other)));
                    if present.len() == before {
                        return Err(missing(one));
                    }
                }
            }
            (Value::Table(present), Value::Table(gone)) => gone.keys().for_each(|key| {
                present.remove(key);
            }),
            _ => {
                table.remove(&key);
            }
        }
    }
    back("remove", table)
}

/// What both sides have: what is asked and allowed in full, and what is allowed and asked for in full.
pub(crate) fn effective(grants: &Grants) -> Capabilities {
    let (asked, allowed) = (grants.requested(), grants.allowed());
    let swapped = Grants::new(grants.plugin(), allowed.clone(), asked.clone());
    let mut table = minus(written(asked), &written(&grants.unmet()));
    join(&mut table, minus(written(allowed), &written(&swapped.unmet())));
    table.try_into().unwrap_or_default()
}

fn read(field: &str, value: &Json) -> Result<Capabilities> {
    serde_json::from_value(value.clone()).map_err(|error| Error::invalid_params(field, error))
}

fn back(field: &str, table: Table) -> Result<Capabilities> {
    table.try_into().map_err(|error: toml::de::Error| Error::invalid_params(field, error.message()))
}

fn written(capabilities: &Capabilities) -> Table {
    Table::try_from(capabilities).unwrap_or_default()
}

fn raw(value: &Json) -> Table {
    Table::try_from(value).unwrap_or_default()
}

fn allowed_text(allowed: &Capabilities, key: &str) -> String {
    match written(allowed).get(key) {
        Some(value) => format!("what is allowed is {key} = {value}"),
        None => format!("nothing of the kind {key} is allowed"),
    }
}

/// Whether a table that somebody wrote names this one by a part of it.
fn names(part: &Value, whole: &Value) -> bool {
    let (Value::Table(part), Value::Table(whole)) = (part, whole) else { return false };
    !part.is_empty() && part.iter().all(|(key, value)| whole.get(key) == Some(value))
}

fn join(base: &mut Table, more: Table) {
    for (key, value) in more {
        match (base.get_mut(&key), value) {
            (Some(Value::Array(base)), Value::Array(more)) => {
                for one in more {
                    if !base.contains(&one) {
                        base.push(one);
                    }
                }
            }
            (Some(Value::Table(base)), Value::Table(more)) => join(base, more),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn minus(mut table: Table, less: &Table) -> Table {
    for (key, value) in less {
        match (table.get_mut(key), value) {
            (Some(Value::Array(list)), Value::Array(less)) => list.retain(|one| !less.contains(one)),
            (Some(present), value) if present == value => {
                table.remove(key);
            }
            _ => {}
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn capabilities(text: &str) -> Capabilities {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_added_is_there_once_and_in_normal_form() {
        let before = capabilities("http = [\"https://a.test\"]\nenv = [\"LANG\"]");
        let more = json!({"http": ["https://A.test", "https://b.test"], "system": true});
        let after = add(&before, &more).unwrap();
        let expected = "http = [\"https://a.test\", \"https://b.test\"]\nenv = [\"LANG\"]\nsystem = true";
        assert_eq!(after, capabilities(expected));
        assert_eq!(add(&after, &more).unwrap(), after);
        assert!(add(&before, &json!({"htpp": []})).unwrap_err().message.contains("unknown field `htpp`"));
    }

    #[test]
    fn what_is_taken_away_must_be_there() {
        let before = capabilities(
            "http = [\"https://a.test\", \"https://b.test\"]\nsystem = true\n\
             fs = [{ guest = \"/data\", mode = \"rw\" }, { guest = \"/logs\" }]",
        );
        let after =
            remove(&before, &json!({"http": ["https://a.test"], "fs": [{"guest": "/data"}], "system": true}));
        assert_eq!(after.unwrap(), capabilities("http = [\"https://b.test\"]\nfs = [{ guest = \"/logs\" }]"));
        let error = remove(&before, &json!({"http": ["https://c.test"]})).unwrap_err();
        assert!(error.message.contains("\"https://b.test\"]"), "{error}");
        assert!(
            remove(&before, &json!({"env": ["LANG"]})).unwrap_err().message.contains("nothing of the kind")
        );
    }

    #[test]
    fn both_sides_have_what_the_narrower_one_says() {
        let asked = capabilities(
            "http = [\"https://*\"]\nenv = [\"LANG\", \"HOME\"]\nfs = [{ guest = \"/d\", mode = \"rw\" }]",
        );
        let allowed = capabilities(
            "http = [\"https://a.test\"]\nenv = [\"LANG\"]\nsystem = true\nfs = [{ guest = \"/d\" }]",
        );
        let both = effective(&Grants::new("p", asked, allowed));
        let expected = "http = [\"https://a.test\"]\nenv = [\"LANG\"]\nfs = [{ guest = \"/d\" }]";
        assert_eq!(both, capabilities(expected));
    }
}
