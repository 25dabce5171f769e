//! What is known about people, from published data. Sources, versions and simplifications:
//! `world/SOURCE.md`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::format::{Day, RegionId};

/// A language of a territory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Canonical BCP-47 tag, such as `pt-BR`.
    pub language: String,
    /// People whose first choice it is, per mille of those online. A territory's sum is 1000.
    pub first_permille: u32,
    /// People who read it at all, percent; a territory's sum exceeds 100 where people speak several.
    pub speaks_percent: u32,
}

/// A country or territory.
#[derive(Clone, Debug)]
pub struct Territory {
    /// ISO 3166 code, such as `BR`.
    pub code: String,
    /// English name.
    pub name: String,
    /// The cluster region that is nearest by geography.
    pub region: RegionId,
    /// Its main zone.
    pub zone: TimeZone,
    /// The zone's IANA name.
    pub zone_name: String,
    /// The days most people do not work, one or two.
    pub weekend: Vec<Day>,
    /// People.
    pub population: u64,
    /// Of them online, per mille.
    pub online_permille: u32,
    /// Languages, the most common first choice first; 1 to 6.
    pub languages: Vec<Spoken>,
    /// Public holidays of 2026 and 2027 as local dates; empty where none are known.
    pub holidays: BTreeSet<Date>,
}

impl Territory {
    /// People online.
    pub fn online(&self) -> u64 {
        self.population * u64::from(self.online_permille) / 1000
    }

    /// People online whose first choice is `language`.
    pub fn online_in(&self, language: &str) -> u64 {
        let spoken = self.languages.iter().find(|l| l.language == language);
        spoken.map_or(0, |l| self.online() * u64::from(l.first_permille) / 1000)
    }

    /// Whether most people are off work on a local date.
    pub fn is_day_off(&self, date: Date) -> bool {
        self.holidays.contains(&date) || self.weekend.contains(&Day::from(date.weekday()))
    }
}

/// How people of one language are called and say hello; written by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// A greeting.
    pub greeting: String,
    /// Given names, at least one.
    pub names: Vec<String>,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    territories: Vec<Territory>,
    people: BTreeMap<String, People>,
}

/// Why the data could not be read. The data is part of the crate, so this is a fault of `build.py`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A line does not have the form its header states.
    #[error("{file}, line {line}: {what}; run world/build.py again")]
    Line {
        /// The file, below `world/`.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

const TERRITORIES: &str = include_str!("../world/territories.tsv");
const HOLIDAYS: &str = include_str!("../world/holidays.tsv");
const PEOPLE: &str = include_str!("../world/people.tsv");

impl World {
    /// Reads the data the crate carries. Zones come from the zone data bundled with it, never from the
    /// machine's, so that every machine computes the same.
    ///
    /// # Errors
    /// [`WorldError`] when a file is malformed.
    pub fn load() -> Result<Self, WorldError> {
        let zones = TimeZoneDatabase::bundled();
        let mut holidays = read("holidays.tsv", HOLIDAYS, 2, |f| {
            let dates: Result<BTreeSet<Date>, _> = f[1].split_whitespace().map(parse).collect();
            Ok((f[0].to_owned(), dates?))
        })?
        .into_iter()
        .collect::<BTreeMap<_, _>>();
        let territories = read("territories.tsv", TERRITORIES, 9, |f| {
            territory(f, &zones, &mut holidays)
        })?;
        let people = read("people.tsv", PEOPLE, 3, |f| {
            let names = f[2].split(' ').map(str::to_owned).collect();
            let greeting = f[1].to_owned();
            Ok((f[0].to_owned(), People { greeting, names }))
        })?;
        let people = people.into_iter().collect();
        Ok(Self {
            territories,
            people,
        })
    }

    /// All territories, the most people online first.
    pub fn territories(&self) -> &[Territory] {
        &self.territories
    }

    /// A territory by its ISO 3166 code.
    pub fn territory(&self, code: &str) -> Option<&Territory> {
        self.territories.iter().find(|t| t.code == code)
    }

    /// Names and greeting of a language; English ones where a language has none.
    ///
    /// # Panics
    /// Never with the crate's own data: it has English.
    pub fn people(&self, language: &str) -> &People {
        let found = self.people.get(language).or_else(|| self.people.get("en"));
        found.expect("people.tsv has English")
    }

    /// Languages with the people online whose first choice they are, most people first, ties by tag.
    pub fn languages(&self) -> Vec<(String, u64)> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for territory in &self.territories {
            for spoken in &territory.languages {
                *sums.entry(&spoken.language).or_default() += territory.online_in(&spoken.language);
            }
        }
        let mut sums: Vec<_> = sums.into_iter().map(|(l, n)| (l.to_owned(), n)).collect();
        sums.sort_by_key(|(_, people)| std::cmp::Reverse(*people));
        sums
    }
}

/// Reads a file of tab-separated fields; `#` begins a comment line.
fn read<T>(
    file: &'static str,
    text: &str,
    fields: usize,
    mut row: impl FnMut(&[&str]) -> Result<T, String>,
) -> Result<Vec<T>, WorldError> {
    let lines = text.lines().enumerate();
    let data = lines.filter(|(_, l)| !l.starts_with('#') && !l.is_empty());
    data.map(|(i, text)| {
        let found: Vec<&str> = text.split('\t').collect();
        let parsed = if found.len() == fields {
            row(&found)
        } else {
            Err(format!("{} fields instead of {fields}", found.len()))
        };
        parsed.map_err(|what| WorldError::Line {
            file,
            line: i + 1,
            what,
        })
    })
    .collect()
}

fn territory(
    f: &[&str],
    zones: &TimeZoneDatabase,
    holidays: &mut BTreeMap<String, BTreeSet<Date>>,
) -> Result<Territory, String> {
    let percent: f64 = parse(f[6])?;
    Ok(Territory {
        code: f[0].to_owned(),
        name: f[1].to_owned(),
        region: parse(f[2])?,
        zone: zones.get(f[3]).map_err(|e| e.to_string())?,
        zone_name: f[3].to_owned(),
        weekend: weekend(f[4])?,
        population: parse(f[5])?,
        online_permille: (percent * 10.0) as u32,
        languages: f[8].split(' ').map(spoken).collect::<Result<_, _>>()?,
        holidays: holidays.remove(f[0]).unwrap_or_default(),
    })
}

fn spoken(text: &str) -> Result<Spoken, String> {
    let [language, first, speaks] = text.split(':').collect::<Vec<_>>()[..] else {
        return Err(format!("'{text}' is not tag:permille:percent"));
    };
    Ok(Spoken {
        language: language.to_owned(),
        first_permille: parse(first)?,
        speaks_percent: parse(speaks)?,
    })
}

/// `fri-sat` as the days from the first to the last.
fn weekend(text: &str) -> Result<Vec<Day>, String> {
    let (first, last) = text.split_once('-').ok_or("weekend without a dash")?;
    let (first, last): (Day, Day) = (parse(first)?, parse(last)?);
    let all = Weekday::from(first).cycle_forward().map(Day::from).take(7);
    let mut days: Vec<Day> = all.collect();
    days.truncate(days.iter().position(|d| *d == last).map_or(1, |i| i + 1));
    Ok(days)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e| format!("'{text}': {e}"))
}
