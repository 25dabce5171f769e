//! Follows a stream of objects: redraws a table on a terminal, else writes one line a change.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tonic::{Code, Status, Streaming};

use super::Context;
use crate::client::Answer;
use crate::failure::{Failure, ServerError};
use crate::output::{Clock, Format, Tabular, printable};

/// Time between two looks at whether the table must be redrawn.
const TICK: Duration = Duration::from_millis(250);
/// Ticks after which it is redrawn anyway, because "ago" moves on.
const TICKS_MAX: u32 = 4;
/// First and longest pause before a broken stream is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// Whether a stream that ended so may go on at another node.
pub fn may_reopen(status: &Status) -> bool {
    // A connection that breaks in the middle shows as any of these.
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    )
}

/// Opens a stream that broke again, for as long as no node can be reached: a node that restarts comes back.
///
/// # Errors
/// What a node refuses it with.
pub async fn reopen<T>(
    context: &Context,
    (endpoint, why): (&str, &str),
    open: impl AsyncFn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let output = &context.output;
    output.note(&format!(
        "{endpoint}: the stream ended ({why}); opening it again until Ctrl-C"
    ));
    let mut pause = REOPEN.0;
    let mut told = String::new();
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REOPEN.1);
        let failure = match open().await {
            Ok(opened) => return Ok(opened),
            Err(failure) => failure,
        };
        match &failure {
            Failure::Unreachable { .. } => {}
            Failure::Server(error) if error.code == Code::Unavailable => {}
            _ => return Err(failure),
        }
        let now = failure.to_string();
        if now != told {
            output.note(&format!("{now}; trying again"));
            told = now;
        }
    }
}

/// Lets Ctrl-C end what would go on for ever.
///
/// # Errors
/// What the work fails with, or [`Failure::Stopped`].
pub async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let interrupt = SignalKind::interrupt();
    let mut interrupted = signal(interrupt)?;
    tokio::select! {
        done = work => done,
        _ = interrupted.recv() => Err(Failure::Stopped(interrupt.as_raw_value())),
    }
}

/// Follows until the user stops it. What `keep` refuses is left out.
///
/// # Errors
/// When no node can be reached at first, or the output is closed.
pub async fn follow<M, V, O>(
    context: &Context,
    open: O,
    keep: impl Fn(&V) -> bool,
) -> Result<(), Failure>
where
    V: Tabular + From<M>,
    O: AsyncFn() -> Result<Answer<Streaming<M>>, Failure>,
{
    until_interrupted(follow_on(context, open, keep)).await
}

async fn follow_on<M, V, O>(
    context: &Context,
    open: O,
    keep: impl Fn(&V) -> bool,
) -> Result<(), Failure>
where
    V: Tabular + From<M>,
    O: AsyncFn() -> Result<Answer<Streaming<M>>, Failure>,
{
    let output = &context.output;
    let redraw = output.terminal && output.format == Format::Table && !output.quiet;
    let mut rows: BTreeMap<String, V> = BTreeMap::new();
    let mut tick = tokio::time::interval(TICK);
    let mut answer = open().await?;
    loop {
        let Answer {
            value: mut stream,
            endpoint,
        } = answer;
        // What went while nobody told stays away; the new stream begins with all there is.
        rows.clear();
        let (mut dirty, mut ticks) = (true, 0);
        let why = loop {
            let message = tokio::select! {
                message = stream.message() => message,
                _ = tick.tick(), if redraw => {
                    ticks += 1;
                    if dirty || ticks >= TICKS_MAX {
                        let shown: Vec<&V> = rows.values().collect();
                        output.text(&format!("{CLEAR}{}", table(output, &shown)))?;
                        (dirty, ticks) = (false, 0);
                    }
                    continue;
                }
            };
            match message {
                Ok(None) => break "the node closed it".to_owned(),
                Err(status) if may_reopen(&status) => break status.message().to_owned(),
                Err(status) => {
                    return Err(Failure::Server(Box::new(ServerError::new(
                        &status, &endpoint,
                    ))));
                }
                Ok(Some(message)) => {
                    let view = V::from(message);
                    if redraw && (view.removed() || !keep(&view)) {
                        rows.remove(&view.id());
                    } else if !view.removed() && !keep(&view) {
                        continue;
                    } else if redraw {
                        rows.insert(view.id(), view);
                    } else {
                        output.event(&view, || line(&view))?;
                    }
                    dirty = true;
                }
            }
        };
        answer = reopen(context, (&endpoint, &why), &open).await?;
    }
}

fn table<V: Tabular>(output: &crate::output::Output, rows: &[&V]) -> String {
    let clock = Clock::system();
    let cells = rows.iter().map(|r| r.row(&clock)).collect();
    crate::output::render_table(V::HEADER, cells, output.paint)
}

fn line<V: Tabular>(view: &V) -> String {
    let clock = Clock::system();
    if view.removed() {
        return format!("{}  {}  removed", clock.local(clock.now_ms), view.id());
    }
    let cells: Vec<_> = view
        .row(&clock)
        .into_iter()
        .map(|f| printable(&f.0))
        .collect();
    format!("{}  {}", clock.local(clock.now_ms), cells.join("  "))
}
