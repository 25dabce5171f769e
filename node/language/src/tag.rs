//! Tags: checked, canonical, and filled in.

use crate::LanguageError;
use icu_locale::{
    LanguageIdentifier, Locale, LocaleCanonicalizer, LocaleExpander, TransformResult,
};

/// The canonical form of a BCP-47 tag by CLDR's aliases, such as `he` for `iw`; extensions are left off.
///
/// # Errors
/// [`LanguageError::Malformed`] and [`LanguageError::Unknown`]. The undetermined language `und`, tags for private use
/// and most grandfathered ones are refused: nobody can be matched by them.
pub fn canonical(tag: &str) -> Result<String, LanguageError> {
    identified(tag).map(|id| id.to_string())
}

/// A canonical tag with its likely script and region filled in.
pub(crate) struct Resolved {
    pub(crate) tag: String,
    pub(crate) language: String,
    pub(crate) script: String,
    pub(crate) region: String,
}

impl Resolved {
    /// language-Script.
    pub(crate) fn key(&self) -> String {
        format!("{}-{}", self.language, self.script)
    }
}

/// Resolves a tag.
pub(crate) fn resolved(tag: &str) -> Result<Resolved, LanguageError> {
    let id = identified(tag)?;
    let mut full = id.clone();
    LocaleExpander::new_extended().maximize(&mut full);
    match (full.script, full.region) {
        (Some(script), Some(region)) => Ok(Resolved {
            tag: id.to_string(),
            language: full.language.to_string(),
            script: script.to_string(),
            region: region.to_string(),
        }),
        _ => Err(LanguageError::Unknown(tag.to_owned())),
    }
}

fn identified(tag: &str) -> Result<LanguageIdentifier, LanguageError> {
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
    Ok(locale.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_case_and_extensions_are_made_canonical() {
        let tags = [
            ("pt-br", "pt-BR"),
            ("iw", "he"),
            ("tl", "fil"),
            ("cmn", "zh"),
            ("mo", "ro"),
            ("sh", "sr-Latn"),
            ("no", "no"),
            ("nb", "nb"),
            ("en-US-u-hc-h12", "en-US"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("eng", "en"),
            ("art-lojban", "jbo"),
        ];
        for (given, wanted) in tags {
            assert_eq!(canonical(given).as_deref(), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused_as_malformed() {
        for tag in [
            "",
            " ",
            "e",
            "english!",
            "pt_B_R_",
            "abcdefghi",
            "i-klingon",
            "en-GB-oed",
            "x-private",
            "pt BR",
            "*",
        ] {
            assert_eq!(
                canonical(tag),
                Err(LanguageError::Malformed(tag.to_owned()))
            );
        }
    }

    #[test]
    fn what_nobody_speaks_is_refused_as_unknown() {
        for tag in [
            "xx",
            "und",
            "und-DE",
            "zz-ZZ",
            "mul",
            "zxx",
            "und-x-private",
        ] {
            assert_eq!(canonical(tag), Err(LanguageError::Unknown(tag.to_owned())));
        }
    }
}
