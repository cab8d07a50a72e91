//! A schedule made ready to be asked: when is it due next?

use std::time::Duration;

use super::calendar::Calendar;
use super::expression;
use super::{DEFAULT_ZONE, Schedule};
use crate::clock::Timestamp;
use crate::error::Result;

/// What an expression says.
#[derive(Debug)]
pub(super) enum Rule {
    /// Once, then.
    Once(Timestamp),
    /// Every so often.
    Interval(Duration),
    /// Whenever the clock on the wall shows so.
    Calendar(Box<Calendar>),
}

/// The due times of a schedule.
#[derive(Debug)]
pub struct Timetable {
    pub(super) rule: Rule,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Timetable {
    /// The due times of a schedule; none for one that is not set.
    ///
    /// # Errors
    /// `ScheduleInvalid`, naming the field that cannot be read.
    pub fn of(schedule: &Schedule) -> Result<Option<Self>> {
        let Some(kind) = schedule.schedule_type else { return Ok(None) };
        let zone = expression::zone(schedule.schedule_timezone.as_deref().unwrap_or(DEFAULT_ZONE))?;
        let text = schedule.schedule_expression.as_deref().unwrap_or_default();
        let rule = expression::rule(kind, text, &zone)?;
        Ok(Some(Self { rule, start: schedule.schedule_start_at, end: schedule.schedule_end_at }))
    }

    /// The first due time after `now` of a schedule that begins now. An interval counts from now or the start of its
    /// window, whichever is later.
    pub fn first(&self, now: Timestamp) -> Option<Timestamp> {
        let start = self.start.filter(|start| *start > now);
        let next = match &self.rule {
            Rule::Once(at) => Some(*at).filter(|at| *at > now && start.is_none_or(|start| *at >= start)),
            Rule::Interval(step) => Some(start.unwrap_or(now).plus(*step)),
            // The start itself is inside the window.
            Rule::Calendar(calendar) => {
                calendar.next_after(start.map_or(now, |start| Timestamp::from_micros(start.as_micros() - 1)))
            }
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }

    /// The first due time that comes after `due`, which is one, and after `now`. Intervals keep to the grid on which `due`
    /// lies, so that they do not drift however late they are looked at.
    pub fn following(&self, due: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let next = match &self.rule {
            Rule::Once(_) => None,
            Rule::Interval(step) => {
                let (step, passed) =
                    (step.as_micros() as i64, now.as_micros().saturating_sub(due.as_micros()));
                let steps = if passed < 0 { 1 } else { passed / step + 1 };
                let next = step.checked_mul(steps).and_then(|span| due.as_micros().checked_add(span));
                next.map(Timestamp::from_micros)
            }
            Rule::Calendar(calendar) => calendar.next_after(due.max(now)),
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }
}
