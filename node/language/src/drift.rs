//! The table says what its source says: derived here anew, independently of data/build.py.

use crate::rule::Rule;
use crate::table::{CLDR_VERSION, LANGUAGES, PARADIGMS, REGIONS, SCRIPTS, VARIABLES};
use serde_json::Value;
use std::collections::BTreeSet;

fn source() -> Value {
    serde_json::from_str(include_str!("../data/source.json")).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap())
        .collect()
}

#[test]
fn version_and_paradigms() {
    let source = source();
    assert_eq!(source["version"], CLDR_VERSION);
    assert_eq!(texts(&source["paradigmLocales"]["_locales"]), PARADIGMS);
    assert!(include_str!("../data/SOURCE.md").contains(CLDR_VERSION));
}

#[test]
fn rules_in_their_order() {
    let source = source();
    let rules = source["languageMatch"].as_array().unwrap();
    for (subtags, table) in [(1, LANGUAGES), (2, SCRIPTS), (3, REGIONS)] {
        let here: Vec<_> = table
            .iter()
            .map(|r: &Rule| (r.desired, r.supported, r.distance, r.oneway))
            .collect();
        let there: Vec<_> = rules
            .iter()
            .map(|rule| {
                (
                    rule["_desired"].as_str().unwrap(),
                    rule["_supported"].as_str().unwrap(),
                    u16::try_from(rule["_distance"].as_u64().unwrap()).unwrap(),
                    rule["_oneway"].as_bool().unwrap_or(false),
                )
            })
            .filter(|(desired, ..)| desired.split('-').count() == subtags)
            .collect();
        assert_eq!(here, there);
    }
    assert_eq!(LANGUAGES.len() + SCRIPTS.len() + REGIONS.len(), rules.len());
}

#[test]
fn the_last_rule_of_each_part_holds_for_everything() {
    for (table, all) in [(LANGUAGES, "*"), (SCRIPTS, "*-*"), (REGIONS, "*-*-*")] {
        let last = table.last().unwrap();
        assert_eq!((last.desired, last.supported), (all, all));
    }
}

#[test]
fn variables_with_all_that_lies_in_them() {
    let source = source();
    let variables = source["matchVariables"].as_object().unwrap();
    assert_eq!(variables.len(), VARIABLES.len());
    for (name, regions) in VARIABLES {
        let mut open: Vec<&str> = variables[*name]["_value"]
            .as_str()
            .unwrap()
            .split('+')
            .collect();
        let mut all = BTreeSet::new();
        while let Some(region) = open.pop() {
            if all.insert(region) {
                open.extend(texts(&source["territoryContainment"][region]["_contains"]));
                let grouping = format!("{region}-status-grouping");
                open.extend(texts(
                    &source["territoryContainment"][grouping.as_str()]["_contains"],
                ));
            }
        }
        assert_eq!(all.into_iter().collect::<Vec<_>>(), *regions, "{name}");
    }
}
