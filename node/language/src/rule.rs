//! What a rule of the table says, and when it holds.

use crate::table::VARIABLES;

/// How far `supported` is from `desired`. Both are patterns of one to three subtags joined by hyphens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) desired: &'static str,
    pub(crate) supported: &'static str,
    /// As CLDR writes it, not multiplied.
    pub(crate) distance: u16,
    pub(crate) oneway: bool,
}

/// A rule for both directions.
pub(crate) const fn mutual(desired: &'static str, supported: &'static str, distance: u16) -> Rule {
    Rule {
        desired,
        supported,
        distance,
        oneway: false,
    }
}

/// A rule for those who want the first and are given the second, not for the others.
pub(crate) const fn oneway(desired: &'static str, supported: &'static str, distance: u16) -> Rule {
    Rule {
        desired,
        supported,
        distance,
        oneway: true,
    }
}

/// The distance by the first rule that holds. The last rule of each part of the table holds for everything.
pub(crate) fn first(rules: &[Rule], desired: &[&str], supported: &[&str]) -> u16 {
    rules
        .iter()
        .find(|rule| {
            holds(rule.desired, desired) && holds(rule.supported, supported)
                || !rule.oneway && holds(rule.desired, supported) && holds(rule.supported, desired)
        })
        .map_or(u16::MAX, |rule| rule.distance)
}

/// Whether a pattern holds for as many subtags.
pub(crate) fn holds(pattern: &str, subtags: &[&str]) -> bool {
    pattern.split('-').zip(subtags).all(|(pattern, subtag)| {
        if let Some(variable) = pattern.strip_prefix("$!") {
            !contains(variable, subtag)
        } else if let Some(variable) = pattern.strip_prefix('$') {
            contains(variable, subtag)
        } else {
            pattern == "*" || pattern == *subtag
        }
    })
}

fn contains(variable: &str, region: &str) -> bool {
    VARIABLES
        .iter()
        .any(|(name, regions)| &name[1..] == variable && regions.contains(&region))
}
