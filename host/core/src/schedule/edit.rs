//! An owner's change of a schedule, from wire fields to the schedule that it makes. Setting one computes the next due time.

use serde_json::{Map, Value};

use super::expression::never;
use super::timetable::Rule;
use super::{DEFAULT_ZONE, MissedPolicy, OverlapPolicy, Schedule, ScheduleType, Timetable, invalid};
use crate::clock::Timestamp;
use crate::error::Result;

/// The longest expression.
const MAX_EXPRESSION_CHARS: usize = 100;

/// The fields of a schedule that an owner may change.
pub const FIELDS: [&str; 12] = [
    "schedule_type",
    "schedule_expression",
    "schedule_enabled",
    "schedule_start_at",
    "schedule_end_at",
    "schedule_timezone",
    "schedule_missed",
    "schedule_overlap",
    "next_run_at",
    "last_run_at",
    "max_runs",
    "run_count",
];

/// What to change; `None` leaves a field as it is, `Some(None)` empties it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulePatch {
    /// The type; emptied, the schedule is gone.
    pub schedule_type: Option<Option<ScheduleType>>,
    /// The expression.
    pub schedule_expression: Option<Option<String>>,
    /// Whether it is in force.
    pub schedule_enabled: Option<bool>,
    /// No due time before.
    pub schedule_start_at: Option<Option<Timestamp>>,
    /// No due time after.
    pub schedule_end_at: Option<Option<Timestamp>>,
    /// The zone.
    pub schedule_timezone: Option<Option<String>>,
    /// The policy for due times that nobody saw.
    pub schedule_missed: Option<Option<MissedPolicy>>,
    /// The policy for due times during a run.
    pub schedule_overlap: Option<Option<OverlapPolicy>>,
    /// The next due time, instead of the computed one.
    pub next_run_at: Option<Option<Timestamp>>,
    /// When the last run ended.
    pub last_run_at: Option<Option<Timestamp>>,
    /// At most so many runs.
    pub max_runs: Option<Option<u32>>,
    /// Runs that have ended.
    pub run_count: Option<u32>,
    /// Computes the next due time anew, as of then.
    pub begin_at: Option<Timestamp>,
}

impl SchedulePatch {
    /// Takes the fields of a schedule out of a task object; none if it has none of them.
    ///
    /// # Errors
    /// `ScheduleInvalid` for the first field of the wrong form.
    pub fn take(fields: &mut Map<String, Value>) -> Result<Option<Self>> {
        let mut taken = |field: &str| fields.remove(field);
        let mut patch = Self::default();
        if let Some(value) = taken("schedule_type") {
            patch.schedule_type =
                Some(one_of("schedule_type", &value, ScheduleType::ALL, ScheduleType::as_str)?);
        }
        if let Some(value) = taken("schedule_expression") {
            patch.schedule_expression = Some(text("schedule_expression", &value)?);
        }
        if let Some(value) = taken("schedule_enabled") {
            patch.schedule_enabled = Some(switch("schedule_enabled", &value)?);
        }
        if let Some(value) = taken("schedule_timezone") {
            patch.schedule_timezone = Some(text("schedule_timezone", &value)?);
        }
        if let Some(value) = taken("schedule_missed") {
            patch.schedule_missed =
                Some(one_of("schedule_missed", &value, MissedPolicy::ALL, MissedPolicy::as_str)?);
        }
        if let Some(value) = taken("schedule_overlap") {
            patch.schedule_overlap =
                Some(one_of("schedule_overlap", &value, OverlapPolicy::ALL, OverlapPolicy::as_str)?);
        }
        let times = [
            ("schedule_start_at", &mut patch.schedule_start_at),
            ("schedule_end_at", &mut patch.schedule_end_at),
            ("next_run_at", &mut patch.next_run_at),
            ("last_run_at", &mut patch.last_run_at),
        ];
        for (field, place) in times {
            if let Some(value) = taken(field) {
                *place = Some(time(field, &value)?);
            }
        }
        if let Some(value) = taken("max_runs") {
            patch.max_runs = Some(count("max_runs", &value, 1)?);
        }
        if let Some(value) = taken("run_count") {
            patch.run_count = Some(count("run_count", &value, 0)?.unwrap_or_default());
        }
        Ok((patch != Self::default()).then_some(patch))
    }

    /// Whether it touches what due times depend on.
    fn moves(&self, current: &Schedule) -> bool {
        self.begin_at.is_some()
            || self.schedule_type.is_some()
            || self.schedule_expression.is_some()
            || self.schedule_start_at.is_some()
            || self.schedule_end_at.is_some()
            || self.schedule_timezone.is_some()
            || self.max_runs.is_some()
            || self.run_count.is_some()
            || (self.schedule_enabled == Some(true) && !current.schedule_enabled)
    }
}

