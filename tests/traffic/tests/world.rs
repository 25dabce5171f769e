//! The data is what its header says.

use jiff::civil::{Date, date};
use meridian_traffic::format::{Day, RegionId};
use meridian_traffic::world::World;

fn world() -> World {
    World::load().expect("the crate's data")
}

#[test]
fn shares_sum_up() {
    for territory in world().territories() {
        let sum: u32 = territory.languages.iter().map(|l| l.first_permille).sum();
        assert_eq!(sum, 1000, "{}", territory.code);
        assert!(
            (1..=6).contains(&territory.languages.len()),
            "{}",
            territory.code
        );
        assert!(territory.languages.iter().all(|l| l.speaks_percent <= 100));
        assert!(
            (1..=1000).contains(&territory.online_permille),
            "{}",
            territory.code
        );
        assert!(
            (1..=2).contains(&territory.weekend.len()),
            "{}",
            territory.code
        );
    }
}

#[test]
fn territories_are_ordered_by_people_online_and_lie_in_all_regions() {
    let world = world();
    assert_eq!(world.territories().len(), 80);
    // The percent in the file is rounded as written, so neighbours may differ by that.
    assert!(
        world
            .territories()
            .windows(2)
            .all(|t| t[0].online() >= t[1].online())
    );
    for region in RegionId::ALL {
        assert!(
            world
                .territories()
                .iter()
                .filter(|t| t.region == *region)
                .count()
                > 10
        );
    }
    let region = |code| world.territory(code).map(|t| t.region);
    assert_eq!(region("DE"), Some(RegionId::Eu));
    assert_eq!(region("BR"), Some(RegionId::Us));
    assert_eq!(region("JP"), Some(RegionId::Ap));
    assert_eq!(region("XX"), None);
}

#[test]
fn tags_are_canonical() {
    let canonicalizer = icu_locale::LocaleCanonicalizer::new_extended();
    for (language, _) in world().languages() {
        let mut locale: icu_locale::Locale = language.parse().expect("a tag");
        canonicalizer.canonicalize(&mut locale);
        assert_eq!(locale.to_string(), language);
    }
}

#[test]
fn holidays_and_weekends_are_known() {
    let world = world();
    let territory = |code| world.territory(code).expect("a territory");
    assert!(territory("DE").holidays.contains(&date(2026, 10, 3)));
    assert!(territory("US").holidays.contains(&date(2027, 7, 5)));
    assert_eq!(territory("SA").weekend, [Day::Fri, Day::Sat]);
    assert_eq!(territory("IN").weekend, [Day::Sun]);
    assert!(territory("SA").is_day_off(date(2026, 11, 27)));
    assert!(!territory("DE").is_day_off(date(2026, 11, 27)));
    let years = |d: &Date| (2026..=2027).contains(&d.year());
    assert!(
        world
            .territories()
            .iter()
            .all(|t| t.holidays.iter().all(years))
    );
    let without = world.territories().iter().filter(|t| t.holidays.is_empty());
    // Public holidays are suspended in Ukraine under martial law.
    assert_eq!(without.map(|t| t.code.as_str()).collect::<Vec<_>>(), ["UA"]);
}

#[test]
fn the_languages_of_most_people_come_first() {
    let languages = world().languages();
    assert!(languages.windows(2).all(|l| l[0].1 >= l[1].1));
    let top: Vec<&str> = languages.iter().take(4).map(|l| l.0.as_str()).collect();
    assert_eq!(top, ["zh", "en", "hi", "es"]);
}
