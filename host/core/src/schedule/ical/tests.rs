//! What is written is read by another library, and its rules are expanded by a third: the occurrences must be ours.

#![expect(clippy::needless_pass_by_value, reason = "tests hand over JSON as they write it")]

use icalendar::parser::{read_calendar, unfold};
use serde_json::{Value, json};

use super::*;
use crate::schedule::{SchedulePatch, edit};

fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn schedule(kind: &str, expression: &str, more: Value) -> Schedule {
    let mut fields =
        json!({"schedule_type": kind, "schedule_expression": expression, "schedule_enabled": true});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let patch = SchedulePatch::take(fields.as_object_mut().unwrap()).unwrap().unwrap();
    edit(&Schedule::default(), &patch, t("2026-01-15T10:00:00Z")).unwrap()
}

fn written(name: &str, schedule: &Schedule) -> String {
    let info = CalendarInfo {
        name: "Night; shift".into(),
        base_url: Some("https://tasks.example/ui/".into()),
        now: t("2026-01-15T10:00:00Z"),
    };
    let entry = Entry { id: "nightly/1", name, description: Some("first\nsecond"), schedule };
    document(&info, &[entry]).unwrap().0
}

/// The value of a property in a document, unfolded.
fn line<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Occurrences of an event as another library expands them, in seconds since the epoch.
fn expanded(event: &str, most: u16) -> Vec<i64> {
    let begins = |line: &&str| ["DTSTART", "RRULE", "RDATE"].iter().any(|name| line.starts_with(name));
    let rules: Vec<&str> = event.lines().filter(begins).collect();
    let set: rrule::RRuleSet = rules.join("\n").parse().unwrap();
    let first = set.get_dt_start().timestamp();
    // The library leaves the beginning out of lists of dates; the standard counts it.
    let listed = set.get_rrule().is_empty().then_some(first);
    let found = set.all(most).dates.into_iter().map(|date| date.timestamp());
    listed.into_iter().chain(found).collect()
}

fn ours(schedule: &Schedule, most: usize) -> Vec<i64> {
    let table = Timetable::of(schedule).unwrap().unwrap();
    let left = schedule.max_runs.map_or(most, |left| most.min(left as usize));
    std::iter::successors(schedule.next_run_at, |at| table.following(*at, *at))
        .take(left)
        .map(|at| at.as_micros() / 1_000_000)
        .collect()
}

#[test]
fn a_document_is_what_the_standard_wants() {
    let text = written("a, b; c\\d é".repeat(12).as_str(), &schedule("daily", "09:00", json!({})));
    assert!(text.ends_with("END:VCALENDAR\r\n"));
    assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains('\n')), "{text}");
    let unfolded = unfold(&text);
    let calendar = read_calendar(&unfolded).unwrap();
    assert_eq!(calendar.components.len(), 1);
    let event = &calendar.components[0];
    let value = |name: &str| event.find_prop(name).map(|one| one.val.as_str().to_owned());
    assert_eq!(value("UID").as_deref(), Some("apflow-nightly/1@apflow.local"));
    assert_eq!(value("DTSTAMP").as_deref(), Some("20260115T100000Z"));
    assert_eq!(value("DTSTART").as_deref(), Some("20260116T090000Z"));
    assert_eq!(value("RRULE").as_deref(), Some("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"));
    assert_eq!(value("URL").as_deref(), Some("https://tasks.example/ui/tasks/nightly%2F1"));
    assert_eq!(value("X-APFLOW-TASK-ID").as_deref(), Some("nightly/1"));
    assert_eq!(value("X-APFLOW-SCHEDULE-TYPE").as_deref(), Some("daily"));
    assert_eq!(line(&unfolded, "DESCRIPTION:"), Some("first\\nsecond"));
    assert_eq!(line(&unfolded, "X-WR-CALNAME:"), Some("Night\\; shift"));
}

