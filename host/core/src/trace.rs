//! The place of an attempt in a distributed trace, after W3C Trace Context. All ids follow from the tree, the task and the
//! attempt, so that what a plugin sends on, and what a collector exports later, also for the second time, name the same
//! trace and span. A trace is a tree; its root span stands for the tree, each attempt is a child of it.

use sha2::{Digest as _, Sha256};

use crate::id::{TaskId, TreeId};

/// The `traceparent` of a tree's root span: `00-<trace>-<span>-01`.
pub fn of_tree(tree: &TreeId) -> String {
    parent(&digest(&[tree.as_str()]), &digest(&["tree", tree.as_str()]))
}

/// The `traceparent` of an attempt at a task of the tree.
pub fn of_attempt(tree: &TreeId, task: &TaskId, attempt: u32) -> String {
    let span = digest(&["attempt", tree.as_str(), task.as_str(), &attempt.to_string()]);
    parent(&digest(&[tree.as_str()]), &span)
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// All-zero ids would be invalid; no digest is known that begins so.
fn parent(trace: &[u8; 32], span: &[u8; 32]) -> String {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex(&mut text, &trace[..16]);
    text.push('-');
    hex(&mut text, &span[..8]);
    text.push_str("-01");
    text
}

fn hex(text: &mut String, bytes: &[u8]) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_of_a_tree_share_the_trace_and_differ_in_the_span() {
        let (tree, task) = (TreeId::from("t"), TaskId::from("a"));
        let all = [of_tree(&tree), of_attempt(&tree, &task, 1), of_attempt(&tree, &task, 2)];
        for one in &all {
            let parts: Vec<&str> = one.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{one}");
            assert_eq!((parts[0], parts[3]), ("00", "01"));
            assert_eq!(parts[1], &all[0][3..35]);
        }
        assert!(all[0] != all[1] && all[1] != all[2]);
        assert_eq!(all[1], of_attempt(&tree, &task, 1));
        assert_ne!(of_tree(&TreeId::from("u"))[3..35], all[0][3..35]);
    }
}
