//! Times in a file as a device writes them: `2016-11-24 13:58:58.081000`.

use crate::decimal::{Decimal, power_of_ten};
use crate::samples::END_OF_TIME_MS;
use time::{Date, Month, PrimitiveDateTime, Time};

/// Nanoseconds are the finest that such a time holds.
const MAX_DIGITS: usize = 9;

/// How the times of a column are written. They are taken as UTC, with or without a `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockForm {
    /// `T` between date and time, not a space.
    pub t: bool,
    /// `Z` at the end.
    pub zulu: bool,
    /// Digits of the second after the point, at most 9.
    pub digits: u8,
    /// A second without a fraction has no point either.
    pub bare: bool,
}

/// A time of day and date, nanoseconds since the epoch, and how it is written.
fn parse(text: &str) -> Option<(i128, ClockForm)> {
    let (text, zulu) = text.strip_suffix('Z').map_or((text, false), |rest| (rest, true));
    let (head, fraction) = text.split_once('.').map_or((text, None), |(head, fraction)| (head, Some(fraction)));
    let bytes = head.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let placed = bytes.len() == 19 && separators.iter().all(|(at, byte)| bytes[*at] == *byte);
    let t = match bytes.get(10) {
        Some(b'T') => true,
        Some(b' ') => false,
        _ => return None,
    };
    if !placed {
        return None;
    }
    let number = |from: usize, to: usize| {
        let part = head.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<u16>().ok()
    };
    let small = |from, to| number(from, to).and_then(|value| u8::try_from(value).ok());
    let date =
        Date::from_calendar_date(number(0, 4)?.into(), Month::try_from(small(5, 7)?).ok()?, small(8, 10)?).ok()?;
    let time = Time::from_hms(small(11, 13)?, small(14, 16)?, small(17, 19)?).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    let (nanos, digits) = match fraction {
        None => (0, 0),
        Some(digits) => {
            let plain = (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let value: i128 = digits.parse().ok().filter(|_| plain)?;
            let digits = u8::try_from(digits.len()).ok()?;
            (value * power_of_ten(9 - digits), digits)
        }
    };
    let form = ClockForm { t, zulu, digits, bare: fraction.is_none() };
    (seconds >= 0).then_some((i128::from(seconds) * 1_000_000_000 + nanos, form))
}

impl ClockForm {
    /// The form of a column, its start in ms since the epoch, and the times of its rows as milliseconds after that.
    /// `Err` with the 0-based row that is no such time, is written in another form, or is before the start.
    pub(crate) fn read(cells: &[&str]) -> Result<(Self, u64, Vec<Decimal>), usize> {
        let parsed =
            cells.iter().enumerate().map(|(row, cell)| parse(cell).ok_or(row)).collect::<Result<Vec<_>, _>>()?;
        let (first, form) = *parsed.first().ok_or(0_usize)?;
        let fractions = parsed.iter().find(|(_, form)| !form.bare);
        // Where no row has a fraction, a point is never written.
        let digits = fractions.map_or(0, |(_, form)| form.digits);
        let bare = parsed.iter().any(|(_, form)| form.bare);
        let form = Self { digits, bare, ..form };
        let start_ms = u64::try_from(first / 1_000_000).map_err(|_| 0_usize)?;
        let scale = digits.saturating_sub(3);
        let offset = |nanos: i128| {
            let after = nanos - i128::from(start_ms) * 1_000_000;
            i64::try_from(after / power_of_ten(6 - scale)).ok().and_then(|mantissa| Decimal::new(mantissa, scale))
        };
        let mut offsets = Vec::with_capacity(cells.len());
        for (row, (nanos, _)) in parsed.iter().enumerate() {
            let offset = offset(*nanos).filter(|offset| offset.mantissa() >= 0).ok_or(row)?;
            if form.write(start_ms, offset) != cells[row] {
                return Err(row);
            }
            offsets.push(offset);
        }
        Ok((form, start_ms, offsets))
    }

    /// The text of a time `offset` milliseconds after `start_ms`. Digits that the form has not are cut.
    pub(crate) fn write(self, start_ms: u64, offset: Decimal) -> String {
        let after = i128::from(offset.mantissa()) * 1_000_000 / power_of_ten(offset.scale());
        let nanos = (i128::from(start_ms.min(END_OF_TIME_MS)) * 1_000_000).saturating_add(after);
        let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        let time = i64::try_from(seconds).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
        let Some(time) = time else { return format!("{seconds} s") };
        let digits = usize::from(self.digits.min(9));
        let fraction = nanos / power_of_ten(9 - self.digits.min(9));
        let fraction = match (digits, self.bare && fraction == 0) {
            (0, _) | (_, true) => String::new(),
            _ => format!(".{fraction:0digits$}"),
        };
        let (separator, end) = (if self.t { 'T' } else { ' ' }, if self.zulu { "Z" } else { "" });
        format!(
            "{:04}-{:02}-{:02}{separator}{:02}:{:02}:{:02}{fraction}{end}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }

    /// One byte: digits, `t` bit 4, `zulu` bit 5, `bare` bit 6.
    pub(crate) fn to_byte(self) -> u8 {
        self.digits | u8::from(self.t) << 4 | u8::from(self.zulu) << 5 | u8::from(self.bare) << 6
    }

    /// Reads the byte; `None` for one that no form has.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        let form = Self { t: byte & 16 != 0, zulu: byte & 32 != 0, digits: byte & 15, bare: byte & 64 != 0 };
        (usize::from(form.digits) <= MAX_DIGITS && form.to_byte() == byte).then_some(form)
    }
}
