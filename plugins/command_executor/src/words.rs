//! From a command line to words. The rules of quoting are the shell's; whatever else a shell would do with the line is
//! refused, because doing nothing with it would be a silent change of meaning. Called by the executor.

use apflow_sdk::Failure;

/// The words of `command`, without their quotes. A line without words is no error here.
pub fn split(command: &str) -> Result<Vec<String>, Failure> {
    if let Some((operator, at)) = operator(command) {
        return Err(shell_syntax(&format!(
            "command has {operator} at character {at}, which only a shell understands"
        )));
    }
    shell_words::split(command).map_err(|_| shell_syntax("command has a quote that is never closed"))
}

fn shell_syntax(problem: &str) -> Failure {
    let message = format!(
        "{problem}; there is no shell: quote it if it is meant literally, or make each program a task of its own and \
         pass results between them"
    );
    Failure::bad_input("shell_syntax", message, "/command")
}

/// The first shell operator that is not quoted, and its position in characters from 1.
fn operator(command: &str) -> Option<(&'static str, usize)> {
    let mut quote = None;
    let mut chars = command.trim().chars().zip(1..).peekable();
    while let Some((char, at)) = chars.next() {
        let next = chars.peek().map(|&(next, _)| next);
        match (quote, char) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                chars.next();
            }
            // Double quotes keep a shell from splitting, not from substituting.
            (_, '`') => return Some(("a backquote", at)),
            (_, '$') if next == Some('(') => return Some(("`$(`", at)),
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, ';') => return Some(("`;`", at)),
            (None, '|') => return Some(("`|`", at)),
            (None, '&') => return Some(("`&`", at)),
            (None, '<') => return Some(("`<`", at)),
            (None, '>') => return Some(("`>`", at)),
            (None, '\n') => return Some(("a line break", at)),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (line, words) in [
            ("echo hello", vec!["echo", "hello"]),
            ("  grep -c 'two words'  a\\ b ", vec!["grep", "-c", "two words", "a b"]),
            (r#"printf "%s\n" "a;b" 'c|d' e\&f"#, vec!["printf", "%s\\n", "a;b", "c|d", "e&f"]),
            (r#"echo '$(id)' '`id`' "a>b" $HOME *"#, vec!["echo", "$(id)", "`id`", "a>b", "$HOME", "*"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused_with_its_place() {
        for (line, operator) in [
            ("echo a; id -u", "`;` at character 7"),
            ("echo a|id", "`|`"),
            ("sleep 9 &", "`&`"),
            ("a && b", "`&`"),
            ("cat <f", "`<`"),
            ("echo x >> f", "`>`"),
            ("echo `id`", "a backquote"),
            ("echo $(id)", "`$(`"),
            (r#"echo "$(id)""#, "`$(`"),
            (r#"echo "`id`""#, "a backquote"),
            ("echo a\nid", "a line break"),
            ("echo 'a'; id", "`;`"),
            ("echo 'open", "a quote that is never closed"),
        ] {
            let failure = split(line).unwrap_err();
            assert_eq!(failure.code(), "shell_syntax");
            assert!(failure.to_string().contains(operator), "{line}: {failure}");
            assert!(failure.to_string().contains("there is no shell"), "{failure}");
        }
    }
}
