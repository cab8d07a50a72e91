//! The text of a tree, written task by task as they are read, so that a large tree is never held as a whole beside its
//! text: flat, an array in pre-order, or nested, `{"task": …, "children": […]}`. No recursion here, whatever the depth.
//! Readers of the nested text do recurse, so there the depth is capped.

use apflow_core::error::{Error, ErrorCode, Result};
use apflow_core::id::TaskId;
use apflow_core::task::Task;
use schemars::JsonSchema;
use serde::Deserialize;

/// Levels of a tree that are shown nested; common JSON readers give up at about a thousand, and a level takes two.
pub const MAX_NESTED_LEVELS: usize = 500;

/// Bytes of a part of the text.
const PART: usize = 256 * 1024;

/// How to write a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TreeFormat {
    /// `{"task": …, "children": […]}`.
    #[default]
    Nested,
    /// An array in pre-order.
    Flat,
}

/// A piece of the text, in its order.
enum Part {
    Text(String),
    /// A link, whose text is that of what it reads through to, known when all have been read.
    Link(Box<Task>),
}

/// Writes tasks, which come in pre-order; the first one is the root.
pub(super) struct TreeText {
    format: TreeFormat,
    parts: Vec<Part>,
    text: String,
    root: Option<TaskId>,
    /// The tasks whose children may come next.
    open: Vec<TaskId>,
    first_child: bool,
}

impl TreeText {
    /// Nothing yet.
    pub fn new(format: TreeFormat) -> Self {
        Self {
            format,
            parts: Vec::new(),
            text: String::new(),
            root: None,
            open: Vec::new(),
            first_child: true,
        }
    }

    /// Whether there was no task.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Writes a task.
    ///
    /// # Errors
    /// `LimitExceeded` if a nested tree is deeper than [`MAX_NESTED_LEVELS`]; `Internal` if the order is not pre-order.
    pub fn add(&mut self, task: Task) -> Result<()> {
        match self.format {
            TreeFormat::Flat => self.text.push(if self.is_empty() { '[' } else { ',' }),
            TreeFormat::Nested => self.descend(&task)?,
        }
        if self.is_empty() {
            self.root = Some(task.id.clone());
        }
        if task.is_link {
            self.cut();
            self.parts.push(Part::Link(Box::new(task)));
        } else {
            self.text.push_str(super::document(&task)?.as_str());
        }
        if self.format == TreeFormat::Nested {
            self.text.push_str(",\"children\":[");
        }
        if self.text.len() >= PART {
            self.cut();
        }
        Ok(())
    }

    /// Goes to the place of a task in the nested text.
    fn descend(&mut self, task: &Task) -> Result<()> {
        while !self.is_empty() && self.open.last() != task.parent_id.as_ref() {
            if self.open.pop().is_none() {
                return Err(Error::new(
                    ErrorCode::Internal,
                    format!("Task '{}' came before its parent in a tree listing", task.id),
                ));
            }
            self.text.push_str("]}");
            self.first_child = false;
        }
        if self.open.len() == MAX_NESTED_LEVELS {
            return Err(Error::new(
                ErrorCode::LimitExceeded,
                format!(
                    "The tree is deeper than {MAX_NESTED_LEVELS} levels, too deep to be shown nested. Ask with \
                     \"format\": \"flat\" for an array in pre-order"
                ),
            )
            .with("field", "format")
            .with("limit", MAX_NESTED_LEVELS)
            .with("task_id", self.root.as_ref().unwrap_or(&task.id).as_str()));
        }
        if !self.first_child {
            self.text.push(',');
        }
        self.text.push_str("{\"task\":");
        self.first_child = true;
        self.open.push(task.id.clone());
        Ok(())
    }

    fn cut(&mut self) {
        let rest = String::with_capacity(PART + PART / 8);
        self.parts.push(Part::Text(std::mem::replace(&mut self.text, rest)));
    }

    /// The links among the tasks.
    pub fn links(&self) -> impl Iterator<Item = &Task> {
        self.parts.iter().filter_map(|part| match part {
            Part::Link(task) => Some(&**task),
            Part::Text(_) => None,
        })
    }

