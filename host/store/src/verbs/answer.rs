//! What comes out of a turn: rows of several kinds, told apart by [`Cells::what`] and all in one layout, three numbers,
//! six texts, three numbers:
//!
//! | what | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 |
//! |---|---|---|---|---|---|---|---|---|---|---|---|---|
//! | touched | tree | execution | | id | owner | | | | | | | |
//! | claimed | task | tree | attempt | id | name | executor | inputs | params | more | tries | token | priority |
//! | dependent | claimed task | kind | status | id | name | executor | more | result | | | | |
//! | lost | task | token | | | | | | | | | | |
//! | ended | tree | execution | status | id | | | | | | | | |
//! | summary | ready tasks are left | next due | last position | | | | | | | | | |

use std::collections::HashMap;

use apflow_core::error::Result;
use apflow_core::id::{Seq, TaskId, TaskKey, Token, TreeId, TreeKey};
use apflow_core::store::{ClaimedRun, DependencyResult, TreeEnd, TurnOutcome};

use crate::error::corrupt;
use crate::rows::{Cells, More, at, json, kind, optional_json, optional_time, status, tree_status};

/// Puts the rows of a turn together.
#[derive(Default)]
pub(crate) struct Reader {
    pub outcome: TurnOutcome,
    /// The session is over, and nothing was done.
    pub over: bool,
    trees: HashMap<TreeKey, (TreeId, u32, Option<String>)>,
    /// Position of the claimed run that the last dependency belonged to: both come in the same order.
    dependent: usize,
}

impl Reader {
    pub fn take(&mut self, row: &impl Cells) -> Result<()> {
        let outcome = &mut self.outcome;
        match row.what()? {
            "touched" => {
                let tree = TreeKey(at(row, 0)?);
                outcome.touched.push(tree);
                self.trees.insert(tree, (at::<String>(row, 3)?.into(), at(row, 1)?, at(row, 4)?));
            }
            "claimed" => {
                let run = self.claimed(row)?;
                self.outcome.claimed.push(run);
            }
            "dependent" => {
                let key = TaskKey(at(row, 0)?);
                let later = outcome.claimed[self.dependent..].iter().position(|run| run.key == key);
                self.dependent += later.unwrap_or_default();
                if let Some(run) = outcome.claimed.get_mut(self.dependent) {
                    run.dependencies.push(dependency(row)?);
                }
            }
            "lost" => outcome.lost.push((TaskKey(at(row, 0)?), Token(at(row, 1)?))),
            "ended" => outcome.ended.push(ended(row)?),
            "over" => self.over = true,
            _ => {
                outcome.more = at::<i64>(row, 0)? != 0;
                outcome.next_due = optional_time(row, 1)?;
                outcome.last_seq = Seq(at(row, 2)?);
            }
        }
        Ok(())
    }

    fn claimed(&self, row: &impl Cells) -> Result<ClaimedRun> {
        let tree = TreeKey(at(row, 1)?);
        let (tree_id, execution, user_id) = self
            .trees
            .get(&tree)
            .cloned()
            .ok_or_else(|| corrupt(format!("A task names tree {}, which is not there", tree.0)))?;
        let mut more = More::read(at(row, 8)?)?;
        Ok(ClaimedRun {
            key: TaskKey(at(row, 0)?),
            tree,
            execution,
            id: TaskId::from(at::<&str>(row, 3)?),
            tree_id,
            name: at(row, 4)?,
            user_id,
            priority: at(row, 11)?,
            attempt: at(row, 2)?,
            tries: at(row, 9)?,
            token: Token(at(row, 10)?),
            executor: at(row, 5)?,
            inputs: json(row, 6)?,
            params: json(row, 7)?,
            schemas: more.schemas(),
            metadata: more.metadata,
            retry: more.retry,
            timeout_ms: more.timeout_ms,
            dependencies: Vec::new(),
        })
    }
}

fn dependency(row: &impl Cells) -> Result<DependencyResult> {
    Ok(DependencyResult {
        id: TaskId::from(at::<&str>(row, 3)?),
        name: at(row, 4)?,
        kind: kind(at(row, 1)?),
        executor: at(row, 5)?,
        schemas: More::read(at(row, 6)?)?.schemas(),
        status: status(at(row, 2)?)?,
        result: optional_json(row, 7)?,
    })
}

/// A row about an execution that ended.
pub(crate) fn ended(row: &impl Cells) -> Result<TreeEnd> {
    Ok(TreeEnd {
        tree: TreeKey(at(row, 0)?),
        tree_id: TreeId::from(at::<&str>(row, 3)?),
        execution: at(row, 1)?,
        status: tree_status(at(row, 2)?)?,
    })
}
