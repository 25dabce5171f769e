//! The generated organisation: sound, the same for a seed, and its coverage as it is.

use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;
use meridian_traffic::coverage::coverage;
use meridian_traffic::format::{Level, RegionId};
use meridian_traffic::generate::{GenerateError, Parameters, generate};
use meridian_traffic::organisation::{Organisation, OrganisationError};
use meridian_traffic::world::World;

/// Monday 2026-11-23 00:00 UTC.
const MONDAY_MS: i64 = 1_795_392_000_000;

fn organisation(parameters: Parameters) -> Organisation {
    let world = World::load().expect("the crate's data");
    generate(&world, parameters).expect("parameters in bounds")
}

#[test]
fn the_same_seed_gives_the_same_file_and_another_seed_another() {
    let text = |seed| {
        let parameters = Parameters {
            seed,
            ..Parameters::default()
        };
        organisation(parameters).to_yaml().expect("yaml")
    };
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn the_file_reads_back_and_unknown_fields_are_refused() {
    let organisation = organisation(Parameters::default());
    let text = organisation.to_yaml().expect("yaml");
    assert_eq!(
        Organisation::from_yaml(&text).expect("own file"),
        organisation
    );
    for line in [
        "offer_timeout: 20s",
        "from: 06:00",
        "level: native",
        "skill_levels_off: 0",
    ] {
        assert!(
            text.contains(line) || text.contains(&line.replace("06:00", "\"06:00\"")),
            "{line}"
        );
    }
    let text = text.replacen("capacity:", "capacities:", 1);
    let refused = Organisation::from_yaml(&text);
    assert!(matches!(refused, Err(OrganisationError::Read(_))));
}

#[test]
fn every_size_is_sound() {
    for agents in [5, 6, 97, 300, 5_000] {
        let organisation = organisation(Parameters {
            agents,
            ..Parameters::default()
        });
        organisation.check().expect("sound");
        assert_eq!(organisation.agents.len(), agents as usize);
        assert!(
            organisation
                .agents
                .iter()
                .all(|a| (3..=5).contains(&a.capacity))
        );
    }
}

#[test]
fn parameters_out_of_bounds_are_refused() {
    let world = World::load().expect("the crate's data");
    for (agents, languages) in [(4, 24), (100_001, 24), (300, 0), (300, 29)] {
        let parameters = Parameters {
            seed: 1,
            agents,
            languages,
        };
        let refused = generate(&world, parameters);
        assert!(matches!(refused, Err(GenerateError::OutOfBounds { .. })));
    }
}

#[test]
fn check_finds_what_is_wrong() {
    let sound = organisation(Parameters::default());
    let message = |spoil: fn(&mut Organisation)| {
        let mut spoilt = sound.clone();
        spoil(&mut spoilt);
        spoilt.check().expect_err("spoilt").to_string()
    };
    let agent = &sound.agents[0].id;
    assert_eq!(
        message(|o| o.agents[0].queues[0] = "nowhere".to_owned()),
        format!("agents[{agent}].queues: there is no queue 'nowhere'")
    );
    assert_eq!(
        message(|o| o.agents[0].capacity = 0),
        format!("agents[{agent}].capacity: 1 to 1000")
    );
    assert_eq!(
        message(|o| o.agents[1].id = o.agents[0].id.clone()),
        format!("agents: '{agent}' stands twice")
    );
    assert_eq!(
        message(|o| o.queues[0].steps.swap(0, 1)),
        "queues[general].steps: from 0s, then strictly rising"
    );
}

#[test]
fn zones_resolve_and_languages_are_canonical() {
    let organisation = organisation(Parameters::default());
    let zones = TimeZoneDatabase::bundled();
    for schedule in &organisation.schedules {
        assert!(zones.get(&schedule.zone).is_ok(), "{}", schedule.zone);
    }
    let spoken = organisation.agents.iter().flat_map(|a| &a.languages);
    let mut tags: BTreeSet<String> = spoken.map(|l| l.language.clone()).collect();
    for fallback in &organisation.workspace.fallbacks {
        tags.insert(fallback.language.clone());
        tags.extend(fallback.accept.iter().cloned());
    }
    let canonicalizer = icu_locale::LocaleCanonicalizer::new_extended();
    for tag in tags {
        let mut locale: icu_locale::Locale = tag.parse().expect("a tag");
        canonicalizer.canonicalize(&mut locale);
        assert_eq!(locale.to_string(), tag);
    }
}

#[test]
fn agents_live_in_all_regions_and_shifts_are_of_all_kinds() {
    let organisation = organisation(Parameters::default());
    for region in RegionId::ALL {
        assert!(organisation.agents.iter().any(|a| a.region == *region));
    }
    for kind in [
        "-early",
        "-day",
        "-late",
        "-night",
        "-split",
        "-weekend",
        "-weekend-night",
    ] {
        assert!(
            organisation.schedules.iter().any(|s| s.id.ends_with(kind)),
            "{kind}"
        );
    }
    let day = organisation
        .schedules
        .iter()
        .find(|s| s.id.ends_with("-day"));
    assert!(day.is_some_and(|s| !s.holidays.is_empty()));
    assert!(
        organisation
            .schedules
            .iter()
            .any(|s| !s.exceptions.is_empty())
    );
    assert!(organisation.schedules.iter().any(|s| s.week.len() == 2));
}

/// Coverage is reported as it is: every served language has somebody at some hour, the largest at every
/// hour of the week, and the small ones have gaps that the count must not hide.
#[test]
fn each_served_language_is_covered_at_some_hour() {
    let organisation = organisation(Parameters::default());
    let week = coverage(&organisation, MONDAY_MS, 168, Level::Native).expect("coverage");
    assert_eq!(week.on_shift.len(), 24);
    for (language, hours) in &week.on_shift {
        assert_eq!(hours.len(), 168);
        let gaps = week.gaps(language).expect("a language");
        println!("{language}: nobody in {gaps} of 168 hours");
        assert!(gaps < 168 / 2, "{language}: nobody in {gaps} of 168 hours");
    }
    let fluent = coverage(&organisation, MONDAY_MS, 168, Level::Fluent).expect("coverage");
    assert_eq!(fluent.gaps("en"), Some(0));
    assert_eq!(fluent.gaps("tlh"), None);
}
