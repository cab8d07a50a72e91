//! Due times, decisions and edits, with examples and against oracles that know nothing of how they are computed.

#![expect(clippy::needless_pass_by_value, reason = "tests hand over JSON as they write it")]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, civil};
use serde_json::{Value, json};

use super::calendar::{Calendar, to_jiff};
use super::*;

fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The schedule that a creation with these fields makes.
fn made(fields: Value, now: &str) -> Result<Schedule, Error> {
    let mut fields = fields.as_object().unwrap().clone();
    let patch = SchedulePatch::take(&mut fields)?.unwrap_or_default();
    assert!(fields.is_empty(), "{fields:?}");
    edit(&Schedule::default(), &patch, t(now))
}

fn schedule(kind: &str, expression: &str, more: Value, now: &str) -> Schedule {
    let mut fields =
        json!({"schedule_type": kind, "schedule_expression": expression, "schedule_enabled": true});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    made(fields, now).unwrap()
}

/// The first due times after `now`.
fn due_times(kind: &str, expression: &str, more: Value, now: &str, most: usize) -> Vec<String> {
    let one = schedule(kind, expression, more, now);
    let table = Timetable::of(&one).unwrap().unwrap();
    let all = std::iter::successors(one.next_run_at, |at| table.following(*at, *at));
    all.take(most).map(|at| at.to_string()).collect()
}

#[test]
fn every_type_has_its_form() {
    let now = "2026-01-30T08:30:00Z"; // A Friday.
    let times = |kind, expression| due_times(kind, expression, json!({}), now, 3);
    assert_eq!(times("once", "2026-02-01T00:00:00+01:00"), ["2026-01-31T23:00:00Z"]);
    assert_eq!(times("once", "2026-02-01 07:00"), ["2026-02-01T07:00:00Z"]);
    assert_eq!(
        times("interval", "90"),
        ["2026-01-30T08:31:30Z", "2026-01-30T08:33:00Z", "2026-01-30T08:34:30Z"]
    );
    assert_eq!(
        times("cron", "*/20 9 * * 1-5"),
        ["2026-01-30T09:00:00Z", "2026-01-30T09:20:00Z", "2026-01-30T09:40:00Z"]
    );
    assert_eq!(
        times("daily", "08:30"),
        ["2026-01-31T08:30:00Z", "2026-02-01T08:30:00Z", "2026-02-02T08:30:00Z"]
    );
    assert_eq!(
        times("weekly", "7,1,3 09:00"),
        ["2026-02-01T09:00:00Z", "2026-02-02T09:00:00Z", "2026-02-04T09:00:00Z"]
    );
    // Days that a month does not have are left out.
    assert_eq!(
        times("monthly", "31,1 9:05"),
        ["2026-01-31T09:05:00Z", "2026-02-01T09:05:00Z", "2026-03-01T09:05:00Z"]
    );
}

#[test]
fn a_point_that_has_passed_is_never_due() {
    let past = schedule("once", "2026-01-01T00:00:00Z", json!({}), "2026-01-01T00:00:00Z");
    assert_eq!(past.next_run_at, None);
}

