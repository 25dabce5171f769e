//! The organisation: what `meridian apply -f world.yaml` reads.
//!
//! [`Organisation::to_yaml`] writes the file and [`Organisation::from_yaml`] reads it; unknown fields are
//! refused. Optional fields may be left out. [`crate::generate::generate`] makes one from a seed.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

use crate::format::{Day, Duration, Level, RegionId, TimeOfDay};

/// Everything `meridian apply` puts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Settings of the whole.
    pub workspace: Workspace,
    /// Regions, in the order of the sun.
    pub regions: Vec<Region>,
    /// Weekly plans, by id.
    pub schedules: Vec<Schedule>,
    /// Waiting lines.
    pub queues: Vec<Queue>,
    /// People who answer.
    pub agents: Vec<Agent>,
}

/// Settings of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Shown to people; 1..=128 bytes.
    pub name: String,
    /// Languages acceptable in place of another once a step allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
}

/// Languages acceptable in place of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The wanted one, a canonical tag.
    pub language: String,
    /// The acceptable ones, best first.
    pub accept: Vec<String>,
}

/// A region of the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Id.
    pub id: RegionId,
    /// IANA zone.
    pub zone: String,
    /// Its working day.
    pub schedule: String,
}

/// A weekly plan in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Id.
    pub id: String,
    /// IANA zone.
    pub zone: String,
    /// The week; several a day are a split shift.
    pub week: Vec<Shift>,
    /// Local dates on which no shift begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<Date>,
    /// Local dates with hours of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// The same hours on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// The days it begins.
    pub days: Vec<Day>,
    /// Begin, local.
    pub from: TimeOfDay,
    /// End, local; at or before `from` it is on the next day.
    pub to: TimeOfDay,
}

/// A local date with hours of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The date.
    pub date: Date,
    /// Its hours; none = closed.
    pub hours: Vec<Hours>,
}

/// Hours of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// Begin, local.
    pub from: TimeOfDay,
    /// End, local; at or before `from` it is on the next day.
    pub to: TimeOfDay,
}

/// A waiting line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Id.
    pub id: String,
    /// Opening hours; none = always open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What is demanded of an agent, by waiting time; the first step is at 0, then strictly rising.
    pub steps: Vec<Step>,
    /// An unanswered offer is withdrawn after this; 1 s to 1 h.
    pub offer_timeout: Duration,
    /// Wrap-up ends by itself after this; at most 1 h.
    pub wrap_up: Duration,
    /// Who waited this long gets the out-of-hours answer; 1 s to 24 h.
    pub wait_max: Duration,
    /// Most chats waiting; 1..=1,000,000.
    pub waiting_max: u32,
    /// Waiting time that gains one point of priority; 0 = none.
    pub ageing: Duration,
    /// Target of the first answer.
    pub answer_target: Duration,
    /// Where a chat also waits when nobody took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// How long a returning visitor is offered to the last agent first; 0 = never.
    pub sticky: Duration,
}

/// A relaxation step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Waiting time from which it holds.
    pub after: Duration,
    /// Level the agent must speak a language of the chat at.
    pub language_level: Level,
    /// Whether later languages of the visitor and the workspace's fallbacks count.
    pub fallback_languages: bool,
    /// Taken off every wanted skill level.
    pub skill_levels_off: u32,
    /// Regions whose agents may take the chat; empty = all.
    #[serde(default)]
    pub regions: Vec<RegionId>,
}

/// Where a chat also waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overflow {
    /// Waiting time from which it holds.
    pub after: Duration,
    /// The other queue.
    pub queue: String,
}

/// A person who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Id.
    pub id: String,
    /// Shown to visitors; 1..=128 bytes.
    pub name: String,
    /// Home region.
    pub region: RegionId,
    /// Shift; none = whenever available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Languages, 1..=32, none twice.
    pub languages: Vec<LanguageLevel>,
    /// Skills, at most 64, none twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<SkillLevel>,
    /// Queues served, at least one.
    pub queues: Vec<String>,
    /// Capacity units, 1..=1000.
    pub capacity: u32,
}

/// A language with a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageLevel {
    /// Canonical BCP-47 tag.
    pub language: String,
    /// How well.
    pub level: Level,
}

/// A skill with a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkillLevel {
    /// Which.
    pub skill: String,
    /// 1..=10.
    pub level: u32,
}

