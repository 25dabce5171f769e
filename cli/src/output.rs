//! Where results go: tables for people, JSON and YAML for programs.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One document; streams give one object a line.
    Json,
    /// One document; streams give one document each.
    Yaml,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours text, or leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For a stream that is or is not a terminal. A flag outranks `NO_COLOR`.
    pub fn new(when: When, terminal: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let on = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !no_color,
        };
        Self { on }
    }

    fn sgr(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Bad news, and what goes.
    pub fn error(self, text: &str) -> String {
        self.sgr("31", text)
    }

    /// Good news, and what is new.
    pub fn good(self, text: &str) -> String {
        self.sgr("32", text)
    }

    /// What deserves a look, and what changes.
    pub fn warn(self, text: &str) -> String {
        self.sgr("33", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.sgr("2", text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.sgr("1", text)
    }
}

/// How a cell is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// Green.
    Good,
    /// Yellow.
    Warn,
    /// Red.
    Bad,
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(pub String, pub Tone);

impl<T: ToString> From<T> for Field {
    fn from(value: T) -> Self {
        Field(value.to_string(), Tone::Plain)
    }
}

/// What a row needs to show moments.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Now, in UTC milliseconds.
    pub now_ms: i64,
    /// The user's zone.
    pub zone: TimeZone,
}

impl Clock {
    /// This machine's.
    pub fn system() -> Self {
        Self {
            now_ms: crate::time::now_ms(),
            zone: TimeZone::system(),
        }
    }

    /// `2m40s ago`; `-` when not set.
    pub fn relative(&self, at_ms: i64) -> String {
        match at_ms {
            0 => "-".to_owned(),
            at => crate::time::relative(at, self.now_ms),
        }
    }

    /// RFC 3339 in the user's zone; `-` when not set.
    pub fn local(&self, at_ms: i64) -> String {
        crate::time::local(at_ms, &self.zone)
    }
}

/// Something a table has rows of.
pub trait Tabular: Serialize {
    /// Column headings.
    const HEADER: &'static [&'static str];
    /// What `-q` prints, and what tells rows apart in a watch.
    fn id(&self) -> String;
    /// One cell a heading.
    fn row(&self, clock: &Clock) -> Vec<Field>;
    /// In a watch: the object was removed, and so is its row.
    fn removed(&self) -> bool {
        false
    }
}

/// Where results go.
#[derive(Clone, Debug)]
pub struct Output {
    /// How.
    pub format: Format,
    /// Colours of stdout.
    pub paint: Paint,
    /// Colours of stderr.
    pub paint_err: Paint,
    /// Ids only, and no notes.
    pub quiet: bool,
    /// More notes.
    pub verbose: bool,
    /// Whether a person watches stdout.
    pub terminal: bool,
}

impl Output {
    /// For this process's streams.
    pub fn new(format: Format, color: When, quiet: bool, verbose: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            format,
            paint: Paint::new(color, terminal),
            paint_err: Paint::new(color, std::io::stderr().is_terminal()),
            quiet,
            verbose,
            terminal,
        }
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// A bar on stderr, drawn as the template says; hidden where there is no terminal, or the output is to be quiet.
    pub fn bar(&self, length: u64, template: &str) -> ProgressBar {
        let draws = !self.quiet && std::io::stderr().is_terminal();
        let target = if draws {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▓░"));
        }
        bar
    }

    /// A remark for people on stderr, left out with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// A remark only with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            let _ = writeln!(std::io::stderr(), "{}", self.paint_err.dim(text));
        }
    }

    /// A whole document, or with `-o table` what `table` makes of it.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn document<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&table()),
            Format::Json => self.text(&json(value, true)?),
            Format::Yaml => self.text(&yaml(value)?),
        }
    }

    /// A list: a table, or an array.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn list<T: Tabular>(&self, rows: &[T]) -> Result<(), Failure> {
        if self.quiet && self.format == Format::Table {
            let ids: String = rows.iter().map(|r| r.id() + "\n").collect();
            return if ids.is_empty() {
                Ok(())
            } else {
                self.text(&ids)
            };
        }
        self.document(&rows, || self.table(rows))
    }

    /// One element of a stream: a row without heading, a JSON line or a YAML document.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn event<T: Serialize>(
        &self,
        value: &T,
        line: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&line()),
            Format::Json => self.text(&json(value, false)?),
            Format::Yaml => self.text(&format!("---\n{}", yaml(value)?)),
        }
    }

    /// The rows as aligned text with a heading.
    pub fn table<T: Tabular>(&self, rows: &[T]) -> String {
        let clock = Clock::system();
        let rows = rows.iter().map(|r| r.row(&clock)).collect();
        render_table(T::HEADER, rows, self.paint)
    }
}

/// Aligned columns without frames, so that they can be cut and selected.
pub fn render_table(header: &[&str], rows: Vec<Vec<Field>>, paint: Paint) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if paint.on {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(
        header
            .iter()
            .map(|h| Cell::new(h.to_uppercase()))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        table.add_row(
            row.into_iter()
                .map(|field| cell(field, paint))
                .collect::<Vec<_>>(),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn cell(Field(text, tone): Field, paint: Paint) -> Cell {
    let cell = Cell::new(printable(&text));
    match tone {
        Tone::Good if paint.on => cell.fg(Color::Green),
        Tone::Warn if paint.on => cell.fg(Color::Yellow),
        Tone::Bad if paint.on => cell.fg(Color::Red),
        _ => cell,
    }
}

/// Text from visitors may hold control characters, which could move the cursor or break the table.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The value as JSON.
///
/// # Errors
/// When it has no JSON form.
pub fn json<T: Serialize>(value: &T, pretty: bool) -> Result<String, Failure> {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    text.map_err(|e| Failure::Failed(format!("cannot write JSON: {e}")))
}

/// The value as YAML.
///
/// # Errors
/// When it has no YAML form.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|e| Failure::Failed(format!("cannot write YAML: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_nothing_trails() {
        let rows = vec![
            vec![Field::from("a"), Field::from("日本")],
            vec![
                Field::from("long-id"),
                Field("ok\u{1b}[2J".to_owned(), Tone::Good),
            ],
        ];
        let text = render_table(&["id", "state"], rows, Paint { on: false });
        assert_eq!(text, "ID       STATE\na        日本\nlong-id  ok [2J");
    }

    #[test]
    fn colour_only_when_wanted() {
        assert_eq!(Paint { on: true }.good("x"), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(Paint::new(When::Never, true).good("x"), "x");
        let rows = vec![vec![Field("x".to_owned(), Tone::Bad)]];
        assert!(render_table(&["id"], rows, Paint { on: true }).contains("\u{1b}["));
    }
}