#[test]
fn bad_fields_are_named_with_value_and_remedy() {
    let wrong = [
        ("once", "tomorrow", "a date and time is expected"),
        ("once", "2026-02-30T00:00:00Z", "a date and time is expected"),
        ("once", "2026-02-01", "a date and time is expected"),
        ("interval", "0", "a whole number of seconds from 1"),
        ("interval", "1.5", "a whole number of seconds from 1"),
        ("interval", "-3", "a whole number of seconds from 1"),
        ("interval", "99999999999", "a whole number of seconds from 1"),
        ("cron", "* * * *", "five fields are expected"),
        ("cron", "0 * * * * *", "five fields are expected"),
        ("cron", "61 * * * *", "five fields are expected"),
        ("cron", "0 0 30 2 *", "no point in time fits it"),
        ("daily", "24:00", "a time HH:MM"),
        ("daily", "9:5", "a time HH:MM"),
        ("daily", "+9:05", "a time HH:MM"),
        ("weekly", "0 09:00", "days 1 (Monday) to 7"),
        ("weekly", "1,8 09:00", "days 1 (Monday) to 7"),
        ("weekly", "09:00", "days 1 (Monday) to 7"),
        ("monthly", "32 09:00", "days of the month 1 to 31"),
        ("monthly", "1 25:00", "days of the month 1 to 31"),
    ];
    for (kind, expression, remedy) in wrong {
        let fields = json!({"schedule_type": kind, "schedule_expression": expression});
        let error = made(fields, "2026-01-01T00:00:00Z").unwrap_err();
        assert_eq!((error.code, &error.data["value"]), (ErrorCode::ScheduleInvalid, &json!(expression)));
        assert_eq!(error.data["field"], "schedule_expression");
        assert!(error.message.contains(remedy) && error.message.contains(expression), "{error}");
    }
    let more = [
        (json!({"schedule_timezone": "Mars/Olympus"}), "schedule_timezone", "IANA"),
        (json!({"schedule_missed": "never"}), "schedule_missed", "skip, once, all"),
        (json!({"schedule_overlap": "allow"}), "schedule_overlap", "skip, queue"),
        (json!({"schedule_start_at": "2026-01-01"}), "schedule_start_at", "RFC 3339"),
        (json!({"max_runs": 0}), "max_runs", "from 1 up"),
        (json!({"schedule_expression": 60}), "schedule_expression", "a string"),
        (json!({"schedule_enabled": "yes"}), "schedule_enabled", "true or false"),
        (
            json!({"schedule_start_at": "2026-02-01T00:00:00Z", "schedule_end_at": "2026-01-01T00:00:00Z"}),
            "schedule_end_at",
            "before",
        ),
    ];
    for (fields, field, remedy) in more {
        let mut all = json!({"schedule_type": "interval", "schedule_expression": "60"});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let error = made(all, "2026-01-01T00:00:00Z").unwrap_err();
        assert_eq!(
            (error.code, &error.data["field"]),
            (ErrorCode::ScheduleInvalid, &json!(field)),
            "{error}"
        );
        assert!(error.message.contains(remedy), "{error}");
    }
    for lonely in
        [json!({"max_runs": 3}), json!({"schedule_expression": "60"}), json!({"schedule_enabled": true})]
    {
        assert_eq!(made(lonely, "2026-01-01T00:00:00Z").unwrap_err().data["field"], "schedule_type");
    }
    let bare = made(json!({"schedule_type": "daily"}), "2026-01-01T00:00:00Z").unwrap_err();
    assert_eq!(bare.data["field"], "schedule_expression");
}

#[test]
fn fields_that_say_nothing_make_no_schedule() {
    let fields: Value = FIELDS.iter().map(|field| ((*field).to_owned(), Value::Null)).collect();
    assert_eq!(made(fields, "2026-01-01T00:00:00Z").unwrap(), Schedule::default());
    let off = json!({"schedule_enabled": false, "run_count": 0});
    assert_eq!(made(off, "2026-01-01T00:00:00Z").unwrap(), Schedule::default());
}

