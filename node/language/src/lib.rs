//! Language tags, resolved to small integers and short strings before anything is proposed.
//!
//! The routing core decides the same on every replica and every time a log is replayed, so it must not read locale
//! data, which changes with every release. Here what someone speaks becomes a [`Variety`] and what a visitor asks for
//! becomes a [`Wanted`]; both are logged, and [`distance`] needs nothing else. There is no IO, clock or setting here.
//!
//! ```
//! use meridian_language::{FAR, NEAR, distance, spoken, wanted};
//!
//! let visitor = wanted("pt-BR")?;
//! assert_eq!(distance(&visitor, &spoken("pt")?), Some(0));
//! assert!(distance(&visitor, &spoken("pt-PT")?).is_some_and(|apart| apart <= NEAR));
//! assert_eq!(distance(&visitor, &spoken("es")?), None);
//! # Ok::<(), meridian_language::LanguageError>(())
//! ```
//!
//! # Distances
//! They are those of Unicode's enhanced language matching (UTS #35) over CLDR's table of [`CLDR_VERSION`], times ten:
//! language, script and region each add theirs where they differ. The tenth of a step is for ties: of varieties
//! that are equally far, one that stands for its neighbours (a *paradigm*: en, en-GB, es, es-419, pt-BR, pt-PT) is
//! nearer by one. 0 is the same language, script and region, however it was written.
//!
//! | wanted  | spoken  | distance | |
//! | ------- | ------- | -------: | - |
//! | pt-BR   | pt      |        0 | near: the same |
//! | nb      | no      |       10 | near |
//! | en-AU   | en-GB   |       29 | near |
//! | es-MX   | es-419  |       39 | near |
//! | en-AU   | en-IN   |       40 | near |
//! | zh-HK   | zh-MO   |       40 | near |
//! | ar-MA   | ar-DZ   |       40 | near |
//! | pt-BR   | pt-PT   |       49 | near |
//! | en-AU   | en-US   |       49 | near |
//! | sr-Latn | sr-Cyrl |       50 | near |
//! | zh-TW   | zh-HK   |       50 | near |
//! | hr      | bs      |       80 | near: neighbours in language and region |
//! | gsw     | de      |       80 | near, but not the other way: who writes gsw reads de |
//! | sr-Latn | sr-Cyrl-ME |    90 | near: another script and region |
//! | yue     | zh-HK   |      100 | far: another language of a family that shares its writing |
//! | nb      | da      |      120 | far: 80 for the language, as far as a form may be, and 40 for the country |
//! | id      | ms      |      140 | far |
//! | nn      | nb      |      200 | far |
//! | ca      | es      |      200 | far |
//! | cs      | sk      |      240 | far |
//! | ms      | id      |      340 | far |
//! | am      | en      |      439 | far: a second language, in another script that is commonly read |
//! | zh-TW   | zh-CN   |      540 | beyond: another script, of which CLDR says nothing |
//! | yue     | zh-CN   |      640 | beyond |
//! | sv      | nb      |     none | |
//! | es      | pt      |     none | |
//! | sr-Latn | hr      |     none | CLDR relates either with bs or with sh, but sh is called sr-Latn today |
//! | en      | cy      |     none | the rule for cy and en is one way |
//!
//! Danish is near for nobody who asks for Norwegian as it is written in Norway, but would be if both were written in
//! the same country (da-NO): the numbers of language and region are added, nothing more.

mod error;
mod groups;
mod list;
mod rule;
mod table;
mod tag;
mod variety;

#[cfg(test)]
mod drift;

pub use error::LanguageError;
pub use list::visitor_languages;
pub use table::CLDR_VERSION;
pub use tag::canonical;
pub use variety::{Variety, Wanted, cldr_distance, distance, spoken, wanted};

/// Up to here a variety is the same language in another form: another region (at most 50), another script that its
/// readers know as well (50), a standard so close that it counts like one (10 to 80), or two of these. At 100 CLDR
/// begins with other languages that only share a family and its writing.
pub const NEAR: u16 = 90;

/// Up to here a language is an acceptable fall-back: its speakers are taken to read it. At 500 stands what CLDR says of
/// scripts it does not relate, whose readers cannot be expected to read the other, and Unicode's own matcher stops
/// there too.
pub const FAR: u16 = 499;

/// From here on two languages have nothing in common: what CLDR says of languages it does not relate. Between [`FAR`]
/// and here lies the same language, or one related by a rule, in a script that CLDR does not relate: better than
/// nothing for some (zh-Hant and zh-Hans), not for others.
pub const REACH: u16 = 800;
