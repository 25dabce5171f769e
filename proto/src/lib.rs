//! Meridian's messages, generated from the `.proto` files beside this crate.
//!
//! [`livechat::v1`] is the public API; fields are only ever added.
#![allow(missing_docs)] // The documentation of generated items is the comments in the protos.
#![allow(clippy::large_enum_variant)] // Their shape is the protos', too; a header comes once a stream.

/// The public API.
pub mod livechat {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("livechat.v1");
    }
}

/// Messages between nodes and on disk; not for clients.
pub mod log {
    /// Version 1: durable, never renumbered.
    pub mod v1 {
        tonic::include_proto!("meridian.log.v1");
    }
}

/// What nodes say to each other.
pub mod peer {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("meridian.peer.v1");
    }
}

/// The encoded descriptor set of the public API, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/livechat.fds"));
