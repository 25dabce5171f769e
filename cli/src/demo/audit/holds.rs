//! Who held which chat when, by the log's own order: two owners, and agents with too much in hand.

use std::collections::{BTreeMap, BTreeSet};

use meridian_proto::livechat::v1 as api;

use super::{Audit, is_cut_off};
use crate::demo::evidence::Record;
use meridian_load::people::notes::Act;

/// Log indices from the first to before the last.
type Span = (u64, u64);

/// Whether the event takes a chat out of the agent's hands; a talk that ended is still written up.
fn ends_hold(event: &api::ChatEvent, agent: &str) -> bool {
    match event.what.as_str() {
        "abandoned" | "expired" => true,
        "agent lost" | "transferred" | "wrapped up" | "declined" | "offer timed out"
        | "offer withdrawn" => event.agent_id == agent,
        _ => false,
    }
}

/// Whether the event ends the agent's ownership.
fn ends_ownership(event: &api::ChatEvent, agent: &str) -> bool {
    matches!(event.what.as_str(), "agent lost" | "transferred" | "ended") && event.agent_id == agent
}

/// The index of the first event after `from` that ends it.
fn end(record: Option<&Record>, from: u64, ends: impl Fn(&api::ChatEvent) -> bool) -> u64 {
    let events = record.map_or(&[][..], |r| &r.events);
    let cut = record.filter(|r| is_cut_off(r, from));
    let first = events.iter().find(|e| e.log_index > from && ends(e));
    match (first, cut) {
        // What ended it may be among the events that were dropped.
        (_, Some(record)) => record.events[0].log_index,
        (Some(event), None) => event.log_index,
        (None, None) => u64::MAX,
    }
}

/// Whether an agent took the chat at or before an index, by its story.
fn taken(record: Option<&Record>, agent: &str, index: u64) -> Option<u64> {
    let took =
        |e: &&api::ChatEvent| e.what == "accepted" && e.agent_id == agent && e.log_index <= index;
    let event = record?.events.iter().rev().find(took)?;
    Some(event.log_index)
}

impl Audit<'_> {
    /// No chat has two owners at once: by its story, and by what agents were told.
    pub(super) fn owners(&mut self) {
        let mut claims: BTreeMap<&str, Vec<(&str, Span)>> = BTreeMap::new();
        let mut faults = Vec::new();
        for deed in self.told.deeds.iter().filter(|d| d.act == Act::Accept) {
            let record = self.record(&deed.chat);
            // An answer given twice names the index of the second.
            let from = taken(record, &deed.agent, deed.index).unwrap_or(deed.index);
            let until = end(record, from, |e| ends_ownership(e, &deed.agent));
            let claim = (deed.agent.as_str(), (from, until));
            claims.entry(&deed.chat).or_default().push(claim);
        }
        for hold in self.told.holds.iter().filter(|h| h.owned) {
            let record = self.record(&hold.chat);
            let known = taken(record, &hold.agent, hold.from).is_some();
            if !known && !record.is_some_and(|r| is_cut_off(r, hold.from)) {
                faults.push(format!(
                    "agent {} was told at log index {} to own chat {}, and its story does not tell",
                    hold.agent, hold.from, hold.chat
                ));
            }
            let until = end(record, hold.from, |e| ends_ownership(e, &hold.agent));
            let until = until.min(hold.until.unwrap_or(u64::MAX));
            let claim = (hold.agent.as_str(), (hold.from, until));
            claims.entry(&hold.chat).or_default().push(claim);
        }
        let mut double = BTreeSet::new();
        for (chat, claims) in &mut claims {
            claims.sort_by_key(|(_, span)| *span);
            if let Some(text) = overlap(claims) {
                faults.push(format!("chat {chat} {text}"));
                double.insert((*chat).to_owned());
            }
        }
        for (chat, record) in &self.evidence.records {
            let story = record.as_ref().and_then(|r| two_owners(&r.events));
            if let Some(text) = story {
                faults.push(format!("chat {chat} {text}"));
                double.insert(chat.clone());
            }
        }
        self.report.double_assigned = double.len() as u64;
        self.report.faults.extend(faults);
    }

    /// No agent has more in hand than the capacity: by what was told of chats, and of the load.
    pub(super) fn capacities(&mut self) {
        let mut hands: BTreeMap<(&str, &str), Vec<Span>> = BTreeMap::new();
        for hold in &self.told.holds {
            let record = self.record(&hold.chat);
            let until = end(record, hold.from, |e| ends_hold(e, &hold.agent));
            let until = until.min(hold.until.filter(|_| !hold.owned).unwrap_or(u64::MAX));
            let spans = hands.entry((&hold.agent, &hold.chat)).or_default();
            spans.push((hold.from, until));
        }
        // Per agent: index, release before take, units.
        let mut turns: BTreeMap<&str, Vec<(u64, bool, u32)>> = BTreeMap::new();
        for ((agent, chat), spans) in hands {
            let weight = self.told.visits.get(chat).map_or(1, |v| v.weight);
            let turns = turns.entry(agent).or_default();
            for (from, until) in union(spans) {
                turns.extend([(from, true, weight), (until, false, weight)]);
            }
        }
        let mut over: BTreeMap<String, String> = BTreeMap::new();
        for (agent, mut turns) in turns {
            turns.sort_unstable();
            let capacity = self.facts.people.get(agent).map_or(0, |p| p.capacity);
            let mut load = 0;
            for (index, take, weight) in turns {
                load = if take { load + weight } else { load - weight };
                if load > capacity {
                    let text = format!(
                        "agent {agent} was given {load} of {capacity} units by log index {index}"
                    );
                    over.entry(agent.to_owned()).or_insert(text);
                }
            }
        }
        for (agent, (load, capacity)) in &self.told.overloads {
            let text = format!("agent {agent} was told a load of {load} of {capacity} units");
            over.entry(agent.clone()).or_insert(text);
        }
        self.report.over_capacity = over.len() as u64;
        self.report.faults.extend(over.into_values());
    }
}

/// Spans that overlap become one.
fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|(from, until)| from < until);
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (from, until) in spans {
        match joined.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(until),
            _ => joined.push((from, until)),
        }
    }
    joined
}

/// Two agents who own a chat at once, of claims in order.
fn overlap(claims: &[(&str, Span)]) -> Option<String> {
    for (i, (first, (_, until))) in claims.iter().enumerate() {
        let second = claims[i + 1..]
            .iter()
            .find(|(agent, (from, _))| agent != first && from < until);
        if let Some((second, (from, _))) = second {
            return Some(format!(
                "was {second}'s from log index {from}, while it was {first}'s"
            ));
        }
    }
    None
}

/// Whether a story has a second agent accept before the first had let go.
fn two_owners(events: &[api::ChatEvent]) -> Option<String> {
    let mut owner: Option<&str> = None;
    for event in events {
        match event.what.as_str() {
            "accepted" => {
                if let Some(first) = owner.filter(|o| *o != event.agent_id) {
                    return Some(format!(
                        "was accepted by {} at log index {} while {first} owned it",
                        event.agent_id, event.log_index
                    ));
                }
                owner = Some(&event.agent_id);
            }
            "agent lost" | "transferred" | "ended" => owner = None,
            _ => {}
        }
    }
    None
}
