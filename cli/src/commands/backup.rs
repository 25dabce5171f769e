//! Backups of a running cluster. What is made of them is made where a node is to run: see `meridian-node restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use meridian_places::{Place, PlaceError, Whole, Writer, name_of};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::backup_request::Then;
use meridian_proto::livechat::v1::backup_response::Part;
use serde::Serialize;
use tonic::Streaming;

use super::{Context, stop_signal};
use crate::failure::{Failure, ServerError};
use crate::output::{Clock, Field, Tabular};
use crate::time::rfc3339;
use crate::view::millis_of;

const STORES: &str = "\
A store is one that speaks the S3 protocol. The environment says where it is and who asks:
  AWS_ENDPOINT_URL       its URL, for one that is not Amazon's; http:// sends in the clear
  AWS_REGION             the region; us-east-1 where there is an endpoint
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN";

/// Backups of the cluster while it runs.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write a backup into a directory or a store, from the first endpoint that answers
    Create(Create),
    /// List the backups in a directory or a store; asks no cluster
    List(List),
}

/// A backup to write.
#[derive(Debug, Args)]
#[command(after_help = STORES)]
pub struct Create {
    /// Directory or s3://BUCKET/PREFIX for it; it is named after the cluster and the log index
    #[arg(value_name = "PLACE", default_value = ".")]
    place: PathBuf,
    /// As of this time, such as 2026-11-25T14:30Z, as far as the node keeps its past
    #[arg(long, value_name = "TIME", value_parser = millis_of, conflicts_with = "at_index")]
    at: Option<i64>,
    /// As of right after this log index
    #[arg(long, value_name = "INDEX")]
    at_index: Option<u64>,
}

/// Where to look for backups.
#[derive(Debug, Args)]
#[command(after_help = STORES)]
pub struct List {
    /// Directory or s3://BUCKET/PREFIX
    #[arg(value_name = "PLACE", default_value = ".")]
    place: PathBuf,
}

/// A backup that was written.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    /// False where the very same was there already.
    new: bool,
    endpoint: String,
    cluster_id: String,
    founded: String,
    node_id: u64,
    log_index: u64,
    at_ms: i64,
    state_hash: String,
    bytes: u64,
}

/// A backup that is kept.
#[derive(Debug, Serialize)]
struct Kept {
    file: String,
    log_index: Option<u64>,
    bytes: u64,
    written_at: Option<String>,
    #[serde(skip)]
    written_ms: i64,
}

impl Tabular for Kept {
    const HEADER: &'static [&'static str] = &["backup", "log index", "bytes", "written"];

    fn id(&self) -> String {
        self.file.clone()
    }

    fn row(&self, clock: &Clock) -> Vec<Field> {
        vec![
            Field::from(&self.file),
            Field::from(self.log_index.map_or("-".to_owned(), |i| i.to_string())),
            Field::from(self.bytes),
            Field::from(clock.relative(self.written_ms)),
        ]
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Address { .. } | PlaceError::Environment { .. } => {
                Failure::Usage(error.to_string())
            }
            _ => Failure::Failed(error.to_string()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever it fails with; nothing is left of a backup that is not whole.
pub async fn run(context: &Context, command: BackupCommand) -> Result<(), Failure> {
    match command {
        BackupCommand::Create(create) => {
            let written = write(context, &create).await?;
            context.output.document(&written, || told(&written))
        }
        BackupCommand::List(list) => {
            let place = Place::at(&list.place)?;
            let kept = place.list().await?.into_iter().map(|kept| Kept {
                file: place.full_name(&kept.name),
                log_index: kept.log_index,
                bytes: kept.bytes,
                written_at: rfc3339(kept.written_ms),
                written_ms: kept.written_ms,
            });
            context.output.list(&kept.collect::<Vec<_>>())
        }
    }
}

fn told(written: &Written) -> String {
    let holds = match written.new {
        true => "holds",
        false => "was there already, the same: it holds",
    };
    format!(
        "{} {holds} '{}' up to log index {} ({}), {} bytes from {}\nMake a new cluster of it: meridian-node restore --help",
        written.file,
        written.cluster_id,
        written.log_index,
        rfc3339(written.at_ms).unwrap_or_default(),
        written.bytes,
        written.endpoint,
    )
}

async fn write(context: &Context, create: &Create) -> Result<Written, Failure> {
    let place = Place::at(&create.place)?;
    // Before anything is asked for: no node makes a backup that could not be kept.
    place.prepare().await?;
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
    let first = stream.message().await.map_err(server)?;
    let Some(Part::Head(head)) = first.and_then(|response| response.part) else {
        return Err(Failure::Failed(
            "the node sent no head of a backup: try another node".to_owned(),
        ));
    };
    let name = name_of(&head.cluster_id, head.log_index);
    let whole = Whole {
        bytes: head.bytes,
        crc32c: head.crc32c,
    };
    let writer = place.write(&name, whole).await?;
    let new = writer.is_some();
    if let Some(mut writer) = writer {
        let filled = tokio::select! {
            filled = fill(&mut writer, &mut stream, &endpoint) => filled,
            stopped = stop_signal() => Err(stopped),
        };
        match filled {
            Ok(()) => writer.finish().await?,
            Err(failure) => {
                // What it fails with counts; that parts may be left is said beside it.
                if let Err(left) = writer.abandon().await {
                    context
                        .output
                        .note(&format!("parts of it may be left in the store: {left}"));
                }
                return Err(failure);
            }
        }
    }
    Ok(Written {
        file: place.full_name(&name),
        new,
        endpoint,
        cluster_id: head.cluster_id,
        founded: head.founded,
        node_id: head.node_id,
        log_index: head.log_index,
        at_ms: head.at_ms,
        state_hash: format!("{:016x}", head.state_hash),
        bytes: head.bytes,
    })
}

/// Takes all of a backup that a node sends.
async fn fill(
    writer: &mut Writer<'_>,
    stream: &mut Streaming<api::BackupResponse>,
    endpoint: &str,
) -> Result<(), Failure> {
    loop {
        match stream.message().await {
            Ok(None) => return Ok(()),
            Ok(Some(response)) => {
                if let Some(Part::Data(data)) = response.part {
                    writer.put(&data).await?;
                }
            }
            Err(status) => {
                return Err(Failure::Server(Box::new(ServerError::new(
                    &status, endpoint,
                ))));
            }
        }
    }
}
