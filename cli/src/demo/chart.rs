//! The demo on the terminal: a live table while the day goes, and the report with the sun's path.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plan::Stage;
use super::score::{Report, Score, wall};

/// Languages shown in the live table.
const LANGUAGES: usize = 8;

/// The live table. On a terminal it is redrawn in place; elsewhere only the notes are printed.
pub struct Live {
    bar: ProgressBar,
    quiet: bool,
}

impl Live {
    /// Shows nothing when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let draws = !quiet && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(1440),
            if draws {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:48.yellow}] {msg}") {
            bar.set_style(style.progress_chars("█▓░"));
        }
        Self { bar, quiet }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.bar.is_hidden() {
            println!("  {text}");
        } else {
            self.bar.println(format!("  {text}"));
        }
    }

    /// Draws where things stand.
    pub fn show(&self, stage: &Stage, score: &Score, regions: &[String], text: &str) {
        if self.bar.is_hidden() {
            return;
        }
        let minute =
            ((wall() - stage.began()) * 1440 / (stage.ends() - stage.began())).clamp(0, 1440);
        let standing = score.standing();
        let mut table = format!(
            "{} asked, {} accepted {text}\n",
            standing.offered, standing.accepted
        );
        let _ = writeln!(
            table,
            "  {:<8}{:>9}{:>9}{:>10}{:>11}{:>10}",
            "region", "waiting", "talking", "answered", "abandoned", "deferred"
        );
        for region in regions {
            let [waiting, talking, answered, abandoned, deferred] =
                standing.regions.get(region).copied().unwrap_or_default();
            let _ = writeln!(
                table,
                "  {region:<8}{waiting:>9}{talking:>9}{answered:>10}{abandoned:>11}{deferred:>10}"
            );
        }
        let languages = standing
            .languages
            .iter()
            .take(LANGUAGES)
            .map(|(language, asked, answered)| format!("{language} {answered}/{asked}"));
        let _ = write!(
            table,
            "  answered by language: {}",
            languages.collect::<Vec<_>>().join("  ")
        );
        self.bar
            .set_prefix(format!("{:02}:{:02} UTC", minute / 60 % 24, minute % 60));
        self.bar.set_position(minute.unsigned_abs());
        self.bar.set_message(table);
    }

    /// Takes the table away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// The report in words and bars.
pub fn report(r: &Report, regions: &[String]) -> String {
    let mut out = String::new();
    let share = |n: u64| {
        if r.accepted == 0 {
            0.0
        } else {
            n as f64 * 100.0 / r.accepted as f64
        }
    };
    let _ = writeln!(out, "\nThe day in figures");
    let _ = writeln!(out, "  asked for   {:>6}", r.offered);
    for (name, count) in [
        ("accepted", r.accepted),
        ("answered", r.answered),
        ("abandoned", r.abandoned),
        ("deferred", r.deferred),
        ("expired", r.expired),
        ("open", r.open),
    ] {
        let _ = writeln!(out, "  {name:<11} {count:>6}  {:>5.1} %", share(count));
    }
    for (why, count) in &r.refused {
        let _ = writeln!(out, "  refused     {count:>6}  {why}");
    }
    let _ = writeln!(
        out,
        "  wait        p50 {} ms, p90 {} ms, p99 {} ms, longest {} ms (people act {} times as fast as in life)",
        r.wait_ms.p50, r.wait_ms.p90, r.wait_ms.p99, r.wait_ms.max, r.human_speed
    );
    let _ = writeln!(
        out,
        "  language    {:.1} % answered in a language the visitor listed",
        r.language_match_share * 100.0
    );
    if let Some(f) = &r.failure {
        let led = if f.led {
            "the leader's region"
        } else {
            "not the leader's region"
        };
        let _ = writeln!(
            out,
            "  failover    {} ({led}) killed; first new commit after {} ms; caught up {} ms after its restart",
            f.region, f.failover_ms, f.back_ms
        );
    }
    out.push_str(&sun(r, regions));
    let _ = writeln!(out, "\nAudit");
    let _ = writeln!(
        out,
        "  lost {}, with two owners {}, agents over capacity {}",
        r.lost, r.double_assigned, r.over_capacity
    );
    if r.faults.is_empty() {
        let _ = writeln!(
            out,
            "  every accepted chat is accounted for; all replicas have the same state"
        );
    }
    for fault in r.faults.iter().take(20) {
        let _ = writeln!(out, "  FAULT: {fault}");
    }
    out
}

/// Chats answered by the agents of each region, hour by hour: the sun's path.
fn sun(r: &Report, regions: &[String]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = r
        .by_hour
        .values()
        .flatten()
        .copied()
        .max()
        .unwrap_or(0)
        .max(1);
    let mut out =
        String::from("\nThe sun's path: chats answered per hour by the agents' region (UTC)\n");
    let mut rows: Vec<&String> = regions.iter().collect();
    rows.extend(r.by_hour.keys().filter(|k| !regions.contains(k)));
    for region in rows {
        let hours = r
            .by_hour
            .get(region)
            .cloned()
            .unwrap_or_else(|| vec![0; 24]);
        let bars: String = hours
            .iter()
            .flat_map(|n| [BARS[(n * 8).div_ceil(most) as usize]; 2])
            .collect();
        let _ = writeln!(out, "  {region:<4} {bars} {}", hours.iter().sum::<u64>());
    }
    let scale: String = (0..24).step_by(3).map(|h| format!("{h:02}    ")).collect();
    let _ = writeln!(out, "       {}", scale.trim_end());
    out
}