/// Everything that repeats, expanded by another library, over changes of the clock.
#[test]
fn occurrences_are_the_due_times() {
    let cases = [
        ("interval", "60", json!({}), true),
        ("interval", "5400", json!({}), true),
        ("interval", "90", json!({"max_runs": 7}), true),
        ("daily", "09:00", json!({}), true),
        ("daily", "09:00", json!({"schedule_timezone": "Europe/Berlin"}), true),
        ("daily", "09:00", json!({"max_runs": 4}), true),
        ("daily", "09:00", json!({"schedule_end_at": "2026-01-20T09:00:00Z"}), true),
        ("weekly", "1,3,7 23:15", json!({"schedule_timezone": "America/New_York"}), true),
        ("monthly", "1,31 06:00", json!({"schedule_timezone": "Asia/Tokyo"}), true),
        ("cron", "*/15 9-17 * * mon-fri", json!({"schedule_timezone": "Europe/Paris"}), true),
        ("cron", "0 12 29 2,6 *", json!({}), true),
        ("cron", "0 * * * *", json!({}), true),
        // What a rule cannot say.
        ("cron", "0 12 13 * 5", json!({}), false),
        ("cron", "0 12 L * *", json!({}), false),
        ("cron", "0 12 * * 1#2", json!({}), false),
        ("cron", "0 * * * *", json!({"schedule_timezone": "Europe/Paris"}), false),
        ("daily", "09:00", json!({"max_runs": 40, "schedule_end_at": "2026-02-10T00:00:00Z"}), false),
        ("daily", "09:00", json!({"next_run_at": "2026-01-16T11:11:00Z"}), false),
    ];
    for (kind, expression, more, by_rule) in cases {
        let one = schedule(kind, expression, more.clone());
        let text = unfold(&written("x", &one));
        let text = text.split_once("BEGIN:VEVENT").unwrap().1;
        assert_eq!(line(text, "RRULE:").is_some(), by_rule, "{kind} {expression} {more}: {text}");
        assert_eq!(line(text, "RDATE:").is_some(), !by_rule, "{kind} {expression} {more}: {text}");
        let most = if by_rule { 300 } else { 10 };
        let mut found = expanded(text, most);
        found.truncate(usize::from(most));
        assert_eq!(found, ours(&one, usize::from(most)), "{kind} {expression} {more}: {text}");
    }
}

#[test]
fn what_happens_once_has_no_rule() {
    let text = written("x", &schedule("once", "2026-02-01T00:00:00Z", json!({})));
    assert!(line(&text, "RRULE").is_none() && line(&text, "RDATE").is_none(), "{text}");
    let last = written("x", &schedule("daily", "09:00", json!({"max_runs": 1})));
    assert!(line(&last, "RRULE").is_none() && line(&last, "RDATE").is_none(), "{last}");
    let over = schedule("once", "2020-01-01T00:00:00Z", json!({}));
    let info = CalendarInfo { name: "x".into(), base_url: None, now: t("2026-01-01T00:00:00Z") };
    let entry = Entry { id: "a", name: "a", description: None, schedule: &over };
    assert_eq!(document(&info, &[entry]).unwrap().1, 0);
}

/// A zone is defined once, and as the world knows it.
#[test]
fn zones_are_defined() {
    let one = schedule("daily", "09:00", json!({"schedule_timezone": "Europe/Berlin"}));
    let info = CalendarInfo { name: "x".into(), base_url: None, now: t("2026-01-15T10:00:00Z") };
    let entry = |id| Entry { id, name: id, description: None, schedule: &one };
    let (text, count) = document(&info, &[entry("a"), entry("b")]).unwrap();
    let text = unfold(&text);
    assert_eq!((count, text.matches("BEGIN:VTIMEZONE").count()), (2, 1));
    assert!(text.contains("DTSTART;TZID=Europe/Berlin:20260116T090000"), "{text}");
    let (_, zone) = text.split_once("BEGIN:VTIMEZONE").unwrap();
    let (_, winter) = zone.split_once("BEGIN:STANDARD").unwrap();
    assert!(winter.contains("TZOFFSETFROM:+0200") && winter.contains("TZOFFSETTO:+0100"), "{winter}");
    assert!(winter.contains("DTSTART:20251026T030000") && winter.contains("20261025T030000"), "{winter}");
    let (_, summer) = zone.split_once("BEGIN:DAYLIGHT").unwrap();
    assert!(summer.contains("TZOFFSETTO:+0200") && summer.contains("20260329T020000"), "{summer}");
}
