"""`date_calc_executor`: calendar arithmetic. Pure functions that never read a clock; the border is in `app.py`."""

import calendar
import re
from datetime import date, datetime, timedelta

import inputs as read

ID = "date_calc_executor"

DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?!$)(?:(?P<years>\d{1,9})Y)?(?:(?P<months>\d{1,9})M)?"
    r"(?:(?P<weeks>\d{1,9})W)?(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?!$)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9})S)?)?"
)
SATURDAY = 5
MAX_BUSINESS_DAYS = 100_000

EXAMPLE = {"operation": "add", "date": "2024-01-31", "duration": "P1M"}

DESCRIPTION = {
    "name": "Date calculator",
    "description": (
        "Calculates with ISO 8601 dates: `add` a duration (`P1Y2M3DT4H`, a month's end stays inside the month), "
        "`difference` to another date, `describe` (weekday, week, quarter), `business_days` (Monday to Friday from "
        "`date` up to but not including `to`), `add_business_days`. Needs no grant."
    ),
    "tags": ["date", "calendar", "business days"],
    "examples": [
        EXAMPLE,
        {"operation": "difference", "date": "2024-02-28", "to": "2024-03-01"},
        {"operation": "describe", "date": "2024-07-04T09:30:00+02:00"},
        {"operation": "business_days", "date": "2024-12-23", "to": "2025-01-02", "holidays": ["2024-12-25"]},
        {"operation": "add_business_days", "date": "2024-05-03", "days": 2},
    ],
    "input_schema": {
        "type": "object",
        "properties": {
            "operation": {"enum": ["add", "difference", "describe", "business_days", "add_business_days"]},
            "date": {"type": "string", "description": "ISO 8601 date, or date and time."},
            "to": {"type": "string", "description": "The other date, of the same form as `date`."},
            "duration": {"type": "string", "description": "ISO 8601 duration, `-` in front to subtract."},
            "days": {"type": "integer", "minimum": -MAX_BUSINESS_DAYS, "maximum": MAX_BUSINESS_DAYS},
            "holidays": {"type": "array", "items": {"type": "string", "format": "date"}, "default": []},
        },
        "required": ["operation", "date"],
    },
    "output_schema": {
        "type": "object",
        "properties": {"result": {"description": "A date, a number of days, or facts."}},
        "required": ["result"],
    },
}


def execute(inputs: dict) -> dict:
    operation = read.text(inputs, "operation")
    if operation not in OPERATIONS:
        raise read.invalid("operation", operation, f"give one of {', '.join(OPERATIONS)}")
    try:
        return OPERATIONS[operation](inputs, moment(inputs, "date"))
    except OverflowError:
        raise read.BadInput("out_of_range", "the result is outside the years 1 to 9999", "/date") from None


def add(inputs: dict, start: date) -> dict:
    text = read.text(inputs, "duration")
    match = DURATION.fullmatch(text)
    if not match:
        raise read.invalid("duration", text, "give an ISO 8601 duration such as P1Y2M3DT4H5M6S")
    amount = {unit: int(count or 0) for unit, count in match.groupdict().items() if unit != "sign"}
    sign = -1 if match["sign"] == "-" else 1
    if not isinstance(start, datetime) and any(amount[unit] for unit in ("hours", "minutes", "seconds")):
        raise read.invalid("duration", text, "hours, minutes and seconds need a `date` with a time")
    months = amount.pop("years") * 12 + amount.pop("months")
    return {"result": (plus_months(start, sign * months) + sign * timedelta(**amount)).isoformat()}


def difference(inputs: dict, start: date) -> dict:
    end = moment(inputs, "to")
    zones = [getattr(value, "tzinfo", None) is not None for value in (start, end)]
    if isinstance(start, datetime) != isinstance(end, datetime) or zones[0] != zones[1]:
        raise read.invalid("to", inputs["to"], f"give it in the same form as `date` ({inputs['date']})")
    span = end - start
    return {"result": {"days": span.days, "total_seconds": int(span.total_seconds())}}


def describe(_inputs: dict, day: date) -> dict:
    year, week, weekday = day.isocalendar()
    return {
        "result": {
            "weekday": calendar.day_name[weekday - 1],
            "iso_week": f"{year:04}-W{week:02}",
            "day_of_year": day.timetuple().tm_yday,
            "quarter": (day.month + 2) // 3,
            "days_in_month": calendar.monthrange(day.year, day.month)[1],
            "leap_year": calendar.isleap(day.year),
        }
    }


def business_days(inputs: dict, start: date) -> dict:
    first, last, closed = as_day(start), as_day(moment(inputs, "to")), holidays(inputs)
    sign = 1 if first <= last else -1
    first, last = min(first, last), max(first, last)
    weeks, rest = divmod((last - first).days, 7)
    days = weeks * 5 + sum((first.weekday() + i) % 7 < SATURDAY for i in range(rest))
    return {"result": sign * (days - sum(first <= day < last and day.weekday() < SATURDAY for day in closed))}


def add_business_days(inputs: dict, start: date) -> dict:
    days = read.whole(inputs, "days", None, -MAX_BUSINESS_DAYS, MAX_BUSINESS_DAYS)
    closed, step = holidays(inputs), timedelta(days=1 if days >= 0 else -1)
    left, day = abs(days), start
    while left:
        day += step
        left -= day.weekday() < SATURDAY and as_day(day) not in closed
    return {"result": day.isoformat()}


def moment(inputs: dict, name: str) -> date:
    """A date, or a datetime if the text has a time."""
    return parse(read.text(inputs, name), name)


def parse(text: str, name: str) -> date:
    try:
        if len(text) == len("2024-01-31"):
            return date.fromisoformat(text)
        # Python before 3.11 knows no `Z`.
        return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise read.invalid(name, text, "give an ISO 8601 date such as 2024-01-31 or 2024-01-31T09:30:00Z") from None


def holidays(inputs: dict) -> set[date]:
    return {as_day(parse(text, "holidays")) for text in read.texts(inputs, "holidays")}


def as_day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def plus_months(start: date, months: int) -> date:
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))


OPERATIONS = {
    "add": add,
    "difference": difference,
    "describe": describe,
    "business_days": business_days,
    "add_business_days": add_business_days,
}
