//! The policy on a planet of round numbers.

use super::*;

const MS: u64 = 1_000;
const REST: Rest = Rest {
    sun: Duration::from_secs(60),
    pin: Duration::from_secs(4),
};
const LONG: Duration = Duration::from_secs(3_600);

/// Voters by region, 1 ms apart within one; eu-us 80 ms, us-ap 150 ms, eu-ap 220 ms. Node 1 leads.
fn planet(regions: &[&str]) -> Scene {
    let ids = || (1..).zip(regions.iter().copied());
    let voter = |region: &str| Voter {
        region: region.to_owned(),
        answers: true,
        fit: true,
    };
    let far = |one: &str, other: &str| match [one.min(other), one.max(other)] {
        ["eu", "us"] => 80 * MS,
        ["ap", "us"] => 150 * MS,
        ["ap", "eu"] => 220 * MS,
        _ => MS,
    };
    let ways = ids().flat_map(|(one, a)| ids().map(move |(other, b)| ((one, other), far(a, b))));
    Scene {
        leader: 1,
        voters: ids().map(|(id, region)| (id, voter(region))).collect(),
        writes: BTreeMap::new(),
        ways: ways.filter(|((one, other), _)| one != other).collect(),
    }
}

fn wrote(mut scene: Scene, writes: &[(NodeId, u64)]) -> Scene {
    scene.writes = writes.iter().copied().collect();
    scene
}

/// Two in eu, two in us, one in ap.
fn five() -> Scene {
    planet(&["eu", "eu", "us", "us", "ap"])
}

#[test]
fn a_write_takes_the_way_to_the_leader_and_from_there_to_a_majority() {
    let scene = wrote(five(), &[(1, 30), (4, 60), (5, 10)]);
    // 0.6 of 80 ms and 0.1 of 220 ms, then its neighbour and the nearer of the others.
    assert_eq!(scene.expected(1), Some((48 + 22 + 80) * MS));
    // 0.3 of 80 ms, 0.6 of 1 ms, 0.1 of 150 ms.
    assert_eq!(scene.expected(3), Some(24 * MS + 600 + 15 * MS + 80 * MS));
    // 0.3 of 220 ms and 0.6 of 150 ms; both others of us.
    assert_eq!(scene.expected(5), Some((66 + 90 + 150) * MS));
    let mut lost = scene;
    for id in [3, 4] {
        lost.voters.get_mut(&id).unwrap().answers = false;
    }
    lost.writes = BTreeMap::from([(1, 100)]);
    assert_eq!(lost.expected(1), Some(220 * MS), "us is lost");
    lost.voters.get_mut(&5).unwrap().answers = false;
    assert_eq!(lost.expected(1), None, "no majority");
    assert_eq!(planet(&["eu"]).expected(1), Some(0), "alone");
}

#[test]
fn leadership_goes_to_where_the_writes_begin_and_within_the_region_to_the_best() {
    let to_us = wrote(five(), &[(1, 5), (4, 95)]);
    let better = to_us.better().expect("80 ms are saved");
    assert_eq!((better.to, better.then_us), (4, 84 * MS));
    assert_eq!(better.now_us, 156 * MS);
    // Equal ones: the least number.
    let evenly = wrote(five(), &[(3, 50), (4, 50)]);
    assert_eq!(evenly.better().map(|b| b.to), Some(3));
    // Never about within the region.
    assert_eq!(wrote(five(), &[(2, 1_000)]).better(), None);
}

#[test]
fn little_gain_few_writes_and_near_nodes_move_nothing() {
    // Half here, half there: nothing to gain; a little more there: still not enough.
    assert_eq!(wrote(five(), &[(1, 50), (3, 50)]).better(), None);
    assert_eq!(wrote(five(), &[(1, 40), (3, 60)]).better(), None);
    assert!(wrote(five(), &[(1, 25), (3, 75)]).better().is_some());
    assert_eq!(wrote(five(), &[(3, WRITES_MIN - 1)]).better(), None);
    assert!(wrote(five(), &[(3, WRITES_MIN)]).better().is_some());
    // Everything within some milliseconds, regions by name alone.
    let near = planet(&["a", "b", "c"]);
    assert_eq!(wrote(near.clone(), &[(2, 1_000)]).better(), None);
    let mut eight = near;
    eight.ways.values_mut().for_each(|us| *us = 8 * MS);
    assert_eq!(wrote(eight, &[(2, 1_000)]).better(), None, "50 %, but 8 ms");
}

