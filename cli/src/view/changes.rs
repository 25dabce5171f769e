//! What applying a file changes.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::{change_sign, change_word};
use crate::output::{Paint, printable};

/// One object's change.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    kind: String,
    id: Option<String>,
    change: String,
    fields: Vec<String>,
}

/// What applying changes.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    dry_run: bool,
    added: usize,
    changed: usize,
    /// How many objects go.
    pub removed: usize,
    changes: Vec<Change>,
    log_index: Option<u64>,
}

impl Changes {
    /// From the answer.
    pub fn new(dry_run: bool, response: api::ApplyResponse) -> Self {
        let change = |c: api::ObjectChange| Change {
            kind: c.kind,
            id: super::given(c.id),
            change: change_word(c.change),
            fields: c.fields,
        };
        let changes: Vec<_> = response.changes.into_iter().map(change).collect();
        let count = |word: &str| changes.iter().filter(|c| c.change == word).count();
        Self {
            dry_run,
            added: count("added"),
            changed: count("changed"),
            removed: count("removed"),
            changes,
            log_index: (response.log_index != 0).then_some(response.log_index),
        }
    }

    /// The last line: `3 added, 1 changed, 0 removed`.
    pub fn summary(&self) -> String {
        let dry = if self.dry_run { " (dry run)" } else { "" };
        if self.changes.is_empty() {
            return format!("nothing to change{dry}");
        }
        format!(
            "{} added, {} changed, {} removed{dry}",
            self.added, self.changed, self.removed
        )
    }

    /// What goes, for a question: `1 object`, `2 objects`.
    pub fn removed_words(&self) -> String {
        match self.removed {
            1 => "1 object".to_owned(),
            n => format!("{n} objects"),
        }
    }

    /// A diff for people.
    pub fn diff(&self, paint: Paint) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let id = change
                .id
                .as_deref()
                .map_or(String::new(), |id| format!(" {id}"));
            let sign = change_sign(&change.change);
            let head = format!("{sign} {}{id}", change.kind);
            text.push_str(&match sign {
                '+' => paint.good(&head),
                '-' => paint.error(&head),
                _ => paint.warn(&head),
            });
            text.push('\n');
            for field in &change.fields {
                text.push_str(&format!("    {}\n", printable(field)));
            }
        }
        text + &self.summary() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_like_a_diff() {
        let change =
            |kind: &str, id: &str, change: api::ChangeKind, fields: &[&str]| api::ObjectChange {
                kind: kind.to_owned(),
                id: id.to_owned(),
                change: change as i32,
                fields: fields.iter().map(|f| (*f).to_owned()).collect(),
            };
        let response = api::ApplyResponse {
            changes: vec![
                change("workspace", "", api::ChangeKind::Changed, &["name: A -> B"]),
                change("agent", "ana", api::ChangeKind::Added, &[]),
                change("queue", "old", api::ChangeKind::Removed, &[]),
            ],
            ..Default::default()
        };
        let changes = Changes::new(true, response);
        let paint = |when| Paint::new(when, false);
        assert_eq!(
            changes.diff(paint(crate::output::When::Never)),
            "~ workspace\n    name: A -> B\n+ agent ana\n- queue old\n1 added, 1 changed, 1 removed (dry run)\n"
        );
        let coloured = changes.diff(paint(crate::output::When::Always));
        assert!(
            coloured.contains("\u{1b}[32m+ agent ana\u{1b}[0m"),
            "{coloured}"
        );
    }

    #[test]
    fn a_file_that_changes_nothing_says_so() {
        let summary = |dry_run| Changes::new(dry_run, api::ApplyResponse::default()).summary();
        assert_eq!(summary(false), "nothing to change");
        assert_eq!(summary(true), "nothing to change (dry run)");
    }
}
