//! What came of a run: figures, the thresholds held against them, and everything a page is drawn from.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::measure::{Act, Counts, Lengths, Measured, Second, lengths};
use crate::plan::{Plan, Share};
use crate::scenario::Scenario;
use crate::threshold::{Figure, Rank, Share as OfAll};

/// Of the form of this file; another is not read.
const FORMAT: u32 = 1;
/// Visitors who ask so much later than meant make the figures those of the load process, in ms.
const LATE_MS_MAX: f64 = 20.0;

/// About the run.
#[derive(Clone, Debug)]
pub struct About {
    /// When it began, in UTC milliseconds.
    pub started_ms: i64,
    /// Which part of it.
    pub share: Share,
    /// Nodes that took part, and where they are.
    pub nodes: Vec<(String, String)>,
    /// The version of the cluster.
    pub version: String,
}

/// The report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Of the form of this file.
    pub format: u32,
    /// When the run began, in UTC milliseconds.
    pub started_ms: i64,
    /// Which shares of the run are in it, of how many.
    pub shares: Vec<u32>,
    /// Of how many.
    pub of: u32,
    /// The version of the cluster.
    pub version: String,
    /// Nodes that took part, and their regions.
    pub nodes: Vec<(String, String)>,
    /// What was played.
    pub scenario: Scenario,
    /// Chats that would be talked over at once if everybody were answered at once, on average.
    pub offered_load: f64,
    /// Chats that all agents together could have in hand.
    pub seats: u64,
    /// What became of those who came after the warm-up.
    pub counts: Counts,
    /// How long acts took, in all and by region.
    pub acts: BTreeMap<Act, Took>,
    /// How much later than meant visitors asked, by no fault of the cluster's.
    pub late: Distribution,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Stories of simulated people who came to grief, the first few.
    pub mishaps: Vec<String>,
    /// What had to hold, and whether it did.
    pub verdicts: Vec<Verdict>,
}

/// How long an act took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Took {
    /// Everywhere.
    pub all: Distribution,
    /// By the region of who felt it.
    pub regions: BTreeMap<String, Distribution>,
}

/// Lengths of time.
#[derive(Clone, Debug)]
pub struct Distribution(pub Lengths);

/// Lengths of time, as they are written: percentiles for whoever reads, and all of it for whoever adds to it.
#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// All of it, in the second format of HdrHistogram, as hexadecimal digits.
    histogram: String,
}

impl Distribution {
    /// At a percentile, in ms.
    pub fn at_ms(&self, rank: Rank) -> f64 {
        let us = match rank {
            Rank::Max => self.0.max(),
            rank => self.0.value_at_quantile(rank.quantile()),
        };
        us as f64 / 1_000.0
    }
}

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(&self.0, &mut bytes);
        written.map_err(|error| serde::ser::Error::custom(format!("{error:?}")))?;
        let written = Written {
            count: self.0.len(),
            mean_ms: self.0.mean() / 1_000.0,
            p50_ms: self.at_ms(Rank::P50),
            p90_ms: self.at_ms(Rank::P90),
            p99_ms: self.at_ms(Rank::P99),
            p999_ms: self.at_ms(Rank::P999),
            max_ms: self.at_ms(Rank::Max),
            histogram: bytes.iter().map(|b| format!("{b:02x}")).collect(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let written = Written::deserialize(deserializer)?;
        let pairs = written.histogram.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let digits = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        let bytes = bytes.ok_or_else(|| D::Error::custom("histogram: not hexadecimal digits"))?;
        let read = Deserializer::new().deserialize(&mut bytes.as_slice());
        read.map(Self)
            .map_err(|error| D::Error::custom(format!("histogram: {error:?}")))
    }
}

/// Whether a threshold held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What had to hold.
    pub threshold: String,
    /// What was measured, in ms or percent; `null` if nothing was.
    pub measured: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

impl Verdict {
    /// What was measured, in words.
    pub fn measured(&self) -> String {
        self.measured
            .map_or("nothing".to_owned(), |m| format!("{m:.2}"))
    }
}

impl Report {
    /// Of one run, or one share of it.
    pub fn new(plan: &Plan, about: About, measured: Measured) -> Self {
        let mut acts = BTreeMap::<Act, Took>::new();
        for ((act, region), lengths_) in measured.lengths {
            let took = acts.entry(act).or_insert_with(|| Took {
                all: Distribution(lengths()),
                regions: BTreeMap::new(),
            });
            add(&mut took.all.0, &lengths_);
            took.regions.insert(region, Distribution(lengths_));
        }
        let (offered_load, seats) = plan.offered_load();
        let mut report = Self {
            format: FORMAT,
            started_ms: about.started_ms,
            shares: vec![about.share.number],
            of: about.share.of,
            version: about.version,
            nodes: about.nodes,
            scenario: plan.scenario.clone(),
            offered_load,
            seats,
            counts: measured.counts,
            acts,
            late: Distribution(measured.late),
            seconds: measured.seconds,
            mishaps: measured.mishaps,
            verdicts: Vec::new(),
        };
        report.judge();
        report
    }

