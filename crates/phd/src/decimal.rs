//! Decimal numbers that keep the digits they were written with.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Most digits after the point: 10^18 is the largest power of ten in an `i64`.
pub const MAX_SCALE: u8 = 18;

/// A text that is no decimal number of this form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("number: expected {expected}, got {got:?}")]
pub struct DecimalError {
    /// The rule.
    pub expected: &'static str,
    /// The text, cut to 80 characters.
    pub got: String,
}

/// A decimal number as text: `1.50` and `1.5` are two values, because the precision is clinical. Equal means the same
/// text; [`Decimal::compare`] compares as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    scale: u8,
}

impl Decimal {
    /// `mantissa` · 10^-`scale`; `None` when the scale is above [`MAX_SCALE`].
    #[must_use]
    pub fn new(mantissa: i64, scale: u8) -> Option<Self> {
        (scale <= MAX_SCALE).then_some(Self { mantissa, scale })
    }

    /// All its digits as one integer, with its sign.
    #[must_use]
    pub fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// Digits after the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The number in units of 10^-`scale`, exact. `scale` is at least its own and at most [`MAX_SCALE`].
    pub(crate) fn aligned(self, scale: u8) -> i128 {
        // Below 2^63 · 10^18 < 2^127.
        i128::from(self.mantissa) * power_of_ten(scale.saturating_sub(self.scale))
    }

    /// Order as numbers: `1.5` equals `1.50`.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.aligned(scale).cmp(&other.aligned(scale))
    }
}

/// 10^`exponent`, for exponents up to [`MAX_SCALE`].
pub(crate) fn power_of_ten(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent.min(MAX_SCALE)))
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// One text for each value: no plus sign, no needless zero in front, digits on both sides of a point, no exponent,
    /// no minus before a zero.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let refuse = |expected| DecimalError { expected, got: text.chars().take(80).collect() };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = match rest.split_once('.') {
            Some((whole, fraction)) if digits(fraction) => (whole, fraction),
            Some(_) => return Err(refuse("digits after the point")),
            None => (rest, ""),
        };
        if !digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(refuse("a decimal number such as 515, 8.50 or -0.5"));
        }
        let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= MAX_SCALE);
        let scale = scale.ok_or_else(|| refuse("at most 18 digits after the point"))?;
        let sign = if negative { "-" } else { "" };
        let mantissa: i64 =
            format!("{sign}{whole}{fraction}").parse().map_err(|_| refuse("at most 18 digits in all"))?;
        if negative && mantissa == 0 {
            return Err(refuse("no minus before a zero"));
        }
        Ok(Self { mantissa, scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if scale == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}
