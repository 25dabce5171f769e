//! The steps of a chat's story, and who was weighed, to and from their durable messages.

use meridian_proto::log::v1 as log;
use meridian_routing::explain::{Event, What};
use meridian_routing::fit::{Misfit, Only};
use meridian_routing::ids::*;
use meridian_routing::reason::{Belongs, Candidate, Reason, Standing};

use super::model::{Read, presence, read_presence, some};

pub(super) fn event(e: &Event) -> log::Event {
    log::Event {
        index: e.index,
        at: e.at,
        version: e.version,
        what: e.what as u32,
        agent: e.agent.as_ref().map(|a| a.to_string()),
        detail: e.detail.clone(),
        candidates: e.candidates.iter().map(candidate).collect(),
    }
}
pub(super) fn read_event(e: log::Event) -> Read<Event> {
    let what = What::ALL.into_iter().find(|w| *w as u32 == e.what);
    // Those kept in words once are told no more.
    let candidates = e.candidates.into_iter().filter(|c| c.standing != 0);
    let candidates = candidates.map(read_candidate);
    Ok(Event {
        index: e.index,
        at: e.at,
        version: e.version,
        what: some(what, "event.what")?,
        agent: e.agent.map(AgentId::from),
        detail: e.detail,
        candidates: candidates.collect::<Read<_>>()?,
    })
}

fn candidate(c: &Candidate) -> log::Candidate {
    let (reason, figures, name) = reason(&c.reason);
    log::Candidate {
        agent: c.agent.to_string(),
        standing: c.standing as u32,
        theirs: c.theirs.map_or(0, |b| b as u32),
        reason,
        figures,
        name: name.to_owned(),
    }
}
fn read_candidate(c: log::Candidate) -> Read<Candidate> {
    let standings = [Standing::Chosen, Standing::Eligible, Standing::Refused];
    let standing = standings.into_iter().find(|s| *s as u32 == c.standing);
    let theirs = match c.theirs {
        0 => None,
        n => Some(some(belongs(n.into()), "candidate.theirs")?),
    };
    let reason = read_reason(c.reason, &c.figures, c.name);
    Ok(Candidate {
        agent: AgentId::from(c.agent),
        standing: some(standing, "candidate.standing")?,
        reason: some(reason, "candidate.reason")?,
        theirs,
    })
}

fn belongs(number: u64) -> Option<Belongs> {
    let all = [Belongs::Owner, Belongs::Last];
    all.into_iter().find(|b| *b as u64 == number)
}

/// The table of reasons: number, figures and name of each. Numbers are never given anew.
fn reason(reason: &Reason) -> (u32, Vec<u64>, &str) {
    let plain = |number| (number, Vec::new(), "");
    let with = |number, figure| (number, vec![figure], "");
    match reason {
        Reason::Misfit(misfit) => with(1, *misfit as u64),
        Reason::Presence(p) => with(2, presence(*p) as u64),
        Reason::RegionClosed => plain(3),
        Reason::LastMoments => plain(4),
        Reason::OffShift => plain(5),
        Reason::HeldFor(only) => match only {
            Only::Anyone => with(6, 0),
            Only::Agent(agent) => (6, vec![1], agent.as_str()),
            Only::Team(team) => (6, vec![2], team),
            Only::Region(region) => (6, vec![3], region.as_str()),
        },
        Reason::EarlierStep => plain(7),
        Reason::NoOverflow => plain(8),
        Reason::Full { load, room, weight } => {
            let figures = [load, room, weight].map(|n| u64::from(*n));
            (9, figures.to_vec(), "")
        }
        Reason::QueueCap(queue) => (10, Vec::new(), queue.as_str()),
        Reason::KeepsRoom => plain(11),
        Reason::Declined(kept) => with(12, *kept as u64),
        Reason::Named(by) => (13, Vec::new(), by),
        Reason::Belongs(belongs) => with(14, *belongs as u64),
        Reason::Step => plain(15),
        Reason::Bot(is) => with(16, u64::from(*is)),
        Reason::Hop(hops) => with(17, (*hops).into()),
        Reason::Rank(rank) => with(18, (*rank).into()),
        Reason::Language(near) => with(19, (*near).into()),
        Reason::Alone(near) => with(20, (*near).into()),
        Reason::Region => plain(21),
        Reason::Lacking(n) => with(22, (*n).into()),
        Reason::Unskilled(n) => with(23, (*n).into()),
        Reason::Sun(place) => with(24, *place),
        Reason::Turn => plain(25),
        Reason::Share => plain(26),
        Reason::Occupancy(part) => with(27, *part),
        Reason::Idle => plain(28),
        Reason::Id => plain(29),
    }
}
fn read_reason(number: u32, figures: &[u64], name: String) -> Option<Reason> {
    let figure = |n: usize| figures.get(n).copied();
    let first = figure(0);
    let short = || u32::try_from(first?).ok();
    Some(match number {
        1 => Reason::Misfit(Misfit::ALL.into_iter().find(|m| Some(*m as u64) == first)?),
        2 => Reason::Presence(read_presence(i32::try_from(first?).ok()?).ok()?),
        3 => Reason::RegionClosed,
        4 => Reason::LastMoments,
        5 => Reason::OffShift,
        6 => Reason::HeldFor(match first? {
            0 => Only::Anyone,
            1 => Only::Agent(name.into()),
            2 => Only::Team(name),
            3 => Only::Region(name.into()),
            _ => return None,
        }),
        7 => Reason::EarlierStep,
        8 => Reason::NoOverflow,
        9 => Reason::Full {
            load: short()?,
            room: u32::try_from(figure(1)?).ok()?,
            weight: u32::try_from(figure(2)?).ok()?,
        },
        10 => Reason::QueueCap(name.into()),
        11 => Reason::KeepsRoom,
        12 => Reason::Declined(i64::try_from(first?).ok()?),
        13 => Reason::Named(name),
        14 => Reason::Belongs(belongs(first?)?),
        15 => Reason::Step,
        16 => Reason::Bot(first? == 1),
        17 => Reason::Hop(u8::try_from(first?).ok()?),
        18 => Reason::Rank(u8::try_from(first?).ok()?),
        19 => Reason::Language(short()?),
        20 => Reason::Alone(short()?),
        21 => Reason::Region,
        22 => Reason::Lacking(u8::try_from(first?).ok()?),
        23 => Reason::Unskilled(u16::try_from(first?).ok()?),
        24 => Reason::Sun(first?),
        25 => Reason::Turn,
        26 => Reason::Share,
        27 => Reason::Occupancy(first?),
        28 => Reason::Idle,
        29 => Reason::Id,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_in_the_table_reads_back_as_it_was_written() {
        let mut read = Vec::new();
        for number in 0..=64 {
            for first in 0..=8 {
                let figures = [first, 7, 300];
                read.extend(read_reason(number, &figures, "x".into()));
            }
        }
        let mut numbers = std::collections::BTreeSet::new();
        for told in read {
            let (number, figures, name) = reason(&told);
            numbers.insert(number);
            assert_eq!(read_reason(number, &figures, name.to_owned()), Some(told));
        }
        // Exhaustive in one direction by the compiler; so both are.
        assert_eq!(numbers, (1..=29).collect());
        assert_eq!(read_reason(9, &[1, u64::MAX, 3], String::new()), None);
        assert_eq!(read_reason(2, &[], String::new()), None);
    }
}
