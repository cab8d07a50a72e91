//! Schedules as an iCalendar document (RFC 5545): one event a schedule, beginning at its next due time.
//!
//! What a rule can say exactly becomes an `RRULE`; anything else (a cron pattern with days of the month *or* of the week, a
//! limit of runs together with an end, …) becomes the explicit list of its next occurrences. Nothing is approximated. The
//! identifier of an event stays the same over exports, so that calendars replace it instead of showing it twice.
//!
//! Written by hand and not with a library: the one that is kept up reads the system's clock for times that it finds
//! missing, and needs two other time libraries. The tests read what is written here with that library.

mod lines;
mod recurrence;
mod zone;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::calendar::to_jiff;
use super::timetable::Rule;
use super::{Schedule, Timetable};
use crate::clock::Timestamp;
use crate::error::Result;
use lines::Lines;
use recurrence::{Recurrence, recurrence};

/// How long an event is shown to last.
const DURATION: &str = "PT30M";

/// What the calendar as a whole says.
#[derive(Debug, Clone)]
pub struct CalendarInfo {
    /// Its name.
    pub name: String,
    /// Where tasks are shown; events link to `<base_url>/tasks/<id>`.
    pub base_url: Option<String>,
    /// When it is written.
    pub now: Timestamp,
}

/// A schedule to be shown.
#[derive(Debug, Clone)]
pub struct Entry<'t> {
    /// Id of the root.
    pub id: &'t str,
    /// Name of the root.
    pub name: &'t str,
    /// Description of the root.
    pub description: Option<&'t str>,
    /// The schedule.
    pub schedule: &'t Schedule,
}

/// The document and the number of events in it. Schedules without a next due time have none.
///
/// # Errors
/// `ScheduleInvalid` for a schedule that cannot be read.
pub fn document(info: &CalendarInfo, entries: &[Entry<'_>]) -> Result<(String, usize)> {
    let mut events = Lines::default();
    let mut zones: BTreeMap<String, (TimeZone, Timestamp)> = BTreeMap::new();
    let mut count = 0;
    for entry in entries {
        let (Some(start), Some(table)) = (entry.schedule.next_run_at, Timetable::of(entry.schedule)?) else {
            continue;
        };
        let zone = event(&mut events, info, entry, &table, start);
        if let Some((name, zone)) = zone {
            let first = zones.entry(name).or_insert((zone, start));
            first.1 = first.1.min(start);
        }
        count += 1;
    }
    let mut lines = Lines::default();
    lines.raw("BEGIN", "VCALENDAR");
    lines.raw("VERSION", "2.0");
    lines.raw("PRODID", "-//apflow//apflow-host//EN");
    lines.raw("CALSCALE", "GREGORIAN");
    lines.raw("METHOD", "PUBLISH");
    lines.text("NAME", &info.name);
    lines.text("X-WR-CALNAME", &info.name);
    for (name, (zone, start)) in &zones {
        zone::definition(&mut lines, name, zone, *start);
    }
    lines.append(&events);
    lines.raw("END", "VCALENDAR");
    Ok((lines.into_text(), count))
}

/// Writes an event; gives the zone that it refers to, where that is not UTC.
fn event(
    lines: &mut Lines,
    info: &CalendarInfo,
    entry: &Entry<'_>,
    table: &Timetable,
    start: Timestamp,
) -> Option<(String, TimeZone)> {
    let recurrence = recurrence(entry.schedule, table, start);
    let zone = local_zone(table, &recurrence);
    lines.raw("BEGIN", "VEVENT");
    lines.text("UID", &format!("apflow-{}@apflow.local", entry.id));
    lines.raw("DTSTAMP", &utc(info.now));
    match &zone {
        Some((name, zone)) => lines.raw(&format!("DTSTART;TZID={name}"), &local(start, zone)),
        None => lines.raw("DTSTART", &utc(start)),
    }
    lines.raw("DURATION", DURATION);
    match recurrence {
        Recurrence::None => {}
        Recurrence::Rule(rule) => lines.raw("RRULE", &rule),
        Recurrence::Times(times) => {
            let times: Vec<String> = times.into_iter().map(utc).collect();
            lines.raw("RDATE", &times.join(","));
        }
    }
    lines.text("SUMMARY", entry.name);
    if let Some(description) = entry.description {
        lines.text("DESCRIPTION", description);
    }
    if let Some(base) = &info.base_url {
        lines.raw("URL", &format!("{}/tasks/{}", base.trim_end_matches('/'), encoded(entry.id)));
    }
    lines.text("X-APFLOW-TASK-ID", entry.id);
    if let Some(kind) = entry.schedule.schedule_type {
        lines.raw("X-APFLOW-SCHEDULE-TYPE", kind.as_str());
    }
    lines.raw("TRANSP", "TRANSPARENT");
    lines.raw("END", "VEVENT");
    zone
}

/// The zone in which a rule must be read: that of a calendar rule, unless it is UTC.
fn local_zone(table: &Timetable, recurrence: &Recurrence) -> Option<(String, TimeZone)> {
    let (Rule::Calendar(calendar), Recurrence::Rule(_)) = (&table.rule, recurrence) else { return None };
    let name = calendar.zone.iana_name().filter(|_| calendar.zone != TimeZone::UTC)?;
    Some((name.to_owned(), calendar.zone.clone()))
}

/// `20300131T090000Z`.
fn utc(at: Timestamp) -> String {
    format!("{}Z", local(at, &TimeZone::UTC))
}

/// `20300131T090000`.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    let local = zone.to_datetime(to_jiff(at).unwrap_or_default());
    local.strftime("%Y%m%dT%H%M%S").to_string()
}

/// An id as a part of a URL's path.
fn encoded(id: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    id.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
