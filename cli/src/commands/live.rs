//! Follows a stream of objects: redraws a table on a terminal, else writes one line a change.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Status, Streaming};

use super::Context;
use crate::client::Answer;
use crate::failure::{Failure, ServerError};
use crate::output::{Clock, Format, Tabular, printable};

/// Time between two looks at whether the table must be redrawn.
const TICK: Duration = Duration::from_millis(250);
/// Ticks after which it is redrawn anyway, because "ago" moves on.
const TICKS_MAX: u32 = 4;
/// Pause before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(500);
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// Whether a stream that ended so may go on at another node.
pub fn may_reopen(status: &Status) -> bool {
    // A connection that breaks in the middle shows as any of these.
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    )
}

/// Waits, tells, and lets the caller open the stream again.
pub async fn pause(context: &Context, endpoint: &str, why: &str) {
    context.output.note(&format!(
        "{endpoint}: the stream ended ({why}); opening it again"
    ));
    tokio::time::sleep(REOPEN).await;
}

/// Follows until the user stops it. What `keep` refuses is left out.
///
/// # Errors
/// When no node can be reached any more, or the output is closed.
pub async fn follow<M, V, O>(
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
    loop {
        let Answer {
            value: mut stream,
            endpoint,
        } = open().await?;
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
                    if !keep(&view) {
                        rows.remove(&view.id());
                    } else if redraw {
                        rows.insert(view.id(), view);
                    } else {
                        output.event(&view, || line(&view))?;
                    }
                    dirty = true;
                }
            }
        };
        pause(context, &endpoint, &why).await;
    }
}

fn table<V: Tabular>(output: &crate::output::Output, rows: &[&V]) -> String {
    let clock = Clock::system();
    let cells = rows.iter().map(|r| r.row(&clock)).collect();
    crate::output::render_table(V::HEADER, cells, output.paint)
}

fn line<V: Tabular>(view: &V) -> String {
    let clock = Clock::system();
    let cells: Vec<_> = view
        .row(&clock)
        .into_iter()
        .map(|f| printable(&f.0))
        .collect();
    format!("{}  {}", clock.local(clock.now_ms), cells.join("  "))
}
