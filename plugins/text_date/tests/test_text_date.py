"""The executors' logic under plain python3: `python3 -m unittest discover -s tests` in the plugin's folder."""

import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent.parent / "sdk/python")]

from apflow_plugin import BadInput, testing

import app
import date_calc
import text_stats


class TextStats(unittest.TestCase):
    def test_counts_words_sentences_and_terms(self):
        stats = text_stats.execute({"text": "The cat sat.\nThe cat's hat? Well-known", "stop_words": ["the"], "top": 2})
        self.assertEqual(stats["words"], 7)
        self.assertEqual(stats["sentences"], 3)
        self.assertEqual(stats["lines"], 2)
        self.assertEqual(stats["unique_words"], 6)
        self.assertEqual(stats["top_terms"], [{"term": "cat", "count": 1}, {"term": "cat's", "count": 1}])

    def test_is_at_home_in_unicode(self):
        stats = text_stats.execute({"text": "Straße STRASSE 日本"})
        self.assertEqual(stats["top_terms"][0], {"term": "strasse", "count": 2})
        self.assertEqual(stats["characters"], 17)

    def test_an_empty_text_has_nothing(self):
        stats = text_stats.execute({"text": ""})
        self.assertEqual([stats[key] for key in ("words", "sentences", "lines", "average_word_length")], [0, 0, 0, 0])

    def test_wrong_inputs_are_named(self):
        for inputs, pointer in [
            ({}, "/text"),
            ({"text": 5}, "/text"),
            ({"text": "", "top": -1}, "/top"),
            ({"text": "", "top": True}, "/top"),
            ({"text": "", "min_length": 1.5}, "/min_length"),
            ({"text": "", "stop_words": "the"}, "/stop_words"),
        ]:
            with self.subTest(inputs=inputs), self.assertRaises(BadInput) as caught:
                text_stats.execute(inputs)
            self.assertEqual(caught.exception.pointer, pointer)


class DateCalc(unittest.TestCase):
    def check(self, expected, **inputs):
        self.assertEqual(date_calc.execute(inputs)["result"], expected)

    def refuse(self, pointer, **inputs):
        with self.assertRaises(BadInput) as caught:
            date_calc.execute(inputs)
        self.assertEqual(caught.exception.pointer, pointer)

    def test_add_keeps_inside_the_month(self):
        self.check("2024-02-29", operation="add", date="2024-01-31", duration="P1M")
        self.check("2023-02-28", operation="add", date="2024-02-29", duration="-P1Y")
        self.check("2024-01-15", operation="add", date="2023-12-31", duration="P2W1D")
        self.check("2024-01-01T01:30:00+00:00", operation="add", date="2023-12-31T23:00:00Z", duration="PT2H30M")

    def test_difference_of_dates_and_of_times_in_zones(self):
        self.check({"days": 2, "total_seconds": 172800}, operation="difference", date="2024-02-28", to="2024-03-01")
        self.check(
            {"days": 0, "total_seconds": 3600},
            operation="difference", date="2024-01-01T12:00:00+02:00", to="2024-01-01T11:00:00Z",
        )

    def test_describe(self):
        self.check(
            {
                "weekday": "Monday", "iso_week": "2025-W01", "day_of_year": 365,
                "quarter": 4, "days_in_month": 31, "leap_year": True,
            },
            operation="describe", date="2024-12-30",
        )

    def test_business_days_both_ways(self):
        holidays = ["2024-12-25", "2025-01-01"]
        self.check(6, operation="business_days", date="2024-12-23", to="2025-01-02", holidays=holidays)
        self.check(-5, operation="business_days", date="2024-05-13", to="2024-05-06")
        self.check("2024-05-07", operation="add_business_days", date="2024-05-03", days=2)
        self.check("2024-05-02", operation="add_business_days", date="2024-05-06", days=-1, holidays=["2024-05-03"])
        self.check("2024-05-04", operation="add_business_days", date="2024-05-04", days=0)

    def test_counting_agrees_with_walking(self):
        walked = date_calc.execute({"operation": "add_business_days", "date": "2024-01-01", "days": 1000})["result"]
        self.check(1000, operation="business_days", date="2024-01-01", to=walked)

    def test_wrong_inputs_are_named(self):
        self.refuse("/operation", operation="multiply", date="2024-01-01")
        self.refuse("/date", operation="add", date="31.1.2024", duration="P1D")
        self.refuse("/date", operation="describe", date="2024-02-30")
        self.refuse("/duration", operation="add", date="2024-01-01")
        self.refuse("/duration", operation="add", date="2024-01-01", duration="P")
        self.refuse("/duration", operation="add", date="2024-01-01", duration="PT1H")
        self.refuse("/duration", operation="add", date="2024-01-01", duration=f"P{10**20}D")
        self.refuse("/to", operation="difference", date="2024-01-01", to="2024-01-01T00:00:00Z")
        self.refuse("/to", operation="difference", date="2024-01-01T00:00:00", to="2024-01-01T00:00:00Z")
        self.refuse("/days", operation="add_business_days", date="2024-01-01")
        self.refuse("/holidays", operation="business_days", date="2024-01-01", to="2024-01-05", holidays=["soon"])

    def test_results_outside_the_calendar_are_refused(self):
        for duration in ("P9999Y", "-P3000Y", "P9999999D", "P999999999D"):
            self.refuse("/date", operation="add", date="2024-01-01", duration=duration)
        self.refuse("/date", operation="add_business_days", date="9999-12-30", days=9)

    def test_the_examples_run(self):
        for module in (date_calc, text_stats):
            for example in module.DESCRIPTION["examples"]:
                self.assertTrue(module.execute(example))

    def test_the_component_holds_both(self):
        infos = app.Executor().describe()
        self.assertEqual([info.id for info in infos], ["text_stats_executor", "date_calc_executor"])
        self.assertIn('"2024-02-29"', infos[1].demo_result)
        stats = testing.call(app.define(text_stats), {"text": "one two two"})
        self.assertEqual(stats["words"], 3)


if __name__ == "__main__":
    unittest.main()
