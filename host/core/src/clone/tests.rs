use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::draft::{TreeLimits, read_all};
use crate::tree::assemble;

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A stored tree: everything written by its owner, ids equal to names.
fn stored(tasks: serde_json::Value) -> Vec<Task> {
    let tree = assemble(read_all(tasks, TreeLimits::default()).unwrap(), NOW).unwrap();
    let origins = tree.tasks.iter().map(|task| Origin { original: task.id.clone(), link: false }).collect();
    let mut tasks = preview(&NewClone { tree, origins }, NOW);
    for task in &mut tasks {
        task.origin_type = OriginType::Create;
        task.original_task_id = None;
    }
    tasks
}

/// `r` above `a` and `b`, `a1` below `a`; `r` waits for `a` and `b`, `b` for `a1`, `a` for `a1`.
fn tree() -> Vec<Task> {
    stored(json!([
        {"id": "r", "name": "r", "dependencies": ["a", "b"], "user_id": "ann"},
        {"id": "a", "name": "a", "parent_id": "r", "dependencies": ["a1"]},
        {"id": "a1", "name": "a1", "parent_id": "a", "executor": "x", "inputs": {"n": 1}, "priority": 0,
         "retry": {"max_attempts": 3}, "timeout_ms": 5, "metadata": {"m": 1}, "description": "d"},
        {"id": "b", "name": "b", "parent_id": "r", "inputs": {"from": {"$from": "a1", "pointer": "/u"}}},
    ]))
}

fn completed(mut tree: Vec<Task>) -> Vec<Task> {
    for task in &mut tree {
        task.status = TaskStatus::Completed;
        task.result = Some(json!({"of": task.name}).into());
    }
    tree
}

fn names(tree: &[Task], request: &CloneRequest) -> String {
    let selection = select(tree, request).unwrap();
    selection.tasks.iter().map(|i| tree[*i].name.as_str()).collect::<Vec<_>>().join(" ")
}

fn refused(tree: &[Task], request: &CloneRequest) -> (ErrorCode, String) {
    let error = select(tree, request).unwrap_err();
    (error.code, error.message)
}

fn made(tree: &[Task], request: &CloneRequest, originals: &[Task]) -> NewClone {
    let originals = originals.iter().map(|task| (task.id.clone(), task.clone())).collect();
    build(tree, &select(tree, request).unwrap(), &originals, request, NOW).unwrap()
}

#[test]
fn a_copy_has_everything_that_is_below() {
    assert_eq!(names(&tree(), &CloneRequest::copy("r".into())), "r a a1 b");
    assert_eq!(names(&tree(), &CloneRequest::copy("a".into())), "a a1");
    let alone = CloneRequest { recursive: false, ..CloneRequest::copy("b".into()) };
    assert_eq!(names(&tree(), &alone), "b");
    assert_eq!(refused(&tree(), &CloneRequest::copy("ghost".into())).0, ErrorCode::TaskNotFound);
}

#[test]
fn dependencies_outside_are_refused_or_taken_with_what_connects() {
    let (code, text) = refused(&tree(), &CloneRequest::copy("b".into()));
    assert_eq!(code, ErrorCode::CannotClone);
    assert!(
        text.starts_with(
            "Task 'b' (id: b) has dependency on task 'a1' which is outside the subtree rooted at 'b' (id: b). Cannot \
             copy/archive a subtree with external dependencies."
        ),
        "{text}"
    );
    let with = CloneRequest { auto_include_deps: true, ..CloneRequest::copy("b".into()) };
    assert_eq!(names(&tree(), &with), "r a a1 b");
    let clone = made(&tree(), &with, &[]);
    // What connects keeps what is inside.
    let targets = |at: usize| clone.tree.tasks[at].dependencies.iter().map(|d| d.target).collect::<Vec<_>>();
    assert_eq!((targets(0), targets(1), targets(3)), (vec![1, 3], vec![2], vec![2]));
    let dependents = CloneRequest { include_dependents: true, ..CloneRequest::copy("a1".into()) };
    assert_eq!(names(&tree(), &dependents), "r a a1 b");
}

#[test]
fn a_part_that_stands_deep_gets_the_deepest_common_root() {
    let tree = stored(json!([
        {"id": "r", "name": "r"}, {"id": "p", "name": "p", "parent_id": "r"},
        {"id": "x", "name": "x", "parent_id": "p", "dependencies": ["y"]},
        {"id": "y", "name": "y", "parent_id": "p"}, {"id": "z", "name": "z", "parent_id": "p"},
    ]));
    let request = CloneRequest { auto_include_deps: true, ..CloneRequest::copy("x".into()) };
    assert_eq!(names(&tree, &request), "p x y");
    let clone = made(&tree, &request, &[]);
    assert_eq!(clone.tree.tasks.iter().map(|task| task.parent).collect::<Vec<_>>(), [None, Some(0), Some(0)]);
}

