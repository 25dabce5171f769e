//! The report as a page that needs nothing else: figures, verdicts and plots in one file.

mod plot;

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::error::LoadError;
use crate::measure::Second;
use crate::people::notes::Act;
use crate::report::{Distribution, Report};
use crate::stage::Stage;
use crate::threshold::Rank;
use plot::{Line, Plot, Scale};

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.about{color:#566;margin:.2rem 0 1rem}
table{border-collapse:collapse;width:100%}th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e3e7ec}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:#566}tr.part td{color:#566}tr.part td:first-child{padding-left:1.8rem}
ul.verdicts{list-style:none;padding:0}ul.verdicts li{padding:.2rem .6rem;margin:.2rem 0;border-left:.3rem solid}
ul.verdicts li.held{border-color:#1a7f4b}ul.verdicts li.failed{border-color:#c0392b}ul.verdicts li.doubt{border-color:#c98a00}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.8rem;margin:1rem 0}
.figures div{border:1px solid #e3e7ec;border-radius:.4rem;padding:.5rem .8rem}.figures b{display:block;font-size:1.3rem}
svg{width:100%;height:auto;margin:.5rem 0}
";

/// Draws it.
///
/// # Errors
/// [`LoadError::Page`] if a plot cannot be drawn.
pub fn page(report: &Report) -> Result<String, LoadError> {
    let mut page = String::new();
    let scenario = &report.scenario;
    let name = escaped(&scenario.name);
    let began = Timestamp::from_millisecond(report.started_ms).unwrap_or_default();
    write(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title><style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n<p class=\"about\">{} Seed {}, begun {began:.0}; {} agents, {} of the world in {}, people {} times as fast as in life. {} nodes of version {}.</p>\n",
            escaped(&scenario.about),
            scenario.seed,
            scenario.agents.count,
            scenario.time.span,
            scenario.time.takes,
            scenario.time.people,
            report.nodes.len(),
            escaped(&report.version),
        ),
    );
    verdicts(&mut page, report);
    figures(&mut page, report);
    page.push_str("<h2>How long it took, in ms</h2>\n");
    acts(&mut page, report);
    for plot in plots(report) {
        page.push_str(&plot.draw()?);
    }
    if !report.counts.refused.is_empty() {
        page.push_str("<h2>Turned away</h2>\n<table><tr><th>why</th><th>visitors</th></tr>\n");
        for (why, count) in &report.counts.refused {
            write(
                &mut page,
                format_args!("<tr><td>{}</td><td>{count}</td></tr>\n", escaped(why)),
            );
        }
        page.push_str("</table>\n");
    }
    page.push_str("<h2>Scenario</h2>\n<pre>");
    page.push_str(&escaped(&toml::to_string(scenario).unwrap_or_default()));
    page.push_str("</pre>\n</body></html>\n");
    Ok(page)
}

fn verdicts(page: &mut String, report: &Report) {
    page.push_str("<ul class=\"verdicts\">\n");
    let mut line = |class: &str, text: &str| {
        write(
            page,
            format_args!("<li class=\"{class}\">{}</li>\n", escaped(text)),
        );
    };
    for verdict in &report.verdicts {
        let measured = verdict.measured();
        let (class, word) = if verdict.held {
            ("held", "held")
        } else {
            ("failed", "did not hold")
        };
        line(class, &format!("{} {word}: {measured}", verdict.threshold));
    }
    report
        .doubts()
        .iter()
        .for_each(|doubt| line("doubt", doubt));
    report
        .mishaps
        .iter()
        .for_each(|mishap| line("failed", mishap));
    page.push_str("</ul>\n");
}

fn figures(page: &mut String, report: &Report) {
    let counts = &report.counts;
    let share = |part: u64, of: u64| match of {
        0 => String::new(),
        of => format!(" ({:.1} %)", part as f64 * 100.0 / of as f64),
    };
    page.push_str("<div class=\"figures\">\n");
    for (name, count, of) in [
        ("came", counts.came, 0),
        ("taken in", counts.taken_in, counts.came),
        ("answered", counts.answered, counts.taken_in),
        ("answered on time", counts.on_time, counts.answered),
        ("left before", counts.abandoned, counts.taken_in),
        ("put off", counts.put_off, counts.taken_in),
        ("turned away", counts.turned_away(), counts.came),
        ("no answer in time", counts.unknown, counts.came),
    ] {
        let share = share(count, of);
        write(
            page,
            format_args!("<div><b>{count}</b>{name}{share}</div>\n"),
        );
    }
    page.push_str("</div>\n");
}

/// What an act is, in a few words.
pub fn told(act: Act) -> &'static str {
    match act {
        Act::Start => "a visitor is taken in",
        Act::Offer => "until an agent has the chat on the desk",
        Act::Answer => "until the visitor sees an answer",
        Act::Accept => "an agent accepts",
        Act::Notice => "until the visitor sees that",
        Act::End => "an agent ends the talk",
        Act::WriteUp => "an agent is done writing up",
        Act::Leave => "a visitor leaves",
        Act::Rate => "a visitor rates",
        Act::SignOn => "an agent signs on",
    }
}

