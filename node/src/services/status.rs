//! Refusals and failures as gRPC statuses with google.rpc details: the field, a reason to match on, and
//! when to try again. The reasons are told to callers at the head of `supervisor.proto`.

use std::collections::HashMap;
use std::time::Duration;

use meridian_routing::effect::Reject;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::driver::DriveError;
use crate::raft::PastError;

const DOMAIN: &str = "meridian";

/// Why, for programs: the reason in google.rpc.ErrorInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A field must be corrected.
    InvalidField,
    /// No such object.
    Unknown,
    /// The session is over.
    SessionFenced,
    /// The object does not allow it now.
    Conflict,
    /// A member is too far behind.
    Lagging,
    /// The node keeps nothing of that moment.
    NotKept,
    /// A limit is reached.
    Limit,
    /// The node has too much in hand.
    Overloaded,
    /// No leader was reached in time.
    NoLeader,
    /// The node is starting or joining.
    Starting,
    /// The node stops.
    Stopping,
    /// The replica did not catch up in time.
    ReplicaLags,
    /// The node cannot go on with the stream.
    StreamEnded,
    /// It goes on, longer than the call waits.
    InProgress,
    /// A fault of the node.
    Internal,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidField => "INVALID_FIELD",
            Self::Unknown => "UNKNOWN",
            Self::SessionFenced => "SESSION_FENCED",
            Self::Conflict => "CONFLICT",
            Self::Lagging => "LAGGING",
            Self::NotKept => "NOT_KEPT",
            Self::Limit => "LIMIT",
            Self::Overloaded => "OVERLOADED",
            Self::NoLeader => "NO_LEADER",
            Self::Starting => "STARTING",
            Self::Stopping => "STOPPING",
            Self::ReplicaLags => "REPLICA_LAGS",
            Self::StreamEnded => "STREAM_ENDED",
            Self::InProgress => "IN_PROGRESS",
            Self::Internal => "INTERNAL",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::InvalidField => Code::InvalidArgument,
            Self::Unknown => Code::NotFound,
            Self::SessionFenced => Code::Aborted,
            Self::Conflict | Self::Lagging | Self::NotKept => Code::FailedPrecondition,
            Self::Limit | Self::Overloaded => Code::ResourceExhausted,
            Self::NoLeader
            | Self::Starting
            | Self::Stopping
            | Self::ReplicaLags
            | Self::StreamEnded => Code::Unavailable,
            Self::InProgress => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }

    /// When another try here may succeed, where only time is needed.
    fn retry(self) -> Option<Duration> {
        let ms = match self {
            Self::StreamEnded => 100,
            Self::Overloaded => 200,
            Self::NoLeader | Self::Starting | Self::ReplicaLags => 500,
            Self::Lagging => 1_000,
            Self::InProgress => 5_000,
            _ => return None,
        };
        Some(Duration::from_millis(ms))
    }
}

fn with(reason: Reason, message: impl Into<String>, add: impl FnOnce(&mut ErrorDetails)) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.name(), DOMAIN, HashMap::new());
    if let Some(after) = reason.retry() {
        details.set_retry_info(Some(after));
    }
    add(&mut details);
    Status::with_error_details(reason.code(), message, details)
}

/// A failure that needs no more than its reason.
pub(crate) fn plain(reason: Reason, message: impl Into<String>) -> Status {
    with(reason, message, |_| {})
}

/// A former moment that cannot be told of.
pub(crate) fn past_failed(error: &PastError) -> Status {
    let reason = match error {
        PastError::NotKept(_) => Reason::NotKept,
        PastError::Nothing => Reason::Starting,
        PastError::Storage(_) | PastError::Refused(_) => Reason::Internal,
    };
    plain(reason, error.to_string())
}

/// A field the caller must correct.
pub(crate) fn invalid(field: &str, problem: &str) -> Status {
    let message = format!("{field}: {problem}");
    with(Reason::InvalidField, message, |d| {
        d.add_bad_request_violation(field, problem);
    })
}

/// A refusal of the routing core.
pub(crate) fn rejected(reject: &Reject) -> Status {
    let message = reject.to_string();
    match reject {
        Reject::Invalid {
            field,
            problem,
            fix,
        } => with(Reason::InvalidField, message, |d| {
            d.add_bad_request_violation(field, format!("{problem}; {fix}"));
        }),
        Reject::Unknown { field, kind, id } => with(Reason::Unknown, message, |d| {
            d.add_bad_request_violation(field, format!("no {kind} named '{id}'"));
            d.set_resource_info(*kind, id, "", "");
        }),
        Reject::Fenced { current, .. } => with(Reason::SessionFenced, message, |d| {
            let epoch = HashMap::from([("epoch".to_owned(), current.to_string())]);
            d.set_error_info(Reason::SessionFenced.name(), DOMAIN, epoch);
        }),
        Reject::Conflict(text) => conflict(text),
        Reject::Full {
            field,
            limit,
            retry_ms,
        } => with(Reason::Limit, message, |d| {
            d.add_quota_failure_violation(field, format!("limit of {limit} reached"));
            d.set_retry_info(Some(Duration::from_millis((*retry_ms).into())));
        }),
    }
}

