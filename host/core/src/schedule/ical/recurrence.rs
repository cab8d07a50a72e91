//! How a schedule repeats, as RFC 5545 says it.

use super::super::calendar::Calendar;
use super::super::timetable::Rule;
use super::super::{Schedule, Timetable};
use super::utc;
use crate::clock::Timestamp;

/// Explicit occurrences after the first one, at most.
const MAX_TIMES: usize = 365;
/// How far ahead explicit occurrences are looked for: a year.
const HORIZON_SECS: u64 = 366 * 24 * 3600;

/// Months and weekdays as cron names them, in the order of their numbers.
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What follows the first occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recurrence {
    /// Nothing.
    None,
    /// What the rule says, exactly.
    Rule(String),
    /// These.
    Times(Vec<Timestamp>),
}

/// How a schedule repeats after `start`, its next due time.
pub(super) fn recurrence(schedule: &Schedule, table: &Timetable, start: Timestamp) -> Recurrence {
    let left = schedule.max_runs.map(|most| most.saturating_sub(schedule.run_count).max(1));
    let rule = match &table.rule {
        Rule::Once(_) => return Recurrence::None,
        Rule::Interval(step) => Some(every(step.as_secs())),
        Rule::Calendar(calendar) => by_calendar(calendar),
    };
    // A rule has either a count or an end; and what starts off the pattern would be counted as one more.
    match (rule, left, schedule.schedule_end_at) {
        (Some(_), Some(_), Some(_)) | (None, _, _) => times(table, start, left),
        (Some(_), _, _) if !fits(table, start) => times(table, start, left),
        (Some(rule), None, None) => Recurrence::Rule(rule),
        (Some(_), Some(1), None) => Recurrence::None,
        (Some(rule), Some(left), None) => Recurrence::Rule(format!("{rule};COUNT={left}")),
        (Some(rule), None, Some(end)) => Recurrence::Rule(format!("{rule};UNTIL={}", utc(end))),
    }
}

/// Whether the next due time is one that the rule itself gives: an owner may have set another.
fn fits(table: &Timetable, start: Timestamp) -> bool {
    match &table.rule {
        Rule::Calendar(calendar) => {
            calendar.next_after(Timestamp::from_micros(start.as_micros() - 1)) == Some(start)
        }
        Rule::Once(_) | Rule::Interval(_) => start.as_micros() % 1_000_000 == 0,
    }
}

fn times(table: &Timetable, start: Timestamp, left: Option<u32>) -> Recurrence {
    let most = left.map_or(MAX_TIMES, |left| MAX_TIMES.min(left as usize - 1));
    let horizon = start.plus(std::time::Duration::from_secs(HORIZON_SECS));
    let later = std::iter::successors(table.following(start, start), |at| table.following(*at, *at));
    let times: Vec<Timestamp> = later.take_while(|at| *at <= horizon).take(most).collect();
    if times.is_empty() { Recurrence::None } else { Recurrence::Times(times) }
}

/// In the largest unit that divides the interval. In UTC, where days have 24 hours.
fn every(secs: u64) -> String {
    let units = [(86_400, "DAILY"), (3_600, "HOURLY"), (60, "MINUTELY"), (1, "SECONDLY")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| secs.is_multiple_of(*unit)).unwrap_or((1, "SECONDLY"));
    format!("FREQ={name};INTERVAL={}", secs / unit)
}

/// A cron pattern as a rule, where the standard can say it: plain numbers, ranges, steps and names, and not both days of
/// the month and of the week, of which cron takes either and the standard both.
fn by_calendar(calendar: &Calendar) -> Option<String> {
    let fields: Vec<&str> = calendar.pattern.split(' ').collect();
    let [minute, hour, day, month, weekday] = fields[..] else { return None };
    // A repeated hour comes once in the standard.
    if calendar.follows_clock && calendar.zone != jiff::tz::TimeZone::UTC {
        return None;
    }
    let minutes = numbers(minute, 0, 59, &[], 0)?;
    let hours = numbers(hour, 0, 23, &[], 0)?;
    let days = numbers(day, 1, 31, &[], 0)?;
    let months = numbers(month, 1, 12, &MONTHS, 1)?;
    let weekdays = numbers(weekday, 0, 7, &DAYS, 0)?;
    let (any_day, any_month, any_weekday) = (is_any(day), is_any(month), is_any(weekday));
    let (frequency, days) = match (any_day, any_weekday) {
        (true, true) => ("DAILY", String::new()),
        (true, false) => ("WEEKLY", format!(";BYDAY={}", weekday_names(&weekdays))),
        (false, true) => ("MONTHLY", format!(";BYMONTHDAY={}", joined(&days))),
        (false, false) => return None,
    };
    let months = if any_month { String::new() } else { format!(";BYMONTH={}", joined(&months)) };
    Some(format!(
        "FREQ={frequency}{months}{days};BYHOUR={};BYMINUTE={};BYSECOND=0",
        joined(&hours),
        joined(&minutes)
    ))
}

fn is_any(field: &str) -> bool {
    field == "*" || field == "?"
}

fn joined(numbers: &[u8]) -> String {
    numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

/// Cron's 0 and 7 are both Sunday.
fn weekday_names(numbers: &[u8]) -> String {
    let mut days: Vec<u8> = numbers.iter().map(|day| day % 7).collect();
    days.sort_unstable();
    days.dedup();
    days.iter().map(|day| &DAYS[usize::from(*day)][..2]).collect::<Vec<_>>().join(",")
}

/// The numbers of a field, sorted; none if it says something that is more than a set of numbers.
fn numbers(field: &str, least: u8, most: u8, names: &[&str], first_name: u8) -> Option<Vec<u8>> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = named.map(|at| at as u8 + first_name).or_else(|| text.parse().ok())?;
        (least..=most).contains(&number).then_some(number)
    };
    let mut all = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u8>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if is_any(range) => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => return None,
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return None;
        }
        all.extend((from..=to).step_by(usize::from(step)));
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sets_of_numbers_or_nothing() {
        assert_eq!(numbers("*/20", 0, 59, &[], 0), Some(vec![0, 20, 40]));
        assert_eq!(numbers("1-5/2,9", 0, 59, &[], 0), Some(vec![1, 3, 5, 9]));
        assert_eq!(numbers("jan,Mar", 1, 12, &MONTHS, 1), Some(vec![1, 3]));
        assert_eq!(numbers("mon-fri", 0, 7, &DAYS, 0), Some(vec![1, 2, 3, 4, 5]));
        for more in ["L", "15W", "MON#2", "60", "5-1", "3/5", "*/0"] {
            assert_eq!(numbers(more, 0, 59, &DAYS, 0), None, "{more}");
        }
    }

    #[test]
    fn intervals_keep_their_length() {
        assert_eq!(every(60), "FREQ=MINUTELY;INTERVAL=1");
        assert_eq!(every(90), "FREQ=SECONDLY;INTERVAL=90");
        assert_eq!(every(7_200), "FREQ=HOURLY;INTERVAL=2");
        assert_eq!(every(172_800), "FREQ=DAILY;INTERVAL=2");
    }
}
