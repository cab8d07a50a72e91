//! What the answer to a delivery means.

use std::time::Duration;

/// The longest wait that an endpoint may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint answered.
    Status {
        /// HTTP status.
        status: u16,
        /// What it asks for with `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// There was no answer, or not in time; another attempt may get one.
    Unreachable(String),
    /// It may not be sent at all: the address is private, the URL or the secret wrong.
    Refused(String),
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// Try again, not before this time has passed.
    Retry(Option<Duration>),
    /// It will never be taken.
    Dead,
    /// The endpoint wants nothing any more.
    Gone,
}

impl Answer {
    /// What to do about it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Status { status: 200..=299, .. } => Verdict::Delivered,
            Self::Status { status: 408 | 429 | 500..=599, retry_after } => {
                Verdict::Retry(retry_after.map(|wait| wait.min(LONGEST_WAIT)))
            }
            Self::Status { status: 410, .. } => Verdict::Gone,
            Self::Status { .. } | Self::Refused(_) => Verdict::Dead,
            Self::Unreachable(_) => Verdict::Retry(None),
        }
    }

    /// HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Refused(_) => None,
        }
    }

    /// Why it was not delivered; none if it was.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Status { status: 200..=299, .. } => None,
            Self::Status { status: status @ 300..=399, .. } => {
                Some(format!("The endpoint answered with status {status}; redirects are not followed"))
            }
            Self::Status { status, .. } => Some(format!("The endpoint answered with status {status}")),
            Self::Unreachable(problem) | Self::Refused(problem) => Some(problem.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_meaning() {
        let verdict = |status| Answer::Status { status, retry_after: None }.verdict();
        for (statuses, expected) in [
            (&[200, 202, 204, 299][..], Verdict::Delivered),
            (&[408, 429, 500, 502, 503, 599][..], Verdict::Retry(None)),
            (&[100, 301, 307, 400, 401, 404, 409, 422][..], Verdict::Dead),
            (&[410][..], Verdict::Gone),
        ] {
            for status in statuses {
                assert_eq!(verdict(*status), expected, "{status}");
            }
        }
        assert_eq!(Answer::Unreachable("no".into()).verdict(), Verdict::Retry(None));
        assert_eq!(Answer::Refused("no".into()).verdict(), Verdict::Dead);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_day_at_most() {
        let asks =
            |secs| Answer::Status { status: 429, retry_after: Some(Duration::from_secs(secs)) }.verdict();
        assert_eq!(asks(7), Verdict::Retry(Some(Duration::from_secs(7))));
        assert_eq!(asks(1_000_000), Verdict::Retry(Some(LONGEST_WAIT)));
    }
}
