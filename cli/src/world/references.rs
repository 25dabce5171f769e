//! Which object names which: ids that lead nowhere, and queues that overflow in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Field, Problem, Reader};
use super::tree::At;

/// Kinds of objects with ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A region.
    Region,
    /// A schedule.
    Schedule,
    /// A queue.
    Queue,
    /// An agent.
    Agent,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Region => "region",
            Kind::Schedule => "schedule",
            Kind::Queue => "queue",
            Kind::Agent => "agent",
        }
    }
}

/// An id that the file uses but does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// Of what.
    pub kind: Kind,
    /// Which.
    pub id: String,
    field: String,
    at: At,
}

impl Dangling {
    /// The complaint; `places` says where it was looked for.
    pub fn problem(&self, places: &str) -> Problem {
        let kind = self.kind.word();
        let description = format!(
            "'{}' is not a {kind} of {places}; add the {kind} or correct the id",
            self.id
        );
        Problem {
            at: Some(self.at),
            field: self.field.clone(),
            description,
        }
    }
}

/// What is defined and what is used.
#[derive(Debug, Default)]
pub struct References {
    defined: BTreeSet<(Kind, String)>,
    used: Vec<Dangling>,
    overflows: BTreeMap<String, Vec<(String, Dangling)>>,
}

impl References {
    /// The file has this object.
    pub fn define(&mut self, kind: Kind, id: &str) {
        self.defined.insert((kind, id.to_owned()));
    }

    /// The field names this object.
    pub fn refer(&mut self, kind: Kind, id: &str, field: &Field<'_>) {
        self.used.push(used(kind, id, field));
    }

    /// Queue `from` overflows to queue `to`.
    pub fn overflow(&mut self, from: &str, to: &str, field: &Field<'_>) {
        let overflows = self.overflows.entry(from.to_owned()).or_default();
        overflows.push((to.to_owned(), used(Kind::Queue, to, field)));
    }

    /// Ids the file uses but does not define.
    pub fn dangling(&self) -> Vec<Dangling> {
        let known = |d: &&Dangling| !self.defined.contains(&(d.kind, d.id.clone()));
        self.used.iter().filter(known).cloned().collect()
    }

    /// Complains once about every circle of overflows, at its first queue by id.
    pub fn refuse_cycles(&self, reader: &mut Reader) {
        let (mut done, mut clear) = (BTreeSet::new(), BTreeSet::new());
        for start in self.overflows.keys() {
            self.follow(&mut vec![start], &mut done, &mut clear, reader);
        }
    }

    /// Follows every way on from the end of a path; `done` = queues of circles complained about, `clear` = queues from
    /// which all was followed.
    fn follow<'a>(
        &'a self,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<String>,
        clear: &mut BTreeSet<&'a str>,
        reader: &mut Reader,
    ) {
        let Some(at) = path.last().copied().filter(|at| !clear.contains(at)) else {
            return;
        };
        for (next, edge) in self.overflows.get(at).into_iter().flatten() {
            let Some(begin) = path.iter().position(|q| q == next) else {
                path.push(next);
                self.follow(path, done, clear, reader);
                path.pop();
                continue;
            };
            let circle = &path[begin..];
            if circle.iter().all(|q| done.insert((*q).to_owned())) {
                let shown = [circle, &[next.as_str()]].concat().join(" -> ");
                reader.problems.push(Problem {
                    at: Some(edge.at),
                    field: edge.field.clone(),
                    description: format!(
                        "overflow goes in a circle: {shown}; let one of these queues keep its chats"
                    ),
                });
            }
        }
        clear.insert(at);
    }
}

fn used(kind: Kind, id: &str, field: &Field<'_>) -> Dangling {
    Dangling {
        kind,
        id: id.to_owned(),
        field: field.path.clone(),
        at: field.at,
    }
}
