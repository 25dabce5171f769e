//! Groups of regions. Where CLDR tells the regions of a language apart, all regions of a group are as far from
//! anybody as each other, so a distance needs only the group.

use crate::rule::{first, holds};
use crate::table::REGIONS;

/// The group of all regions of languages whose regions CLDR does not tell apart.
pub(crate) const ALIKE: u8 = 0;

struct Group {
    /// Kept in the log with whoever speaks the language: never changed, never used again for something else.
    number: u8,
    /// language-Script-REGION.
    pattern: &'static str,
    /// One region of the group.
    sample: &'static str,
}

const fn group(number: u8, pattern: &'static str, sample: &'static str) -> Group {
    Group {
        number,
        pattern,
        sample,
    }
}

/// A region belongs to the first group that holds, so GB comes before the rest of its kind.
const GROUPS: &[Group] = &[
    group(1, "en-*-GB", "GB"),
    group(2, "en-*-$enUS", "US"),
    group(3, "en-*-$!enUS", "AU"),
    group(4, "es-*-$americas", "MX"),
    group(5, "es-*-$!americas", "ES"),
    group(6, "pt-*-$americas", "BR"),
    group(7, "pt-*-$!americas", "PT"),
    group(8, "ar-*-$maghreb", "MA"),
    group(9, "ar-*-$!maghreb", "EG"),
    group(10, "zh-Hant-$cnsar", "HK"),
    group(11, "zh-Hant-$!cnsar", "TW"),
];

/// The group a variety is of.
pub(crate) fn of(variety: [&str; 3]) -> u8 {
    GROUPS
        .iter()
        .find(|group| holds(group.pattern, &variety))
        .map_or(ALIKE, |group| group.number)
}

/// How far another region of each group of its own language is from a variety, as CLDR writes it.
pub(crate) fn distances(variety: [&str; 3]) -> impl Iterator<Item = (u8, u16)> {
    let [language, script, _] = variety;
    GROUPS.iter().filter_map(move |group| {
        let sample = [language, script, group.sample];
        holds(group.pattern, &sample).then(|| (group.number, first(REGIONS, &variety, &sample)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_in_the_log_keep_their_meaning() {
        let numbers: Vec<(u8, &str)> = GROUPS.iter().map(|g| (g.number, g.pattern)).collect();
        assert_eq!(
            numbers,
            [
                (1, "en-*-GB"),
                (2, "en-*-$enUS"),
                (3, "en-*-$!enUS"),
                (4, "es-*-$americas"),
                (5, "es-*-$!americas"),
                (6, "pt-*-$americas"),
                (7, "pt-*-$!americas"),
                (8, "ar-*-$maghreb"),
                (9, "ar-*-$!maghreb"),
                (10, "zh-Hant-$cnsar"),
                (11, "zh-Hant-$!cnsar"),
            ]
        );
    }

    #[test]
    fn every_pattern_of_a_region_in_the_table_is_a_group() {
        let patterns: BTreeSet<&str> = REGIONS
            .iter()
            .flat_map(|rule| [rule.desired, rule.supported])
            .filter(|pattern| !pattern.ends_with("-*"))
            .collect();
        let groups: BTreeSet<&str> = GROUPS.iter().map(|group| group.pattern).collect();
        assert_eq!(patterns, groups, "add a group with a new number to GROUPS");
    }

    #[test]
    fn a_sample_is_of_its_group() {
        for group in GROUPS {
            let mut parts = group.pattern.split('-');
            let language = parts.next().unwrap();
            let script = parts.next().unwrap();
            assert_eq!(of([language, script, group.sample]), group.number);
        }
    }

    #[test]
    fn latin_america_is_american_and_the_world_is_not() {
        assert_eq!(of(["es", "Latn", "419"]), 4);
        assert_eq!(of(["es", "Latn", "001"]), 5);
        assert_eq!(of(["en", "Latn", "001"]), 3);
        assert_eq!(of(["zh", "Hans", "HK"]), ALIKE);
        assert_eq!(of(["de", "Latn", "AT"]), ALIKE);
    }
}
