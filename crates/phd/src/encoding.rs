//! Segment data: samples as bytes (`docs/protocol/segment-data.md`).

use crate::clock::ClockForm;
use crate::decimal::{Decimal, MAX_SCALE, power_of_ten};
use crate::samples::{CsvLayout, MAX_SAMPLES, Samples, SamplesError, Timing, field};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// First byte of the data.
const VERSION: u8 = 1;
/// Version and length of the body.
const PREFIX_BYTES: usize = 5;
/// Longest body in bytes: [`MAX_SAMPLES`] with offsets take a few bytes a column. Checked before anything is allocated.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Best ratio; a device compresses once and the chain's copies are kept for ever.
const LEVEL: u32 = 9;
const CRLF: u8 = 1;
const UNFINISHED: u8 = 2;
const HEADER: u8 = 4;
const CLOCK: u8 = 8;
const RATE: u8 = 0;
const OFFSETS: u8 = 1;

impl Samples {
    /// The data of a segment: version ‖ u32 length of the body ‖ raw DEFLATE of the body.
    ///
    /// # Errors
    /// [`SamplesError::Field`] when a rule of [`Samples::check`] fails or the body is too long.
    pub fn encode(&self) -> Result<Vec<u8>, SamplesError> {
        self.check()?;
        let body = write_body(self);
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY_BYTES);
        let length = length.ok_or_else(|| field("body", format!("at most {MAX_BODY_BYTES} bytes"), body.len()))?;
        let mut data = vec![VERSION];
        data.extend(length.to_be_bytes());
        deflate(&body, &mut data);
        Ok(data)
    }

    /// Reads what [`Samples::encode`] made, or any other DEFLATE of the same body.
    ///
    /// # Errors
    /// [`SamplesError::Form`] for bytes that are no encoding, [`SamplesError::Field`] for one whose samples break a rule.
    pub fn decode(data: &[u8]) -> Result<Self, SamplesError> {
        let body = inflate(data)?;
        let mut reader = Reader { rest: &body };
        let samples = read_body(&mut reader)?;
        if !reader.rest.is_empty() {
            return Err(form("end", "no bytes after the samples", format!("{} more", reader.rest.len())));
        }
        samples.check()?;
        Ok(samples)
    }
}

fn form(field: &'static str, expected: impl Into<String>, got: impl ToString) -> SamplesError {
    SamplesError::Form { field, expected: expected.into(), got: got.to_string() }
}

/// Raw DEFLATE of `body`, after what is in `out`.
pub(crate) fn deflate(body: &[u8], out: &mut Vec<u8>) {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    loop {
        // Grows with what is left, so the loop ends.
        out.reserve(body.len() / 2 + 64);
        let at = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let rest = body.get(at..).unwrap_or_default();
        let status = compress
            .compress_vec(rest, out, FlushCompress::Finish)
            .expect("compressing fails only without room, and room was made");
        if status == Status::StreamEnd {
            return;
        }
    }
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, SamplesError> {
    let (prefix, deflated) = data
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or_else(|| form("prefix", format!("at least {PREFIX_BYTES} bytes"), data.len()))?;
    let [version, length @ ..] = *prefix;
    if version != VERSION {
        return Err(form("version", VERSION.to_string(), version));
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_BODY_BYTES {
        return Err(form("length", format!("at most {MAX_BODY_BYTES}"), length));
    }
    // One more than announced, so that a longer stream shows; nothing is written beyond it.
    let mut body = Vec::with_capacity(length + 1);
    let mut inflater = Decompress::new(false);
    let ended = inflater.decompress_vec(deflated, &mut body, FlushDecompress::Finish);
    if !matches!(ended, Ok(Status::StreamEnd)) || body.len() != length {
        return Err(form("body", format!("a DEFLATE stream of {length} bytes"), "another or a broken one"));
    }
    let read = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
    if read != deflated.len() {
        return Err(form("end", "no bytes after the stream", format!("{} more", deflated.len() - read)));
    }
    Ok(body)
}

/// What is compressed.
pub(crate) fn write_body(samples: &Samples) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, &samples.code);
    put_text(&mut out, &samples.unit);
    put_varint(&mut out, samples.start_ms.into());
    put_varint(&mut out, samples.skipped.into());
    let layout = &samples.layout;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let ends = flag(layout.crlf, CRLF) | flag(!layout.final_newline, UNFINISHED);
    out.push(ends | flag(layout.header.is_some(), HEADER) | flag(layout.clock.is_some(), CLOCK));
    if let Some(header) = &layout.header {
        put_text(&mut out, header);
    }
    out.extend(layout.clock.map(ClockForm::to_byte));
    let count = u128::try_from(samples.len()).unwrap_or_default();
    match &samples.timing {
        Timing::Rate(hz) => {
            out.push(RATE);
            put_varint(&mut out, hz.mantissa().unsigned_abs().into());
            out.push(hz.scale());
            put_varint(&mut out, count);
        }
        Timing::Offsets(offsets) => {
            out.push(OFFSETS);
            put_varint(&mut out, count);
            put_column(&mut out, offsets, true);
        }
    }
    put_column(&mut out, &samples.values, false);
    out
}