#[test]
fn only_who_has_caught_up_and_answers_is_chosen() {
    let mut scene = wrote(five(), &[(4, 100)]);
    scene.voters.get_mut(&4).unwrap().fit = false;
    assert_eq!(scene.better().map(|b| b.to), Some(3), "its neighbour");
    scene.voters.get_mut(&3).unwrap().fit = false;
    assert_eq!(scene.better(), None, "ap is no better than eu");
}

#[test]
fn who_tells_nothing_keeps_everything_where_it_is() {
    let mut scene = wrote(five(), &[(4, 100)]);
    scene.ways.retain(|(from, _), _| *from != 5);
    assert_eq!(scene.better(), None, "an older version");
    scene.voters.get_mut(&5).unwrap().answers = false;
    assert!(scene.better().is_some(), "it is gone, and counts no more");
    // A learner that writes and that nobody has measured yet.
    scene.writes.insert(9, 100);
    assert_eq!(scene.better(), None);
    scene.ways.extend((1..=5).map(|id| ((id, 9), MS)));
    assert!(scene.better().is_some());
}

#[test]
fn a_region_must_be_better_for_long_enough_and_its_leader_have_led_as_long() {
    let there = wrote(five(), &[(4, 100)]);
    let here = wrote(five(), &[(1, 100)]);
    let mut steady = Steady::default();
    for _ in 1..LOOKS {
        assert_eq!(steady.look(&there, LONG, REST), None);
    }
    assert_eq!(steady.look(&here, LONG, REST), None, "it was a burst");
    for _ in 1..LOOKS {
        assert_eq!(steady.look(&there, LONG, REST), None);
    }
    let early = REST.sun - Duration::from_secs(1);
    assert_eq!(steady.look(&there, early, REST), None, "the cool-down");
    assert!(steady.look(&there, REST.sun, REST).is_some());

    // By turns two regions are better; the best voter of one region may be another each time.
    let mut steady = Steady::default();
    let third = wrote(five(), &[(5, 100)]);
    for _ in 0..3 * LOOKS {
        assert_eq!(steady.look(&there, LONG, REST), None);
        assert_eq!(steady.look(&third, LONG, REST), None);
    }
    let neighbour = wrote(five(), &[(3, 100)]);
    let mut steady = Steady::default();
    let looks = (0..LOOKS).map(|n| if n % 2 == 0 { &there } else { &neighbour });
    let moves: Vec<_> = looks.map(|s| steady.look(s, LONG, REST)).collect();
    assert!(moves[..moves.len() - 1].iter().all(Option::is_none));
    assert_eq!(moves.last().unwrap().map(|b| b.to), Some(3));
}

#[test]
fn a_pin_needs_no_writes_and_nobody_who_tells_and_waits_for_who_is_fit() {
    let mut scene = five();
    scene.ways.clear();
    assert_eq!(scene.pinned("eu"), None, "it leads there");
    assert_eq!(scene.pinned("us"), Some(3));
    assert_eq!(scene.pinned("mars"), None);
    for id in [3, 4] {
        scene.voters.get_mut(&id).unwrap().fit = false;
    }
    assert_eq!(scene.pinned("us"), None);
    // Whoever is nearer to the writes, where that is known.
    let near = wrote(five(), &[(4, 100)]);
    assert_eq!(near.pinned("us"), Some(4));
}

/// A day in which the writes go round the world: leadership goes round with them, once a region.
#[test]
fn a_day_round_the_world_moves_it_once_a_region() {
    let rest = Rest::of(&Timing::derive(220, 50).unwrap());
    assert_eq!(rest.sun, LEADS_MIN);
    let (mut scene, mut steady, mut led) = (five(), Steady::default(), LONG);
    let mut moves = Vec::new();
    // Looks of five seconds; each region has twenty minutes, and fades into the next one.
    for look in 0..720_u64 {
        let (region, part) = (look / 240, look % 240);
        let (now, next) = ([1, 3, 5][region as usize], [3, 5, 1][region as usize]);
        // A tenth of noise, by turns.
        let noise = [0, 10, 5][(look % 3) as usize];
        scene.writes = BTreeMap::from([(now, 240 - part + noise), (next, part)]);
        if let Some(better) = steady.look(&scene, led, rest) {
            moves.push(better.to);
            scene.leader = better.to;
            (steady, led) = (Steady::default(), Duration::ZERO);
        }
        led += Duration::from_secs(5);
    }
    assert!(
        moves.starts_with(&[3, 5]) && moves.ends_with(&[1]),
        "{moves:?}"
    );
    // On its way back it may rest where it is shorter to either.
    assert!(moves.len() <= 4, "{moves:?}");
}
