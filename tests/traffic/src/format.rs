//! The small words of the organisation's file: days, times of day, durations, levels, regions. Each
//! reads and writes as a short string.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use serde::{Deserialize, Serialize};

/// Why a word of the file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not one of the words that are known.
    #[error("'{given}' is not one of: {known}")]
    Unknown {
        /// What was given.
        given: String,
        /// The words that are known.
        known: String,
    },
    /// Not a time of day.
    #[error("'{0}' is not a time of day; give 00:00 to 23:59")]
    Time(String),
    /// Not a duration.
    #[error("'{0}' is not a duration; give whole numbers with h, m, s or ms, such as 2m40s")]
    Duration(String),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = FormatError;
            fn from_str(text: &str) -> Result<Self, FormatError> {
                let found = Self::ALL.iter().find(|v| v.as_str() == text);
                found.copied().ok_or_else(|| FormatError::Unknown {
                    given: text.to_owned(),
                    known: [$($word),+].join(", "),
                })
            }
        }
    };
}

words! {
    /// A region of the organisation and of the cluster.
    RegionId {
        /// Europe, Africa and Western Asia.
        Eu = "eu",
        /// The Americas.
        Us = "us",
        /// The rest of Asia, and Oceania.
        Ap = "ap",
    }
}
words! {
    /// A day of the week.
    Day {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
        /// Saturday.
        Sat = "sat",
        /// Sunday.
        Sun = "sun",
    }
}
words! {
    /// How well someone speaks a language; a later one is better.
    Level {
        /// Through machine translation.
        Translated = "translated",
        /// Gets by.
        Working = "working",
        /// At ease.
        Fluent = "fluent",
        /// Mother tongue.
        Native = "native",
    }
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        Self::ALL[day.to_monday_zero_offset() as usize]
    }
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

/// A local time of day in whole minutes, written `09:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

impl TimeOfDay {
    /// The full hour; taken modulo 24.
    pub const fn hour(hour: u16) -> Self {
        Self {
            minutes: hour % 24 * 60,
        }
    }

    /// Minutes since local midnight, 0..=1439.
    pub const fn minutes(self) -> u16 {
        self.minutes
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let two_digits = |s: &str| {
            let digits = s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| s.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = text
            .split_once(':')
            .and_then(|(h, m)| Some((two_digits(h)?, two_digits(m)?)))
            .filter(|(h, m)| *h < 24 && *m < 60)
            .ok_or_else(|| FormatError::Time(text.to_owned()))?;
        let minutes = hour * 60 + minute;
        Ok(Self { minutes })
    }
}

/// A length of time in milliseconds, written `20s`, `2m40s` or `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    /// Milliseconds.
    pub ms: u64,
}

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    /// Nothing.
    pub const ZERO: Self = Self { ms: 0 };

    /// Whole seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self { ms: seconds * 1000 }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut left = self.ms;
        for (unit, ms) in UNITS {
            if left >= ms {
                write!(f, "{}{unit}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}

impl FromStr for Duration {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let refused = || FormatError::Duration(text.to_owned());
        let (mut rest, mut ms, mut smallest) = (text, 0u64, u64::MAX);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| refused())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = UNITS.iter().find(|(u, _)| *u == &rest[..letters]);
            // Units fall from left to right, so that 1m2m or 5s1h is refused as a slip of the pen.
            let (_, unit) = unit.filter(|(_, u)| *u < smallest).ok_or_else(refused)?;
            let part = number.checked_mul(*unit).ok_or_else(refused)?;
            (ms, smallest) = (ms.checked_add(part).ok_or_else(refused)?, *unit);
            rest = &rest[letters..];
        }
        if smallest == u64::MAX {
            return Err(refused());
        }
        Ok(Self { ms })
    }
}

macro_rules! as_string {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
        impl TryFrom<String> for $name {
            type Error = FormatError;
            fn try_from(text: String) -> Result<Self, FormatError> {
                text.parse()
            }
        }
    };
}
as_string!(TimeOfDay);
as_string!(Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_and_slips_are_refused() {
        for (text, ms) in [
            ("0s", 0),
            ("20s", 20_000),
            ("2m40s", 160_000),
            ("1h5ms", 3_600_005),
        ] {
            assert_eq!(text.parse(), Ok(Duration { ms }));
            assert_eq!(Duration { ms }.to_string(), text);
        }
        for text in [
            "",
            "20",
            "s",
            "-1s",
            "1.5s",
            "1m2m",
            "5s1h",
            "9 s",
            "1d",
            "99999999999999h",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_day_read_back_and_slips_are_refused() {
        for text in ["00:00", "09:05", "23:59"] {
            assert_eq!(
                text.parse::<TimeOfDay>().map(|t| t.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["24:00", "9:00", "09:60", "0900", "", "+9:00"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_agree_with_the_calendar() {
        for day in Day::ALL {
            assert_eq!(Day::from(Weekday::from(*day)), *day);
        }
        assert_eq!("wed".parse(), Ok(Day::Wed));
        assert!("Wed".parse::<Day>().is_err());
    }
}
