//! The languages a visitor's browser names.

use crate::{LanguageError, canonical};
use std::cmp::Reverse;

/// The most languages kept of a list.
const KEPT: usize = 8;
/// The longest list read, several times what browsers send.
const LONGEST: usize = 1000;

/// Reads a weighted list such as `pt-BR, es;q=0.8, *;q=0.1` into canonical tags with weights in thousandths, by weight
/// and then by position.
///
/// Weight 0 and `*` (whatever else there is) ask for nothing and are left off. A language named twice stands where it
/// was first named, with its greater weight. The first eight are kept.
///
/// # Errors
/// [`LanguageError::TooLong`], and [`LanguageError::Entry`] with the position of what is wrong.
pub fn visitor_languages(text: &str) -> Result<Vec<(String, u16)>, LanguageError> {
    if text.len() > LONGEST {
        return Err(LanguageError::TooLong {
            length: text.len(),
            limit: LONGEST,
        });
    }
    let mut found: Vec<(String, u16)> = Vec::new();
    for (index, text) in text.split(',').enumerate() {
        let entry = entry(text).map_err(|error| LanguageError::Entry {
            position: index + 1,
            error: Box::new(error),
        })?;
        let Some((tag, weight)) = entry else { continue };
        match found.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, known)) => *known = weight.max(*known),
            None => found.push((tag, weight)),
        }
    }
    // A stable sort: position decides between equal weights.
    found.sort_by_key(|(_, weight)| Reverse(*weight));
    found.truncate(KEPT);
    Ok(found)
}

/// What one entry asks for.
fn entry(text: &str) -> Result<Option<(String, u16)>, LanguageError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (tag, weight) = match text.split_once(';') {
        Some((tag, text)) => (tag.trim(), weight(text.trim())?),
        None => (text.trim(), 1000),
    };
    if tag == "*" {
        return Ok(None);
    }
    let tag = canonical(tag)?;
    Ok((weight > 0).then_some((tag, weight)))
}

/// `q=0.8` in thousandths.
fn weight(text: &str) -> Result<u16, LanguageError> {
    let read = || {
        let value = text.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
        match whole {
            "0" => Some(thousandths),
            "1" if thousandths == 0 => Some(1000),
            _ => None,
        }
    };
    read().ok_or_else(|| LanguageError::Weight(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, u16)> {
        visitor_languages(text).unwrap()
    }

    fn expect(text: &str, languages: &[(&str, u16)]) {
        let languages: Vec<_> = languages
            .iter()
            .map(|(t, w)| ((*t).to_owned(), *w))
            .collect();
        assert_eq!(read(text), languages, "{text}");
    }

    #[test]
    fn ordered_by_weight_then_position() {
        expect("pt-BR, es;q=0.8, *;q=0.1", &[("pt-BR", 1000), ("es", 800)]);
        expect(
            "de;q=0.25,fr,en;q=0.5,it",
            &[("fr", 1000), ("it", 1000), ("en", 500), ("de", 250)],
        );
        expect("en ; Q=1.000 , fr; q=0.", &[("en", 1000)]);
        expect("en;q=0.001", &[("en", 1)]);
    }

    #[test]
    fn nothing_asked_for_is_nothing() {
        for text in ["", " ", ",,", "*", "*;q=0.5", "en;q=0", "en;q=0.000"] {
            expect(text, &[]);
        }
    }

    #[test]
    fn a_language_named_twice_is_one() {
        expect("iw;q=0.3, en;q=0.3, he;q=0.7", &[("he", 700), ("en", 300)]);
        expect("iw;q=0.5, en;q=0.5, he;q=0.5", &[("he", 500), ("en", 500)]);
        expect("en, en;q=0", &[("en", 1000)]);
    }

    #[test]
    fn eight_are_kept() {
        let kept = read("fr;q=0.1,en,de,it,es,pt,nl,sv,da,fi");
        let tags: Vec<&str> = kept.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(tags, ["en", "de", "it", "es", "pt", "nl", "sv", "da"]);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        let weight = |text: &str| LanguageError::Weight(text.to_owned());
        let malformed = |text: &str| LanguageError::Malformed(text.to_owned());
        for (text, position, error) in [
            ("en, fr;q=2", 2, weight("q=2")),
            ("en;q=1.001", 1, weight("q=1.001")),
            ("en;q=0.1234", 1, weight("q=0.1234")),
            ("en;q=-1", 1, weight("q=-1")),
            ("en;q=+.5", 1, weight("q=+.5")),
            ("en;q=0.+5", 1, weight("q=0.+5")),
            ("en;q=", 1, weight("q=")),
            ("en;level=1", 1, weight("level=1")),
            ("en;q=1;q=1", 1, weight("q=1;q=1")),
            ("*;q=x", 1, weight("q=x")),
            ("en,,english!", 3, malformed("english!")),
            ("en fr", 1, malformed("en fr")),
            (";q=0.5", 1, malformed("")),
            ("en, xx;q=0", 2, LanguageError::Unknown("xx".to_owned())),
        ] {
            let error = LanguageError::Entry {
                position,
                error: Box::new(error),
            };
            assert_eq!(visitor_languages(text), Err(error), "{text}");
        }
        assert_eq!(
            visitor_languages("en, fr;q=2").unwrap_err().to_string(),
            "entry 2 of the language list: 'q=2' is not a weight; use q=0 to q=1 with at most three digits after the \
             point, such as q=0.8"
        );
    }

    #[test]
    fn an_endless_list_is_refused_unread() {
        let error = visitor_languages(&"en,".repeat(400)).unwrap_err();
        assert_eq!(
            error,
            LanguageError::TooLong {
                length: 1200,
                limit: 1000
            }
        );
    }
}