fn acts(page: &mut String, report: &Report) {
    page.push_str("<table><tr><th></th><th>times</th>");
    for (_, name) in Rank::ALL {
        write(page, format_args!("<th>{name}</th>"));
    }
    page.push_str("</tr>\n");
    let mut row = |class: &str, name: &str, took: &Distribution| {
        write(
            page,
            format_args!(
                "<tr class=\"{class}\"><td>{name}</td><td>{}</td>",
                took.0.len()
            ),
        );
        for (rank, _) in Rank::ALL {
            write(page, format_args!("<td>{:.1}</td>", took.at_ms(rank)));
        }
        page.push_str("</tr>\n");
    };
    for (act, took) in &report.acts {
        row("", &format!("{}: {}", act.name(), told(*act)), &took.all);
        if took.regions.len() > 1 {
            for (region, took) in &took.regions {
                row("part", &escaped(region), took);
            }
        }
    }
    row("", "the load process itself was late", &report.late);
    page.push_str("</table>\n");
}

fn plots(report: &Report) -> Vec<Plot> {
    let time = &report.scenario.time;
    let stage = Stage {
        from: time.begins_ms(),
        span_ms: time.span.ms as i64,
        began: 0,
        length_ms: time.takes.ms as i64,
    };
    let hour = move |second: f64| {
        let at = Timestamp::from_millisecond(stage.world((second * 1_000.0) as i64));
        at.unwrap_or_default().strftime("%a %H:%M").to_string()
    };
    let line = |name: &'static str, value: &dyn Fn(&Second) -> f64| Line {
        name: name.to_owned(),
        points: report
            .seconds
            .iter()
            .enumerate()
            .map(|(n, s)| (n as f64, value(s)))
            .collect(),
    };
    let ms = |us: u64| us as f64 / 1_000.0;
    let over_time = |title: &str, scale, lines| Plot {
        title: title.to_owned(),
        scale,
        across: Box::new(hour),
        lines,
    };
    let curve = |act: Act| {
        let took = report.acts.get(&act)?;
        // A point at every tenth of a nine, as far as there are figures for it.
        let nines = (took.all.0.len() as f64).log10();
        let point = |tenth: u32| {
            let nines = f64::from(tenth) / 10.0;
            let quantile = 1.0 - 10f64.powf(-nines);
            (nines, ms(took.all.0.value_at_quantile(quantile)))
        };
        Some(Line {
            name: act.name().to_owned(),
            points: (0..=(nines * 10.0) as u32).map(point).collect(),
        })
    };
    let acts = [
        Act::Start,
        Act::Offer,
        Act::Accept,
        Act::Notice,
        Act::Answer,
    ];
    vec![
        over_time(
            "Visitors a second, by the hour of the world (UTC)",
            Scale::Linear,
            vec![
                line("came", &|s| s.came as f64),
                line("taken in", &|s| s.taken_in as f64),
                line("refused, or no answer", &|s| s.refused as f64),
                line("answered", &|s| s.answered as f64),
                line("left before", &|s| s.abandoned as f64),
            ],
        ),
        over_time(
            "From coming to being taken in, and from a click to its answer, in ms",
            Scale::Log,
            vec![
                line("taken in, half", &|s| ms(s.start_p50_us)),
                line("taken in, 99 of 100", &|s| ms(s.start_p99_us)),
                line("accepted, 99 of 100", &|s| ms(s.accept_p99_us)),
            ],
        ),
        over_time(
            "Chats and agents",
            Scale::Linear,
            vec![
                line("waiting", &|s| s.waiting as f64),
                line("talking", &|s| s.talking as f64),
                line("agents at work", &|s| s.agents as f64),
            ],
        ),
        Plot {
            title: "How many in a hundred took no longer, in ms".to_owned(),
            scale: Scale::Log,
            across: Box::new(|nines| {
                let percent = 100.0 - 100.0 * 10f64.powf(-nines);
                let digits = (nines.round() as usize).saturating_sub(2);
                format!("{percent:.digits$} %")
            }),
            lines: acts.into_iter().filter_map(curve).collect(),
        },
    ]
}

fn write(page: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes whatever is written into it.
    let _ = page.write_fmt(what);
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Share;
    use crate::report::tests::report;

    #[test]
    fn the_page_needs_nothing_else_and_trusts_no_name() {
        let page = page(&report(
            Share::WHOLE,
            "'start.p50 <= 3ms', 'refused.percent <= 10%'",
        ));
        let page = page.expect("a page");
        assert!(page.contains("<title>a &lt; b</title>"));
        assert_eq!(page.matches("<svg").count(), 4);
        for held in [
            "<li class=\"held\">start.p50 &lt;= 3ms held: 2.00</li>",
            "<li class=\"failed\">refused.percent &lt;= 10% did not hold: 20.00</li>",
            "<td>Unavailable: no leader</td><td>2</td>",
            "<b>6</b>answered (75.0 %)",
        ] {
            assert!(page.contains(held), "{held}");
        }
        for elsewhere in ["src=", "href=", "<script", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
