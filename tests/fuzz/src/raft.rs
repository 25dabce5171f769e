//! What nodes say to each other about the log, and what they keep of it.

use meridian_node::raft::{convert, wire};
use meridian_proto::{log::v1 as log, peer::v1 as peer};
use prost::Message;

use crate::names;

/// Reads a message, writes it, reads it again: both writings must be the same.
fn there_and_back<M, T>(
    data: &[u8],
    read: impl Fn(M) -> Result<T, convert::Malformed>,
    write: impl Fn(T) -> M,
) where
    M: Message + Default + PartialEq,
{
    let Ok(message) = M::decode(data) else {
        return;
    };
    match read(message) {
        Ok(first) => {
            let written = write(first);
            let again = M::decode(&written.encode_to_vec()[..]).expect("what is written decodes");
            let again = read(again).unwrap_or_else(|e| panic!("what is written is read: {e}"));
            assert!(
                write(again) == written,
                "it is written, read, and then written otherwise"
            );
        }
        Err(error) => names(&error.0, &error),
    }
}

/// Votes, appends, hand-overs of leadership, entries, memberships and headers of snapshots.
pub fn raft(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 9 {
        0 => there_and_back(data, wire::append_in, |r| wire::append_out(None, r)),
        1 => there_and_back(
            data,
            |m: peer::AppendReply| wire::append_reply_in(&m),
            wire::append_reply_out,
        ),
        2 => there_and_back(
            data,
            |m: peer::VoteRequest| wire::vote_request_in(&m),
            |r| wire::vote_request_out(None, &r),
        ),
        3 => there_and_back(
            data,
            |m: peer::VoteReply| wire::vote_reply_in(&m),
            |r| wire::vote_reply_out(&r, None),
        ),
        4 => there_and_back(
            data,
            |m: peer::TransferLeaderRequest| wire::transfer_in(&m),
            |r| wire::transfer_out(None, &r),
        ),
        5 => there_and_back(
            data,
            |m: peer::TransferLeaderReply| wire::transfer_reply_in(&m),
            wire::transfer_reply_out,
        ),
        6 => there_and_back(data, convert::entry_in, convert::entry_out),
        7 => there_and_back(
            data,
            |m: log::StoredMembership| convert::stored_membership_in(Some(m)),
            |m| convert::stored_membership_out(&m),
        ),
        _ => there_and_back(data, convert::snapshot_in, |m| convert::snapshot_out(1, &m)),
    }
    if let Ok(message) = peer::AppendRequest::decode(data)
        && let Ok(request) = wire::append_in(message)
    {
        let last = request.entries.last().map(|e| e.log_id);
        assert_eq!(wire::append_last(&request), last.or(request.prev_log_id));
    }
}
