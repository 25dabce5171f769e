//! Between openraft's requests and replies and the messages of `peer.proto`.

use meridian_proto::peer::v1 as pb;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::convert::{
    Malformed, entry_in, entry_out, log_id_in, log_id_opt_in, log_id_opt_out, log_id_out, vote_in,
    vote_out,
};
use super::types::{Config, LogId};

/// An append as a message.
pub fn append_out(
    route: Option<pb::Route>,
    request: AppendEntriesRequest<Config>,
) -> pb::AppendRequest {
    pb::AppendRequest {
        route,
        vote: Some(vote_out(&request.vote)),
        prev: log_id_opt_out(request.prev_log_id.as_ref()),
        entries: request.entries.into_iter().map(entry_out).collect(),
        commit: log_id_opt_out(request.leader_commit.as_ref()),
    }
}

/// An append from a message.
///
/// # Errors
/// [`Malformed`].
pub fn append_in(message: pb::AppendRequest) -> Result<AppendEntriesRequest<Config>, Malformed> {
    Ok(AppendEntriesRequest {
        vote: vote_in(message.vote.as_ref())?,
        prev_log_id: log_id_opt_in(message.prev.as_ref()),
        entries: message
            .entries
            .into_iter()
            .map(entry_in)
            .collect::<Result<_, _>>()?,
        leader_commit: log_id_opt_in(message.commit.as_ref()),
    })
}

/// The last position an append covers: what a full success acknowledges.
pub fn append_last(request: &AppendEntriesRequest<Config>) -> Option<LogId> {
    request
        .entries
        .last()
        .map(|entry| entry.log_id)
        .or(request.prev_log_id)
}

/// The answer to an append as a message.
pub fn append_reply_out(result: StreamAppendResult<Config>) -> pb::AppendReply {
    use pb::append_reply::Outcome;
    pb::AppendReply {
        outcome: Some(match result {
            Ok(matched) => Outcome::Matched(pb::Matched {
                log_id: log_id_opt_out(matched.as_ref()),
            }),
            Err(StreamAppendError::Conflict(id)) => Outcome::Conflict(log_id_out(&id)),
            Err(StreamAppendError::HigherVote(vote)) => Outcome::HigherVote(vote_out(&vote)),
        }),
    }
}

/// The answer to an append from a message.
///
/// # Errors
/// [`Malformed`].
pub fn append_reply_in(message: &pb::AppendReply) -> Result<StreamAppendResult<Config>, Malformed> {
    use pb::append_reply::Outcome;
    Ok(match &message.outcome {
        Some(Outcome::Matched(matched)) => Ok(log_id_opt_in(matched.log_id.as_ref())),
        Some(Outcome::Conflict(id)) => Err(StreamAppendError::Conflict(log_id_in(id))),
        Some(Outcome::HigherVote(vote)) => Err(StreamAppendError::HigherVote(vote_in(Some(vote))?)),
        None => return Err(Malformed("the outcome of an append is missing".to_owned())),
    })
}

/// A request for a vote as a message.
pub fn vote_request_out(
    route: Option<pb::Route>,
    request: &VoteRequest<Config>,
) -> pb::VoteRequest {
    pb::VoteRequest {
        route,
        vote: Some(vote_out(&request.vote)),
        last_log_id: log_id_opt_out(request.last_log_id.as_ref()),
        leadership_transfer: request.leadership_transfer,
    }
}

/// A request for a vote from a message.
///
/// # Errors
/// [`Malformed`].
pub fn vote_request_in(message: &pb::VoteRequest) -> Result<VoteRequest<Config>, Malformed> {
    let mut request = VoteRequest::new(
        vote_in(message.vote.as_ref())?,
        log_id_opt_in(message.last_log_id.as_ref()),
    );
    request.leadership_transfer = message.leadership_transfer;
    Ok(request)
}

/// The answer to a request for a vote as a message; `committed` is how far the log of this node is
/// committed and on disk.
pub fn vote_reply_out(response: &VoteResponse<Config>, committed: Option<LogId>) -> pb::VoteReply {
    pb::VoteReply {
        vote: Some(vote_out(&response.vote)),
        granted: response.vote_granted,
        last_log_id: log_id_opt_out(response.last_log_id.as_ref()),
        committed: log_id_opt_out(committed.as_ref()),
    }
}

/// The answer to a request for a vote from a message.
///
/// # Errors
/// [`Malformed`].
pub fn vote_reply_in(message: &pb::VoteReply) -> Result<VoteResponse<Config>, Malformed> {
    Ok(VoteResponse::new(
        vote_in(message.vote.as_ref())?,
        log_id_opt_in(message.last_log_id.as_ref()),
        message.granted,
    ))
}

/// A hand-over of leadership as a message.
pub fn transfer_out(
    route: Option<pb::Route>,
    request: &TransferLeaderRequest<Config>,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        route,
        from_leader: Some(vote_out(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last_log_id: log_id_opt_out(request.last_log_id()),
    }
}

/// A hand-over of leadership from a message.
///
/// # Errors
/// [`Malformed`].
pub fn transfer_in(
    message: &pb::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Config>, Malformed> {
    Ok(TransferLeaderRequest::new(
        vote_in(message.from_leader.as_ref())?,
        message.to_node_id,
        log_id_opt_in(message.last_log_id.as_ref()),
    ))
}

/// The answer to a hand-over as a message.
pub fn transfer_reply_out(response: TransferLeaderResponse<Config>) -> pb::TransferLeaderReply {
    use pb::transfer_leader_reply::{NotFlushed, Refusal, VoteChanged};
    pb::TransferLeaderReply {
        refusal: response.err().map(|error| match error {
            TransferLeaderError::VoteChanged { expected, actual } => {
                Refusal::VoteChanged(VoteChanged {
                    expected: Some(vote_out(&expected)),
                    actual: Some(vote_out(&actual)),
                })
            }
            TransferLeaderError::LogNotFlushed { expected, actual } => {
                Refusal::NotFlushed(NotFlushed {
                    expected: log_id_opt_out(expected.as_ref()),
                    actual: log_id_opt_out(actual.as_ref()),
                })
            }
        }),
    }
}

/// The answer to a hand-over from a message.
///
/// # Errors
/// [`Malformed`].
pub fn transfer_reply_in(
    message: &pb::TransferLeaderReply,
) -> Result<TransferLeaderResponse<Config>, Malformed> {
    use pb::transfer_leader_reply::Refusal;
    Ok(match &message.refusal {
        None => Ok(()),
        Some(Refusal::VoteChanged(changed)) => Err(TransferLeaderError::VoteChanged {
            expected: vote_in(changed.expected.as_ref())?,
            actual: vote_in(changed.actual.as_ref())?,
        }),
        Some(Refusal::NotFlushed(not)) => Err(TransferLeaderError::LogNotFlushed {
            expected: log_id_opt_in(not.expected.as_ref()),
            actual: log_id_opt_in(not.actual.as_ref()),
        }),
    })
}
