//! What people and browsers write in a few words: language tags, lengths of time, and zones.

use meridian_cli::time;
use meridian_language::{canonical, cldr_distance, distance, spoken, visitor_languages, wanted};
use meridian_node::convert::api;
use meridian_routing::effect::Reject;
use meridian_routing::limits;

use crate::names;

/// Language tags, lists of them as browsers send them, lengths of time, and zones.
pub fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    tags(text);
    apart(text);
    lists(text);
    lengths(text);
    zones(text);
}

/// A zone is found by its name however that is cased, and is refused with its name otherwise.
fn zones(text: &str) {
    match meridian_calendar::zone(text) {
        Ok(zone) => assert!(
            zone.iana_name()
                .is_some_and(|name| name.eq_ignore_ascii_case(text))
        ),
        Err(error) => assert!(error.to_string().contains(text)),
    }
}

fn tags(text: &str) {
    let Ok(tag) = canonical(text) else {
        assert!(
            spoken(text).is_err() && wanted(text).is_err(),
            "'{text}' is no tag"
        );
        return;
    };
    assert_eq!(canonical(&tag).as_ref(), Ok(&tag), "of '{text}'");
    if let (Ok(variety), Ok(asked)) = (spoken(text), wanted(text)) {
        assert_eq!(distance(&asked, &variety), Some(0), "'{text}' is itself");
        assert_eq!(
            (Ok(&variety), Ok(&asked)),
            (spoken(&tag).as_ref(), wanted(&tag).as_ref())
        );
    }
}

/// How far the second of two tags is from the first, by our tables and by CLDR's own procedure.
fn apart(text: &str) {
    let pair = text.split_once(' ');
    let pair = pair.and_then(|(a, b)| Some((wanted(a).ok()?, spoken(b).ok()?)));
    if let Some((asked, variety)) = pair
        && let Some(far) = distance(&asked, &variety)
    {
        assert_eq!(far, cldr_distance(&asked.variety, &variety), "of '{text}'");
    }
}

fn lists(text: &str) {
    if let Ok(list) = visitor_languages(text) {
        assert!(list.len() <= 8);
        assert!(list.is_sorted_by(|a, b| a.1 >= b.1), "{list:?}");
        for (tag, weight) in &list {
            assert!((1..=1000).contains(weight), "{tag} has weight {weight}");
        }
    }
    match api::wanted(&[], text) {
        Ok(languages) => {
            let most = limits::LANGUAGE_WEIGHT_MAX;
            assert!(languages.iter().all(|w| (100..=most).contains(&w.weight)));
        }
        Err(Reject::Invalid { field, problem, .. }) => names(&field, &problem),
        // Without an Accept-Language a list must be given, which is the core's to say.
        Err(other) => panic!("{other}"),
    }
}

fn lengths(text: &str) {
    let Ok(millis) = time::parse_millis(text) else {
        assert!(time::parse_timeout(text).is_err());
        return;
    };
    let written = time::format_millis(millis);
    assert_eq!(time::parse_millis(&written), Ok(millis), "of '{text}'");
    assert!(!time::format_rough(millis).is_empty());
    let at = i64::try_from(millis).unwrap_or(i64::MAX);
    for moment in [at, at.wrapping_neg(), i64::MIN] {
        time::relative(moment, at);
        time::relative(at, moment);
        time::rfc3339(moment);
        time::local(moment, &jiff::tz::TimeZone::UTC);
    }
}
