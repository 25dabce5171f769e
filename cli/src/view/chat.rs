//! Chats, offers, and why a chat went where it went.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::{Wait, closed_word, given, phase_word, purpose_word, shown, watch_word};
use crate::output::{Clock, Field, Paint, Tabular, Tone, printable, render_table};
use crate::time::rfc3339;

/// A chat.
#[derive(Clone, Debug, Serialize)]
pub struct Chat {
    chat_id: String,
    queue_id: String,
    phase: String,
    languages: Vec<String>,
    priority: u32,
    arrived_at: Option<String>,
    agent_id: Option<String>,
    position: Option<u32>,
    due_at: Option<String>,
    close_reason: Option<String>,
    log_index: u64,
    #[serde(flatten)]
    more: More,
    #[serde(skip)]
    arrived_ms: i64,
    #[serde(skip)]
    due_ms: i64,
}

/// What few chats have; left out where they do not.
#[derive(Clone, Debug, Default, Serialize)]
struct More {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    vip: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offered_to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via_queue_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_wait: Option<Wait>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assist_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    companions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watchers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_back_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracked: Option<String>,
}

impl More {
    fn of(c: &mut api::Chat) -> Self {
        let take = |text: &mut String| given(std::mem::take(text));
        // One offered to is told as the agent.
        let offered_to = std::mem::take(&mut c.offered_to);
        let companion = |p: &api::Companion| {
            let who = if p.agent_id.is_empty() {
                "nobody yet"
            } else {
                &p.agent_id
            };
            format!("{who} ({}, {})", purpose_word(p.purpose), p.assist_chat_id)
        };
        let watcher = |w: &api::Watcher| format!("{} ({})", w.who, watch_word(w.mode));
        Self {
            vip: c.vip,
            channel: take(&mut c.channel).filter(|c| c != "chat"),
            kind: take(&mut c.kind),
            offered_to: if offered_to.len() > 1 {
                offered_to
            } else {
                Vec::new()
            },
            via_queue_id: take(&mut c.via_queue_id).filter(|via| *via != c.queue_id),
            owner_agent_id: take(&mut c.owner_agent_id),
            expected_wait: c.expected_wait.map(Wait::from),
            purpose: (c.purpose != 0).then(|| purpose_word(c.purpose)),
            assist_of: take(&mut c.assist_of),
            companions: c.companions.iter().map(companion).collect(),
            watchers: c.watchers.iter().map(watcher).collect(),
            lease_ends_at: rfc3339(c.lease_ends_ms),
            message: take(&mut c.message),
            contact: take(&mut c.contact),
            call_back_at: rfc3339(c.call_back_ms),
            tracked: take(&mut c.tracked_channel)
                .map(|channel| format!("{channel} {}", c.tracked_reference)),
        }
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let one = [
            ("vip", self.vip.then(|| "yes".to_owned())),
            ("channel", self.channel.clone()),
            ("kind", self.kind.clone()),
            ("offered to", joined(&self.offered_to)),
            ("via", self.via_queue_id.clone()),
            ("owner", self.owner_agent_id.clone()),
            ("wait", self.expected_wait.map(|w| w.words())),
            ("assists", self.assist_of.clone()),
            ("purpose", self.purpose.clone()),
            ("with", joined(&self.companions)),
            ("watched by", joined(&self.watchers)),
            ("given up", self.lease_ends_at.clone()),
            ("message", self.message.clone()),
            ("contact", self.contact.clone()),
            ("call back", self.call_back_at.clone()),
            ("tracked", self.tracked.clone()),
        ];
        let some = one
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        some.collect()
    }
}

fn joined(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(", "))
}

impl From<api::Chat> for Chat {
    fn from(mut c: api::Chat) -> Self {
        let more = More::of(&mut c);
        Self {
            more,
            chat_id: c.chat_id,
            queue_id: c.queue_id,
            phase: phase_word(c.phase),
            languages: c.languages,
            priority: c.priority,
            arrived_at: rfc3339(c.arrived_ms),
            agent_id: given(c.agent_id),
            position: (c.position != 0).then_some(c.position),
            due_at: rfc3339(c.due_ms),
            close_reason: (c.closed != 0).then(|| closed_word(c.closed)),
            log_index: c.log_index,
            arrived_ms: c.arrived_ms,
            due_ms: c.due_ms,
        }
    }
}

