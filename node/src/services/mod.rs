//! The gRPC services, a file each. They know the driver and the state, and nothing of storage.

pub mod admin;
pub mod agent;
mod backup;
mod diff;
mod leadership;
mod pages;
mod plan;
mod status;
pub mod supervisor;
pub mod visitor;

use meridian_proto::livechat::v1::Consistency;
use meridian_routing::limits::REQUEST_ID_BYTES_MAX;
use tonic::{Request, Status};

use crate::driver::Origin;
use crate::gate::Source;
use crate::telemetry;

/// Largest message of anybody else: texts and lists are far below it. What is too large is refused before it is read.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Largest message of an operator, either way: a configuration of a whole organisation.
pub const ADMIN_BYTES_MAX: usize = 32 << 20;

/// Checks a caller's request id.
fn request_id(id: &str) -> Result<String, Status> {
    if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) {
        return Ok(id.to_owned());
    }
    Err(status::invalid(
        "request_id",
        &format!(
            "has {} bytes; give 1 to {REQUEST_ID_BYTES_MAX}, the same for every retry",
            id.len()
        ),
    ))
}

/// Who asks, for the audit: a kind and a name. Request ids count per actor.
fn actor(kind: &str, name: &str) -> String {
    if name.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}:{name}")
    }
}

/// Where a call comes from, and the W3C trace context its write goes on with: that of this call's span where it is
/// recorded, else the caller's own, empty when there is none.
fn origin<T>(request: &Request<T>) -> Origin {
    let here = telemetry::traceparent(&tracing::Span::current());
    let traceparent = if here.is_empty() {
        telemetry::context(|name| request.metadata().get(name)?.to_str().ok())
    } else {
        here
    };
    let source = request.extensions().get::<Source>().copied();
    Origin {
        // Whoever comes another way than through a connection shares one line.
        source: Some(source.unwrap_or_default()),
        traceparent,
    }
}

/// A refusal because a node has too much in hand.
pub(crate) fn overloaded(message: impl Into<String>) -> Status {
    status::plain(status::Reason::Overloaded, message)
}

/// Whether an answer must hold every write answered before the call.
fn fresh(consistency: i32) -> Result<bool, Status> {
    match Consistency::try_from(consistency) {
        Ok(Consistency::Linearizable) => Ok(true),
        Ok(Consistency::Local | Consistency::Unspecified) => Ok(false),
        Err(_) => Err(status::invalid(
            "consistency",
            &format!("{consistency} is unknown; give LOCAL or LINEARIZABLE"),
        )),
    }
}
