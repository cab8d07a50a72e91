//! What readers of the log saw, over whatever broke their streams: every position, once, in order.

use apflow_core::event::Event;
use apflow_core::id::Seq;

/// Compares the positions that a reader saw, in the order in which it saw them, with the whole log from position `after` on.
///
/// # Errors
/// A sentence for the first place where they differ.
pub fn check(log: &[Event], after: Seq, seen: &[Seq]) -> Result<(), String> {
    let mut expected = log.iter().map(|event| event.seq).filter(|seq| *seq > after);
    for (i, seq) in seen.iter().enumerate() {
        let wanted = expected.next();
        if wanted == Some(*seq) {
            continue;
        }
        let before = i.checked_sub(1).map_or(after, |before| seen[before]);
        return Err(match wanted {
            _ if *seq <= before => format!("seq {} came again or too late, after {}", seq.0, before.0),
            Some(wanted) if wanted < *seq => format!("seq {} was left out, {} came instead", wanted.0, seq.0),
            _ => format!("seq {} is not in the log", seq.0),
        });
    }
    match expected.next() {
        Some(missing) => Err(format!("seq {} and what follows never came", missing.0)),
        None => Ok(()),
    }
}