impl Tabular for Chat {
    const HEADER: &'static [&'static str] = &[
        "chat",
        "queue",
        "phase",
        "languages",
        "priority",
        "arrived",
        "agent",
        "position",
        "due",
    ];

    fn id(&self) -> String {
        self.chat_id.clone()
    }

    fn row(&self, clock: &Clock) -> Vec<Field> {
        let position = self.position.map(|p| p.to_string());
        vec![
            Field::from(&self.chat_id),
            Field::from(&self.queue_id),
            Field(self.phase_shown(), self.tone()),
            Field::from(self.languages.join(",")),
            Field::from(self.priority),
            Field::from(clock.relative(self.arrived_ms)),
            Field::from(shown(self.agent_id.as_deref())),
            Field::from(shown(position.as_deref())),
            Field::from(clock.relative(self.due_ms)),
        ]
    }
}

impl Chat {
    /// Whether nothing more will happen to it.
    pub fn is_closed(&self) -> bool {
        self.phase == "closed"
    }

    fn phase_shown(&self) -> String {
        match &self.close_reason {
            Some(reason) => format!("{} ({reason})", self.phase),
            None => self.phase.clone(),
        }
    }

    fn tone(&self) -> Tone {
        match self.phase.as_str() {
            "active" | "wrap_up" => Tone::Good,
            "waiting" | "deferred" | "tracked" => Tone::Warn,
            _ => Tone::Plain,
        }
    }

    /// Field by field, for one chat alone.
    pub fn sheet(&self, clock: &Clock, paint: Paint) -> String {
        let at = |ms: i64| format!("{}  ({})", clock.local(ms), clock.relative(ms));
        let mut lines = vec![
            ("chat", self.chat_id.clone()),
            ("queue", self.queue_id.clone()),
            ("phase", self.phase_shown()),
            ("languages", self.languages.join(", ")),
            ("priority", self.priority.to_string()),
            ("arrived", at(self.arrived_ms)),
        ];
        lines.extend(self.agent_id.iter().map(|a| ("agent", a.clone())));
        lines.extend(self.position.iter().map(|p| ("position", p.to_string())));
        if self.due_ms != 0 {
            lines.push(("due", at(self.due_ms)));
        }
        lines.extend(self.more.lines());
        lines.push(("log index", self.log_index.to_string()));
        let line = |(name, value): (&str, String)| {
            format!(
                "{} {}\n",
                paint.dim(&format!("{name:<10}")),
                printable(&value)
            )
        };
        lines.into_iter().map(line).collect()
    }

    /// Id and phase in one line.
    pub fn brief(&self) -> String {
        format!("chat {} is {}", self.chat_id, self.phase_shown())
    }

    /// One line for a stream of changes.
    pub fn line(&self, clock: &Clock) -> String {
        let mut text = format!("{}  {}", clock.local(clock.now_ms), self.phase_shown());
        if let Some(position) = self.position {
            text.push_str(&format!(", position {position}"));
        }
        if let Some(agent) = &self.agent_id {
            text.push_str(&format!(", agent {agent}"));
        }
        if self.due_ms != 0 {
            text.push_str(&format!(
                ", due {} ({})",
                clock.local(self.due_ms),
                clock.relative(self.due_ms)
            ));
        }
        text
    }
}

/// An offer to an agent.
#[derive(Clone, Debug, Serialize)]
pub struct OfferView {
    chat: Chat,
    assignment: u64,
    until_at: Option<String>,
    topic: Option<String>,
    note: Option<String>,
    #[serde(skip)]
    until_ms: i64,
}

impl From<api::Offer> for OfferView {
    fn from(o: api::Offer) -> Self {
        Self {
            chat: o.chat.unwrap_or_default().into(),
            assignment: o.assignment,
            until_at: rfc3339(o.until_ms),
            topic: given(o.topic),
            note: given(o.note),
            until_ms: o.until_ms,
        }
    }
}

