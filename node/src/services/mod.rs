//! The gRPC services, a file each. They know the driver and the state, and nothing of storage.

pub mod admin;
pub mod agent;
mod diff;
mod status;
pub mod supervisor;
pub mod visitor;

use meridian_routing::limits::REQUEST_ID_BYTES_MAX;
use tonic::{Request, Status};

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

/// The caller's W3C trace context, empty when there is none.
fn traced<T>(request: &Request<T>) -> String {
    request
        .metadata()
        .get("traceparent")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// Cuts a page of ordered items: those after `token`, at most `size` (0 = 100, at most 1000), and the token
/// of the next page.
fn page<T>(
    size: u32,
    items: impl Iterator<Item = T>,
    id: impl Fn(&T) -> String,
) -> Result<(Vec<T>, String), Status> {
    if size > 1_000 {
        return Err(status::invalid(
            "page_size",
            &format!("{size} is out of bounds; give 1 to 1000, or 0 for 100"),
        ));
    }
    let size = if size == 0 { 100 } else { size as usize };
    let mut items: Vec<T> = items.take(size + 1).collect();
    if items.len() <= size {
        return Ok((items, String::new()));
    }
    items.truncate(size);
    let next = items.last().map(id).unwrap_or_default();
    Ok((items, next))
}
