//! The world file: what an organisation is made of, as `meridian apply` reads and `config show` writes it.

pub mod calendar;
mod hours;
mod objects;
mod reader;
mod references;
mod show;
#[cfg(test)]
mod tests;
mod tree;

use meridian_proto::livechat::v1::Configuration;

use crate::failure::{Failure, Violation};
use reader::{Problem, Reader};
use references::References;
pub use references::{Dangling, Kind};
pub use show::World;

/// A file that was read and checked as far as it can be on its own.
#[derive(Debug)]
pub struct File {
    /// What to send.
    pub configuration: Configuration,
    /// Ids it uses but does not define; the cluster may have them.
    pub dangling: Vec<Dangling>,
    name: String,
    tree: tree::Node,
}

impl File {
    /// Reads and checks; `name` is what complaints call the file.
    ///
    /// # Errors
    /// [`Failure::Invalid`] with everything that is wrong.
    pub fn read(name: &str, text: &str) -> Result<Self, Failure> {
        let tree = tree::parse(text).map_err(|error| {
            let problem = Problem {
                at: error.at,
                field: String::new(),
                description: error.message,
            };
            refuse(name, vec![problem])
        })?;
        let mut reader = Reader::default();
        let mut references = References::default();
        let configuration = objects::configuration(&mut reader, &mut references, &tree);
        references.refuse_cycles(&mut reader);
        let dangling = references.dangling();
        if reader.problems.is_empty() {
            return Ok(Self {
                configuration,
                dangling,
                name: name.to_owned(),
                tree,
            });
        }
        let mut problems = reader.problems;
        problems.extend(dangling.iter().map(|d| d.problem("this file")));
        Err(refuse(name, problems))
    }

    /// Refuses ids that neither the file nor the cluster has; `known` says what the cluster has, `None` that
    /// it does not count.
    ///
    /// # Errors
    /// [`Failure::Invalid`] with all of them.
    pub fn refuse_dangling(&self, known: Option<&Configuration>) -> Result<(), Failure> {
        let places = if known.is_some() {
            "this file or the cluster"
        } else {
            "this file"
        };
        let has = |dangling: &&Dangling| !known.is_some_and(|c| defines(c, dangling));
        let problems: Vec<_> = self
            .dangling
            .iter()
            .filter(has)
            .map(|d| d.problem(places))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(refuse(&self.name, problems))
        }
    }

    /// Names the line of every field a node complained about.
    pub fn place(&self, failure: Failure) -> Failure {
        let Failure::Server(mut error) = failure else {
            return failure;
        };
        for violation in &mut error.violations {
            let path = violation.field.trim_start_matches("configuration.");
            let path = path.trim_start_matches("put.").to_owned();
            if let Some(node) = tree::locate(&self.tree, &path) {
                violation.file = Some(self.name.clone());
                violation.line = Some(node.at.line);
                violation.column = Some(node.at.column);
                violation.field = path;
            }
        }
        Failure::Server(error)
    }
}

fn defines(configuration: &Configuration, dangling: &Dangling) -> bool {
    let id = &dangling.id;
    match dangling.kind {
        Kind::Region => configuration.regions.iter().any(|o| o.id == *id),
        Kind::Schedule => configuration.schedules.iter().any(|o| o.id == *id),
        Kind::Queue => configuration.queues.iter().any(|o| o.id == *id),
        Kind::Agent => configuration.agents.iter().any(|o| o.id == *id),
    }
}

fn refuse(name: &str, mut problems: Vec<Problem>) -> Failure {
    problems.sort_by_key(|p| p.at.map(|at| (at.line, at.column)));
    let violations: Vec<_> = problems
        .into_iter()
        .map(|p| Violation {
            file: Some(name.to_owned()),
            line: p.at.map(|at| at.line),
            column: p.at.map(|at| at.column),
            field: p.field,
            description: p.description,
        })
        .collect();
    let summary = match violations.len() {
        1 => format!("{name} has 1 problem; nothing was sent"),
        n => format!("{name} has {n} problems; nothing was sent"),
    };
    Failure::Invalid {
        summary,
        violations,
    }
}