impl OfferView {
    /// One line for a stream of events.
    pub fn line(&self, clock: &Clock) -> String {
        let Chat {
            chat_id,
            queue_id,
            languages,
            ..
        } = &self.chat;
        let mut text = format!(
            "offer of {chat_id} from {queue_id} in {}, answer {}",
            languages.join(", "),
            clock.relative(self.until_ms)
        );
        for (name, value) in [("topic", &self.topic), ("note", &self.note)] {
            if let Some(value) = value {
                text.push_str(&format!(", {name}: {value}"));
            }
        }
        text
    }
}

/// How one agent stands towards a chat.
#[derive(Clone, Debug, Serialize)]
pub struct Weighed {
    agent_id: String,
    eligible: bool,
    rule: String,
    reason: String,
}

impl From<api::Candidate> for Weighed {
    fn from(c: api::Candidate) -> Self {
        Self {
            agent_id: c.agent_id,
            eligible: c.eligible,
            rule: c.rule,
            reason: c.reason,
        }
    }
}

impl Weighed {
    fn row(&self) -> Vec<Field> {
        let (word, tone) = if self.eligible {
            ("yes", Tone::Good)
        } else {
            ("no", Tone::Bad)
        };
        vec![
            Field::from(&self.agent_id),
            Field(word.to_owned(), tone),
            Field::from(&self.rule),
            Field::from(&self.reason),
        ]
    }
}

/// Rows for people; programs get everybody.
const ROWS_MAX: usize = 40;

fn candidates(list: &[Weighed], paint: Paint) -> String {
    let rows = list.iter().take(ROWS_MAX).map(Weighed::row).collect();
    let mut table = render_table(&["agent", "eligible", "rule", "reason"], rows, paint);
    if list.len() > ROWS_MAX {
        let more = list.len() - ROWS_MAX;
        table.push_str(&paint.dim(&format!("and {more} more; -o json tells of everybody\n")));
    }
    table
}

/// A step in a chat's story.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    log_index: u64,
    /// Of the configuration in force.
    version: u64,
    at: Option<String>,
    what: String,
    agent_id: Option<String>,
    detail: Option<String>,
    candidates: Vec<Weighed>,
    /// Whether those are all, and not a sample.
    complete: bool,
    #[serde(skip)]
    at_ms: i64,
}

/// A chat's story.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    chat: Chat,
    events: Vec<Moment>,
    candidates: Vec<Weighed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Waits>,
    log_index: u64,
    /// When it was so.
    at: Option<String>,
    #[serde(skip)]
    former: bool,
}

/// Why nobody takes it.
#[derive(Clone, Debug, Serialize)]
struct Waits {
    summary: String,
    /// Agents that each rule refused first, most first.
    rules: Vec<(String, u32)>,
    next_step_at: Option<String>,
    next_shift_at: Option<String>,
    #[serde(skip)]
    next: Vec<(&'static str, i64)>,
}

impl From<api::WaitReasons> for Waits {
    fn from(w: api::WaitReasons) -> Self {
        let next = [
            ("next step", w.next_step_ms),
            ("next shift", w.next_shift_ms),
        ];
        Self {
            summary: w.summary,
            rules: w.rules.into_iter().map(|r| (r.rule, r.agents)).collect(),
            next_step_at: rfc3339(w.next_step_ms),
            next_shift_at: rfc3339(w.next_shift_ms),
            next: next.into_iter().filter(|(_, at)| *at != 0).collect(),
        }
    }
}

impl Explanation {
    /// As of now, or of a former moment.
    pub fn new(e: api::ExplainChatResponse, former: bool) -> Self {
        let moment = |m: api::ChatEvent| Moment {
            log_index: m.log_index,
            version: m.version,
            at: rfc3339(m.at_ms),
            what: m.what,
            agent_id: given(m.agent_id),
            detail: given(m.detail),
            candidates: m.candidates.into_iter().map(Weighed::from).collect(),
            complete: m.complete,
            at_ms: m.at_ms,
        };
        Self {
            chat: e.chat.unwrap_or_default().into(),
            events: e.events.into_iter().map(moment).collect(),
            candidates: e.candidates.into_iter().map(Weighed::from).collect(),
            waits: e.waits.map(Waits::from),
            log_index: e.log_index,
            at: rfc3339(e.at_ms),
            former,
        }
    }