#[test]
fn a_copy_is_a_clean_tree_with_the_same_definitions() {
    let mut source = completed(tree());
    // The newest attempt ran with more than the definition says.
    source[2].defined_inputs = Some(source[2].inputs.clone());
    source[2].inputs = json!({"n": 1, "merged": true}).into();
    let clone = made(&source, &CloneRequest::copy("r".into()), &[]);
    let copies = preview(&clone, NOW);
    assert_eq!((&clone.tree.id.as_str(), &clone.tree.user_id), (&copies[0].id.as_str(), &Some("ann".into())));
    for (copy, source) in copies.iter().zip(&source) {
        assert_ne!(copy.id, source.id);
        assert_eq!((copy.status, &copy.result, copy.attempt), (TaskStatus::Pending, &None, 0));
        assert_eq!((copy.origin_type, copy.original_task_id.as_ref()), (OriginType::Copy, Some(&source.id)));
        assert_eq!(
            (&copy.name, copy.priority, &copy.executor, &copy.params, &copy.schemas, &copy.description),
            (
                &source.name,
                source.priority,
                &source.executor,
                &source.params,
                &source.schemas,
                &source.description
            )
        );
        assert_eq!(
            (&copy.metadata, copy.retry, copy.timeout_ms),
            (&source.metadata, source.retry, source.timeout_ms)
        );
        assert_eq!(copy.has_children, source.has_children);
    }
    assert_eq!(copies[2].inputs.value(), json!({"n": 1}));
    assert_eq!(copies[2].parent_id.as_ref(), Some(&copies[1].id));
    // A reference by id follows its task.
    assert_eq!(copies[3].inputs.value()["from"]["$from"], copies[2].id.as_str());
    assert_eq!(copies[3].dependencies[0].id, copies[2].id);
}

#[test]
fn changes_are_for_the_copies_and_the_name_for_the_root() {
    let changes = TaskPatch { name: Some("new".into()), priority: Some(3), ..TaskPatch::default() };
    let request = CloneRequest { changes, user_id: Some("bob".into()), ..CloneRequest::copy("a".into()) };
    let clone = made(&tree(), &request, &[]);
    let names: Vec<_> = clone.tree.tasks.iter().map(|task| (task.name.as_str(), task.priority)).collect();
    assert_eq!((names, clone.tree.user_id.as_deref()), (vec![("new", 3), ("a1", 3)], Some("bob")));
}

#[test]
fn links_need_completed_tasks_of_the_same_owner() {
    let link = CloneRequest { mode: CloneMode::Link, ..CloneRequest::copy("r".into()) };
    let (code, text) = refused(&tree(), &link);
    assert_eq!(code, ErrorCode::CannotClone);
    assert!(text.contains("4 are not: [r: pending, a: pending, a1: pending, b: pending]"), "{text}");
    let other = CloneRequest { user_id: Some("bob".into()), ..link.clone() };
    assert!(refused(&completed(tree()), &other).1.contains("belongs to 'ann'"));
    let same = CloneRequest { user_id: Some("ann".into()), ..link };
    let links = preview(&made(&completed(tree()), &same, &[]), NOW);
    for link in &links {
        assert_eq!(
            (link.status, link.origin_type, link.is_link),
            (TaskStatus::Completed, OriginType::Link, true)
        );
        assert_eq!((link.inputs.as_str(), link.params.as_str(), &link.result), ("null", "null", &None));
    }
    // What a link depends on outside is dropped: it never runs.
    let part = CloneRequest { task: "b".into(), ..same };
    assert!(made(&completed(tree()), &part, &[]).tree.tasks[0].dependencies.is_empty());
}

#[test]
fn only_the_named_tasks_of_a_mixed_clone_are_links() {
    let mixed = CloneRequest { mode: CloneMode::Mixed, ..CloneRequest::copy("r".into()) };
    assert!(refused(&completed(tree()), &mixed).1.contains("'link_task_ids': it is missing"));
    let ghost = CloneRequest { link: vec!["ghost".into()], ..mixed.clone() };
    assert!(refused(&completed(tree()), &ghost).1.contains("'ghost' is not part of"));
    let request = CloneRequest { link: vec!["a".into()], ..mixed };
    let clone = made(&completed(tree()), &request, &[]);
    assert_eq!(
        clone.origins.iter().map(|origin| origin.link).collect::<Vec<_>>(),
        [false, true, false, false]
    );
    let named = CloneRequest { mode: CloneMode::Copy, ..request };
    assert!(refused(&tree(), &named).1.contains("goes with origin_type 'mixed'"));
}

