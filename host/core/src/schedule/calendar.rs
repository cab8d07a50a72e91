//! Points in time at which the clock on the wall fits a pattern. The pattern is croner's, the zone jiff's; what lies
//! between is here: what happens in the hour that a zone skips and in the one that it repeats.
//!
//! A pattern with a fixed hour means "at that time of the day": in a skipped hour it comes later by the length of the gap
//! (02:30 becomes 03:30), in a repeated hour the first time only. That is the rule of RFC 5545, so that exported
//! calendars say the same. A pattern whose hour is `*` (or `*/n`) means "again and again": it runs through a repeated hour
//! twice and has nothing to do in a skipped one.

use std::str::FromStr as _;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::clock::Timestamp;

/// No change of a zone moves the clock by more; the dateline has been crossed, so it is a day and not an hour.
const LARGEST_SHIFT_SECS: i64 = 25 * 3600;

/// A pattern in a zone.
#[derive(Debug)]
pub(super) struct Calendar {
    /// The five fields, divided by single spaces.
    pub pattern: String,
    pub zone: TimeZone,
    cron: Cron,
    /// Whether it runs through repeated hours.
    pub follows_clock: bool,
}

impl Calendar {
    /// Reads five fields.
    pub fn parse(pattern: &str, zone: TimeZone) -> Result<Self, String> {
        let fields: Vec<&str> = pattern.split_whitespace().collect();
        let [_, hour, ..] = fields[..] else { return Err("it has fewer than five fields".into()) };
        if fields.len() != 5 {
            return Err(format!("it has {} fields", fields.len()));
        }
        let cron = Cron::from_str(&fields.join(" ")).map_err(|error| error.to_string())?;
        Ok(Self { follows_clock: hour.starts_with('*'), pattern: fields.join(" "), zone, cron })
    }

    /// The first fitting point after `after`; none if there is none in this age.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let from = to_jiff(after)?;
        let shift = self.shift_near(from);
        let local = self.zone.to_datetime(from).checked_sub(jiff::SignedDuration::from_secs(shift)).ok()?;
        let mut next = self.next_local(start_of_minute(local)?, true)?;
        // Around a change of the zone points do not come in the order of the wall clock: all near ones are looked at.
        let mut best: Option<Timestamp> = None;
        let mut last = None;
        loop {
            let found = self.points(next).into_iter().flatten().filter(|point| *point > after).min();
            if let Some(point) = found {
                best = Some(best.map_or(point, |best| best.min(point)));
                if last.is_none() {
                    let shift = self.shift_near(to_jiff(point)?);
                    last = Some(next.checked_add(jiff::SignedDuration::from_secs(shift)).ok()?);
                }
            }
            match self.next_local(next, false) {
                Some(later) if last.is_none_or(|last| later <= last) => next = later,
                _ => return best,
            }
        }
    }

    /// By how many seconds the zone moves the clock within a day of a point.
    fn shift_near(&self, at: jiff::Timestamp) -> i64 {
        let offset = |secs: i64| {
            let moved = at.checked_add(jiff::SignedDuration::from_secs(secs)).unwrap_or(at);
            i64::from(self.zone.to_offset(moved).seconds())
        };
        let (before, now, later) = (offset(-LARGEST_SHIFT_SECS), offset(0), offset(LARGEST_SHIFT_SECS));
        (before - now).abs().max((later - now).abs())
    }

    /// The next fitting time on the wall clock.
    fn next_local(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        self.cron.find_next_occurrence(&from, inclusive).ok()
    }

    /// The points at which the wall clock shows this: none, one or two.
    fn points(&self, local: DateTime) -> [Option<Timestamp>; 2] {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(local, offset), None],
            AmbiguousOffset::Gap { .. } if self.follows_clock => [None, None],
            AmbiguousOffset::Gap { before, .. } => [at(local, before), None],
            AmbiguousOffset::Fold { before, after } if self.follows_clock => {
                [at(local, before), at(local, after)]
            }
            AmbiguousOffset::Fold { before, .. } => [at(local, before), None],
        }
    }
}

/// The point that a fixed time on the wall clock means.
pub(super) fn instant_of(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(local, offset),
        AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => at(local, before),
    }
}

pub(super) fn to_jiff(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(at.as_micros()).ok()
}

fn at(local: DateTime, offset: Offset) -> Option<Timestamp> {
    offset.to_timestamp(local).ok().map(|at| Timestamp::from_micros(at.as_microsecond()))
}

fn start_of_minute(local: DateTime) -> Option<DateTime> {
    local.with().second(0).subsec_nanosecond(0).build().ok()
}
