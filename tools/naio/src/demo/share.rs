//! A share of all frames, as people write it: `1%`. Receives text, hands on frames of 10 000.

use std::fmt;
use std::str::FromStr;

/// Frames of 10 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) u32);

/// Text that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share of the frames; write for example 1% or 0.5%")]
pub(crate) struct ShareError(String);

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
            Some(percent) => Ok(Share((percent * 100.0).round() as u32)),
            None => Err(ShareError(text.to_owned())),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_to_a_hundredth_of_a_percent_and_nonsense_is_refused() {
        for (text, share) in [("1%", 100), ("0.01%", 1), ("100%", 10_000), ("0%", 0)] {
            assert_eq!(text.parse(), Ok(Share(share)));
            assert_eq!(Share(share).to_string(), text);
        }
        for text in ["", "1", "%", "-1%", "101%", "NaN%", "much"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
