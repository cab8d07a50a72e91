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

#[cfg(test)]
mod tests {
    use apflow_core::clock::Timestamp;
    use apflow_core::event::EventKind;

    use super::*;

    fn log() -> Vec<Event> {
        let event = |seq| Event {
            seq: Seq(seq),
            tree_id: "tree".into(),
            task_id: None,
            executor: None,
            attempt: 0,
            kind: EventKind::TreeCreated,
            at: Timestamp::default(),
            started_at: None,
            data: None,
        };
        [1, 2, 5, 6].map(event).to_vec()
    }

    fn problem(seen: &[i64]) -> String {
        let seen: Vec<Seq> = seen.iter().copied().map(Seq).collect();
        check(&log(), Seq(1), &seen).unwrap_err()
    }

    #[test]
    fn a_reader_sees_every_position_once_and_in_order() {
        assert_eq!(check(&log(), Seq(1), &[Seq(2), Seq(5), Seq(6)]), Ok(()));
        assert_eq!(problem(&[2, 2, 5, 6]), "seq 2 came again or too late, after 2");
        assert_eq!(problem(&[2, 5, 2]), "seq 2 came again or too late, after 5");
        assert_eq!(problem(&[2, 6]), "seq 5 was left out, 6 came instead");
        assert_eq!(problem(&[2, 5]), "seq 6 and what follows never came");
        assert_eq!(problem(&[2, 3]), "seq 3 is not in the log");
        assert_eq!(problem(&[2, 5, 6, 7]), "seq 7 is not in the log");
    }
}