#[test]
fn clones_of_links_are_clones_of_their_originals() {
    let source = completed(tree());
    let link = CloneRequest { mode: CloneMode::Link, ..CloneRequest::copy("r".into()) };
    let links = preview(&made(&source, &link, &[]), NOW);
    let of_links = CloneRequest { task: links[0].id.clone(), ..link };
    assert!(made(&links, &of_links, &source).origins.iter().zip(&source).all(|(o, s)| o.original == s.id));
    let copies = preview(&made(&links, &CloneRequest::copy(links[0].id.clone()), &source), NOW);
    assert_eq!(copies[2].inputs.value(), json!({"n": 1}));
    assert_eq!(
        (copies[2].executor.as_deref(), copies[2].original_task_id.as_ref()),
        (Some("x"), Some(&"a1".into()))
    );
    // The original's inputs name the original's dependency.
    assert_eq!(copies[3].inputs.value()["from"]["$from"], copies[2].id.as_str());
    let request = CloneRequest::copy(links[0].id.clone());
    let selection = select(&links, &request).unwrap();
    let error = build(&links, &selection, &std::collections::HashMap::new(), &request, NOW).unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskNotFound);
}

#[test]
fn an_archive_takes_no_connecting_tasks() {
    let source = completed(stored(json!([
        {"id": "r", "name": "r"}, {"id": "a", "name": "a", "parent_id": "r", "dependencies": ["b"]},
        {"id": "b", "name": "b", "parent_id": "r"},
    ])));
    let archive = CloneRequest { mode: CloneMode::Archive, ..CloneRequest::copy("a".into()) };
    assert!(
        refused(&source, &archive).1.contains("Cannot copy/archive a subtree with external dependencies")
    );
    assert_eq!(names(&source, &CloneRequest { auto_include_deps: true, ..archive.clone() }), "a b");
    let pending = CloneRequest { task: "b".into(), ..archive };
    assert_eq!(names(&source, &pending), "b");
    assert!(
        refused(&tree(), &CloneRequest { task: "a1".into(), ..pending })
            .1
            .starts_with("Cannot archive task 'a1'")
    );
}

#[test]
fn frozen_tasks_say_what_they_are() {
    let id = TaskId::from("t");
    for origin in [OriginType::Create, OriginType::Copy] {
        assert_eq!(check_mutable(&id, origin, "changed"), Ok(()));
    }
    let error = check_mutable(&id, OriginType::Archive, "changed").unwrap_err();
    assert_eq!(error.code, ErrorCode::TaskImmutable);
    assert!(error.message.starts_with("Task 't' is archived and cannot be changed."), "{error}");
    assert!(check_mutable(&id, OriginType::Link, "changed").unwrap_err().message.contains("is a link"));
    assert_eq!(check_not_archived(&id, OriginType::Link, "executed"), Ok(()));
    assert!(check_not_archived(&id, OriginType::Archive, "executed").is_err());
}

#[test]
fn a_link_is_read_at_its_own_place() {
    let source = completed(tree());
    let link = CloneRequest { mode: CloneMode::Link, ..CloneRequest::copy("r".into()) };
    let links = preview(&made(&source, &link, &[]), NOW);
    let read = read_through(links[2].clone(), &source[2]);
    assert_eq!(
        (&read.id, &read.parent_id, &read.tree_id),
        (&links[2].id, &links[2].parent_id, &links[2].tree_id)
    );
    assert_eq!((&read.result, &read.inputs), (&source[2].result, &source[2].inputs));
    assert_eq!((read.origin_type, read.original_task_id.as_ref()), (OriginType::Link, Some(&source[2].id)));
}

#[test]
fn a_long_chain_needs_no_stack() {
    let tasks: serde_json::Value = (0..20_000)
        .map(|i| match i {
            0 => json!({"id": "0", "name": "0"}),
            i => json!({"id": i.to_string(), "name": i.to_string(), "parent_id": (i - 1).to_string(),
                        "dependencies": [(i - 1).to_string()]}),
        })
        .collect();
    let tree = stored(tasks);
    let clone = made(&tree, &CloneRequest::copy("0".into()), &[]);
    assert_eq!((clone.tree.tasks.len(), clone.tree.tasks[19_999].dependencies[0].target), (20_000, 19_998));
}