    /// The story for people.
    pub fn story(&self, clock: &Clock, paint: Paint) -> String {
        let mut text = self.chat.sheet(clock, paint);
        text.push_str(&format!("\n{}\n", paint.bold("What happened")));
        for event in &self.events {
            let mut line = format!("{}  {}", clock.local(event.at_ms), event.what);
            for part in [&event.agent_id, &event.detail].into_iter().flatten() {
                line.push_str(&format!(", {}", printable(part)));
            }
            let (index, version) = (event.log_index, event.version);
            let index = format!("(log index {index}, configuration {version})");
            let index = paint.dim(&index);
            text.push_str(&format!("{line}  {index}\n"));
            if !event.candidates.is_empty() {
                text.push_str(&indent(&candidates(&event.candidates, paint)));
            }
        }
        if let Some(waits) = &self.waits {
            text.push_str(&format!("\n{}\n", paint.bold("Why it waits")));
            text.push_str(&format!("    {}\n", printable(&waits.summary)));
            for (what, at) in &waits.next {
                let (local, relative) = (clock.local(*at), clock.relative(*at));
                text.push_str(&format!("    {what} {local}  ({relative})\n"));
            }
        }
        if !self.candidates.is_empty() {
            let when = if self.former { "then" } else { "now" };
            let title = format!("Who could take it {when}, best first");
            text.push_str(&format!("\n{}\n", paint.bold(&title)));
            text.push_str(&indent(&candidates(&self.candidates, paint)));
        }
        text
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn chat() -> api::Chat {
        api::Chat {
            chat_id: "c1".to_owned(),
            queue_id: "sales".to_owned(),
            phase: api::ChatPhase::Waiting as i32,
            languages: vec!["ca".to_owned(), "es".to_owned()],
            arrived_ms: 840_000,
            position: 2,
            log_index: 7,
            ..Default::default()
        }
    }

    #[test]
    fn absent_is_null_for_programs_and_a_dash_for_people() {
        let view = Chat::from(chat());
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["agent_id"], serde_json::Value::Null);
        assert_eq!(json["position"], 2);
        assert_eq!(json["phase"], "waiting");
        let clock = Clock {
            now_ms: 1_000_000,
            zone: TimeZone::UTC,
        };
        let row: Vec<_> = view.row(&clock).into_iter().map(|f| f.0).collect();
        assert_eq!(
            row,
            [
                "c1",
                "sales",
                "waiting",
                "ca,es",
                "0",
                "2m40s ago",
                "-",
                "2",
                "-"
            ]
        );
    }

    #[test]
    fn a_story_names_index_and_rule() {
        let candidate = api::Candidate {
            agent_id: "bo".to_owned(),
            eligible: false,
            reason: "speaks no ca".to_owned(),
            rule: "language".to_owned(),
        };
        let event = api::ChatEvent {
            log_index: 5,
            version: 2,
            at_ms: 841_000,
            what: "declined".to_owned(),
            agent_id: "ana".to_owned(),
            detail: "busy".to_owned(),
            candidates: Vec::new(),
            complete: false,
        };
        let told = api::ExplainChatResponse {
            waits: Some(api::WaitReasons {
                summary: "of the agents in reach it is kept from 1 by shift".to_owned(),
                next_step_ms: 1_060_000,
                ..Default::default()
            }),
            chat: Some(chat()),
            events: vec![event],
            candidates: vec![candidate],
            log_index: 8,
            at_ms: 1_000_000,
        };
        let story = Explanation::new(told, false);
        let clock = Clock {
            now_ms: 1_000_000,
            zone: TimeZone::UTC,
        };
        let paint = Paint::new(crate::output::When::Never, false);
        assert_eq!(
            story.story(&clock, paint),
            "\
chat       c1
queue      sales
phase      waiting
languages  ca, es
priority   0
arrived    1970-01-01T00:14:00+00:00  (2m40s ago)
position   2
log index  7

What happened
1970-01-01T00:14:01+00:00  declined, ana, busy  (log index 5, configuration 2)

Why it waits
    of the agents in reach it is kept from 1 by shift
    next step 1970-01-01T00:17:40+00:00  (in 1m)

Who could take it now, best first
    AGENT  ELIGIBLE  RULE      REASON
    bo     no        language  speaks no ca
"
        );
    }
}