    /// Reads one that was written as JSON.
    ///
    /// # Errors
    /// [`LoadError::File`], or [`LoadError::Report`] if it is none of this form.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::File {
            path: path.to_owned(),
            error,
        })?;
        let wrong = |error: String| LoadError::Report {
            path: path.to_owned(),
            error,
        };
        let report: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if report.format != FORMAT {
            let known = format!(
                "form {} and not {FORMAT}; use the version that wrote it",
                report.format
            );
            return Err(wrong(known));
        }
        Ok(report)
    }

    /// Adds another share of the same run.
    ///
    /// # Errors
    /// [`LoadError::Another`] if it is none, or in it already.
    pub fn add(&mut self, path: &Path, other: Self) -> Result<(), LoadError> {
        let another = |why: &str| {
            Err(LoadError::Another {
                path: path.to_owned(),
                why: why.to_owned(),
            })
        };
        if other.scenario != self.scenario {
            return another("it plays another scenario");
        }
        if other.started_ms != self.started_ms || other.of != self.of {
            return another("it began at another moment, or is of another number of shares");
        }
        if other.shares.iter().any(|share| self.shares.contains(share)) {
            return another("its share is in it already");
        }
        self.shares.extend(other.shares);
        self.shares.sort_unstable();
        self.counts.add(&other.counts);
        for (act, took) in other.acts {
            let Some(own) = self.acts.get_mut(&act) else {
                self.acts.insert(act, took);
                continue;
            };
            add(&mut own.all.0, &took.all.0);
            for (region, lengths) in took.regions {
                match own.regions.get_mut(&region) {
                    Some(own) => add(&mut own.0, &lengths.0),
                    None => drop(own.regions.insert(region, lengths)),
                }
            }
        }
        add(&mut self.late.0, &other.late.0);
        let longest = self.seconds.len().max(other.seconds.len());
        self.seconds.resize(longest, Second::default());
        for (own, other) in self.seconds.iter_mut().zip(&other.seconds) {
            together(own, other);
        }
        self.mishaps.extend(other.mishaps);
        self.judge();
        Ok(())
    }

    /// Why the run did not hold what it had to, or cannot tell; `None` if it did.
    pub fn failure(&self) -> Option<String> {
        let failed: Vec<String> = self
            .verdicts
            .iter()
            .filter(|v| !v.held)
            .map(|v| {
                let measured = v.measured();
                format!("{} (measured: {measured})", v.threshold)
            })
            .collect();
        if !failed.is_empty() {
            return Some(format!("did not hold: {}", failed.join(", ")));
        }
        (self.counts.mishaps > 0).then(|| {
            let first = self.mishaps.first().map_or("", String::as_str);
            format!(
                "{} of the simulated people came to grief: {first}",
                self.counts.mishaps
            )
        })
    }

    /// What deserves a word about how much the figures say.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let late = self.late.at_ms(Rank::P99);
        if late > LATE_MS_MAX {
            doubts.push(format!(
                "one visitor in a hundred asked more than {late:.0} ms later than meant: the load process has too little of the machine, and its own delay is in the figures"
            ));
        }
        if self.shares.len() < self.of as usize {
            doubts.push(format!(
                "{} of {} shares are in it",
                self.shares.len(),
                self.of
            ));
        }
        if self.offered_load > self.seats as f64 {
            doubts.push(format!(
                "{:.0} chats would be talked over at once, and all agents together have {} seats: most of what is felt is the want of agents",
                self.offered_load, self.seats
            ));
        }
        doubts
    }

    fn judge(&mut self) {
        let counts = &self.counts;
        let percent = |part: u64, of: u64| (of > 0).then(|| part as f64 * 100.0 / of as f64);
        let verdict = |threshold: &crate::threshold::Threshold| {
            let measured = match threshold.figure {
                Figure::Took(act, rank) => self.acts.get(&act).map(|took| took.all.at_ms(rank)),
                Figure::Share(share) => match share {
                    OfAll::Refused => percent(counts.turned_away(), counts.came),
                    OfAll::Unknown => percent(counts.unknown, counts.came),
                    OfAll::Abandoned => percent(counts.abandoned, counts.taken_in),
                    OfAll::OnTime => percent(counts.on_time, counts.answered),
                },
            };
            Verdict {
                threshold: threshold.to_string(),
                measured,
                held: threshold.holds(measured),
            }
        };
        self.verdicts = self.scenario.thresholds.iter().map(verdict).collect();
    }
}

