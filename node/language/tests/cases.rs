//! The awkward languages, one by one, and the examples of the documentation.

use meridian_language::{
    FAR, LanguageError, NEAR, canonical, distance, spoken, visitor_languages, wanted,
};

fn apart(visitor: &str, agent: &str) -> Option<u16> {
    distance(&wanted(visitor).unwrap(), &spoken(agent).unwrap())
}

/// What is spoken with its distance, as listed: nearest first.
fn expect(visitor: &str, agents: &[(&str, u16)]) {
    let found: Vec<(&str, u16)> = agents
        .iter()
        .map(|(tag, _)| (*tag, apart(visitor, tag).unwrap_or(u16::MAX)))
        .collect();
    assert_eq!(found, agents, "{visitor}");
    assert!(found.is_sorted_by_key(|(_, apart)| *apart), "{visitor}");
}

/// Neither is a way out for who wants the other.
fn nothing_in_common(a: &str, b: &str) {
    assert_eq!((apart(a, b), apart(b, a)), (None, None), "{a} and {b}");
}

#[test]
fn portuguese() {
    expect("pt-BR", &[("pt", 0), ("pt-PT", 49), ("pt-AO", 50)]);
    expect("pt-PT", &[("pt-AO", 40), ("pt", 49)]);
    expect("pt", &[("pt-BR", 0), ("pt-PT", 49)]);
    // However close they are, CLDR does not relate them.
    nothing_in_common("pt-BR", "es");
    nothing_in_common("gl", "pt");
}

#[test]
fn english() {
    expect("en-AU", &[("en-GB", 29), ("en-IN", 40), ("en", 49)]);
    expect(
        "en-GB",
        &[("en-AU", 30), ("en-IN", 30), ("en-001", 30), ("en", 49)],
    );
    expect("en-001", &[("en-GB", 29), ("en-AU", 40), ("en", 49)]);
    expect(
        "en",
        &[("en-US", 0), ("en-PH", 40), ("en-GB", 49), ("en-AU", 50)],
    );
    expect(
        "en-CA",
        &[("en", 39), ("en-PR", 40), ("en-GB", 49), ("en-IE", 50)],
    );
}

#[test]
fn spanish() {
    expect(
        "es-MX",
        &[("es-419", 39), ("es-US", 40), ("es", 49), ("es-ES", 49)],
    );
    expect("es-419", &[("es-MX", 40), ("es-US", 40), ("es", 49)]);
    expect("es", &[("es-ES", 0), ("es-419", 49), ("es-MX", 50)]);
    expect("ca", &[("es", 200), ("es-419", 239), ("es-MX", 240)]);
    assert_eq!(apart("es", "ca"), None);
}

#[test]
fn the_north() {
    expect("no", &[("no", 0), ("nb", 10), ("da", 120), ("nn", 200)]);
    expect("nb", &[("nb", 0), ("no", 10), ("da", 120), ("nn", 200)]);
    expect("nn", &[("nn", 0), ("no", 200), ("nb", 200)]);
    expect("da", &[("da", 0), ("no", 120), ("nb", 120)]);
    expect("da-NO", &[("nb", 80)]);
    nothing_in_common("nn", "da");
    for other in ["no", "nb", "nn", "da"] {
        nothing_in_common("sv", other);
    }
}

#[test]
fn chinese() {
    expect(
        "zh-TW",
        &[
            ("zh-Hant", 0),
            ("zh-HK", 50),
            ("zh-MO", 50),
            ("zh", 540),
            ("zh-Hans", 540),
        ],
    );
    expect(
        "zh-HK",
        &[
            ("zh-MO", 40),
            ("zh-TW", 50),
            ("zh-Hant", 50),
            ("zh-CN", 540),
        ],
    );
    expect("zh", &[("zh-CN", 0), ("zh-SG", 40), ("zh-TW", 540)]);
    // The same region, so the script alone.
    expect("zh-Hant-CN", &[("zh", 500)]);
    expect("yue", &[("zh-HK", 100), ("zh-TW", 140), ("zh", 640)]);
    assert_eq!(apart("zh-HK", "yue"), None);
    assert!(apart("zh-Hant", "zh-Hans") > Some(FAR));
}

#[test]
fn serbian_and_its_neighbours() {
    expect(
        "sr-Latn",
        &[
            ("sr-Latn-ME", 40),
            ("sr-Cyrl", 50),
            ("sr", 50),
            ("sr-Cyrl-ME", 90),
        ],
    );
    expect("sr", &[("sr-Cyrl", 0), ("sr-Latn", 50)]);
    expect("hr", &[("bs", 80)]);
    expect("bs", &[("hr", 80)]);
    expect("sh", &[("sr-Latn", 0), ("sr", 50)]);
    for other in ["sr-Latn", "sr", "sh"] {
        nothing_in_common("hr", other);
        nothing_in_common("bs", other);
    }
}

#[test]
fn arabic() {
    expect("ar-MA", &[("ar-DZ", 40), ("ar-EG", 50), ("ar", 50)]);
    expect("ar", &[("ar-EG", 0), ("ar-SA", 40), ("ar-MA", 50)]);
    expect("ary", &[("ar-MA", 100), ("ar-EG", 140)]);
    assert_eq!(apart("ar-MA", "ary"), None);
}

