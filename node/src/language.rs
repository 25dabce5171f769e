//! Language tags as the routing core wants them: canonical, checked, without extensions.

use icu_locale::{
    LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleExpander, TransformResult,
};
use meridian_routing::ids::Language;

/// Why a tag was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// Not a BCP-47 tag.
    #[error("'{0}' is not a language tag; use BCP-47, such as pt-BR")]
    Malformed(String),
    /// Well formed, but no language that CLDR knows.
    #[error("'{0}' is not a known language; use BCP-47, such as pt-BR")]
    Unknown(String),
}

/// The canonical form of a BCP-47 tag by CLDR's aliases, such as `he` for `iw`; extensions are left off.
///
/// # Errors
/// [`LanguageError`].
pub fn canonical(tag: &str) -> Result<Language, LanguageError> {
    let mut locale =
        Locale::try_from_str(tag).map_err(|_| LanguageError::Malformed(tag.to_owned()))?;
    // Both borrow data compiled into the program; making one costs nothing.
    LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
    let mut alone = LanguageIdentifier::from(locale.id.language);
    // A language CLDR knows has a likely script and region.
    if locale.id.language.is_unknown()
        || LocaleExpander::new_extended().maximize(&mut alone) == TransformResult::Unmodified
    {
        return Err(LanguageError::Unknown(tag.to_owned()));
    }
    Ok(Language(locale.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_case_and_extensions_are_made_canonical() {
        let tags = [
            ("pt-br", "pt-BR"),
            ("iw", "he"),
            ("en-US-u-hc-h12", "en-US"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("sh", "sr-Latn"),
            ("eng", "en"),
        ];
        for (given, wanted) in tags {
            assert_eq!(canonical(given), Ok(Language(wanted.to_owned())), "{given}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for tag in [
            "",
            "e",
            "english!",
            "pt_B_R_",
            "xx",
            "und",
            "zz-ZZ",
            "abcdefghi",
        ] {
            assert!(canonical(tag).is_err(), "{tag}");
        }
    }
}