/// The schedule that a change makes of another (an empty one, where there is none yet).
///
/// # Errors
/// `ScheduleInvalid`, naming the field that does not fit.
pub fn edit(current: &Schedule, patch: &SchedulePatch, now: Timestamp) -> Result<Schedule> {
    let mut next = current.clone();
    let moves = patch.moves(current);
    set(&mut next.schedule_type, &patch.schedule_type);
    set(&mut next.schedule_expression, &patch.schedule_expression);
    set(&mut next.schedule_enabled, &patch.schedule_enabled);
    set(&mut next.schedule_start_at, &patch.schedule_start_at);
    set(&mut next.schedule_end_at, &patch.schedule_end_at);
    set(&mut next.schedule_timezone, &patch.schedule_timezone);
    set(&mut next.schedule_missed, &patch.schedule_missed);
    set(&mut next.schedule_overlap, &patch.schedule_overlap);
    set(&mut next.last_run_at, &patch.last_run_at);
    set(&mut next.max_runs, &patch.max_runs);
    set(&mut next.run_count, &patch.run_count);
    let Some(kind) = next.schedule_type else { return without_type(patch) };
    next.schedule_timezone.get_or_insert_with(|| DEFAULT_ZONE.to_owned());
    next.schedule_missed = Some(next.missed());
    next.schedule_overlap = Some(next.overlap());
    if next.schedule_expression.is_none() {
        let remedy =
            format!("it has no expression; set 'schedule_expression' to one of type '{}'", kind.as_str());
        return Err(invalid("schedule_expression", "null", remedy));
    }
    if let (Some(start), Some(end)) = (next.schedule_start_at, next.schedule_end_at)
        && end < start
    {
        return Err(invalid("schedule_end_at", end, format!("it lies before 'schedule_start_at' ({start})")));
    }
    let table = Timetable::of(&next)?;
    let begin = patch.begin_at.unwrap_or(now);
    if let Some(Rule::Calendar(calendar)) = table.as_ref().map(|table| &table.rule)
        && calendar.next_after(begin).is_none()
    {
        return Err(never(next.schedule_expression.as_deref().unwrap_or_default()));
    }
    if moves {
        next.next_run_at = table.and_then(|table| table.first(begin)).filter(|_| !next.is_used_up(0));
    }
    set(&mut next.next_run_at, &patch.next_run_at);
    Ok(next)
}

/// Without a type there is no schedule, and nothing else to say about one.
fn without_type(patch: &SchedulePatch) -> Result<Schedule> {
    let says_more = [
        ("schedule_expression", patch.schedule_expression.as_ref().is_some_and(Option::is_some)),
        ("schedule_enabled", patch.schedule_enabled == Some(true)),
        ("schedule_start_at", patch.schedule_start_at.is_some_and(|at| at.is_some())),
        ("schedule_end_at", patch.schedule_end_at.is_some_and(|at| at.is_some())),
        ("schedule_timezone", patch.schedule_timezone.as_ref().is_some_and(Option::is_some)),
        ("schedule_missed", patch.schedule_missed.is_some_and(|one| one.is_some())),
        ("schedule_overlap", patch.schedule_overlap.is_some_and(|one| one.is_some())),
        ("next_run_at", patch.begin_at.is_some() || patch.next_run_at.is_some_and(|at| at.is_some())),
        ("last_run_at", patch.last_run_at.is_some_and(|at| at.is_some())),
        ("max_runs", patch.max_runs.is_some_and(|most| most.is_some())),
        ("run_count", patch.run_count.is_some_and(|count| count > 0)),
    ];
    match says_more.into_iter().find(|(_, says)| *says) {
        None => Ok(Schedule::default()),
        Some((field, _)) => {
            let kinds: Vec<&str> = ScheduleType::ALL.iter().map(|kind| kind.as_str()).collect();
            let remedy = format!(
                "'{field}' is about a schedule, and the task has none; set 'schedule_type' to one of {}",
                kinds.join(", ")
            );
            Err(invalid("schedule_type", "null", remedy))
        }
    }
}

fn set<T: Clone>(field: &mut T, new: &Option<T>) {
    if let Some(new) = new {
        *field = new.clone();
    }
}

fn text(field: &str, value: &Value) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => {
            Err(invalid(field, text, "it is empty; leave it out"))
        }
        Value::String(text) if text.chars().count() > MAX_EXPRESSION_CHARS => {
            Err(invalid(field, text, format!("it is longer than {MAX_EXPRESSION_CHARS} characters")))
        }
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(invalid(field, other, "a string is expected")),
    }
}

fn switch(field: &str, value: &Value) -> Result<bool> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(on) => Ok(*on),
        other => Err(invalid(field, other, "true or false is expected")),
    }
}

fn time(field: &str, value: &Value) -> Result<Option<Timestamp>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Timestamp::parse(text).map(Some).map_err(|_| {
            invalid(
                field,
                text,
                "an RFC 3339 time with an offset is expected, for example 2030-01-31T09:00:00Z",
            )
        }),
        other => Err(invalid(field, other, "an RFC 3339 time is expected")),
    }
}

fn count(field: &str, value: &Value, least: u32) -> Result<Option<u32>> {
    if value.is_null() {
        return Ok(None);
    }
    let number =
        value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number >= least);
    number
        .map(Some)
        .ok_or_else(|| invalid(field, value, format!("a whole number from {least} up is expected")))
}

fn one_of<T: Copy>(
    field: &str,
    value: &Value,
    all: &[T],
    text_of: impl Fn(T) -> &'static str,
) -> Result<Option<T>> {
    if value.is_null() {
        return Ok(None);
    }
    let found = value.as_str().and_then(|text| all.iter().copied().find(|one| text_of(*one) == text));
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|one| text_of(*one)).collect();
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        invalid(field, shown, format!("one of {} is expected", known.join(", ")))
    })
}
