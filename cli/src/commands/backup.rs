//! Backups of a running cluster. What is made of them is made where a node is to run: see `meridian-node restore`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::backup_request::Then;
use meridian_proto::livechat::v1::backup_response::Part;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::Context;
use crate::failure::{Failure, ServerError};
use crate::time::rfc3339;
use crate::view::millis_of;

/// Backups of the cluster while it runs.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write a backup into a directory, from the first endpoint that answers
    Create(Create),
}

/// A backup to write.
#[derive(Debug, Args)]
pub struct Create {
    /// Directory for it; the file is named after the cluster and the log index
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// As of this time, such as 2026-11-25T14:30Z, as far as the node keeps its past
    #[arg(long, value_name = "TIME", value_parser = millis_of, conflicts_with = "at_index")]
    at: Option<i64>,
    /// As of right after this log index
    #[arg(long, value_name = "INDEX")]
    at_index: Option<u64>,
}

/// A backup that was written.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    endpoint: String,
    cluster_id: String,
    founded: String,
    node_id: u64,
    log_index: u64,
    at_ms: i64,
    state_hash: String,
    bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// Whatever it fails with; nothing is left of a file that is not whole.
pub async fn run(context: &Context, command: BackupCommand) -> Result<(), Failure> {
    let BackupCommand::Create(create) = command;
    let written = write(context, &create).await?;
    context.output.document(&written, || {
        format!(
            "{} holds '{}' up to log index {} ({}), {} bytes from {}\nMake a new cluster of it: meridian-node restore --help",
            written.file,
            written.cluster_id,
            written.log_index,
            rfc3339(written.at_ms).unwrap_or_default(),
            written.bytes,
            written.endpoint,
        )
    })
}

async fn write(context: &Context, create: &Create) -> Result<Written, Failure> {
    let failed =
        |path: &Path, what: std::io::Error| Failure::Failed(format!("{}: {what}", path.display()));
    let dir = &create.dir;
    // Before anything is asked for: a directory that cannot be written is found soonest this way.
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let mut file = NamedTempFile::new_in(dir).map_err(|e| failed(dir, e))?;
    let request = api::BackupRequest {
        then: (create.at.map(Then::AtMs)).or(create.at_index.map(Then::AtIndex)),
    };
    let call = context.cluster.open(request, async |channel, request| {
        AdminServiceClient::new(channel).backup(request).await
    });
    let answer = call.await?;
    let (mut stream, endpoint) = (answer.value, answer.endpoint);
    let server =
        |status: tonic::Status| Failure::Server(Box::new(ServerError::new(&status, &endpoint)));
    let mut head = api::BackupHead::default();
    let (mut bytes, mut crc) = (0, 0);
    while let Some(response) = stream.message().await.map_err(server)? {
        match response.part {
            Some(Part::Head(told)) => head = told,
            Some(Part::Data(data)) => {
                file.write_all(&data).map_err(|e| failed(file.path(), e))?;
                bytes += data.len() as u64;
                crc = crc32c::crc32c_append(crc, &data);
            }
            None => {}
        }
    }
    if bytes != head.bytes || crc != head.crc32c || bytes == 0 {
        return Err(Failure::Failed(format!(
            "the backup did not arrive whole: {bytes} bytes of {}; try again",
            head.bytes
        )));
    }
    let name = format!("{}-{:012}.backup", head.cluster_id, head.log_index);
    let target = dir.join(name);
    file.as_file()
        .sync_all()
        .map_err(|e| failed(file.path(), e))?;
    file.persist(&target)
        .map_err(|e| failed(&target, e.error))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| failed(dir, e))?;
    Ok(Written {
        file: target.display().to_string(),
        endpoint,
        cluster_id: head.cluster_id,
        founded: head.founded,
        node_id: head.node_id,
        log_index: head.log_index,
        at_ms: head.at_ms,
        state_hash: format!("{:016x}", head.state_hash),
        bytes,
    })
}
