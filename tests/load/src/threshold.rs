//! What must hold of a run, such as `start.p99 <= 250ms` or `refused.percent <= 1%`.

use std::fmt;
use std::str::FromStr;

use meridian_traffic::format::Duration;
use serde::{Deserialize, Serialize};

use crate::measure::Act;

/// One condition: a figure of the report, and what it may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Which figure.
    pub figure: Figure,
    /// Whether it may be at most or at least so much.
    pub bound: Bound,
    /// How much, in the figure's unit.
    pub value: f64,
}

/// Which side of the value is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `<=`.
    AtMost,
    /// `>=`.
    AtLeast,
}

/// A figure of the report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// How long an act took, at this percentile; in ms.
    Took(Act, Rank),
    /// So many in a hundred of those who came; in percent.
    Share(Share),
}

/// Which of all lengths, sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Half are shorter.
    P50,
    /// Nine in ten.
    P90,
    /// Ninety-nine in a hundred.
    P99,
    /// All but one in a thousand.
    P999,
    /// The longest.
    Max,
}

impl Rank {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 5] = [
        (Self::P50, "p50"),
        (Self::P90, "p90"),
        (Self::P99, "p99"),
        (Self::P999, "p99.9"),
        (Self::Max, "max"),
    ];

    /// The share of lengths that are no longer.
    pub fn quantile(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::Max => 1.0,
        }
    }

    fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(rank, _)| *rank == self);
        known.map_or("", |(_, name)| name)
    }
}

/// What became of those who came, in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The cluster said no.
    Refused,
    /// No answer came in time.
    Unknown,
    /// They left before somebody answered.
    Abandoned,
    /// Of the answered ones, those answered within the queue's target.
    OnTime,
}

impl Share {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Refused, "refused"),
        (Self::Unknown, "unknown"),
        (Self::Abandoned, "abandoned"),
        (Self::OnTime, "on_time"),
    ];

    fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(share, _)| *share == self);
        known.map_or("", |(_, name)| name)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("'{text}' is no threshold; give FIGURE <= VALUE or FIGURE >= VALUE");
        let sides = |sign, bound| {
            text.split_once(sign)
                .map(|(l, r)| (l.trim(), bound, r.trim()))
        };
        let (figure, bound, value) = sides("<=", Bound::AtMost)
            .or_else(|| sides(">=", Bound::AtLeast))
            .ok_or_else(form)?;
        let (name, part) = figure.rsplit_once('.').ok_or_else(form)?;
        // `p99.9` has a point of its own.
        let (name, part) = match name.rsplit_once('.') {
            Some((name, "p99")) if part == "9" => (name, "p99.9"),
            _ => (name, part),
        };
        let figure = if part == "percent" {
            let share = Share::ALL.iter().find(|(_, known)| *known == name);
            let share = share.ok_or_else(|| unknown("share", name, &Share::ALL.map(|s| s.1)))?;
            Figure::Share(share.0)
        } else {
            let act = Act::ALL.iter().find(|(_, known)| *known == name);
            let act = act.ok_or_else(|| unknown("act", name, &Act::ALL.map(|a| a.1)))?;
            let rank = Rank::ALL.iter().find(|(_, known)| *known == part);
            let rank = rank.ok_or_else(|| unknown("percentile", part, &Rank::ALL.map(|r| r.1)))?;
            Figure::Took(act.0, rank.0)
        };
        let value = match figure {
            Figure::Took(..) => value.parse::<Duration>().map(|d| d.ms as f64).ok(),
            Figure::Share(_) => {
                let number = value.strip_suffix('%').unwrap_or(value).trim();
                number.parse().ok().filter(|n| (0.0..=100.0).contains(n))
            }
        };
        let value = value.ok_or_else(|| match figure {
            Figure::Took(..) => format!("'{text}': give a time such as 250ms"),
            Figure::Share(_) => format!("'{text}': give 0 to 100 percent"),
        })?;
        Ok(Self {
            figure,
            bound,
            value,
        })
    }
}

fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    format!(
        "there is no {what} '{given}'; give one of {}",
        known.join(", ")
    )
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        };
        match self.figure {
            Figure::Took(act, rank) => {
                let ms = Duration {
                    ms: self.value as u64,
                };
                write!(f, "{}.{} {sign} {ms}", act.name(), rank.name())
            }
            Figure::Share(share) => write!(f, "{}.percent {sign} {}%", share.name(), self.value),
        }
    }
}

impl Threshold {
    /// Whether a figure keeps to it; one that was never measured does not.
    pub fn holds(&self, measured: Option<f64>) -> bool {
        measured.is_some_and(|measured| match self.bound {
            Bound::AtMost => measured <= self.value,
            Bound::AtLeast => measured >= self.value,
        })
    }
}

impl Serialize for Threshold {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_written_as_they_are_read() {
        for text in [
            "start.p99 <= 250ms",
            "accept.p99.9 <= 1s",
            "refused.percent <= 0.5%",
            "on_time.percent >= 80%",
        ] {
            let threshold: Threshold = text.parse().expect(text);
            assert_eq!(threshold.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_threshold_says_what_would_be() {
        let told = |text: &str| text.parse::<Threshold>().expect_err(text);
        assert!(told("start.p99 < 1s").contains("FIGURE <= VALUE"));
        assert!(told("strat.p99 <= 1s").starts_with("there is no act 'strat'; give one of start"));
        assert!(told("start.p98 <= 1s").contains("p99.9"));
        assert!(told("refused.percent <= 101%").contains("0 to 100"));
        assert!(told("start.p99 <= 1").contains("250ms"));
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let threshold: Threshold = "start.p99 <= 250ms".parse().expect("one");
        assert!(!threshold.holds(None) && threshold.holds(Some(250.0)));
        assert!(!threshold.holds(Some(250.1)));
    }
}