/// Why an organisation was refused.
#[derive(Debug, thiserror::Error)]
pub enum OrganisationError {
    /// The file is not YAML of this form.
    #[error("the file cannot be read: {0}")]
    Read(#[from] serde_saphyr::Error),
    /// The file could not be written.
    #[error("the file cannot be written: {0}")]
    Write(#[from] serde_saphyr::ser::Error),
    /// A field names something that is not there.
    #[error("{field}: there is no {what} '{id}'")]
    Missing {
        /// The field.
        field: String,
        /// What it names.
        what: &'static str,
        /// The name.
        id: String,
    },
    /// An id, language, skill or queue stands twice.
    #[error("{field}: '{id}' stands twice")]
    Twice {
        /// The field.
        field: String,
        /// What stands twice.
        id: String,
    },
    /// A value is out of bounds.
    #[error("{field}: {rule}")]
    Bounds {
        /// The field.
        field: String,
        /// The bounds.
        rule: &'static str,
    },
}

impl Organisation {
    /// The file's text.
    ///
    /// # Errors
    /// [`OrganisationError::Write`].
    pub fn to_yaml(&self) -> Result<String, OrganisationError> {
        Ok(serde_saphyr::to_string(self)?)
    }

    /// Reads a file's text; does not [`check`](Self::check) it.
    ///
    /// # Errors
    /// [`OrganisationError::Read`], also for an unknown field.
    pub fn from_yaml(text: &str) -> Result<Self, OrganisationError> {
        Ok(serde_saphyr::from_str(text)?)
    }

    /// A schedule by id.
    pub fn schedule(&self, id: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|s| s.id == id)
    }

    /// Checks references, doubles and the bounds stated on the fields.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), OrganisationError> {
        let schedules = ids("schedules", self.schedules.iter().map(|s| s.id.as_str()))?;
        let queues = ids("queues", self.queues.iter().map(|q| q.id.as_str()))?;
        let regions = ids("regions", self.regions.iter().map(|r| r.id.as_str()))?;
        ids("agents", self.agents.iter().map(|a| a.id.as_str()))?;
        let zones = TimeZoneDatabase::bundled();

        bound(
            "workspace.name",
            (1..=128).contains(&self.workspace.name.len()),
            "1 to 128 bytes",
        )?;
        for region in &self.regions {
            let field = |f| format!("regions[{}].{f}", region.id);
            known(field("schedule"), "schedule", &schedules, &region.schedule)?;
            bound(
                field("zone"),
                zones.get(&region.zone).is_ok(),
                "an IANA zone",
            )?;
        }
        for schedule in &self.schedules {
            let field = format!("schedules[{}].zone", schedule.id);
            bound(field, zones.get(&schedule.zone).is_ok(), "an IANA zone")?;
        }
        for queue in &self.queues {
            queue.check(&schedules, &queues, &regions)?;
        }
        for agent in &self.agents {
            agent.check(&schedules, &queues, &regions)?;
        }
        Ok(())
    }
}

type Ids<'a> = BTreeSet<&'a str>;

impl Queue {
    fn check(&self, schedules: &Ids, queues: &Ids, regions: &Ids) -> Result<(), OrganisationError> {
        let field = |f: &str| format!("queues[{}].{f}", self.id);
        if let Some(schedule) = &self.schedule {
            known(field("schedule"), "schedule", schedules, schedule)?;
        }
        if let Some(overflow) = &self.overflow {
            known(field("overflow"), "queue", queues, &overflow.queue)?;
        }
        let rising = self.steps.windows(2).all(|s| s[0].after < s[1].after);
        let begins = self
            .steps
            .first()
            .is_some_and(|s| s.after == Duration::ZERO);
        bound(
            field("steps"),
            begins && rising,
            "from 0s, then strictly rising",
        )?;
        for step in &self.steps {
            for region in &step.regions {
                known(field("steps"), "region", regions, region.as_str())?;
            }
        }
        let hour = Duration::secs(3600);
        let within = |d: Duration, most: u64| d >= Duration::secs(1) && d <= Duration::secs(most);
        bound(
            field("offer_timeout"),
            within(self.offer_timeout, 3600),
            "1s to 1h",
        )?;
        bound(field("wrap_up"), self.wrap_up <= hour, "at most 1h")?;
        bound(
            field("wait_max"),
            within(self.wait_max, 86_400),
            "1s to 24h",
        )?;
        let most = (1..=1_000_000).contains(&self.waiting_max);
        bound(field("waiting_max"), most, "1 to 1,000,000")
    }
}

impl Agent {
    fn check(&self, schedules: &Ids, queues: &Ids, regions: &Ids) -> Result<(), OrganisationError> {
        let field = |f: &str| format!("agents[{}].{f}", self.id);
        known(field("region"), "region", regions, self.region.as_str())?;
        if let Some(schedule) = &self.schedule {
            known(field("schedule"), "schedule", schedules, schedule)?;
        }
        for queue in &self.queues {
            known(field("queues"), "queue", queues, queue)?;
        }
        ids(&field("queues"), self.queues.iter().map(String::as_str))?;
        ids(
            &field("languages"),
            self.languages.iter().map(|l| l.language.as_str()),
        )?;
        ids(
            &field("skills"),
            self.skills.iter().map(|s| s.skill.as_str()),
        )?;
        bound(field("queues"), !self.queues.is_empty(), "at least one")?;
        bound(
            field("name"),
            (1..=128).contains(&self.name.len()),
            "1 to 128 bytes",
        )?;
        bound(
            field("languages"),
            (1..=32).contains(&self.languages.len()),
            "1 to 32",
        )?;
        let levels = self.skills.iter().all(|s| (1..=10).contains(&s.level));
        bound(
            field("skills"),
            levels && self.skills.len() <= 64,
            "at most 64, levels 1 to 10",
        )?;
        bound(
            field("capacity"),
            (1..=1000).contains(&self.capacity),
            "1 to 1000",
        )
    }
}

fn ids<'a>(field: &str, all: impl Iterator<Item = &'a str>) -> Result<Ids<'a>, OrganisationError> {
    let mut seen = Ids::new();
    for id in all {
        if !seen.insert(id) {
            let (field, id) = (field.to_owned(), id.to_owned());
            return Err(OrganisationError::Twice { field, id });
        }
    }
    Ok(seen)
}

fn known(field: String, what: &'static str, all: &Ids, id: &str) -> Result<(), OrganisationError> {
    if all.contains(id) {
        return Ok(());
    }
    let id = id.to_owned();
    Err(OrganisationError::Missing { field, what, id })
}

fn bound(field: impl Into<String>, ok: bool, rule: &'static str) -> Result<(), OrganisationError> {
    if ok {
        return Ok(());
    }
    let field = field.into();
    Err(OrganisationError::Bounds { field, rule })
}