/// A text of at most 255 bytes, as the rules of samples have it.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u128) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Largest scale, scales if they differ, then differences (or, of what runs evenly, differences of differences).
fn put_column(out: &mut Vec<u8>, values: &[Decimal], even: bool) {
    let top = values.iter().map(|value| value.scale()).max().unwrap_or(0);
    let mixed = values.iter().any(|value| value.scale() != top);
    out.extend([top, u8::from(mixed)]);
    if mixed {
        out.extend(values.iter().map(|value| value.scale()));
    }
    let (mut last, mut step) = (0i128, 0i128);
    for value in values {
        // |at| ≤ 2^63 · 10^18 < 2^123: neither difference nor its double leaves an i128.
        let at = value.aligned(top);
        let change = at - last - step;
        put_varint(out, ((change << 1) ^ (change >> 127)).cast_unsigned());
        if even {
            step = at - last;
        }
        last = at;
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, name: &'static str, len: usize) -> Result<&'a [u8], SamplesError> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| form(name, format!("{len} bytes"), self.rest.len()))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self, name: &'static str) -> Result<u8, SamplesError> {
        self.bytes(name, 1).map(|bytes| bytes[0])
    }

    fn text(&mut self, name: &'static str) -> Result<String, SamplesError> {
        let len = self.byte(name)?;
        let bytes = self.bytes(name, usize::from(len))?;
        String::from_utf8(bytes.to_vec()).map_err(|error| form(name, "UTF-8", error))
    }

    /// Shortest form only, so that a body has one encoding.
    fn varint(&mut self, name: &'static str) -> Result<u128, SamplesError> {
        let mut value = 0u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte(name)?;
            let part = u128::from(byte & 0x7f);
            if part << shift >> shift != part || (byte == 0 && shift > 0) {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(form(name, "a shortest varint of at most 128 bits", "another"))
    }

    fn integer<T: TryFrom<u128>>(&mut self, name: &'static str) -> Result<T, SamplesError> {
        let value = self.varint(name)?;
        T::try_from(value).map_err(|_| form(name, "an integer in its range", value))
    }
}

fn read_body(reader: &mut Reader<'_>) -> Result<Samples, SamplesError> {
    let (code, unit) = (reader.text("code")?, reader.text("unit")?);
    let (start_ms, skipped) = (reader.integer("start")?, reader.integer("skipped")?);
    let flags = reader.byte("layout")?;
    if flags & !(CRLF | UNFINISHED | HEADER | CLOCK) != 0 {
        return Err(form("layout", "known bits", flags));
    }
    let header = if flags & HEADER == 0 { None } else { Some(reader.text("header")?) };
    let clock = match flags & CLOCK {
        0 => None,
        _ => {
            let byte = reader.byte("clock")?;
            Some(ClockForm::from_byte(byte).ok_or_else(|| form("clock", "a form of at most 9 digits", byte))?)
        }
    };
    let layout = CsvLayout { header, crlf: flags & CRLF != 0, final_newline: flags & UNFINISHED == 0, clock };
    let (timing, count) = match reader.byte("timing")? {
        RATE => {
            let (mantissa, scale) = (reader.integer("rate")?, reader.byte("rate")?);
            let hz = Decimal::new(mantissa, scale).ok_or_else(|| form("rate", "a scale of 0 to 18", scale))?;
            (Timing::Rate(hz), read_count(reader)?)
        }
        OFFSETS => {
            let count = read_count(reader)?;
            (Timing::Offsets(read_column(reader, "offsets", count, true)?), count)
        }
        other => return Err(form("timing", "0 or 1", other)),
    };
    let values = read_column(reader, "values", count, false)?;
    Ok(Samples { code, unit, start_ms, skipped, timing, values, layout })
}

fn read_count(reader: &mut Reader<'_>) -> Result<usize, SamplesError> {
    let count: usize = reader.integer("count")?;
    // Each value takes a byte at least: a count that lies allocates nothing.
    let most = MAX_SAMPLES.min(reader.rest.len());
    if (1..=most).contains(&count) { Ok(count) } else { Err(form("count", format!("1 to {most}"), count)) }
}

fn read_column(
    reader: &mut Reader<'_>,
    name: &'static str,
    count: usize,
    even: bool,
) -> Result<Vec<Decimal>, SamplesError> {
    let (top, mixed) = (reader.byte(name)?, reader.byte(name)?);
    let scales = match mixed {
        0 => None,
        1 => Some(reader.bytes(name, count)?),
        other => return Err(form(name, "0 or 1", other)),
    };
    let fits = scales.is_none_or(|all| all.iter().max() == Some(&top) && all.iter().any(|scale| *scale != top));
    if top > MAX_SCALE || !fits {
        return Err(form(name, "scales up to 18, the largest first, listed if they differ", top));
    }
    let out_of_range = || form(name, "numbers of 63 bits at their scale", "another");
    let (mut last, mut step) = (0i128, 0i128);
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let coded = reader.varint(name)?;
        let change = (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed());
        let at = last.checked_add(step).and_then(|at| at.checked_add(change)).ok_or_else(out_of_range)?;
        let scale = scales.map_or(top, |all| all[index]);
        let unit = power_of_ten(top - scale);
        let mantissa = i64::try_from(at / unit).ok().filter(|_| at % unit == 0).ok_or_else(out_of_range)?;
        if even {
            step = at - last;
        }
        last = at;
        values.push(Decimal::new(mantissa, scale).ok_or_else(out_of_range)?);
    }
    Ok(values)
}
