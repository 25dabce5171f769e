/// Why a language, or a list of languages, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// Not a BCP-47 tag.
    #[error("'{0}' is not a language tag; use BCP-47, such as pt-BR")]
    Malformed(String),
    /// Well formed, but no language that CLDR knows.
    #[error("'{0}' is not a known language; use BCP-47, such as pt-BR")]
    Unknown(String),
    /// What follows a tag in a list is not its weight.
    #[error(
        "'{0}' is not a weight; use q=0 to q=1 with at most three digits after the point, such as q=0.8"
    )]
    Weight(String),
    /// One entry of a list is wrong.
    #[error("entry {position} of the language list: {error}")]
    Entry {
        /// Where, counted from 1 by commas.
        position: usize,
        /// What is wrong with it.
        error: Box<LanguageError>,
    },
    /// A list longer than any client sends.
    #[error(
        "the language list has {length} bytes; send at most {limit}, the languages liked best first"
    )]
    TooLong {
        /// Its length.
        length: usize,
        /// The most that is read.
        limit: usize,
    },
}
