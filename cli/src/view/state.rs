//! Agents and queues as they are.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::{Wait, given, presence_word, shown};
use crate::output::{Clock, Field, Tabular, Tone};
use crate::time::rfc3339;

/// An agent.
#[derive(Clone, Debug, Serialize)]
pub struct Agent {
    agent_id: String,
    name: String,
    region_id: String,
    presence: String,
    on_shift: bool,
    overtime: bool,
    load: u32,
    capacity: u32,
    session_epoch: u64,
    node_id: Option<u64>,
    shift_edge_at: Option<String>,
    log_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bot: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_due_at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    break_due: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    #[serde(skip)]
    shift_edge_ms: i64,
}

impl From<api::AgentState> for Agent {
    fn from(a: api::AgentState) -> Self {
        Self {
            agent_id: a.agent_id,
            name: a.name,
            region_id: a.region_id,
            presence: presence_word(a.presence),
            on_shift: a.on_shift,
            overtime: a.overtime,
            load: a.load,
            capacity: a.capacity,
            session_epoch: a.epoch,
            node_id: (a.node_id != 0).then_some(a.node_id),
            shift_edge_at: rfc3339(a.shift_edge_ms),
            log_index: a.log_index,
            team: given(a.team),
            extra: (a.extra != 0).then_some(a.extra),
            bot: a.bot,
            break_due_at: rfc3339(a.break_due_ms),
            break_due: a.break_due,
            removed: a.removed,
            shift_edge_ms: a.shift_edge_ms,
        }
    }
}

impl Tabular for Agent {
    const HEADER: &'static [&'static str] = &[
        "agent",
        "name",
        "region",
        "presence",
        "shift",
        "load",
        "node",
        "shift change",
    ];

    fn id(&self) -> String {
        self.agent_id.clone()
    }

    fn removed(&self) -> bool {
        self.removed
    }

    fn row(&self, clock: &Clock) -> Vec<Field> {
        let tone = match self.presence.as_str() {
            "available" => Tone::Good,
            "not_responding" | "lost" => Tone::Bad,
            "break" | "draining" => Tone::Warn,
            _ => Tone::Plain,
        };
        let node = self.node_id.map_or("-".to_owned(), |n| n.to_string());
        vec![
            Field::from(&self.agent_id),
            Field::from(&self.name),
            Field::from(&self.region_id),
            match self.break_due {
                true => Field(format!("{}, break due", self.presence), Tone::Warn),
                false => Field(self.presence.clone(), tone),
            },
            Field::from(match (self.on_shift, self.overtime) {
                (true, _) => "on",
                (false, true) => "overtime",
                (false, false) => "off",
            }),
            Field::from(format!("{}/{}", self.load, self.capacity)),
            Field::from(node),
            Field::from(clock.relative(self.shift_edge_ms)),
        ]
    }
}

/// A queue.
#[derive(Clone, Debug, Serialize)]
pub struct Queue {
    queue_id: String,
    open: bool,
    next_opening_at: Option<String>,
    waiting: u32,
    offered: u32,
    active: u32,
    deferred: u32,
    oldest_arrival_at: Option<String>,
    agents_ready: u32,
    agents_at_work: u32,
    tracked: u32,
    /// Of the last half hour, in percent.
    service_level: Option<u32>,
    service_level_target: Option<u32>,
    accepted: u32,
    answered: u32,
    answered_in_target: u32,
    abandoned: u32,
    wait_mean_ms: u32,
    handle_mean_ms: u32,
    wait_error_ms: Option<u32>,
    expected_wait: Option<Wait>,
    closed_until: Option<String>,
    closed_why: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    #[serde(skip)]
    next_opening_ms: i64,
    #[serde(skip)]
    oldest_arrival_ms: i64,
}

impl From<api::QueueState> for Queue {
    fn from(q: api::QueueState) -> Self {
        Self {
            queue_id: q.queue_id,
            open: q.open,
            next_opening_at: rfc3339(q.next_opening_ms),
            waiting: q.waiting,
            offered: q.offered,
            active: q.active,
            deferred: q.deferred,
            oldest_arrival_at: rfc3339(q.oldest_arrival_ms),
            agents_ready: q.agents_ready,
            agents_at_work: q.agents_at_work,
            tracked: q.tracked,
            service_level: q.service_level,
            service_level_target: (q.service_level_target != 0).then_some(q.service_level_target),
            accepted: q.accepted,
            answered: q.answered,
            answered_in_target: q.answered_in_target,
            abandoned: q.abandoned,
            wait_mean_ms: q.wait_ms,
            handle_mean_ms: q.handle_ms,
            wait_error_ms: q.wait_error_ms,
            expected_wait: q.expected_wait.map(Wait::from),
            closed_until: rfc3339(q.closed_until_ms),
            closed_why: given(q.closed_why),
            removed: q.removed,
            next_opening_ms: q.next_opening_ms,
            oldest_arrival_ms: q.oldest_arrival_ms,
        }
    }
}

