//! Varieties, what is wanted, and how far the one is from the other.

use crate::groups;
use crate::rule::first;
use crate::table::{LANGUAGES, PARADIGMS, REGIONS, SCRIPTS};
use crate::tag::{Resolved, canonical, resolved};
use crate::{LanguageError, REACH};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Distances are CLDR's times this, which leaves room below one of its steps to prefer a paradigm.
const STEP: u16 = 10;

/// Nothing in CLDR's sense: no language, script or region of this name, so only the rule for the rest holds.
const NONE: &str = "";

/// What someone speaks, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variety {
    /// The canonical tag, as short as it was given: `zh-TW`.
    pub tag: String,
    /// Language and script, the likely one when none was given: `zh-Hant`.
    pub key: String,
    /// Region, the likely one when none was given: `TW`.
    pub region: String,
    /// Which group of regions it is of; regions of a group are alike to everybody who is not of the same region. 0
    /// where CLDR does not tell the regions of a language apart. No two languages share another number.
    pub group: u8,
    /// Whether this is a variety that stands for its neighbours, such as `es-419`, and so wins ties.
    pub paradigm: bool,
}

/// What a visitor asks for, resolved: everything that decides how far a [`Variety`] is from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// What was asked for.
    pub variety: Variety,
    /// Which keys come near and how far each is, by distance; the own key first, with 0. An entry that ends in a
    /// hyphen, such as `zh-`, is about every key that begins so: the language in any other script. The first entry
    /// that a key begins with decides.
    pub near: Vec<(String, u16)>,
    /// How far another region is, by its group.
    pub regions: Vec<(u8, u16)>,
    /// How far another region is whose group is not among [`Self::regions`].
    pub elsewhere: u16,
}

/// What someone speaks who speaks `tag`.
///
/// # Errors
/// As [`crate::canonical`].
pub fn spoken(tag: &str) -> Result<Variety, LanguageError> {
    resolved(tag).map(variety)
}

/// What is asked for by asking for `tag`.
///
/// # Errors
/// As [`crate::canonical`].
pub fn wanted(tag: &str) -> Result<Wanted, LanguageError> {
    let own = spoken(tag)?;
    let [language, script, region] = subtags(&own);
    let mut near = Vec::new();
    for other in languages_near(language) {
        let apart = |there| key_distance([language, script], [other, there]);
        // The script of no name is as far as every script without a rule of its own.
        let rest = apart(NONE);
        let named = scripts_near(script, other)
            .into_iter()
            .map(|there| (apart(there), format!("{other}-{there}")));
        near.extend(named.filter(|(apart, _)| *apart < rest));
        near.push((rest, format!("{other}-")));
    }
    near.retain(|(apart, _)| *apart < REACH);
    near.sort();
    let regions = groups::distances([language, script, region])
        .map(|(group, distance)| (group, distance * STEP))
        .collect();
    let elsewhere = first(REGIONS, &[NONE; 3], &[NONE; 3]) * STEP;
    let near = near.into_iter().map(|(apart, key)| (key, apart)).collect();
    Ok(Wanted {
        near,
        regions,
        elsewhere,
        variety: own,
    })
}

/// How far what is spoken is from what is wanted, `None` when it is out of [`REACH`]. It needs nothing but the two, so
/// that a decision made of logged values comes out the same wherever and whenever it is made again.
pub fn distance(wanted: &Wanted, spoken: &Variety) -> Option<u16> {
    let (_, apart) = wanted
        .near
        .iter()
        .find(|(start, _)| spoken.key.starts_with(start))?;
    if spoken.region == wanted.variety.region {
        return Some(*apart);
    }
    let region = wanted
        .regions
        .iter()
        .find(|(group, _)| *group == spoken.group);
    let region = region.map_or(wanted.elsewhere, |(_, distance)| *distance);
    Some(
        apart
            .saturating_add(region)
            .saturating_sub(u16::from(spoken.paradigm)),
    )
}

/// The same distance by CLDR's own procedure over its table, however large; it is what [`distance`] is proved by.
pub fn cldr_distance(desired: &Variety, supported: &Variety) -> u16 {
    let (want, have) = (subtags(desired), subtags(supported));
    let mut apart = key_distance([want[0], want[1]], [have[0], have[1]]);
    if want[2] != have[2] {
        apart += first(REGIONS, &want, &have) * STEP - u16::from(supported.paradigm);
    }
    apart
}

fn key_distance(desired: [&str; 2], supported: [&str; 2]) -> u16 {
    let mut apart = 0;
    if desired[0] != supported[0] {
        apart += first(LANGUAGES, &desired[..1], &supported[..1]) * STEP;
    }
    if desired[1] != supported[1] {
        apart += first(SCRIPTS, &desired, &supported) * STEP;
    }
    apart
}

/// The language and those that a rule names together with it.
fn languages_near(language: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::from([language]);
    for rule in LANGUAGES {
        if rule.desired == language {
            found.insert(rule.supported);
        } else if rule.supported == language {
            found.insert(rule.desired);
        }
    }
    // Nobody is said to speak what has another name today, as sh has in sr-Latn, or what CLDR knows too little of.
    found.retain(|tag| canonical(tag).as_deref() == Ok(*tag));
    found
}

/// The script and those that a rule names together with the other language.
fn scripts_near<'a>(script: &'a str, other: &str) -> BTreeSet<&'a str> {
    let named = SCRIPTS
        .iter()
        .flat_map(|rule| [rule.desired, rule.supported]);
    let of_other = named.filter_map(|key| key.strip_prefix(other)?.strip_prefix('-'));
    of_other.chain([script]).collect()
}

fn variety(full: Resolved) -> Variety {
    /// Filled in, as language-Script and region.
    static FULL: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let full = PARADIGMS.iter().filter_map(|tag| resolved(tag).ok());
        full.map(|full| (full.key(), full.region)).collect()
    });
    let key = full.key();
    let group = groups::of([&full.language, &full.script, &full.region]);
    let paradigm = FULL
        .iter()
        .any(|(k, region)| *k == key && *region == full.region);
    Variety {
        tag: full.tag,
        key,
        region: full.region,
        group,
        paradigm,
    }
}

fn subtags(variety: &Variety) -> [&str; 3] {
    let (language, script) = variety.key.split_once('-').unwrap_or((&variety.key, NONE));
    [language, script, &variety.region]
}
