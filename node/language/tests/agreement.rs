//! What travels with each object says as much as the whole table.

use meridian_language::{
    LanguageError, REACH, Variety, Wanted, cldr_distance, distance, spoken, wanted,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Regions of every kind that CLDR tells apart, with the groupings that people use in tags.
const REGIONS: [&str; 30] = [
    "US", "CA", "PH", "PR", "GB", "AU", "IN", "IE", "ZA", "001", "150", "ES", "MX", "AR", "419",
    "003", "BR", "PT", "AO", "MA", "DZ", "EH", "EG", "SA", "TW", "HK", "MO", "CN", "SG", "DE",
];

fn source() -> Value {
    serde_json::from_str(include_str!("../data/source.json")).unwrap()
}

/// Every pattern of so many subtags that a rule names, without wildcards.
fn named(subtags: usize) -> BTreeSet<String> {
    let source = source();
    let rules = source["languageMatch"].as_array().unwrap().iter();
    let sides = rules.flat_map(|rule| [&rule["_desired"], &rule["_supported"]]);
    let texts = sides.map(|side| side.as_str().unwrap().to_owned());
    texts
        .filter(|text| text.split('-').count() == subtags && !text.contains('*'))
        .collect()
}

/// Compares for each visitor and each agent; says how many pairs that was.
fn agree(visitors: &BTreeSet<String>, agents: &BTreeSet<String>) -> usize {
    let agents: Vec<Variety> = agents.iter().filter_map(|tag| spoken(tag).ok()).collect();
    let visitors: Vec<Wanted> = visitors.iter().filter_map(|tag| wanted(tag).ok()).collect();
    for visitor in &visitors {
        assert_eq!(visitor.near[0], (visitor.variety.key.clone(), 0));
        assert!(visitor.near.is_sorted_by_key(|(_, apart)| *apart));
        for agent in &agents {
            let whole = cldr_distance(&visitor.variety, agent);
            assert_eq!(
                distance(visitor, agent),
                (whole < REACH).then_some(whole),
                "{} wanted, {} spoken: {visitor:?}",
                visitor.variety.tag,
                agent.tag
            );
        }
    }
    visitors.len() * agents.len()
}

fn all_agree(tags: &BTreeSet<String>) -> usize {
    agree(tags, tags)
}

#[test]
fn for_every_language_that_cldr_names() {
    let languages = named(1);
    let abroad = languages.iter().map(|language| format!("{language}-GB"));
    let agents: BTreeSet<String> = abroad.chain(languages.clone()).chain(named(2)).collect();
    let visitors = languages.into_iter().chain(named(2)).collect();
    let pairs = agree(&visitors, &agents);
    assert!(pairs > 200_000, "{pairs}");
}

#[test]
fn for_every_language_in_every_script() {
    let keys = named(2);
    let scripts: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| Some(key.split_once('-')?.1))
        .collect();
    let languages: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| Some(key.split_once('-')?.0))
        .collect();
    let tag = |language: &str, script: &str| format!("{language}-{script}");
    let all = languages
        .iter()
        .flat_map(|language| scripts.iter().map(move |script| tag(language, script)));
    let pairs = agree(&keys, &all.collect());
    assert!(pairs > 50_000, "{pairs}");
}

#[test]
fn for_every_region_and_script_that_matters() {
    let mut tags = BTreeSet::new();
    for key in [
        "en", "en-Shaw", "es", "pt", "ar", "ar-Latn", "zh-Hans", "zh-Hant", "yue", "sr-Latn", "gl",
        "am", "ary",
    ] {
        tags.extend(REGIONS.map(|region| format!("{key}-{region}")));
    }
    let pairs = all_agree(&tags);
    assert!(pairs > 150_000, "{pairs}");
}

#[test]
fn for_every_region_of_the_languages_that_tell_regions_apart() {
    let letters = || 'A'..='Z';
    for key in ["en", "es", "pt", "ar", "zh-Hant"] {
        // Among all pairs of letters is every country.
        let all = letters()
            .flat_map(|a| letters().map(move |b| format!("{key}-{a}{b}")))
            .collect();
        let some = REGIONS.map(|region| format!("{key}-{region}")).into();
        let pairs = agree(&some, &all) + agree(&all, &some);
        assert!(pairs > 35_000, "{pairs}");
    }
}

/// CLDR calls a few languages of its own table otherwise and knows no likely script of others: their rules never hold.
#[test]
fn languages_of_the_table_that_nobody_is_said_to_speak() {
    let (mut renamed, mut unknown) = (Vec::new(), Vec::new());
    for tag in named(1) {
        match spoken(&tag) {
            Ok(variety) if variety.tag != tag => renamed.push(format!("{tag} {}", variety.tag)),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, LanguageError::Unknown(tag.clone()));
                unknown.push(tag);
            }
        }
    }
    assert_eq!(renamed, ["bh bho", "bjq bzc", "sh sr-Latn"]);
    assert_eq!(unknown, ["bbz", "czo", "quh", "tlh"]);
}
