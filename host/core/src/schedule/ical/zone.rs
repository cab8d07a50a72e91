//! A time zone as iCalendar defines it: which offset holds from when, as a list of changes. Readers that know the IANA
//! name use their own data; for others twenty years are listed.

use std::collections::BTreeMap;

use jiff::tz::{Offset, TimeZone};

use super::super::calendar::to_jiff;
use super::lines::Lines;
use crate::clock::Timestamp;

/// How many changes are listed: two a year.
const CHANGES: usize = 40;

/// Offset before, offset after, whether it is summer time, abbreviation.
type Kind = (i32, i32, bool, String);

/// Writes the definition of a zone from a point on.
pub(super) fn definition(lines: &mut Lines, name: &str, zone: &TimeZone, from: Timestamp) {
    let from = to_jiff(from).unwrap_or_default();
    let mut changes: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    let now = zone.to_offset_info(from);
    // What holds at the beginning began with the change before; in a zone without one it always has.
    let before = zone.preceding(from).next();
    let first = before.as_ref().map_or(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZoneTransition::timestamp);
    let mut offset = match &before {
        Some(change) => offset_before(zone, change.timestamp()),
        None => now.offset(),
    };
    let mut list = vec![(first, now.offset(), now.dst().is_dst(), now.abbreviation().to_owned())];
    list.extend(zone.following(from).take(CHANGES).map(|change| {
        (change.timestamp(), change.offset(), change.dst().is_dst(), change.abbreviation().to_owned())
    }));
    for (at, to, summer, abbreviation) in list {
        // The wall clock as it showed until then.
        let local = offset.to_datetime(at).strftime("%Y%m%dT%H%M%S").to_string();
        changes.entry((offset.seconds(), to.seconds(), summer, abbreviation)).or_default().push(local);
        offset = to;
    }
    lines.raw("BEGIN", "VTIMEZONE");
    lines.raw("TZID", name);
    for ((before, after, summer, abbreviation), times) in changes {
        let part = if summer { "DAYLIGHT" } else { "STANDARD" };
        lines.raw("BEGIN", part);
        lines.raw("DTSTART", &times[0]);
        lines.raw("TZOFFSETFROM", &text_of(before));
        lines.raw("TZOFFSETTO", &text_of(after));
        lines.text("TZNAME", &abbreviation);
        if times.len() > 1 {
            lines.raw("RDATE", &times[1..].join(","));
        }
        lines.raw("END", part);
    }
    lines.raw("END", "VTIMEZONE");
}

fn offset_before(zone: &TimeZone, at: jiff::Timestamp) -> Offset {
    zone.to_offset(at.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(at))
}

/// `+0130`, with seconds where there are some.
fn text_of(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (all, rest) = (seconds.abs() / 60, seconds.abs() % 60);
    let rest = if rest == 0 { String::new() } else { format!("{rest:02}") };
    format!("{sign}{:02}{:02}{rest}", all / 60, all % 60)
}