/// Both have the same bounds, so nothing is lost.
fn add(own: &mut Lengths, other: &Lengths) {
    let _ = own.add(other);
}

/// The same second of two shares: counts are added; of percentiles the worse one stands, as two cannot be added.
fn together(own: &mut Second, other: &Second) {
    for (own, other) in [
        (&mut own.came, other.came),
        (&mut own.taken_in, other.taken_in),
        (&mut own.refused, other.refused),
        (&mut own.answered, other.answered),
        (&mut own.abandoned, other.abandoned),
        (&mut own.acts, other.acts),
        (&mut own.waiting, other.waiting),
        (&mut own.talking, other.talking),
        (&mut own.agents, other.agents),
    ] {
        *own += other;
    }
    own.start_p50_us = own.start_p50_us.max(other.start_p50_us);
    own.start_p99_us = own.start_p99_us.max(other.start_p99_us);
    own.accept_p99_us = own.accept_p99_us.max(other.accept_p99_us);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report of one share, with figures.
    pub(crate) fn report(share: Share, thresholds: &str) -> Report {
        let text =
            format!("name = 'a < b'\nthresholds = [{thresholds}]\n[arrivals]\nchats = 100\n");
        let plan = Plan::new(Scenario::parse(&text).expect("a scenario")).expect("a plan");
        let mut felt = lengths();
        for us in [1_000, 2_000, 3_000, 100_000] {
            felt.record(us * u64::from(share.number))
                .expect("within bounds");
        }
        let measured = Measured {
            counts: Counts {
                came: 10,
                taken_in: 8,
                refused: [("Unavailable: no leader".to_owned(), 2)].into(),
                answered: 6,
                on_time: 3,
                abandoned: 2,
                ..Counts::default()
            },
            lengths: [
                ((Act::Start, "eu".to_owned()), felt.clone()),
                ((Act::Start, "us".to_owned()), felt),
            ]
            .into(),
            seconds: (0..30)
                .map(|n| Second {
                    came: n,
                    taken_in: n,
                    start_p99_us: 1_000 * n,
                    agents: 7,
                    ..Second::default()
                })
                .collect(),
            late: lengths(),
            mishaps: Vec::new(),
        };
        let about = About {
            started_ms: 1_795_478_400_000,
            share,
            nodes: vec![("http://127.0.0.1:7001".to_owned(), "eu".to_owned())],
            version: "0".to_owned(),
        };
        Report::new(&plan, about, measured)
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let thresholds = "'start.p50 <= 3ms', 'refused.percent <= 10%', 'on_time.percent >= 50%', 'rate.p99 <= 1s'";
        let report = report(Share::WHOLE, thresholds);
        let held: Vec<bool> = report.verdicts.iter().map(|v| v.held).collect();
        assert_eq!(held, [true, false, true, false], "{:?}", report.verdicts);
        let failure = report.failure().expect("two did not hold");
        assert!(
            failure.contains("refused.percent <= 10% (measured: 20.00)"),
            "{failure}"
        );
        let dir = std::env::temp_dir().join(format!("meridian-report-{}", std::process::id()));
        let text = serde_json::to_string(&report).expect("written");
        std::fs::write(&dir, &text).expect("kept");
        let read = Report::read(&dir);
        std::fs::remove_file(&dir).expect("there");
        let read = read.expect("read again");
        assert_eq!(serde_json::to_string(&read).expect("written again"), text);
        assert_eq!(read.acts[&Act::Start].all.0.len(), 8);
    }

    #[test]
    fn shares_of_one_run_make_a_whole() {
        let share = |number| report(Share { number, of: 2 }, "'start.max <= 150ms'");
        let (mut one, two) = (share(1), share(2));
        assert_eq!(one.failure(), None);
        let doubts = one.doubts();
        assert_eq!(doubts, ["1 of 2 shares are in it"]);
        let path = Path::new("two.json");
        one.add(path, two.clone()).expect("another share");
        assert_eq!(
            (one.counts.came, one.acts[&Act::Start].all.0.len()),
            (20, 16)
        );
        assert_eq!(
            (one.seconds[29].came, one.seconds[29].start_p99_us),
            (58, 29_000)
        );
        assert!(one.failure().is_some(), "the other's longest is 200 ms");
        assert!(one.doubts().is_empty());
        let again = one.add(path, two).expect_err("it is in it").to_string();
        assert!(again.contains("its share is in it already"), "{again}");
        let other = report(Share { number: 2, of: 3 }, "'start.max <= 150ms'");
        assert!(one.add(path, other).is_err());
    }
}