impl Tabular for Queue {
    const HEADER: &'static [&'static str] = &[
        "queue",
        "state",
        "waiting",
        "offered",
        "active",
        "deferred",
        "oldest",
        "level",
        "wait",
        "agents ready",
    ];

    fn id(&self) -> String {
        self.queue_id.clone()
    }

    fn removed(&self) -> bool {
        self.removed
    }

    fn row(&self, clock: &Clock) -> Vec<Field> {
        let level = match (self.service_level, self.service_level_target) {
            (Some(level), target) => {
                let below = target.is_some_and(|target| level < target);
                let tone = if below { Tone::Bad } else { Tone::Plain };
                Field(format!("{level}%"), tone)
            }
            (None, _) => Field::from("-"),
        };
        let wait = self.expected_wait.map(|w| w.brief());
        let state = match (self.open, self.next_opening_ms) {
            _ if self.closed_until.is_some() => Field("closed at once".to_owned(), Tone::Bad),
            (true, _) => Field("open".to_owned(), Tone::Good),
            (false, 0) => Field("closed".to_owned(), Tone::Warn),
            (false, at) => Field(format!("opens {}", clock.relative(at)), Tone::Warn),
        };
        let ready = match self.agents_ready {
            0 if self.waiting > 0 => Tone::Bad,
            _ => Tone::Plain,
        };
        vec![
            Field::from(&self.queue_id),
            state,
            Field::from(self.waiting),
            Field::from(self.offered),
            Field::from(self.active),
            Field::from(self.deferred),
            Field::from(clock.relative(self.oldest_arrival_ms)),
            level,
            Field::from(shown(wait.as_deref())),
            Field(self.agents_ready.to_string(), ready),
        ]
    }
}

impl Agent {
    /// The presence as a word, to filter by.
    pub fn presence(&self) -> &str {
        &self.presence
    }

    /// Presence, shift and load in one line.
    pub fn brief(&self) -> String {
        let shift = if self.on_shift {
            "on shift"
        } else {
            "off shift"
        };
        format!(
            "now {}, {shift}, load {}/{}",
            self.presence, self.load, self.capacity
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn clock() -> Clock {
        Clock {
            now_ms: 1_000_000,
            zone: TimeZone::UTC,
        }
    }

    fn texts(fields: Vec<Field>) -> Vec<String> {
        fields.into_iter().map(|f| f.0).collect()
    }

    #[test]
    fn agents_are_shown() {
        let agent = Agent::from(api::AgentState {
            agent_id: "ana".to_owned(),
            name: "Ana".to_owned(),
            region_id: "eu".to_owned(),
            presence: api::Presence::Available as i32,
            on_shift: true,
            load: 1,
            capacity: 3,
            epoch: 4,
            node_id: 2,
            shift_edge_ms: 1_060_000,
            log_index: 9,
            ..Default::default()
        });
        let row = texts(agent.row(&clock()));
        assert_eq!(
            row,
            ["ana", "Ana", "eu", "available", "on", "1/3", "2", "in 1m"]
        );
        assert_eq!(
            serde_json::to_string(&agent).unwrap(),
            r#"{"agent_id":"ana","name":"Ana","region_id":"eu","presence":"available","on_shift":true,"overtime":false,"load":1,"capacity":3,"session_epoch":4,"node_id":2,"shift_edge_at":"1970-01-01T00:17:40.000Z","log_index":9}"#
        );
    }

    #[test]
    fn queues_are_shown() {
        let queue = Queue::from(api::QueueState {
            queue_id: "sales".to_owned(),
            next_opening_ms: 4_600_000,
            waiting: 2,
            oldest_arrival_ms: 840_000,
            ..Default::default()
        });
        let row = texts(queue.row(&clock()));
        assert_eq!(
            row,
            [
                "sales",
                "opens in 1h",
                "2",
                "0",
                "0",
                "0",
                "2m40s ago",
                "-",
                "-",
                "0"
            ]
        );
        let json = serde_json::to_value(&queue).unwrap();
        assert_eq!(json["open"], false);
        assert_eq!(json["oldest_arrival_at"], "1970-01-01T00:14:00.000Z");
    }
}