#[test]
fn one_language_under_two_names() {
    for (a, b) in [
        ("iw", "he"),
        ("tl", "fil"),
        ("cmn", "zh"),
        ("mo", "ro"),
        ("in", "id"),
        ("sh", "sr-Latn"),
    ] {
        assert_eq!(wanted(a), wanted(b));
        assert_eq!(apart(a, b), Some(0));
    }
}

#[test]
fn one_way_and_second_languages() {
    expect("gsw", &[("de-CH", 40), ("de", 80)]);
    expect("hi-Latn", &[("hi-Latn", 0), ("hi", 200)]);
    expect("ja-Latn", &[("ja", 50)]);
    expect("am", &[("en", 439), ("en-IN", 440)]);
    expect("uz", &[("uz", 0), ("ru", 440), ("uz-Cyrl", 500)]);
    for (visitor, agent) in [
        ("de", "gsw"),
        ("hi", "en"),
        ("en", "am"),
        ("ru", "uz"),
        ("uk", "ru"),
    ] {
        assert_eq!(apart(visitor, agent), None, "{visitor} {agent}");
    }
}

#[test]
fn what_can_match_nobody_is_refused() {
    for tag in ["und", "und-DE", "mul", "zxx", "qaa"] {
        assert_eq!(spoken(tag), Err(LanguageError::Unknown(tag.to_owned())));
        assert_eq!(wanted(tag), Err(LanguageError::Unknown(tag.to_owned())));
    }
    for tag in [
        "",
        "x-private",
        "i-klingon",
        "en-GB-oed",
        "zh-min-nan",
        "zh-cmn",
        "pt--BR",
        "-",
        "en-",
        "français",
    ] {
        assert_eq!(spoken(tag), Err(LanguageError::Malformed(tag.to_owned())));
        assert_eq!(wanted(tag), Err(LanguageError::Malformed(tag.to_owned())));
    }
    assert_eq!(
        spoken("x-private").unwrap_err().to_string(),
        "'x-private' is not a language tag; use BCP-47, such as pt-BR"
    );
}

#[test]
fn variants_and_extensions_do_not_count() {
    assert_eq!(apart("ca-valencia", "ca"), Some(0));
    assert_eq!(apart("de-1901", "de-u-co-phonebk"), Some(0));
    assert_eq!(canonical("ca-valencia").as_deref(), Ok("ca-valencia"));
    assert_eq!(canonical("de-x-private").as_deref(), Ok("de"));
}

#[test]
fn what_is_known_of_a_variety() {
    let variety = spoken("zh-tw").unwrap();
    assert_eq!(
        (variety.tag.as_str(), variety.key.as_str()),
        ("zh-TW", "zh-Hant")
    );
    assert_eq!((variety.region.as_str(), variety.paradigm), ("TW", false));
    let paradigms = [
        "en", "en-US", "en-GB", "es", "es-ES", "es-419", "pt", "pt-BR", "pt-PT",
    ];
    assert!(paradigms.iter().all(|tag| spoken(tag).unwrap().paradigm));
    let others = ["en-AU", "en-Shaw", "es-MX", "pt-AO", "fr", "zh"];
    assert!(!others.iter().any(|tag| spoken(tag).unwrap().paradigm));
}

#[test]
fn what_travels_with_a_visitor() {
    let near = |tag: &str| wanted(tag).unwrap().near;
    let listed = |keys: &[(&str, u16)]| -> Vec<(String, u16)> {
        keys.iter()
            .map(|(key, apart)| ((*key).to_owned(), *apart))
            .collect()
    };
    assert_eq!(near("zh-TW"), listed(&[("zh-Hant", 0), ("zh-", 500)]));
    assert_eq!(
        near("sh"),
        listed(&[("sr-Latn", 0), ("sr-Cyrl", 50), ("sr-", 500)])
    );
    assert_eq!(
        near("ca"),
        listed(&[("ca-Latn", 0), ("es-Latn", 200), ("ca-", 500), ("es-", 700)])
    );
    let visitor = wanted("en-AU").unwrap();
    assert_eq!(
        (visitor.regions, visitor.elsewhere),
        (vec![(1, 30), (2, 50), (3, 40)], 40)
    );
    assert_eq!(wanted("fr-CA").unwrap().regions, []);
}

#[test]
fn a_browser_list_leads_to_varieties() {
    let list = visitor_languages("nn, nb;q=0.9, no;q=0.8, en-US;q=0.7, en;q=0.6").unwrap();
    let keys: Vec<String> = list
        .iter()
        .map(|(tag, _)| wanted(tag).unwrap().variety.key)
        .collect();
    assert_eq!(
        keys,
        ["nn-Latn", "nb-Latn", "no-Latn", "en-Latn", "en-Latn"]
    );
}

#[test]
fn the_examples_of_the_documentation() {
    let rows = include_str!("../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let mut seen = 0;
    for row in rows.skip(2) {
        let [visitor, agent, number, verdict, ..] =
            row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{row}");
        };
        let apart = apart(visitor, agent);
        assert_eq!(
            apart.map_or("none".to_owned(), |apart| apart.to_string()),
            number,
            "{row}"
        );
        match apart {
            Some(..=NEAR) => assert!(verdict.starts_with("near"), "{row}"),
            Some(..=FAR) => assert!(verdict.starts_with("far"), "{row}"),
            Some(_) => assert!(verdict.starts_with("beyond"), "{row}"),
            None => {}
        }
        seen += 1;
    }
    assert_eq!(seen, 28);
}
