//! Whether what a plugin says of itself holds, before anyone relies on it: ids, schemas, examples, points.

use std::collections::BTreeSet;

use apflow_core::plugin::{ExecutorInfo, HookPoint, Subscription};
use serde_json::Value;

use crate::bindings::v0_1::{executor, hooks};
use crate::error::Problem;

/// Characters of an executor's id.
const ID: usize = 100;

/// Executors as `describe` gives them, in the core's form; `provided_by` is `name@version`.
pub(crate) fn executors(
    described: Vec<executor::ExecutorInfo>,
    provided_by: &str,
) -> Result<Vec<ExecutorInfo>, Problem> {
    let wrong = |problem: String| Problem::Describe { function: "executor.describe", problem };
    if described.is_empty() {
        return Err(wrong("it lists no executor".into()));
    }
    let mut seen = BTreeSet::new();
    let mut infos = Vec::with_capacity(described.len());
    for one in described {
        let info = executor(one, provided_by).map_err(wrong)?;
        if !seen.insert(info.id.clone()) {
            return Err(wrong(format!("it lists `{}` twice", info.id)));
        }
        infos.push(info);
    }
    Ok(infos)
}

fn executor(one: executor::ExecutorInfo, provided_by: &str) -> Result<ExecutorInfo, String> {
    let id = one.id;
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if id.is_empty() || id.len() > ID || !id.chars().all(lower) {
        return Err(format!("`{id}` is not an id: 1 to {ID} of `a`-`z`, `0`-`9` and `_`"));
    }
    let json = |what: &str, text: &str| {
        serde_json::from_str::<Value>(text).map_err(|error| format!("{what} of `{id}` is not JSON: {error}"))
    };
    let schema = |what: &str, text: &str| match json(what, text)? {
        schema @ (Value::Object(_) | Value::Bool(_)) => Ok(schema),
        _ => Err(format!("{what} of `{id}` is not a JSON Schema: it must be an object")),
    };
    let input_schema = schema("`input-schema`", &one.input_schema)?;
    if !input_schema.is_object() {
        return Err(format!("`input-schema` of `{id}` must be an object that describes an object"));
    }
    let example = |text: &String| match json("an example", text)? {
        example @ Value::Object(_) => Ok(example),
        _ => Err(format!("an example of `{id}` is not an object")),
    };
    Ok(ExecutorInfo {
        name: one.name,
        description: one.description,
        tags: one.tags,
        examples: one.examples.iter().map(example).collect::<Result<_, _>>()?,
        input_schema,
        output_schema: schema("`output-schema`", &one.output_schema)?,
        cancelable: one.cancelable,
        idempotent: one.idempotent,
        demo_result: one.demo_result.map(|text| json("`demo-result`", &text)).transpose()?,
        provided_by: provided_by.into(),
        id,
    })
}

/// Subscriptions in the core's form.
pub(crate) fn subscriptions(described: Vec<hooks::Subscription>) -> Result<Vec<Subscription>, Problem> {
    let one = |one: hooks::Subscription| {
        let point = HookPoint::parse(&one.point).ok_or_else(|| {
            let known: Vec<_> = HookPoint::ALL.iter().map(|point| point.as_str()).collect();
            let problem =
                format!("`{}` is not a point that this host knows ({})", one.point, known.join(", "));
            Problem::Describe { function: "hooks.subscriptions", problem }
        })?;
        Ok(Subscription { point, executors: one.executors })
    };
    described.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str, input_schema: &str) -> executor::ExecutorInfo {
        executor::ExecutorInfo {
            id: id.into(),
            name: "Name".into(),
            description: String::new(),
            tags: Vec::new(),
            examples: vec![r#"{"a":1}"#.into()],
            input_schema: input_schema.into(),
            output_schema: "true".into(),
            cancelable: true,
            idempotent: false,
            demo_result: Some("null".into()),
            extra: "{}".into(),
        }
    }

    fn problem(described: Vec<executor::ExecutorInfo>) -> String {
        executors(described, "p@1").unwrap_err().to_string()
    }

    #[test]
    fn a_whole_description_is_taken_over() {
        let infos = executors(vec![info("a_1", "{}"), info("b", "{}")], "p@1").unwrap();
        assert_eq!((infos[0].id.as_str(), infos[0].provided_by.as_str()), ("a_1", "p@1"));
        assert_eq!(
            (&infos[0].output_schema, &infos[0].demo_result),
            (&Value::Bool(true), &Some(Value::Null))
        );
    }

    #[test]
    fn broken_descriptions_are_refused_by_name() {
        assert!(problem(Vec::new()).contains("no executor"));
        assert!(problem(vec![info("A", "{}")]).contains("`A` is not an id"));
        assert!(problem(vec![info("a", "{")]).contains("`input-schema` of `a` is not JSON"));
        assert!(problem(vec![info("a", "[]")]).contains("must be an object"));
        assert!(problem(vec![info("a", "{}"), info("a", "{}")]).contains("`a` twice"));
        let unlike = executor::ExecutorInfo { examples: vec!["1".into()], ..info("a", "{}") };
        assert!(problem(vec![unlike]).contains("an example of `a` is not an object"));
    }

    #[test]
    fn an_unknown_point_is_named_with_the_known_ones() {
        let one = |point: &str| hooks::Subscription {
            point: point.into(),
            executors: Vec::new(),
            extra: "{}".into(),
        };
        assert_eq!(subscriptions(vec![one("task.ready")]).unwrap()[0].point, HookPoint::TaskReady);
        let problem = subscriptions(vec![one("task.dreamt")]).unwrap_err().to_string();
        assert!(problem.contains("task.dreamt") && problem.contains("task.before-run"), "{problem}");
    }
}
