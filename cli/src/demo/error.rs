//! Why the demo could not be played.

use std::path::PathBuf;

use crate::failure::Failure;

/// Why the demo could not be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// An option is wrong; nothing was started.
    #[error("{flag}: {problem}")]
    Option {
        /// Which.
        flag: &'static str,
        /// What is wrong, and what to give instead.
        problem: String,
    },
    /// A file, a port or a process could not be had.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The regions cannot be joined.
    #[error("the network between the regions: {0}")]
    Network(String),
    /// A node ended by itself.
    #[error("node {node} in {region} ended by itself ({status}); its last line in {}: {line}", log.display())]
    Ended {
        /// Its number.
        node: u64,
        /// Its region.
        region: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last line there.
        line: String,
    },
    /// Something did not come about in time.
    #[error("waited {seconds} s for {what} in vain; last answer: {last}")]
    Vain {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was answered last.
        last: String,
    },
    /// The cluster said no where it must not.
    #[error("{what}: {answer}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it answered.
        answer: String,
    },
}

impl DemoError {
    /// For errors of the system.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Option { .. } => Failure::Usage(error.to_string()),
            _ => Failure::Failed(error.to_string()),
        }
    }
}
