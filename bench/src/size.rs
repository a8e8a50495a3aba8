//! Byte sizes as people write them: `256MiB`, `64k`, `1_000_000`. Receives text, hands on a `u64`.

use core::fmt;
use core::str::FromStr;

/// One binary megabyte: the unit of every figure "per MiB".
pub const MIB: u64 = 1 << 20;

/// A number of bytes, written with a binary or decimal unit.
///
/// `K`, `KiB`, `M`, `MiB`, `G`, `GiB`, `T`, `TiB` are powers of 1024 (as in `dd`), `kB`, `MB`, `GB`, `TB` powers
/// of 1000; case is ignored, but the `i` or the `B` decides: `k`/`kib` is 1024 and `kb` is 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no number at the front.
    #[error("`{0}` does not begin with a whole number; write for example 256MiB")]
    Number(String),
    /// The unit is none we know.
    #[error("`{0}` is no unit; use B, KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000)")]
    Unit(String),
    /// The product does not fit 64 bits.
    #[error("`{0}` is more than 2^64 bytes")]
    TooBig(String),
}

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(split);
        let digits = digits.replace('_', "");
        if digits.is_empty() {
            return Err(ParseError::Number(text.to_owned()));
        }
        let number: u64 = digits.parse().map_err(|_| ParseError::TooBig(text.to_owned()))?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            other => return Err(ParseError::Unit(other.to_owned())),
        };
        number.checked_mul(factor).map(Size).ok_or_else(|| ParseError::TooBig(text.to_owned()))
    }
}

impl fmt::Display for Size {
    /// Writes the largest binary unit that divides the size exactly, so that the text parses back to the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (shift, unit) in units {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_they_say() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64k", 65536), ("64KiB", 65536), ("64kB", 64000), ("256MiB", 256 << 20)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        assert_eq!("1_000 MB".parse(), Ok(Size(1_000_000_000)));
    }

    #[test]
    fn nonsense_is_refused_and_never_wraps() {
        assert!(matches!("MiB".parse::<Size>(), Err(ParseError::Number(_))));
        assert!(matches!("3 miles".parse::<Size>(), Err(ParseError::Unit(_))));
        assert!(matches!("99999999TiB".parse::<Size>(), Err(ParseError::TooBig(_))));
        assert!(matches!("99999999999999999999999".parse::<Size>(), Err(ParseError::TooBig(_))));
    }

    #[test]
    fn display_parses_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 5 << 20, 3 << 30, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
