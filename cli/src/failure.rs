//! Why a command fails, the exit code that follows, and how it is told.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::output::{Format, Paint};

/// Exit codes, stable for scripts. The same table stands in `meridian --help`.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// The operation failed for a reason no other code names.
    pub const FAILED: u8 = 1;
    /// The command line is wrong; nothing was changed.
    pub const USAGE: u8 = 2;
    /// No endpoint answered in time.
    pub const UNREACHABLE: u8 = 3;
    /// Refused: bad input, or the state does not allow it.
    pub const REFUSED: u8 = 4;
    /// What was named does not exist.
    pub const NOT_FOUND: u8 = 5;
    /// A limit is reached; later it may work.
    pub const LIMIT: u8 = 6;

    /// The table as `--help` shows it.
    pub const HELP: &str = "\
Exit codes:
  0  done
  1  the operation failed
  2  the command line is wrong; nothing was changed
  3  no endpoint answered in time
  4  refused: bad input, or the state does not allow it
  5  what was named does not exist
  6  a limit is reached; try again later
  129, 130, 143  stopped by SIGHUP, SIGINT or SIGTERM";
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// File it stands in, where it came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// Path of the field, such as `agents[3].capacity`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what to give instead.
    pub description: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.description)
    }
}

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong in a way only the command can see.
    #[error("{0}")]
    Usage(String),
    /// No endpoint answered in time; one line an endpoint.
    #[error("cannot reach the cluster: no endpoint answered")]
    Unreachable {
        /// Endpoint and what happened there.
        tried: Vec<(String, String)>,
    },
    /// A node answered with an error.
    #[error("{}", .0.message)]
    Server(Box<ServerError>),
    /// A file is wrong; nothing was sent.
    #[error("{summary}")]
    Invalid {
        /// One line about all of them.
        summary: String,
        /// Each of them.
        violations: Vec<Violation>,
    },
    /// The operation failed here.
    #[error("{0}")]
    Failed(String),
    /// A signal ended it; its number.
    #[error("stopped by a signal")]
    Stopped(i32),
    /// Whoever read our output went away, which is no fault.
    #[error("the output was closed")]
    OutputClosed,
}

/// An error a node answered with.
#[derive(Clone, Debug)]
pub struct ServerError {
    /// The gRPC code.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The node's endpoint.
    pub endpoint: String,
    /// Machine-readable reason, such as `OVERFLOW_CYCLE`, with its domain and details.
    pub reason: Option<Reason>,
    /// Fields at fault.
    pub violations: Vec<Violation>,
    /// How long to wait before the next try.
    pub retry_after: Option<Duration>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// In upper snake case.
    pub reason: String,
    /// Who defines it.
    pub domain: String,
    /// More, by name; ordered so that the output is stable.
    pub metadata: std::collections::BTreeMap<String, String>,
}

impl ServerError {
    /// Takes a status and its rich details apart.
    pub fn new(status: &Status, endpoint: &str) -> Self {
        let details = status.get_error_details();
        let violation = |v: &tonic_types::FieldViolation| Violation {
            file: None,
            line: None,
            column: None,
            field: v.field.clone(),
            description: v.description.clone(),
        };
        Self {
            code: status.code(),
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
            endpoint: endpoint.to_owned(),
            reason: details.error_info().map(|info| Reason {
                reason: info.reason.clone(),
                domain: info.domain.clone(),
                metadata: info.metadata.clone().into_iter().collect(),
            }),
            violations: details
                .bad_request()
                .map(|b| b.field_violations.iter().map(violation).collect())
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(error.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    code: &'static str,
    message: String,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Tried<'a>>,
}

#[derive(Serialize)]
struct Tried<'a> {
    endpoint: &'a str,
    error: &'a str,
}

impl Failure {
    /// The code the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => exit::USAGE,
            Failure::Unreachable { .. } => exit::UNREACHABLE,
            Failure::Invalid { .. } => exit::REFUSED,
            Failure::Failed(_) => exit::FAILED,
            // As a shell tells of a process that a signal ended.
            Failure::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(exit::FAILED),
            Failure::OutputClosed => exit::OK,
            Failure::Server(error) => code_exit(error.code),
        }
    }

    /// What stderr gets, ending with a newline; JSON when the output is.
    pub fn render(&self, format: Format, paint: Paint) -> String {
        match format {
            Format::Json => {
                let report = serde_json::json!({ "error": self.report() });
                format!("{report}\n")
            }
            Format::Table | Format::Yaml => self.render_text(paint),
        }
    }

    fn report(&self) -> Report<'_> {
        let mut report = Report {
            code: "failed",
            message: self.to_string(),
            exit_code: self.exit_code(),
            endpoint: None,
            reason: None,
            violations: &[],
            retry_after_ms: None,
            tried: Vec::new(),
        };
        match self {
            Failure::Usage(_) => report.code = "usage",
            Failure::Failed(_) | Failure::Stopped(_) | Failure::OutputClosed => {}
            Failure::Unreachable { tried, .. } => {
                report.code = "unreachable";
                let tried = tried
                    .iter()
                    .map(|(endpoint, error)| Tried { endpoint, error });
                report.tried = tried.collect();
            }
            Failure::Invalid { violations, .. } => {
                report.code = "invalid_argument";
                report.violations = violations;
            }
            Failure::Server(error) => {
                report.code = code_word(error.code);
                report.endpoint = Some(&error.endpoint);
                report.reason = error.reason.as_ref();
                report.violations = &error.violations;
                report.retry_after_ms = error.retry_after.map(|d| d.as_millis() as u64);
            }
        }
        report
    }

    fn render_text(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |t: String| {
            let _ = writeln!(text, "{t}");
        };
        match self {
            Failure::Invalid {
                summary,
                violations,
            } => {
                violations.iter().for_each(|v| line(v.to_string()));
                line(format!("{} {summary}", paint.error("error:")));
            }
            Failure::Unreachable { tried, .. } => {
                line(format!("{} {self}", paint.error("error:")));
                tried
                    .iter()
                    .for_each(|(endpoint, error)| line(format!("  {endpoint}: {error}")));
                line("hint: name nodes with --endpoint or MERIDIAN_ENDPOINTS".to_owned());
            }
            Failure::Server(error) => {
                let word = code_word(error.code);
                line(format!(
                    "{} {self} ({word}, from {})",
                    paint.error("error:"),
                    error.endpoint
                ));
                error.violations.iter().for_each(|v| line(format!("  {v}")));
                if let Some(reason) = &error.reason {
                    line(format!("  reason: {}", reason.reason));
                    reason
                        .metadata
                        .iter()
                        .for_each(|(k, v)| line(format!("    {k}: {v}")));
                }
                if let Some(after) = error.retry_after {
                    let after = crate::time::format_millis(after.as_millis() as u64);
                    line(format!("  try again in {after}"));
                }
            }
            _ => line(format!("{} {self}", paint.error("error:"))),
        }
        text
    }
}

fn code_exit(code: Code) -> u8 {
    match code {
        Code::Ok => exit::OK,
        Code::Unavailable | Code::DeadlineExceeded => exit::UNREACHABLE,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Aborted => exit::REFUSED,
        Code::NotFound => exit::NOT_FOUND,
        Code::ResourceExhausted => exit::LIMIT,
        Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            exit::FAILED
        }
    }
}

/// The code as a lower-case word.
pub fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
