//! Arrivals: the same for a seed, in order, in bounds, and following the sun.

use std::collections::{BTreeMap, BTreeSet};

use meridian_traffic::arrivals::*;
use meridian_traffic::generate::{self, generate};
use meridian_traffic::world::World;

/// Tuesday 2026-11-24 00:00 UTC, a holiday nowhere we look.
const TUESDAY_MS: i64 = 1_795_478_400_000;

fn world() -> World {
    World::load().expect("the crate's data")
}

fn arrivals(parameters: Parameters) -> Vec<Arrival> {
    let world = world();
    let stream = Arrivals::new(&world, parameters).expect("parameters in bounds");
    stream.collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |seed| {
        let all = arrivals(Parameters::day(seed, TUESDAY_MS, 2_000));
        serde_json::to_vec(&all).expect("json")
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn times_are_ordered_and_inside_the_span() {
    for (span_ms, count) in [
        (1, 3),
        (899_999, 50),
        (900_001, 50),
        (3 * 86_400_000, 5_000),
    ] {
        let all = arrivals(Parameters {
            span_ms,
            ..Parameters::day(3, TUESDAY_MS + 12_345, count)
        });
        assert_eq!(all.len() as u64, count);
        let first = TUESDAY_MS + 12_345;
        assert!(
            all.iter()
                .all(|a| (first..first + span_ms).contains(&a.at_ms))
        );
        assert!(all.windows(2).all(|a| a[0].at_ms <= a[1].at_ms));
    }
    assert!(arrivals(Parameters::day(3, TUESDAY_MS, 0)).is_empty());
}

#[test]
fn parameters_out_of_bounds_are_refused() {
    let day = Parameters::day(1, TUESDAY_MS, 1);
    let wrong = [
        Parameters {
            span_ms: 0,
            ..day.clone()
        },
        Parameters {
            span_ms: 401 * 86_400_000,
            ..day.clone()
        },
        Parameters {
            count: COUNT_MAX + 1,
            ..day.clone()
        },
        Parameters {
            returning_percent: 101,
            ..day.clone()
        },
        Parameters {
            from_ms: i64::MAX,
            ..day.clone()
        },
        Parameters {
            patience: LogNormal {
                median_ms: 0,
                deviation: 0.9,
            },
            ..day.clone()
        },
        Parameters {
            talk: LogNormal {
                median_ms: 1,
                deviation: f64::NAN,
            },
            ..day.clone()
        },
        Parameters {
            only: Only {
                queue: Some("nobody's"),
                region: None,
            },
            ..day.clone()
        },
        Parameters {
            from_ms: i64::MIN,
            ..day.clone()
        },
    ];
    let world = world();
    for parameters in wrong {
        let refused = Arrivals::new(&world, parameters.clone());
        assert!(refused.is_err(), "{parameters:?}");
    }
}

/// The middle of a territory's arrivals, in its local time, falls into its day; in UTC the three are
/// hours apart and in the order of the sun.
#[test]
fn the_peak_follows_the_sun() {
    let world = world();
    let all = arrivals(Parameters::day(11, TUESDAY_MS, 200_000));
    let mut peaks = Vec::new();
    for code in ["JP", "DE", "BR"] {
        let zone = &world.territory(code).expect("a territory").zone;
        let (mut local, mut utc) = ([0; 24], [0u32; 24]);
        for arrival in all.iter().filter(|a| a.territory == code) {
            let at = jiff::Timestamp::from_millisecond(arrival.at_ms).expect("a time");
            local[zone.to_datetime(at).hour() as usize] += 1;
            utc[(arrival.at_ms - TUESDAY_MS) as usize / 3_600_000] += 1;
        }
        let busiest = |hours: &[u32; 24]| (0..24).max_by_key(|h| hours[*h]).expect("hours");
        let peak = busiest(&local);
        assert!(
            (9..=16).contains(&peak),
            "{code} peaks at {peak} local time"
        );
        let night: u32 = local[1..5].iter().sum();
        let day: u32 = local[10..14].iter().sum();
        assert!(night * 8 < day, "{code}: {night} at night, {day} by day");
        peaks.push(busiest(&utc));
    }
    // Local 10 and 15 o'clock are nearly as busy, so the order is that of the humps, hours apart.
    assert!(peaks[0] < peaks[1] && peaks[1] < peaks[2], "{peaks:?}");
}

#[test]
fn territories_and_languages_arrive_in_proportion() {
    let world = world();
    let all = arrivals(Parameters::day(5, TUESDAY_MS, 200_000));
    let online: u64 = world.territories().iter().map(|t| t.online()).sum();
    for code in ["CN", "US", "DE"] {
        let expected = world.territory(code).expect("a territory").online() as f64 / online as f64;
        let found = all.iter().filter(|a| a.territory == code).count() as f64 / all.len() as f64;
        assert!(
            (found / expected - 1.0).abs() < 0.15,
            "{code}: {found} for {expected}"
        );
    }
    let swiss: Vec<_> = all.iter().filter(|a| a.territory == "CH").collect();
    let german = swiss.iter().filter(|a| a.languages[0] == "de").count() as f64;
    assert!((german / swiss.len() as f64 - 0.585).abs() < 0.1);
}

#[test]
fn weekends_are_quieter() {
    let count = |from_ms| {
        let world = world();
        let week = Parameters {
            span_ms: 7 * 86_400_000,
            ..Parameters::day(9, TUESDAY_MS - 86_400_000, 100_000)
        };
        let all = Arrivals::new(&world, week).expect("parameters in bounds");
        let day = from_ms..from_ms + 86_400_000;
        all.filter(|a| a.territory == "DE" && day.contains(&a.at_ms))
            .count()
    };
    let (tuesday, sunday) = (count(TUESDAY_MS), count(TUESDAY_MS + 5 * 86_400_000));
    assert!(
        sunday * 10 < tuesday * 7,
        "{sunday} on Sunday, {tuesday} on Tuesday"
    );
}

#[test]
fn every_field_is_in_bounds() {
    let world = world();
    let organisation = generate(&world, generate::Parameters::default()).expect("an organisation");
    let queues: BTreeSet<&str> = organisation.queues.iter().map(|q| q.id.as_str()).collect();
    let skills = organisation.agents.iter().flat_map(|a| &a.skills);
    let skills: BTreeSet<&str> = skills.map(|s| s.skill.as_str()).collect();
    let mut seen = BTreeSet::new();
    for arrival in arrivals(Parameters::day(2, TUESDAY_MS, 20_000)) {
        assert!(queues.contains(arrival.queue.as_str()));
        assert!(
            arrival
                .skills
                .iter()
                .all(|s| skills.contains(s.skill.as_str()))
        );
        assert!(arrival.skills.iter().all(|s| (1..=10).contains(&s.level)));
        assert!((1..=LANGUAGES_MAX).contains(&arrival.languages.len()));
        let different: BTreeSet<&String> = arrival.languages.iter().collect();
        assert_eq!(different.len(), arrival.languages.len());
        assert!(arrival.priority <= 9 && (1..=2).contains(&arrival.weight));
        assert!((PATIENCE_MS.0..=PATIENCE_MS.1).contains(&arrival.patience_ms));
        assert!((TALK_MS.0..=TALK_MS.1).contains(&arrival.talk_ms));
        assert!(arrival.topic.len() < 256 && arrival.visitor.len() <= 128);
        seen.insert(arrival.queue);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn patience_has_its_median_and_some_visitors_return() {
    let all = arrivals(Parameters::day(4, TUESDAY_MS, 50_000));
    let mut patience: Vec<u32> = all.iter().map(|a| a.patience_ms).collect();
    patience.sort();
    let median = f64::from(patience[patience.len() / 2]);
    assert!(
        (median / f64::from(PATIENCE.median_ms) - 1.0).abs() < 0.03,
        "{median}"
    );

    let mut chats = BTreeMap::<&str, Vec<&Arrival>>::new();
    for arrival in &all {
        chats.entry(&arrival.visitor).or_default().push(arrival);
    }
    let repeated = all.len() - chats.len();
    let percent = repeated * 100 / all.len();
    assert!((13..=16).contains(&percent), "{percent} % returned");
    let same = |c: &Vec<&Arrival>| c.windows(2).all(|p| p[0].languages == p[1].languages);
    assert!(
        chats.values().all(same),
        "who returns speaks the same languages"
    );
}

#[test]
fn the_curve_is_continuous_and_peaks_at_eleven() {
    assert_eq!(diurnal(11 * 60), 100.0);
    assert_eq!(diurnal(24 * 60), diurnal(0));
    for minute in 0..24 * 60 {
        assert!(
            (diurnal(minute) - diurnal(minute + 1)).abs() <= 0.5001,
            "{minute}"
        );
        assert!((3.0..=100.0).contains(&diurnal(minute)));
    }
}

#[test]
fn a_flat_stream_keeps_its_rate() {
    let all = arrivals(Parameters {
        shape: Shape::Flat,
        ..Parameters::day(6, TUESDAY_MS, 48_000)
    });
    let mut hours = [0u32; 24];
    for arrival in &all {
        hours[((arrival.at_ms - TUESDAY_MS) / 3_600_000) as usize] += 1;
    }
    // Six deviations of a count of 2,000.
    assert!(hours.iter().all(|n| n.abs_diff(2_000) < 270), "{hours:?}");
}

#[test]
fn a_stream_of_some_only_has_no_others_and_as_many_as_expected_of_all() {
    let world = world();
    let only = Only {
        region: Some(meridian_traffic::format::RegionId::Eu),
        queue: Some(meridian_traffic::topics::TECHNICAL),
    };
    let day = Parameters::day(8, TUESDAY_MS, 100_000);
    let (from_ms, span_ms) = (TUESDAY_MS + 9 * 3_600_000, 3_600_000);
    let expected = expected(&world, &day, from_ms, span_ms, only);
    let counted = arrivals(day.clone()).into_iter().filter(|a| {
        let within = (from_ms..from_ms + span_ms).contains(&a.at_ms);
        within && Some(a.region) == only.region && Some(a.queue.as_str()) == only.queue
    });
    let counted = counted.count() as f64;
    assert!(
        (counted - expected).abs() < 6.0 * expected.sqrt(),
        "{counted}, expected {expected}"
    );

    let rush = Parameters {
        from_ms,
        span_ms,
        only,
        crowd: "rush-".to_owned(),
        count: 500,
        ..day.clone()
    };
    let alone = arrivals(rush.clone());
    assert!(
        alone
            .iter()
            .all(|a| Some(a.region) == only.region && Some(a.queue.as_str()) == only.queue)
    );
    let streams = [day, rush].map(|p| Arrivals::new(&world, p).expect("parameters in bounds"));
    let both: Vec<Arrival> = together(streams.into()).collect();
    assert_eq!(both.len(), 100_500);
    assert!(both.windows(2).all(|a| a[0].at_ms <= a[1].at_ms));
    let names: BTreeSet<&str> = alone.iter().map(|a| a.visitor.as_str()).collect();
    let met = both
        .iter()
        .filter(|a| names.contains(a.visitor.as_str()))
        .count();
    assert_eq!(met, 500, "nobody of the crowd is taken for somebody else");
}
