//! What the benchmark prints: a table for people, or one JSON document, with the bar beside a figure that has one.

use serde_json::{Value, json};

use super::super::output::{Format, Output, print_text, table, text_of};

/// What a figure is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

impl Bar {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }
}

/// A number with its name.
#[derive(Debug)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    bar: Option<Bar>,
}

/// A figure without a bar.
pub fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
    Figure { name: name.into(), value, unit, bar: None }
}

impl Figure {
    /// The same figure, which should be this much or more.
    pub fn at_least(self, least: f64) -> Self {
        Self { bar: Some(Bar::AtLeast(least)), ..self }
    }

    /// The same figure, which should be this much or less.
    pub fn at_most(self, most: f64) -> Self {
        Self { bar: Some(Bar::AtMost(most)), ..self }
    }

    fn json(&self) -> Value {
        let mut value = json!({ "name": self.name, "value": self.value, "unit": self.unit });
        if let Some(bar) = self.bar {
            value["bar"] = match bar {
                Bar::AtLeast(least) => json!({ "at_least": least }),
                Bar::AtMost(most) => json!({ "at_most": most }),
            };
            value["met"] = bar.is_met(self.value).into();
        }
        value
    }
}

/// One scenario and what it gave.
#[derive(Debug)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// The medians.
    pub figures: Vec<Figure>,
}

/// Prints all rows.
pub fn show(output: Output, rounds: u32, rows: &[Row]) {
    if output.format() != Format::Human {
        let list: Vec<Value> = rows
            .iter()
            .map(|row| json!({ "scenario": row.what, "figures": row.figures.iter().map(Figure::json).collect::<Vec<_>>() }))
            .collect();
        output.json(&json!({ "rounds": rounds, "scenarios": list }));
        return;
    }
    let mut table = table(&["scenario", "figure", "median", "unit", "bar", ""]);
    for row in rows {
        for figure in &row.figures {
            let verdict = figure.bar.map(|bar| if bar.is_met(figure.value) { "met" } else { "missed" });
            table.add_row([
                row.what.clone(),
                figure.name.clone(),
                rounded(figure.value),
                figure.unit.to_owned(),
                figure.bar.map(Bar::shown).unwrap_or_default(),
                verdict.unwrap_or_default().to_owned(),
            ]);
        }
    }
    print_text(&text_of(&table));
}

/// As many digits as mean something.
pub fn rounded(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { 0 };
    format!("{value:.digits$}")
}

/// The middle of some values; not a number if there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    share(values, 0.5)
}

/// The value that this share of all lies below.
pub fn share(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_a_share_lies_near_its_end() {
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        let hundred = || (1..=100).map(f64::from);
        assert_eq!(share(hundred(), 0.99).to_bits(), 100.0_f64.to_bits());
        assert_eq!(share(hundred(), 0.5).to_bits(), 51.0_f64.to_bits());
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_bar_says_whether_it_is_met() {
        let met = figure("step", 0.9, "ms").at_most(1.0).json();
        assert_eq!((&met["bar"]["at_most"], &met["met"]), (&json!(1.0), &json!(true)));
        let missed = figure("run", 9_000.0, "tasks/s").at_least(10_000.0).json();
        assert_eq!(missed["met"], false);
        assert_eq!(figure("run", 1.0, "tasks/s").json().get("met"), None);
    }
}
