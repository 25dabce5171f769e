//! Why there is no run.

use std::path::PathBuf;

/// Why there is no run, or no report of it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The scenario is not TOML of its form.
    #[error("the scenario cannot be read: {0}")]
    Scenario(String),
    /// A field of the scenario, or an option, is wrong.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: String,
        /// What it is, and what may be there.
        rule: String,
    },
    /// No node answers.
    #[error("no node answers")]
    Unreachable {
        /// Each endpoint, and why it gave no answer.
        tried: Vec<(String, String)>,
    },
    /// The cluster said no to the organisation.
    #[error("the cluster does not take {what}: {answer}")]
    Refused {
        /// What it was given.
        what: String,
        /// What it said.
        answer: String,
    },
    /// The cluster serves somebody else.
    #[error(
        "the cluster is configured as '{0}', which no load is; name a cluster for tests, or give --on-configured to add the load's queues and agents to it"
    )]
    Configured(String),
    /// It took longer to prepare than until the moment at which it was to begin.
    #[error(
        "--start-at: it is past by {0} ms now that the cluster is prepared; give a later moment"
    )]
    TooLate(i64),
    /// A report is not one.
    #[error("{}: not a report of a load: {error}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Reports of different runs.
    #[error("{}: {why}; only the shares of one run can be put together", path.display())]
    Another {
        /// The file that does not fit the first.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// A plot or page could not be drawn.
    #[error("the page cannot be drawn: {0}")]
    Page(String),
}
