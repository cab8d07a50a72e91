//! Reading expressions. Daily, weekly and monthly are cron patterns in plainer words, so that all four share one
//! arithmetic.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use super::calendar::{Calendar, instant_of};
use super::timetable::Rule;
use super::{ScheduleType, invalid};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The longest interval: ten years.
const MAX_INTERVAL_SECS: u64 = 315_360_000;

const FIELD: &str = "schedule_expression";

/// The zone with that IANA name.
pub(super) fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        invalid(
            "schedule_timezone",
            name,
            "there is no such time zone; use an IANA name, for example Europe/Berlin",
        )
    })
}

pub(super) fn rule(kind: ScheduleType, text: &str, zone: &TimeZone) -> Result<Rule> {
    let refuse = |remedy: &str| invalid(FIELD, text, format!("{remedy} (schedule_type '{}')", kind.as_str()));
    let calendar = |pattern: &str| {
        let calendar = Calendar::parse(pattern, zone.clone()).map_err(|problem| {
            refuse(&format!(
                "{problem}; five fields are expected: minute, hour, day of month, month, day of week"
            ))
        })?;
        Ok(Rule::Calendar(Box::new(calendar)))
    };
    match kind {
        ScheduleType::Once => once(text, zone).map(Rule::Once).ok_or_else(|| {
            refuse("a date and time is expected, for example 2030-01-31T09:00:00Z, or without an offset in the zone of the schedule")
        }),
        ScheduleType::Interval => match text.parse::<u64>() {
            Ok(secs) if (1..=MAX_INTERVAL_SECS).contains(&secs) => Ok(Rule::Interval(Duration::from_secs(secs))),
            _ => Err(refuse(&format!("a whole number of seconds from 1 to {MAX_INTERVAL_SECS} is expected"))),
        },
        ScheduleType::Cron => calendar(text),
        ScheduleType::Daily => {
            let (hour, minute) = time_of_day(text).ok_or_else(|| refuse("a time HH:MM from 00:00 to 23:59 is expected"))?;
            calendar(&format!("{minute} {hour} * * *"))
        }
        ScheduleType::Weekly => {
            let (days, hour, minute) = days_and_time(text, 7)
                .ok_or_else(|| refuse("days 1 (Monday) to 7 and a time are expected, for example 1,3,5 09:00"))?;
            calendar(&format!("{minute} {hour} * * {days}"))
        }
        ScheduleType::Monthly => {
            let (days, hour, minute) = days_and_time(text, 31)
                .ok_or_else(|| refuse("days of the month 1 to 31 and a time are expected, for example 1,15 09:00"))?;
            calendar(&format!("{minute} {hour} {days} * *"))
        }
    }
}

/// RFC 3339, or the same without an offset, which the zone then gives.
fn once(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(at) = Timestamp::parse(text) {
        return Some(at);
    }
    let text = text.trim();
    let has_time = text.contains(['T', 't', ' ']);
    let local: civil::DateTime = text.parse().ok().filter(|_| has_time && !text.ends_with(['Z', 'z']))?;
    instant_of(local, zone)
}

/// `HH:MM`.
fn time_of_day(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.trim().split_once(':')?;
    let part = |text: &str, below: u8| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|number| digits && *number < below)
    };
    Some((part(hour, 24)?, part(minute, 60).filter(|_| minute.len() == 2)?))
}

/// `1,3,5 09:00`: the days, sorted and without duplicates, and the time.
fn days_and_time(text: &str, most: u8) -> Option<(String, u8, u8)> {
    let (days, time) = text.trim().split_once(' ')?;
    let mut list = Vec::new();
    for day in days.split(',') {
        list.push(day.trim().parse::<u8>().ok().filter(|day| (1..=most).contains(day))?);
    }
    list.sort_unstable();
    list.dedup();
    let days = list.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let (hour, minute) = time_of_day(time)?;
    Some((days, hour, minute))
}

/// A schedule of this type whose expression never comes.
pub(super) fn never(text: &str) -> Error {
    invalid(FIELD, text, "no point in time fits it (a day that no month has?)")
}
