//! The lines in front of the names in a tree.

/// For tasks in pre-order, each given as (id, parent): what stands in front of its name, for example `│  └─ `. A task
/// whose parent is not among them is a root.
pub fn outline<'a>(tasks: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Vec<String> {
    let tasks: Vec<_> = tasks.into_iter().collect();
    let depths = depths(&tasks);
    let mut prefixes = vec![String::new(); tasks.len()];
    // From the end to the beginning: at each depth, whether a sibling follows below.
    let mut follows: Vec<bool> = Vec::new();
    for (i, depth) in depths.iter().enumerate().rev() {
        follows.resize(depth + 1, false);
        let mut prefix = String::new();
        for follows in follows.iter().take(*depth).skip(1) {
            prefix.push_str(if *follows { "│  " } else { "   " });
        }
        if *depth > 0 {
            prefix.push_str(if follows[*depth] { "├─ " } else { "└─ " });
        }
        follows[*depth] = true;
        prefixes[i] = prefix;
    }
    prefixes
}

fn depths(tasks: &[(&str, Option<&str>)]) -> Vec<usize> {
    let mut open: Vec<&str> = Vec::new();
    tasks
        .iter()
        .map(|(id, parent)| {
            while open.last().is_some_and(|above| Some(*above) != *parent) {
                open.pop();
            }
            open.push(id);
            open.len() - 1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(tasks: &[(&str, Option<&str>)]) -> Vec<String> {
        outline(tasks.iter().copied())
            .iter()
            .zip(tasks)
            .map(|(prefix, (id, _))| format!("{prefix}{id}"))
            .collect()
    }

    #[test]
    fn siblings_are_joined() {
        let tasks = [
            ("root", None),
            ("a", Some("root")),
            ("a1", Some("a")),
            ("a2", Some("a")),
            ("b", Some("root")),
            ("b1", Some("b")),
        ];
        assert_eq!(drawn(&tasks), ["root", "├─ a", "│  ├─ a1", "│  └─ a2", "└─ b", "   └─ b1"]);
    }

    #[test]
    fn a_part_of_a_tree_begins_with_its_own_root() {
        assert_eq!(drawn(&[("a", Some("elsewhere")), ("a1", Some("a"))]), ["a", "└─ a1"]);
        assert_eq!(drawn(&[("only", None)]), ["only"]);
        assert!(drawn(&[]).is_empty());
    }
}
