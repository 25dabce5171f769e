//! Refusals and failures as gRPC statuses with google.rpc details: the field, a reason to match on, and
//! when to try again.

use std::time::Duration;

use meridian_routing::effect::Reject;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::driver::DriveError;

const DOMAIN: &str = "meridian";

fn with(
    code: Code,
    message: impl Into<String>,
    reason: &str,
    add: impl FnOnce(&mut ErrorDetails),
) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
    add(&mut details);
    Status::with_error_details(code, message, details)
}

/// A field the caller must correct.
pub(crate) fn invalid(field: &str, problem: &str) -> Status {
    with(
        Code::InvalidArgument,
        format!("{field}: {problem}"),
        "INVALID_FIELD",
        |d| {
            d.add_bad_request_violation(field, problem);
        },
    )
}

/// A refusal of the routing core.
pub(crate) fn rejected(reject: &Reject) -> Status {
    let message = reject.to_string();
    match reject {
        Reject::Invalid {
            field,
            problem,
            fix,
        } => with(Code::InvalidArgument, message, "INVALID_FIELD", |d| {
            d.add_bad_request_violation(field, format!("{problem}; {fix}"));
        }),
        Reject::Unknown { field, kind, id } => with(Code::NotFound, message, "UNKNOWN", |d| {
            d.add_bad_request_violation(field, format!("no {kind} named '{id}'"));
            d.set_resource_info(*kind, id, "", "");
        }),
        Reject::Fenced { .. } => with(Code::Aborted, message, "SESSION_FENCED", |_| {}),
        Reject::Conflict(_) => with(Code::FailedPrecondition, message, "CONFLICT", |_| {}),
        Reject::Full {
            field,
            limit,
            retry_ms,
        } => with(Code::ResourceExhausted, message, "LIMIT", |d| {
            d.add_quota_failure_violation(field, format!("limit of {limit} reached"));
            d.set_retry_info(Some(Duration::from_millis((*retry_ms).into())));
        }),
    }
}

/// Why a write or a fresh read came to nothing.
pub(crate) fn failed(error: &DriveError) -> Status {
    match error {
        DriveError::Rejected(reject) => rejected(reject),
        DriveError::Busy => with(
            Code::ResourceExhausted,
            error.to_string(),
            "OVERLOADED",
            |d| {
                d.set_retry_info(Some(Duration::from_millis(200)));
            },
        ),
        DriveError::Unavailable(_) => {
            with(Code::Unavailable, error.to_string(), "NO_LEADER", |d| {
                d.set_retry_info(Some(Duration::from_millis(500)));
            })
        }
        DriveError::Refused(text) => conflict(text),
        DriveError::Internal(_) => with(Code::Internal, error.to_string(), "INTERNAL", |_| {}),
    }
}

/// A stream that ends though its caller wanted more; begun again elsewhere it goes on.
pub(crate) fn ended(why: &str) -> Status {
    with(Code::Unavailable, why, "STREAM_ENDED", |d| {
        d.set_retry_info(Some(Duration::from_millis(100)));
    })
}

/// A conflict with what is.
pub(crate) fn conflict(message: impl Into<String>) -> Status {
    with(Code::FailedPrecondition, message, "CONFLICT", |_| {})
}

/// Something that does not exist.
pub(crate) fn not_found(field: &str, kind: &'static str, id: &str) -> Status {
    rejected(&Reject::Unknown {
        field: field.to_owned(),
        kind,
        id: id.to_owned(),
    })
}
