//! The live table while the day goes, on stderr.

use indicatif::ProgressBar;
use meridian_load::stage::Stage;

use super::ledger::{Counts, Ledger, Standing};
use crate::output::{Field, Output, Tone, render_table};
use crate::time::now_ms;

/// Languages shown.
const LANGUAGES: usize = 10;
const DAY_MINUTES: i64 = 1_440;

/// On a terminal the table is redrawn in place; elsewhere only the notes are written.
pub struct Live {
    bar: ProgressBar,
    output: Output,
}

impl Live {
    /// Shows nothing when the output is to be quiet.
    pub fn new(output: &Output) -> Self {
        let minutes = DAY_MINUTES.unsigned_abs();
        let bar = output.bar(minutes, "{prefix} [{bar:40.yellow}] {msg}");
        Self {
            bar,
            output: output.clone(),
        }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        if self.bar.is_hidden() {
            self.output.note(&format!("  {text}"));
        } else {
            self.bar.println(format!("  {text}"));
        }
    }

    /// Draws where things stand.
    pub fn show(&self, stage: &Stage, ledger: &Ledger, regions: &[String]) {
        if self.bar.is_hidden() {
            return;
        }
        let now = now_ms();
        let minute = (now - stage.began) * DAY_MINUTES / stage.length_ms;
        let minute = minute.clamp(0, DAY_MINUTES);
        let standing = ledger.standing();
        let text = if now >= stage.ends() {
            "the day is over"
        } else {
            ""
        };
        self.bar
            .set_prefix(format!("{:02}:{:02} UTC", minute / 60, minute % 60));
        self.bar.set_position(minute.unsigned_abs());
        self.bar.set_message(format!(
            "{} asked, {} accepted {text}\n{}",
            standing.offered,
            standing.accepted,
            table(&standing, regions, self.output.paint_err)
        ));
    }

    /// Takes the table away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// Regions first, then the busiest languages, in the same columns.
fn table(standing: &Standing, regions: &[String], paint: crate::output::Paint) -> String {
    const HEADER: [&str; 6] = [
        "",
        "waiting",
        "talking",
        "answered",
        "abandoned",
        "deferred",
    ];
    let row = |name: &str, counts: Counts| {
        let waiting = match counts.waiting {
            0 => Tone::Plain,
            _ => Tone::Warn,
        };
        vec![
            Field::from(name),
            Field(counts.waiting.to_string(), waiting),
            Field::from(counts.talking),
            Field::from(counts.answered),
            Field::from(counts.abandoned),
            Field::from(counts.deferred),
        ]
    };
    let of = |region: &String| standing.regions.get(region).copied().unwrap_or_default();
    let mut rows = vec![vec![Field::from("region")]];
    rows.extend(regions.iter().map(|r| row(&format!("  {r}"), of(r))));
    rows.push(vec![Field::from("language")]);
    let busiest = standing.languages.iter().take(LANGUAGES);
    rows.extend(busiest.map(|(language, counts)| row(&format!("  {language}"), *counts)));
    render_table(&HEADER, rows, paint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Paint, When};

    #[test]
    fn the_table_has_regions_and_languages_and_fits_80_columns() {
        let counts = |waiting, answered| Counts {
            waiting,
            talking: 3,
            answered,
            abandoned: 12_345,
            deferred: 12_345,
        };
        let languages = (0..20).map(|i| (format!("zh-Hant-{i}"), counts(i, 100_000)));
        let standing = Standing {
            offered: 9,
            accepted: 9,
            regions: [("eu".to_owned(), counts(7, 8))].into(),
            languages: languages.collect(),
        };
        let regions = ["eu".to_owned(), "us".to_owned()];
        let text = table(&standing, &regions, Paint::new(When::Never, false));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 1 + 2 + 1 + LANGUAGES, "{text}");
        assert!(lines.iter().all(|l| l.chars().count() < 80), "{text}");
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(lines[0])[..2], ["WAITING", "TALKING"]);
        assert_eq!(words(lines[2]), ["eu", "7", "3", "8", "12345", "12345"]);
        assert_eq!(words(lines[3]), ["us", "0", "0", "0", "0", "0"]);
        assert_eq!(words(lines[5])[..4], ["zh-Hant-0", "0", "3", "100000"]);
    }
}
