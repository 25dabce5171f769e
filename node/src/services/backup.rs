//! A backup on its way to whoever asked for it.

use std::sync::Arc;

use meridian_proto::livechat::v1::*;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::status::{Reason, past_failed, plain};
use crate::aside::aside;
use crate::backup::Backup;
use crate::driver::Driver;
use crate::past::Moment;

/// Bytes in one message.
const PART_BYTES: usize = 256 << 10;

type Parts = Sender<Result<BackupResponse, Status>>;

/// Writes a backup, which may take its time, and sends it, head first, as fast as it is taken.
pub(super) fn parts(
    driver: Arc<Driver>,
    moment: Option<Moment>,
) -> ReceiverStream<Result<BackupResponse, Status>> {
    let (send, receive) = mpsc::channel(4);
    tokio::spawn(async move {
        let sent = match driver.backup(moment).await {
            Ok(backup) => {
                let sent = send_all(Arc::new(backup), &send).await;
                sent.map_err(|error| plain(Reason::Internal, error))
            }
            Err(error) => Err(past_failed(&error)),
        };
        if let Err(status) = sent {
            // Whoever asked may be gone.
            let _ = send.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receive)
}

async fn send_all(backup: Arc<Backup>, send: &Parts) -> Result<(), String> {
    let part = |part| BackupResponse { part: Some(part) };
    let read = backup.clone();
    let crc = aside(move || crc_of(&read)).await;
    let crc32c = crc.map_err(|e| e.to_string())??;
    let of = backup.of();
    let head = BackupHead {
        cluster_id: of.cluster_id,
        founded: of.founded,
        node_id: of.node_id,
        log_index: backup.index(),
        at_ms: of.at_ms,
        state_hash: of.state_hash,
        bytes: backup.length(),
        crc32c,
    };
    let mut next = part(backup_response::Part::Head(head));
    let mut at = 0;
    while send.send(Ok(next)).await.is_ok() && at < backup.length() {
        let read = backup.clone();
        let bytes = aside(move || read.read(at, PART_BYTES)).await;
        let bytes = bytes.map_err(|e| e.to_string())??;
        at += bytes.len() as u64;
        next = part(backup_response::Part::Data(bytes));
    }
    Ok(())
}

fn crc_of(backup: &Backup) -> Result<u32, String> {
    let (mut crc, mut at) = (0, 0);
    while at < backup.length() {
        let bytes = backup.read(at, PART_BYTES)?;
        at += bytes.len() as u64;
        crc = crc32c::crc32c_append(crc, &bytes);
    }
    Ok(crc)
}