/// Why a write or a fresh read came to nothing.
pub(crate) fn failed(error: &DriveError) -> Status {
    let reason = match error {
        DriveError::Rejected(reject) => return rejected(reject),
        DriveError::Busy => Reason::Overloaded,
        DriveError::NoLeader(_) => Reason::NoLeader,
        DriveError::Starting => Reason::Starting,
        DriveError::Stopping => Reason::Stopping,
        DriveError::Lags => Reason::ReplicaLags,
        DriveError::NotYet(_) => Reason::Lagging,
        DriveError::Refused(why) => return conflict(why),
        DriveError::Internal(_) => Reason::Internal,
    };
    plain(reason, error.to_string())
}

/// A stream that ends though its caller wanted more; opened again on another node it goes on.
pub(crate) fn ended(why: &str) -> Status {
    plain(Reason::StreamEnded, why)
}

/// A conflict with what is. The object is the first that the message names.
pub(crate) fn conflict(message: impl Into<String>) -> Status {
    let message = message.into();
    let object = named(&message);
    with(Reason::Conflict, message, |d| {
        if let Some((kind, id)) = object {
            d.set_resource_info(kind, id, "", "");
        }
    })
}

/// The first object in a message of the core, which names them as `chat 'c1'`.
fn named(message: &str) -> Option<(&'static str, String)> {
    let found = ["chat", "agent", "queue", "region", "schedule"]
        .into_iter()
        .filter_map(|kind| {
            let mark = format!("{kind} '");
            let at = message.find(&mark)?;
            let id = message[at + mark.len()..].split_once('\'')?.0;
            Some((at, kind, id.to_owned()))
        });
    found.min().map(|(_, kind, id)| (kind, id))
}

/// Something that does not exist.
pub(crate) fn not_found(field: &str, kind: &'static str, id: &str) -> Status {
    rejected(&Reject::Unknown {
        field: field.to_owned(),
        kind,
        id: id.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: &Status) -> String {
        let info = status.get_error_details();
        info.error_info().expect("a reason").reason.clone()
    }

    #[test]
    fn who_is_unavailable_is_told_apart() {
        let told = [
            DriveError::NoLeader("no leader is known".into()),
            DriveError::Starting,
            DriveError::Stopping,
            DriveError::Lags,
        ]
        .map(|error| {
            let status = failed(&error);
            assert_eq!(status.code(), Code::Unavailable);
            // One that stops is not worth another try; another node is.
            let again = status.get_error_details().retry_info().is_some();
            assert_eq!(again, error != DriveError::Stopping);
            reason(&status)
        });
        assert_eq!(told, ["NO_LEADER", "STARTING", "STOPPING", "REPLICA_LAGS"]);
    }

    #[test]
    fn a_member_that_lags_is_worth_another_try_and_one_that_does_not_fit_is_not() {
        let status = failed(&DriveError::NotYet("node 3 lags behind".into()));
        assert_eq!(reason(&status), "LAGGING");
        assert!(status.get_error_details().retry_info().is_some());
        let status = failed(&DriveError::Refused("node 3 is the only voter".into()));
        assert_eq!(reason(&status), "CONFLICT");
        assert!(status.get_error_details().retry_info().is_none());
    }

    #[test]
    fn a_fenced_session_tells_the_newest_and_a_conflict_its_object() {
        let fenced = rejected(&Reject::Fenced {
            agent: "anna".into(),
            given: 3,
            current: 7,
        });
        let details = fenced.get_error_details();
        assert_eq!(details.error_info().expect("info").metadata["epoch"], "7");
        let text =
            "offer 1 of chat 'c3' is no longer open to agent 'anna'; wait for the next offer";
        let details = rejected(&Reject::Conflict(text.into())).get_error_details();
        let object = details.resource_info().expect("an object");
        assert_eq!(
            (object.resource_type.as_str(), object.resource_name.as_str()),
            ("chat", "c3")
        );
        let bare = conflict("another change is under way");
        assert!(bare.get_error_details().resource_info().is_none());
    }

    #[test]
    fn every_reason_is_documented() {
        let text = include_str!("../../../proto/proto/livechat/v1/supervisor.proto");
        let documented: Vec<Vec<&str>> = text
            .lines()
            .map(|l| {
                l.trim_start_matches("//")
                    .split_whitespace()
                    .take(2)
                    .collect()
            })
            .collect();
        for reason in [
            Reason::InvalidField,
            Reason::Unknown,
            Reason::SessionFenced,
            Reason::Conflict,
            Reason::Lagging,
            Reason::Limit,
            Reason::Overloaded,
            Reason::NoLeader,
            Reason::Starting,
            Reason::Stopping,
            Reason::ReplicaLags,
            Reason::StreamEnded,
            Reason::InProgress,
            Reason::Internal,
        ] {
            let code = format!("{:?}", reason.code());
            let line = documented
                .iter()
                .find(|l| l.first() == Some(&reason.name()));
            let told = line.and_then(|l| l.get(1)).copied().unwrap_or_default();
            assert_eq!(
                told.replace('_', "").to_lowercase(),
                code.to_lowercase(),
                "{reason:?}"
            );
        }
    }
}
