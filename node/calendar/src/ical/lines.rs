//! Where things stand in the file, which the parser does not tell.

use super::{BYTES_MAX, EVENTS_MAX, IcalError};

/// Deepest nesting of components; real files have three.
const DEPTH_MAX: usize = 16;

/// The first lines of an event and of each of its properties.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The line of `BEGIN:VEVENT`.
    pub(super) begin: usize,
    properties: Vec<(String, usize)>,
}

impl Places {
    /// The line of the `n`th property of that name, or of the event.
    pub(super) fn line(&self, name: &str, n: usize) -> usize {
        let mut named = self.properties.iter().filter(|(p, _)| p == name);
        named.nth(n).map_or(self.begin, |(_, line)| *line)
    }
}

/// Checks what the parser would refuse without a line, or follow without bound, and notes where the events
/// stand, in their order.
pub(super) fn check(text: &str) -> Result<Vec<Places>, IcalError> {
    if text.len() > BYTES_MAX {
        return Err(IcalError::TooMany {
            what: "bytes",
            given: text.len(),
            max: BYTES_MAX,
        });
    }
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut events: Vec<Places> = Vec::new();
    let mut began = false;
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l)) {
        // A folded line goes on with white space.
        if line.trim().is_empty() || line.starts_with([' ', '\t']) {
            continue;
        }
        let wrong = |problem: String, fix| IcalError::Syntax {
            line: number,
            problem,
            fix,
        };
        let name_end = line.find([':', ';']).unwrap_or(0);
        let name = line[..name_end].to_ascii_uppercase();
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            let fix = "give an iCalendar file, whose lines read NAME:VALUE";
            return Err(wrong("is no line of an iCalendar file".into(), fix));
        }
        let value = line[name_end..]
            .trim_start_matches([':'])
            .trim()
            .to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => {
                if open.is_empty() && (began || value != "VCALENDAR") {
                    let fix = "give one VCALENDAR, and everything in it";
                    return Err(wrong(format!("begins {value} outside the calendar"), fix));
                }
                began = true;
                if open.len() == DEPTH_MAX {
                    let problem = format!("is nested more than {DEPTH_MAX} deep");
                    return Err(wrong(problem, "take the innermost out"));
                }
                if value == "VEVENT" {
                    events.push(Places {
                        begin: number,
                        ..Places::default()
                    });
                }
                open.push((value, number));
            }
            "END" => match open.pop() {
                Some((begun, _)) if begun == value => {}
                Some((begun, line)) => {
                    let problem = format!("ends {value} where {begun} of line {line} is open");
                    return Err(wrong(problem, "end what was begun last"));
                }
                None => {
                    return Err(wrong(
                        format!("ends {value}, which never began"),
                        "take it out",
                    ));
                }
            },
            _ if open.is_empty() => {
                let fix = "give an iCalendar file, which begins with BEGIN:VCALENDAR";
                return Err(wrong("stands outside the calendar".into(), fix));
            }
            _ if open.last().is_some_and(|(name, _)| name == "VEVENT") => {
                if let Some(event) = events.last_mut() {
                    event.properties.push((name, number));
                }
            }
            _ => {}
        }
    }
    if let Some((name, line)) = open.pop() {
        return Err(IcalError::Syntax {
            line,
            problem: format!("begins {name}, which never ends"),
            fix: "give the whole file",
        });
    }
    if !began {
        return Err(IcalError::Syntax {
            line: 1,
            problem: "is empty".into(),
            fix: "give an iCalendar file, which begins with BEGIN:VCALENDAR",
        });
    }
    if events.len() > EVENTS_MAX {
        return Err(IcalError::TooMany {
            what: "events",
            given: events.len(),
            max: EVENTS_MAX,
        });
    }
    Ok(events)
}