/// 2026-03-29 02:00 to 03:00 does not exist in Berlin, 2026-10-25 02:00 to 03:00 comes twice.
#[test]
fn skipped_and_repeated_hours() {
    let berlin = json!({"schedule_timezone": "Europe/Berlin"});
    let times = |kind, expression, now, most| due_times(kind, expression, berlin.clone(), now, most);
    // A fixed time in the gap comes an hour later, in the fold once.
    assert_eq!(
        times("daily", "02:30", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        times("daily", "02:30", "2026-10-24T00:00:00Z", 3),
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    // Hours are hours: none is left out and none comes twice.
    assert_eq!(
        times("cron", "0 * * * *", "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"]
    );
    assert_eq!(
        times("cron", "30 * * * *", "2026-10-24T23:45:00Z", 4),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T03:30:00Z"]
    );
    // Asked in the second pass of the repeated hour: the day's run has been.
    assert_eq!(times("daily", "02:30", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
    // A time without an offset is read in the zone.
    assert_eq!(times("once", "2026-07-01T12:00", "2026-01-01T00:00:00Z", 1), ["2026-07-01T10:00:00Z"]);
    // Half an hour is moved in Lord Howe, a whole day was skipped in Samoa.
    let lord_howe = json!({"schedule_timezone": "Australia/Lord_Howe"});
    assert_eq!(
        due_times("cron", "15,30 2 * * *", lord_howe, "2026-10-03T15:00:00Z", 3),
        ["2026-10-03T15:30:00Z", "2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"]
    );
    let apia = json!({"schedule_timezone": "Pacific/Apia"});
    assert_eq!(
        due_times("daily", "10:00", apia, "2011-12-29T00:00:00Z", 3),
        ["2011-12-29T20:00:00Z", "2011-12-30T20:00:00Z", "2011-12-31T20:00:00Z"]
    );
}

/// All fitting points of a range of days, found by looking at every minute.
fn oracle(pattern: &Fields, zone: &TimeZone, first: civil::Date, days: i64) -> BTreeSet<Timestamp> {
    let mut all = BTreeSet::new();
    let from = first.at(0, 0, 0, 0);
    for minute in 0..days * 24 * 60 {
        if pattern.hours_text == "*" {
            let start = from.to_zoned(zone.clone()).unwrap().timestamp();
            let at = start.checked_add(SignedDuration::from_mins(minute)).unwrap();
            if pattern.fits(zone.to_datetime(at)) {
                all.insert(Timestamp::from_micros(at.as_microsecond()));
            }
        } else {
            let local = from.checked_add(SignedDuration::from_mins(minute)).unwrap();
            if pattern.fits(local) {
                // jiff's own rule for times that do not exist or come twice is the one of RFC 5545, too.
                let at = local.to_zoned(zone.clone()).unwrap().timestamp();
                all.insert(Timestamp::from_micros(at.as_microsecond()));
            }
        }
    }
    all
}

/// A pattern whose fields are sets.
struct Fields {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    hours_text: String,
    weekdays: Vec<i8>,
}

impl Fields {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let mut some = |most: i8, of: i8| -> Vec<i8> {
            let count = random.i8(1..=most);
            (0..count).map(|_| random.i8(0..of)).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let (minutes, weekdays) = (some(4, 60), some(7, 7));
        // Mostly small hours, where the clocks are changed.
        let mut hours = some(3, 5);
        let hours_text = if random.bool() {
            hours = (0..24).collect();
            "*".to_owned()
        } else {
            hours.iter().map(i8::to_string).collect::<Vec<_>>().join(",")
        };
        Self { minutes, hours, hours_text, weekdays }
    }

    fn text(&self) -> String {
        let list = |numbers: &[i8]| numbers.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        format!("{} {} * * {}", list(&self.minutes), self.hours_text, list(&self.weekdays))
    }

    fn fits(&self, local: civil::DateTime) -> bool {
        self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self.weekdays.contains(&local.weekday().to_sunday_zero_offset())
    }
}

#[test]
fn due_times_are_those_that_a_look_at_every_minute_finds() {
    let changes = [
        ("Europe/Berlin", civil::date(2026, 3, 27)),
        ("Europe/Berlin", civil::date(2026, 10, 23)),
        ("America/New_York", civil::date(2026, 3, 6)),
        ("America/New_York", civil::date(2026, 10, 30)),
        ("Australia/Lord_Howe", civil::date(2026, 4, 3)),
        ("Australia/Lord_Howe", civil::date(2026, 10, 2)),
        ("Africa/Cairo", civil::date(2026, 4, 22)),
        ("Asia/Kathmandu", civil::date(2026, 5, 1)),
        ("UTC", civil::date(2026, 12, 30)),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..15 {
        let fields = Fields::draw(&mut random);
        for (name, first) in &changes {
            let zone = TimeZone::get(name).unwrap();
            let expected = oracle(&fields, &zone, *first, 6);
            let calendar = Calendar::parse(&fields.text(), zone.clone()).unwrap();
            let begin = first.at(0, 0, 0, 0).to_zoned(zone.clone()).unwrap().timestamp();
            let before = Timestamp::from_micros(begin.as_microsecond() - 1);
            let found: BTreeSet<Timestamp> =
                std::iter::successors(calendar.next_after(before), |at| calendar.next_after(*at))
                    .take(expected.len())
                    .collect();
            assert_eq!(found, expected, "{} in {name}", fields.text());
            // From anywhere, the answer is the first later one.
            for _ in 0..20 {
                let at = before.plus(secs(random.u64(0..5 * 86_400)));
                let next = expected.iter().find(|one| **one > at);
                if let Some(next) = next {
                    assert_eq!(
                        calendar.next_after(at),
                        Some(*next),
                        "{} in {name} after {at}",
                        fields.text()
                    );
                }
            }
        }
    }
}

#[test]
fn intervals_do_not_drift() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..500 {
        let step = random.u64(1..100_000);
        let one = schedule("interval", &step.to_string(), json!({}), "2026-01-01T00:00:00.123456Z");
        let table = Timetable::of(&one).unwrap().unwrap();
        let anchor = one.next_run_at.unwrap();
        let mut due = anchor;
        let mut now = anchor;
        for _ in 0..20 {
            // Looked at late, by anything up to some intervals.
            now = now.max(due).plus(Duration::from_micros(random.u64(0..5_000_000 * step)));
            let next = table.following(due, now).unwrap();
            assert_eq!((next.as_micros() - anchor.as_micros()) % (step as i64 * 1_000_000), 0);
            assert!(next > now && next.since(now) <= secs(step), "{due} {now} {next}");
            due = next;
        }
    }
}

#[test]
fn windows_bound_due_times_on_both_sides() {
    let window =
        json!({"schedule_start_at": "2026-01-05T09:00:00Z", "schedule_end_at": "2026-01-07T09:00:00Z"});
    assert_eq!(
        due_times("daily", "09:00", window.clone(), "2026-01-01T00:00:00Z", 10),
        ["2026-01-05T09:00:00Z", "2026-01-06T09:00:00Z", "2026-01-07T09:00:00Z"]
    );
    assert_eq!(
        due_times("interval", "86400", window.clone(), "2026-01-01T00:00:00Z", 10),
        ["2026-01-06T09:00:00Z", "2026-01-07T09:00:00Z"]
    );
    assert!(due_times("once", "2026-01-04T00:00:00Z", window.clone(), "2026-01-01T00:00:00Z", 10).is_empty());
    assert!(due_times("daily", "09:00", window, "2026-01-08T00:00:00Z", 10).is_empty());
}

const DUE: &str = "2026-01-01T00:01:00Z";

/// Decides about the first due time of a minutely schedule.
fn decided(policies: Value, tree: TreeFacts, now: &str) -> (Action, u32, Option<String>) {
    let one = schedule("interval", "60", policies, "2026-01-01T00:00:00Z");
    assert_eq!(one.next_run_at, Some(t(DUE)));
    let decision = decide(&one, t(DUE), tree, t(now)).unwrap();
    (decision.action, decision.due_count, decision.next.map(|at| at.to_string()))
}

const FREE: TreeFacts = TreeFacts::Free { since: None };

fn next(text: &str) -> Option<String> {
    Some(format!("2026-01-01T{text}Z"))
}

#[test]
fn a_due_time_is_run_and_the_next_one_is_on_the_grid() {
    for missed in ["skip", "once", "all"] {
        let policy = json!({ "schedule_missed": missed });
        assert_eq!(
            decided(policy, FREE, "2026-01-01T00:01:02Z"),
            (Action::Run, 1, next("00:02:00")),
            "{missed}"
        );
    }
}

#[test]
fn missed_due_times_follow_the_policy() {
    // Five due times have passed: 00:01 to 00:05.
    let now = "2026-01-01T00:05:30Z";
    let once = json!({"schedule_missed": "once"});
    assert_eq!(decided(once, FREE, now), (Action::Run, 5, next("00:06:00")));
    let skip = json!({"schedule_missed": "skip"});
    assert_eq!(decided(skip, FREE, now), (Action::Miss, 5, next("00:06:00")));
    let all = json!({"schedule_missed": "all"});
    assert_eq!(decided(all.clone(), FREE, now), (Action::Run, 1, next("00:02:00")));
    // Three hours are 180 due times, of which the newest hundred are made up for: 01:21 to 03:00.
    assert_eq!(decided(all, FREE, "2026-01-01T03:00:30Z"), (Action::Miss, 80, next("01:21:00")));
}

#[test]
fn a_due_time_during_a_run_follows_the_policy() {
    let running = TreeFacts::Running { since: t("2026-01-01T00:00:30Z") };
    let now = "2026-01-01T00:01:00Z";
    assert_eq!(
        decided(json!({"schedule_overlap": "skip"}), running, now),
        (Action::Skip, 1, next("00:02:00"))
    );
    let queue = json!({"schedule_overlap": "queue", "schedule_missed": "skip"});
    assert_eq!(decided(queue.clone(), running, now).0, Action::Wait);
    // However long the run took, what waited for it was not missed; and it is one run.
    let free = TreeFacts::Free { since: Some(t("2026-01-01T00:05:00Z")) };
    assert_eq!(decided(queue, free, "2026-01-01T00:05:01Z"), (Action::Run, 5, next("00:06:00")));
    // Of runs that are made up for, the later ones wait, as they were due before the first of them began.
    let made_up = TreeFacts::Running { since: t("2026-01-01T00:05:00Z") };
    assert_eq!(decided(json!({"schedule_missed": "all"}), made_up, "2026-01-01T00:05:01Z").0, Action::Wait);
}

#[test]
fn the_last_allowed_run_ends_the_schedule() {
    let one = json!({"max_runs": 1});
    assert_eq!(decided(one, FREE, DUE), (Action::Run, 1, None));
    let window = json!({"schedule_end_at": "2026-01-01T00:01:30Z"});
    assert_eq!(decided(window, FREE, DUE), (Action::Run, 1, None));
}

/// Whatever the policies, the clock and the luck: due times are handled in order, each once, and all of them.
#[test]
fn every_due_time_is_accounted_for_once() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let pick = |random: &mut fastrand::Rng, all: &[&'static str]| all[random.usize(0..all.len())];
        let policies = json!({
            "schedule_missed": pick(&mut random, &["skip", "once", "all"]),
            "schedule_overlap": pick(&mut random, &["skip", "queue"]),
        });
        let step = random.u64(1..120);
        let mut one = schedule("interval", &step.to_string(), policies.clone(), "2026-01-01T00:00:00Z");
        let first = one.next_run_at.unwrap();
        let (mut now, mut handled, mut tree) = (first, 0u64, FREE);
        for _ in 0..60 {
            now = now.plus(secs(random.u64(0..400)));
            if let (TreeFacts::Running { .. }, true) = (tree, random.bool()) {
                tree = TreeFacts::Free { since: Some(now) };
            }
            while let Some(due) = one.next_run_at.filter(|due| *due <= now) {
                assert_eq!(due, first.plus(secs(handled * step)), "{policies}");
                let decision = decide(&one, due, tree, now).unwrap();
                match decision.action {
                    Action::Wait => {
                        assert!(matches!(tree, TreeFacts::Running { .. }), "only a run is waited for");
                        break;
                    }
                    Action::Run => {
                        assert!(matches!(tree, TreeFacts::Free { .. }), "one execution at a time");
                        tree = TreeFacts::Running { since: now };
                    }
                    Action::Skip | Action::Miss => {}
                }
                handled += u64::from(decision.due_count);
                one.next_run_at = decision.next;
            }
        }
    }
}

#[test]
fn a_change_computes_the_next_due_time_only_if_it_is_about_it() {
    let one = schedule("interval", "60", json!({}), "2026-01-01T00:00:00Z");
    let change = |patch: Value, now: &str| {
        let mut fields = patch.as_object().unwrap().clone();
        edit(&one, &SchedulePatch::take(&mut fields).unwrap().unwrap(), t(now)).unwrap()
    };
    let later = "2026-01-01T00:00:30Z";
    assert_eq!(change(json!({"schedule_missed": "all"}), later).next_run_at, one.next_run_at);
    assert_eq!(change(json!({"schedule_enabled": true}), later).next_run_at, one.next_run_at);
    assert_eq!(
        change(json!({"schedule_expression": "10"}), later).next_run_at,
        Some(t("2026-01-01T00:00:40Z"))
    );
    assert_eq!(
        change(json!({"next_run_at": "2027-01-01T00:00:00Z"}), later).next_run_at,
        Some(t("2027-01-01T00:00:00Z"))
    );
    assert_eq!(change(json!({"max_runs": 2, "run_count": 2}), later).next_run_at, None);
    assert_eq!(
        change(json!({"schedule_type": null, "schedule_expression": null, "schedule_enabled": false}), later)
            .schedule_type,
        None
    );
    let off = change(json!({"schedule_enabled": false}), later);
    let mut on = SchedulePatch { schedule_enabled: Some(true), ..SchedulePatch::default() };
    assert_eq!(
        edit(&off, &on, t("2026-01-01T09:00:00Z")).unwrap().next_run_at,
        Some(t("2026-01-01T09:01:00Z"))
    );
    on = SchedulePatch { begin_at: Some(t("2026-05-01T00:00:00Z")), ..SchedulePatch::default() };
    assert_eq!(edit(&off, &on, t(later)).unwrap().next_run_at, Some(t("2026-05-01T00:01:00Z")));
}

#[test]
fn a_run_that_is_reported_counts_for_the_next_due_time() {
    let mut one = schedule("interval", "60", json!({"max_runs": 2}), "2026-01-01T00:00:00Z");
    let now = t("2026-01-01T00:00:10Z");
    assert_eq!(complete(&mut one, true, now), Ok(t(DUE)));
    assert_eq!((one.run_count, one.last_run_at), (1, Some(now)));
    assert_eq!(one.next_run_at, Some(t("2026-01-01T00:02:00Z")));
    complete(&mut one, true, now).unwrap();
    assert_eq!((one.run_count, one.next_run_at, one.schedule_enabled), (2, None, false));
    let mut kept = schedule("daily", "09:00", json!({}), "2026-01-01T00:00:00Z");
    let before = kept.next_run_at;
    complete(&mut kept, false, now).unwrap();
    assert_eq!((kept.run_count, kept.next_run_at), (1, before));
}

#[test]
fn points_go_over_to_the_zone_library_and_back() {
    let at = t("2026-01-01T00:00:00.123456Z");
    assert_eq!(to_jiff(at).unwrap().as_microsecond(), at.as_micros());
}
