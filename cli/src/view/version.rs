//! A version of the configuration.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::{change_sign, change_word, shown};
use crate::output::{Clock, Field, Tabular};
use crate::time::rfc3339;

/// Who changed the configuration and when.
#[derive(Clone, Debug, Serialize)]
pub struct Version {
    version: u64,
    log_index: u64,
    at: Option<String>,
    actor: Option<String>,
    /// How many objects were changed; of very many only the first are told.
    changed: u32,
    changes: Vec<Object>,
    #[serde(skip)]
    at_ms: i64,
}

#[derive(Clone, Debug, Serialize)]
struct Object {
    kind: String,
    id: Option<String>,
    change: String,
}

impl From<api::ConfigurationVersion> for Version {
    fn from(v: api::ConfigurationVersion) -> Self {
        let object = |c: api::ObjectChange| Object {
            kind: c.kind,
            id: super::given(c.id),
            change: change_word(c.change),
        };
        Self {
            version: v.version,
            log_index: v.log_index,
            at: rfc3339(v.at_ms),
            actor: super::given(v.actor),
            changed: v.changed,
            changes: v.changes.into_iter().map(object).collect(),
            at_ms: v.at_ms,
        }
    }
}

/// How many objects a row names.
const NAMED: usize = 4;

impl Version {
    /// `+ queue vip, ~ agent ana, - region ap, 3 more`.
    fn words(&self) -> String {
        let name = |o: &Object| {
            let sign = change_sign(&o.change);
            let id = o.id.as_deref().map(|id| format!(" {id}"));
            format!("{sign} {}{}", o.kind, id.unwrap_or_default())
        };
        let mut words: Vec<String> = self.changes.iter().take(NAMED).map(name).collect();
        let more = (self.changed as usize).saturating_sub(words.len());
        if more > 0 {
            words.push(format!("{more} more"));
        }
        words.join(", ")
    }
}

impl Tabular for Version {
    const HEADER: &'static [&'static str] = &["VERSION", "WHEN", "WHO", "CHANGES"];

    fn id(&self) -> String {
        self.version.to_string()
    }

    fn row(&self, clock: &Clock) -> Vec<Field> {
        vec![
            self.version.into(),
            clock.local(self.at_ms).into(),
            shown(self.actor.as_deref()).into(),
            self.words().into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_some_objects_and_counts_the_rest() {
        let change = |kind: &str, id: &str, change: api::ChangeKind| api::ObjectChange {
            kind: kind.into(),
            id: id.into(),
            change: change.into(),
            fields: vec![],
        };
        let mut version = api::ConfigurationVersion {
            version: 3,
            changed: 2,
            changes: vec![
                change("workspace", "", api::ChangeKind::Changed),
                change("queue", "vip", api::ChangeKind::Added),
            ],
            ..Default::default()
        };
        let words = |v: &api::ConfigurationVersion| Version::from(v.clone()).words();
        assert_eq!(words(&version), "~ workspace, + queue vip");
        version.changes = vec![change("agent", "ana", api::ChangeKind::Removed); 5];
        version.changed = 900;
        assert!(words(&version).ends_with("- agent ana, 896 more"));
    }
}
