//! What only the leader does, by time: ticks when a deadline is due, nodes declared lost, schedules resolved
//! anew. Every node runs it; whoever does not lead does nothing.

use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as pb;
use meridian_routing::command::{Command, ConfigChange};
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::model::Schedule;
use prost::Message as _;
use tokio::time::{Instant, sleep};

use crate::calendar;
use crate::convert::{api, command};
use crate::driver::Driver;
use crate::language;
use crate::raft::{Member, Role};

/// How often the leader looks whether every member knows newer rules.
const RULES_EVERY: Duration = Duration::from_secs(2);
/// How often schedules are looked over.
const SCHEDULES_EVERY: Duration = Duration::from_secs(3_600);
/// With fewer days than this left of a schedule, somebody must be told.
const ALARM_DAYS_LEFT: Millis = 30;
/// Schedules are resolved again in commands of about this many bytes.
const CHUNK_BYTES: usize = 1 << 20;
const DAY_MS: Millis = 86_400_000;

/// Proposes a tick whenever the earliest deadline is due. Ends when the node stops.
pub async fn ticks(driver: Arc<Driver>) {
    let mut progress = driver.progress();
    loop {
        let due = progress.borrow_and_update().next_deadline;
        let wait = async {
            match due {
                Some(at) => {
                    sleep(Duration::from_millis(
                        at.saturating_sub(driver.now()).max(0).unsigned_abs(),
                    ))
                    .await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {
                if !leads(&driver) {
                    // Somebody else ticks, or nobody can; look again when either changes.
                    let Ok(group) = driver.group() else { sleep(Duration::from_millis(50)).await; continue };
                    let mut leading = group.watch();
                    tokio::select! {
                        changed = progress.changed() => if changed.is_err() { return },
                        // Raft has ended by itself: asking on would keep a processor busy until the node stops.
                        led = leading.wait_for(|s| s.role == Role::Leader) => if led.is_err() { return },
                        () = driver.stopped() => return,
                    }
                } else if let Err(e) = driver.propose_here(Command::Tick).await {
                    tracing::debug!(error = %e, "a tick was not proposed");
                    sleep(Duration::from_millis(20)).await;
                }
            }
            changed = progress.changed() => if changed.is_err() { return },
            () = driver.stopped() => return,
        }
    }
}

fn leads(driver: &Driver) -> bool {
    driver
        .group()
        .is_ok_and(|g| g.status().role == Role::Leader)
}

/// Declares nodes lost that hold sessions and were not heard of for `silence`, so that their agents' offers
/// go back to the line. Ends when the node stops.
pub async fn lost_nodes(driver: Arc<Driver>, silence: Duration) {
    // A new leader has heard of nobody yet; everybody gets the full time from its election on.
    let mut leading: Option<(u64, Instant)> = None;
    loop {
        tokio::select! {
            () = sleep(silence / 4) => {}
            () = driver.stopped() => return,
        }
        let Ok(group) = driver.group() else { continue };
        let status = group.status();
        if status.role != Role::Leader {
            leading = None;
            continue;
        }
        let since = match leading {
            Some((term, since)) if term == status.term => since,
            _ => Instant::now(),
        };
        leading = Some((status.term, since));
        let nodes: Vec<NodeId> = driver
            .state()
            .session_nodes()
            .filter(|n| *n != driver.node_id())
            .collect();
        for node in nodes {
            let heard = status.members.get(&node).and_then(|m| m.heard);
            let quiet = heard.map_or(since.elapsed(), |at| at.elapsed().min(since.elapsed()));
            if quiet < silence {
                continue;
            }
            tracing::warn!(
                node,
                quiet_ms = quiet.as_millis() as u64,
                "node lost: its agents' offers go back to the line"
            );
            if let Err(e) = driver.propose_here(Command::NodeLost { node }).await {
                tracing::debug!(node, error = %e, "a lost node was not recorded");
            }
        }
    }
}

/// Resolves schedules again whose horizon comes near or whose zone data this program replaces. Ends when the
/// node stops.
pub async fn schedules(driver: Arc<Driver>) {
    loop {
        if leads(&driver) {
            resolve_again(&driver).await;
        }
        tokio::select! {
            () = sleep(SCHEDULES_EVERY) => {}
            () = driver.stopped() => return,
        }
    }
}

async fn resolve_again(driver: &Driver) {
    let (now, zone_data) = (driver.now(), calendar::zone_data());
    let (stale, ending) = {
        let state = driver.state();
        let all = || state.schedules().values();
        let stale: Vec<Schedule> = all()
            .filter(|s| is_stale(s, now, zone_data))
            .cloned()
            .collect();
        let ending: Vec<_> = all()
            .filter_map(|s| Some((s.id.clone(), days_left(s, now)?)))
            .collect();
        (stale, ending)
    };
    learn_languages(driver).await;
    for (schedule, days_left) in ending {
        tracing::error!(%schedule, days_left, zone_data, "a schedule's working hours are known for few days more; let a node with the newest zone data lead, or apply the schedule again");
    }
    let mut changes = Vec::new();
    for present in &stale {
        match again(present, now) {
            Ok(change) => changes.push(change),
            Err(e) => {
                tracing::error!(schedule = %present.id, error = %e, "a schedule can no longer be resolved")
            }
        }
    }
    for chunk in chunks(changes) {
        let count = chunk.len();
        match driver.propose_here(Command::Configure(chunk)).await {
            Ok(_) => tracing::info!(count, zone_data, "schedules resolved again"),
            Err(e) => {
                // The rest is tried within the hour, by whoever leads then.
                return tracing::warn!(error = %e, "schedules were not resolved again");
            }
        }
    }
}

/// Tells the state what tags mean that agents speak, where it knows them by older data or not at all.
async fn learn_languages(driver: &Driver) {
    let missing = language::missing(&driver.state());
    for chunk in missing.chunks(language::LEARNED_MAX) {
        let changes = chunk.iter().cloned().map(ConfigChange::LearnLanguage);
        match driver
            .propose_here(Command::Configure(changes.collect()))
            .await
        {
            Ok(_) => tracing::info!(count = chunk.len(), "languages resolved again"),
            Err(e) => return tracing::warn!(error = %e, "languages were not resolved again"),
        }
    }
}

/// Puts rules in force that every member knows. Ends when the node stops.
pub async fn rules(driver: Arc<Driver>) {
    loop {
        tokio::select! {
            () = sleep(RULES_EVERY) => {}
            () = driver.stopped() => return,
        }
        let Ok(group) = driver.group() else { continue };
        let status = group.status();
        // Of whom nothing is known, nothing may be expected.
        let known = |(id, member): (&NodeId, &Member)| match *id == status.node_id {
            true => group.rules(),
            false => member.rules.unwrap_or(0),
        };
        let known = status.members.iter().map(known).min();
        let (Role::Leader, Some(rules)) = (status.role, known) else {
            continue;
        };
        if rules <= driver.state().meta().rules {
            continue;
        }
        match driver.propose_here(Command::Adopt { rules }).await {
            Ok(_) => tracing::info!(rules, "every member knows these rules; they are in force"),
            Err(e) => tracing::debug!(rules, error = %e, "rules are not in force yet"),
        }
    }
}

/// Whether a schedule is to be resolved again with this program's zone data: its horizon comes near or its zone
/// data is older. Newer zone data is left alone.
fn is_stale(s: &Schedule, now: Millis, zone_data: &str) -> bool {
    let near = now + Millis::from(api::HORIZON_DAYS_LEFT) * DAY_MS;
    let older = s.zone_data.as_str() < zone_data;
    s.horizon != Millis::MAX && (older || s.horizon < near && s.zone_data == zone_data)
}

/// Days until a schedule's horizon, when that is near enough to alarm somebody.
pub(crate) fn days_left(s: &Schedule, now: Millis) -> Option<Millis> {
    let left = s.horizon.saturating_sub(now) / DAY_MS;
    (left < ALARM_DAYS_LEFT).then_some(left)
}

/// The same schedule from now on, to be put only in the place of the one it was made from.
fn again(present: &Schedule, now: Millis) -> Result<ConfigChange, Reject> {
    let source = pb::Schedule::decode(&present.source[..]).map_err(|e| {
        let fix = "apply the schedule again";
        api::invalid("source", format!("does not decode: {e}"), fix)
    })?;
    let mut resolved = api::schedule(present.id.as_str(), &source, now)?;
    // Byte for byte what the core compares, whichever version wrote it.
    resolved.source = present.source.clone();
    Ok(ConfigChange::ExtendSchedule(resolved))
}

/// Changes in order, cut so that no command is much longer than [`CHUNK_BYTES`].
fn chunks(changes: Vec<ConfigChange>) -> Vec<Vec<ConfigChange>> {
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for change in changes {
        let one = Command::Configure(vec![change.clone()]);
        let length = command::encode(0, "", "", "", &one).len();
        if bytes + length > CHUNK_BYTES && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += length;
        chunk.push(change);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use meridian_routing::command::Stamped;
    use meridian_routing::state::State;

    use super::*;

    const NOW: Millis = 1_767_225_600_000;

    fn resolved(id: usize, week: usize, now: Millis) -> Schedule {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let source = pb::Schedule {
            id: format!("s{id}"),
            zone: "Europe/Berlin".into(),
            week: (0..week)
                .map(|hour| pb::WeeklyShift {
                    days: days.map(str::to_owned).into(),
                    from: format!("{:02}:00", 2 * hour),
                    to: format!("{:02}:00", 2 * hour + 1),
                })
                .collect(),
            ..Default::default()
        };
        api::schedule("s", &source, now).expect("resolved")
    }

    #[test]
    fn a_near_horizon_and_older_zone_data_are_stale_and_newer_are_left_alone() {
        let data = calendar::zone_data();
        let mut s = resolved(1, 1, NOW);
        assert!(!is_stale(&s, NOW, data));
        assert!(is_stale(&s, NOW + 20 * DAY_MS, data));
        s.zone_data = "1999a".into();
        assert!(is_stale(&s, NOW, data));
        s.zone_data = "2999a".into();
        assert!(!is_stale(&s, NOW + 300 * DAY_MS, data));
        assert_eq!(days_left(&s, NOW), None);
        assert_eq!(days_left(&s, NOW + 340 * DAY_MS), Some(19));
        // What was planned elsewhere is never resolved.
        s.horizon = Millis::MAX;
        s.zone_data = String::new();
        assert!(!is_stale(&s, NOW, data));
        assert_eq!(days_left(&s, NOW), None);
    }

    #[test]
    fn every_stale_schedule_is_extended_in_commands_that_can_be_proposed() {
        let later = NOW + 100 * DAY_MS;
        let mut state = State::default();
        let mut index = 0;
        let mut apply = |state: &mut State, at, changes| {
            index += 1;
            let outcome = state.apply(&Stamped {
                index,
                at,
                request_id: String::new(),
                actor: "node:1".into(),
                command: Command::Configure(changes),
            });
            outcome.result.expect("applied");
        };
        for id in 0..60 {
            let put = ConfigChange::PutSchedule(resolved(id, 10, NOW));
            apply(&mut state, NOW, vec![put]);
        }
        let stale = |state: &State| {
            let all = state.schedules().values();
            all.filter(|s| is_stale(s, later, calendar::zone_data()))
                .map(|s| again(s, later).expect("resolved"))
                .collect::<Vec<_>>()
        };
        let changes = stale(&state);
        assert_eq!(changes.len(), 60);
        // Removed by an operator between the look and the proposal.
        let gone = ScheduleId::from("s7");
        apply(
            &mut state,
            later,
            vec![ConfigChange::RemoveSchedule(gone.clone())],
        );

        let chunks = chunks(changes);
        assert!(chunks.len() > 1);
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 60);
        for chunk in chunks {
            let command = Command::Configure(chunk.clone());
            assert!(command::encode(0, "", "", "", &command).len() <= CHUNK_BYTES);
            apply(&mut state, later, chunk);
        }
        assert!(stale(&state).is_empty());
        assert_eq!(state.schedules().len(), 59);
        assert!(!state.schedules().contains_key(&gone));
    }
}