    /// The whole text in parts; `read` gives what a link shows.
    ///
    /// # Errors
    /// None that a task could cause.
    pub fn finish(mut self, read: impl Fn(Task) -> Task) -> Result<Vec<String>> {
        match self.format {
            TreeFormat::Flat => self.text.push(']'),
            TreeFormat::Nested => (0..self.open.len()).for_each(|_| self.text.push_str("]}")),
        }
        self.parts.push(Part::Text(self.text));
        let written = self.parts.into_iter().map(|part| match part {
            Part::Text(text) => Ok(text),
            Part::Link(task) => Ok(super::document(&read(*task))?.as_str().to_owned()),
        });
        written.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::shape::tests::task;
    use super::*;

    fn tree(parents: &[(&str, Option<&str>)]) -> Vec<Task> {
        parents.iter().map(|(id, parent)| Task { parent_id: parent.map(TaskId::from), ..task(id) }).collect()
    }

    fn text(format: TreeFormat, tasks: &[Task]) -> Result<String> {
        let mut text = TreeText::new(format);
        for task in tasks {
            text.add(task.clone())?;
        }
        Ok(text.finish(|link| Task { name: "original".into(), ..link })?.concat())
    }

    fn nested(tasks: &[Task]) -> Result<Value> {
        text(TreeFormat::Nested, tasks).map(|text| serde_json::from_str(&text).unwrap_or_default())
    }

    fn outline(value: &Value) -> String {
        let children: Vec<String> = value["children"].as_array().unwrap().iter().map(outline).collect();
        format!("{}({})", value["task"]["id"].as_str().unwrap(), children.join(" "))
    }

    #[test]
    fn children_stand_below_their_parents() {
        let tasks =
            tree(&[("r", None), ("a", Some("r")), ("b", Some("a")), ("c", Some("a")), ("d", Some("r"))]);
        assert_eq!(outline(&nested(&tasks).unwrap()), "r(a(b() c()) d())");
        // From any node: its own parent is not part of the listing.
        assert_eq!(outline(&nested(&tasks[1..4]).unwrap()), "a(b() c())");
        assert_eq!(outline(&nested(&tasks[4..]).unwrap()), "d()");
    }

    #[test]
    fn a_link_stands_at_its_place_and_shows_its_original() {
        let mut tasks = tree(&[("r", None), ("a", Some("r")), ("b", Some("r"))]);
        tasks[1].is_link = true;
        let names = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect()
        };
        let flat = serde_json::from_str(&text(TreeFormat::Flat, &tasks).unwrap()).unwrap();
        assert_eq!(names(&flat), [&tasks[0].name, "original", &tasks[2].name]);
        assert_eq!(nested(&tasks).unwrap()["children"][0]["task"]["name"], "original");
    }

    #[test]
    fn a_large_tree_is_written_in_parts_none_of_them_large() {
        let mut text = TreeText::new(TreeFormat::Flat);
        for i in 0..2_000 {
            text.add(task(&format!("t{i}"))).unwrap();
        }
        let parts = text.finish(|link| link).unwrap();
        assert!(parts.len() > 2 && parts.iter().all(|part| part.len() < 2 * PART), "{}", parts.len());
        let all: Vec<Value> = serde_json::from_str(&parts.concat()).unwrap();
        assert_eq!((all.len(), all[1_999]["id"].as_str()), (2_000, Some("t1999")));
    }

    #[test]
    fn too_deep_is_refused_with_the_way_out_and_nothing_overflows() {
        let ids: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
        let chain = |len: usize| {
            (0..len)
                .map(|i| Task {
                    parent_id: (i > 0).then(|| TaskId::from(ids[i - 1].as_str())),
                    ..task(&ids[i])
                })
                .collect::<Vec<_>>()
        };
        let whole = text(TreeFormat::Nested, &chain(MAX_NESTED_LEVELS)).unwrap();
        assert_eq!(whole.matches("\"children\":[").count(), MAX_NESTED_LEVELS);
        let error = nested(&chain(MAX_NESTED_LEVELS + 1)).unwrap_err();
        assert_eq!(error.code, ErrorCode::LimitExceeded);
        assert!(error.message.contains("\"format\": \"flat\""), "{error}");
        assert!(nested(&chain(100_000)).is_err());
    }
}
