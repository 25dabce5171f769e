//! The report in words and bars, with the sun's path.

use std::fmt::Write as _;

use super::report::{Percentiles, Report};

/// Faults printed; the rest are counted.
const FAULTS: usize = 20;

/// The report for people.
pub fn report(r: &Report, regions: &[String]) -> String {
    let mut out = String::new();
    figures(&mut out, r);
    if let Some(f) = &r.failure {
        let led = if f.led {
            "the leader's region"
        } else {
            "not the leader's region"
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "  failover    {} ({led}) killed; caught up {} ms after its restart\n              {}",
            f.region,
            f.back_ms,
            f.told()
        );
    }
    sun(&mut out, r, regions);
    audit(&mut out, r);
    out
}

fn figures(out: &mut String, r: &Report) {
    let share = |n: u64, of: u64| match of {
        0 => 0.0,
        of => n as f64 * 100.0 / of as f64,
    };
    let _ = writeln!(out, "The day in figures");
    let _ = writeln!(out, "  asked for   {:>6}", r.offered);
    for (name, count) in [
        ("accepted", r.accepted),
        ("answered", r.answered),
        ("abandoned", r.abandoned),
        ("deferred", r.deferred),
        ("expired", r.expired),
        ("open", r.open),
    ] {
        let _ = writeln!(
            out,
            "  {name:<11} {count:>6}  {:>5.1} %",
            share(count, r.accepted)
        );
    }
    for (why, count) in &r.refused {
        let _ = writeln!(out, "  refused     {count:>6}  {why}");
    }
    if r.unknown > 0 {
        let _ = writeln!(out, "  unknown     {:>6}  no answer in time", r.unknown);
    }
    for (name, p) in [
        ("wait", &r.wait_ms),
        ("as felt", &r.felt_wait_ms),
        ("abandoned", &r.abandoned_wait_ms),
    ] {
        let _ = writeln!(out, "  {name:<11} {}", waits(p));
    }
    let _ = writeln!(
        out,
        "              (people act {} times as fast as in life)",
        r.human_speed
    );
    let _ = writeln!(
        out,
        "  language    {:.1} % answered in a language the visitor listed, {:.1} % in the first;\n              {:.1} % through machine translation",
        r.language_match_share * 100.0,
        r.first_language_share * 100.0,
        r.machine_translated_share * 100.0
    );
}

fn waits(p: &Percentiles) -> String {
    format!(
        "p50 {} ms, p90 {} ms, p99 {} ms, longest {} ms, of {}",
        p.p50, p.p90, p.p99, p.max, p.count
    )
}

fn audit(out: &mut String, r: &Report) {
    let _ = writeln!(out, "\nAudit");
    let _ = writeln!(
        out,
        "  lost {}, with two owners {}, agents over capacity {}",
        r.lost, r.double_assigned, r.over_capacity
    );
    match r.ghosts {
        Some(ghosts) => {
            let _ = writeln!(out, "  chats nobody asked for {ghosts}");
        }
        None => {
            let _ = writeln!(
                out,
                "  chats nobody asked for: not looked for, as closed chats leave the list during so long a day"
            );
        }
    }
    if r.faults.is_empty() {
        let _ = writeln!(
            out,
            "  all {} acknowledgements stand in the chats' stories; every accepted chat is accounted for;\n  all replicas have the same state",
            r.acknowledgements
        );
    }
    for fault in r.faults.iter().take(FAULTS) {
        let _ = writeln!(out, "  FAULT: {fault}");
    }
    if r.faults.len() > FAULTS {
        let _ = writeln!(out, "  and {} faults more", r.faults.len() - FAULTS);
    }
}

/// Chats answered by the agents of each region, hour by hour: the sun's path.
fn sun(out: &mut String, r: &Report, regions: &[String]) {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = r.by_hour.values().flatten().copied().max().unwrap_or(0);
    let most = most.max(1);
    let _ = writeln!(
        out,
        "\nThe sun's path: chats answered per hour by the agents' region (UTC)"
    );
    let mut rows: Vec<&String> = regions.iter().collect();
    rows.extend(r.by_hour.keys().filter(|k| !regions.contains(k)));
    for region in rows {
        let none = vec![0; 24];
        let hours = r.by_hour.get(region).unwrap_or(&none);
        let bar = |n: &u64| [BARS[(n * 8).div_ceil(most) as usize]; 2];
        let bars: String = hours.iter().flat_map(bar).collect();
        let _ = writeln!(out, "  {region:<4} {bars} {}", hours.iter().sum::<u64>());
    }
    let scale: String = (0..24).step_by(3).map(|h| format!("{h:02}    ")).collect();
    let _ = writeln!(out, "       {}", scale.trim_end());
    if r.after_midnight > 0 {
        let _ = writeln!(out, "       and {} after midnight", r.after_midnight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_of_faults_and_of_what_was_not_looked_for() {
        let report = |r: &Report| super::report(r, &["eu".to_owned()]);
        let mut day = Report {
            acknowledgements: 7,
            ghosts: Some(0),
            ..Default::default()
        };
        day.by_hour.insert("eu".into(), vec![1; 24]);
        let clean = report(&day);
        assert!(clean.contains("all 7 acknowledgements"), "{clean}");
        assert!(clean.contains("  eu   ████"), "{clean}");
        day.ghosts = None;
        day.faults = (0..25).map(|i| format!("number {i}")).collect();
        let faulty = report(&day);
        assert!(faulty.contains("not looked for"), "{faulty}");
        assert!(
            faulty.contains("FAULT: number 19\n  and 5 faults more"),
            "{faulty}"
        );
    }
}
