//! Decimals, samples, and their decoders against any bytes.

use super::{any_decimal, any_samples, decimal, decimals, pulse, timed};
use crate::encoding::MAX_BODY_BYTES;
use crate::samples::END_OF_TIME_MS;
use crate::{ClockForm, Coverage, Decimal, Samples, SamplesError, SeqRange, Timing};
use proptest::prelude::*;

#[test]
fn decimals_keep_their_digits_and_have_one_text() {
    for text in ["0", "515", "8.54790319355", "-0.50", "0.000000000000000001", "-9223372036854775808", "1.50", "0.0"] {
        assert_eq!(decimal(text).to_string(), text);
    }
    assert_ne!(decimal("1.5"), decimal("1.50"));
    assert!(decimal("1.5").compare(decimal("1.50")).is_eq());
    assert!(decimal("-1").compare(decimal("-0.999")).is_lt());
    let wrong =
        ["", "-", "+1", "01", "-00", "1.", ".5", "1e5", "-0", "-0.00", "1 ", "１", "0x1", "NaN", "1.2.3", "1,5"];
    for text in wrong.into_iter().chain(["9223372036854775808", "0.0000000000000000001"]) {
        assert!(text.parse::<Decimal>().is_err(), "{text:?}");
    }
}

#[test]
fn times_are_exact_to_the_microsecond() {
    let start = 1_750_000_000_000_000;
    assert_eq!((0..4).map(|at| pulse().time_us(at) - start).collect::<Vec<_>>(), [0, 10_000, 20_000, 30_000]);
    assert_eq!((0..4).map(|at| timed().time_us(at) - start).collect::<Vec<_>>(), [0, 8_547, 17_095, 17_095]);
    let slow = Samples { timing: Timing::Rate(decimal("0.3")), ..pulse() };
    assert_eq!(slow.time_us(1) - start, 3_333_333);
    // A segment begins where the one before it ends, whatever the rate: times count from the recording's start.
    let rest = slow.slice(2..9);
    assert_eq!((rest.skipped, rest.len(), rest.time_us(0)), (2, 2, slow.time_us(2)));
    assert_eq!(timed().slice(1..3).time_us(1), timed().time_us(2));
    assert_eq!(pulse().end_us(), pulse().time_us(3));
    assert_eq!(pulse().time_us(99), pulse().end_us());
    let ms = 1_750_000_000_000;
    assert_eq!(pulse().between(Some(ms + 10), Some(ms + 30)), 1..3);
    assert_eq!(pulse().between(None, None), 0..4);
    assert_eq!(pulse().between(Some(ms + 31), None), 4..4);
    assert_eq!(pulse().between(Some(ms + 20), Some(ms)), 2..2);
}

#[test]
fn what_breaks_a_rule_is_not_encoded() {
    let fault = |change: &dyn Fn(&mut Samples), samples: Samples| {
        let mut samples = samples;
        change(&mut samples);
        match samples.encode() {
            Err(SamplesError::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    let offsets = |texts: &[&str]| Timing::Offsets(decimals(texts));
    assert_eq!(fault(&|s| s.code.clear(), pulse()), "code");
    assert_eq!(fault(&|s| s.code = "8867 4".into(), pulse()), "code");
    assert_eq!(fault(&|s| s.unit = "\"".into(), pulse()), "unit");
    assert_eq!(fault(&|s| s.unit = "x".repeat(65), pulse()), "unit");
    assert_eq!(fault(&|s| s.values.clear(), pulse()), "values");
    assert_eq!(fault(&|s| s.timing = Timing::Rate(decimal("0")), pulse()), "rate");
    assert_eq!(fault(&|s| s.timing = Timing::Rate(decimal("-1")), pulse()), "rate");
    assert_eq!(fault(&|s| s.timing = Timing::Rate(decimal("1.0000000001")), pulse()), "rate");
    assert_eq!(fault(&|s| s.skipped = 1, timed()), "skipped");
    assert_eq!(fault(&|s| s.timing = offsets(&["1", "2", "3"]), timed()), "offsets");
    assert_eq!(fault(&|s| s.timing = offsets(&["-1", "2", "3", "4"]), timed()), "offsets");
    assert_eq!(fault(&|s| s.timing = offsets(&["1", "2", "1.99", "4"]), timed()), "offsets");
    assert_eq!(fault(&|s| s.start_ms = END_OF_TIME_MS, pulse()), "time");
    assert_eq!(fault(&|s| s.skipped = u64::MAX, pulse()), "time");
    assert_eq!(fault(&|s| s.layout.header = Some("a\nb".into()), pulse()), "header");
    assert_eq!(fault(&|s| s.layout.clock = ClockForm::from_byte(6), pulse()), "clock");
    assert_eq!(fault(&|s| s.layout.header = Some("x".repeat(256)), pulse()), "header");
}

#[test]
fn a_length_that_lies_allocates_nothing_and_is_refused() {
    let data = pulse().encode().unwrap();
    let spoiled = |at: usize, byte: u8| {
        let mut data = data.clone();
        data[at] = byte;
        Samples::decode(&data)
    };
    assert!(matches!(spoiled(0, 2), Err(SamplesError::Form { field: "version", .. })));
    assert!(matches!(spoiled(1, 0xff), Err(SamplesError::Form { field: "length", .. })));
    assert!(matches!(spoiled(4, data[4] + 1), Err(SamplesError::Form { field: "body", .. })));
    assert!(matches!(spoiled(4, data[4] - 1), Err(SamplesError::Form { field: "body", .. })));
    let longer = [data.as_slice(), &[0]].concat();
    assert!(matches!(Samples::decode(&longer), Err(SamplesError::Form { field: "end", .. })));
    // A count far above what the body can hold.
    let mut body = crate::encoding::write_body(&pulse());
    let at = body.iter().rposition(|byte| *byte == 4).unwrap();
    body.splice(at..=at, [0xff; 8].into_iter().chain([0x7f]));
    let mut lying = vec![1];
    lying.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    crate::encoding::deflate(&body, &mut lying);
    assert!(matches!(Samples::decode(&lying), Err(SamplesError::Form { field: "count", .. })));
    // A bomb: a stream that inflates to more than it says.
    let mut bomb = vec![1];
    bomb.extend(u32::try_from(MAX_BODY_BYTES).unwrap().to_be_bytes());
    crate::encoding::deflate(&vec![0; MAX_BODY_BYTES + 1_000_000], &mut bomb);
    assert!(bomb.len() < 100_000);
    assert!(matches!(Samples::decode(&bomb), Err(SamplesError::Form { field: "body", .. })));
}

#[test]
fn a_regular_waveform_takes_about_a_byte_a_sample() {
    let values: Vec<Decimal> = (0..6_000i64).map(|at| Decimal::new(500 + (at % 97) * 3, 0).unwrap()).collect();
    let samples = Samples { values, ..pulse() };
    assert!(samples.encode().unwrap().len() < 6_000);
}

#[test]
fn gaps_and_overlaps_are_found() {
    let ranges = |list: &[(u64, u64)]| -> Vec<SeqRange> {
        list.iter().map(|(first_seq, count)| SeqRange { first_seq: *first_seq, count: *count }).collect()
    };
    let coverage = Coverage::of(&[(30, 5), (0, 10), (15, 5), (10, 2), (20, 0)]);
    assert_eq!(coverage, Coverage { gaps: ranges(&[(12, 3), (20, 10)]), overlaps: vec![] });
    let coverage = Coverage::of(&[(0, 10), (5, 10), (7, 2), (u64::MAX - 1, 1)]);
    assert_eq!(coverage, Coverage { gaps: ranges(&[(15, u64::MAX - 16)]), overlaps: ranges(&[(5, 5)]) });
    assert_eq!(Coverage::of(&[]), Coverage::default());
}

proptest! {
    #[test]
    fn any_number_comes_back(number in any_decimal()) {
        // A minus before a zero has no value of its own.
        prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number));
    }

    #[test]
    fn any_text_is_a_number_or_not(text in "[-+]?[0-9]{0,22}\\.?[0-9]{0,22}") {
        if let Ok(number) = text.parse::<Decimal>() {
            prop_assert_eq!(number.to_string(), text);
        }
    }

    #[test]
    fn samples_come_back(samples in any_samples()) {
        prop_assert_eq!(Samples::decode(&samples.encode().unwrap()), Ok(samples));
    }

    #[test]
    fn any_bytes_are_answered(version in 0u8..3, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Samples::decode(&body);
        // Behind a stream that holds.
        let mut data = vec![version];
        data.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        crate::encoding::deflate(&body, &mut data);
        if let Ok(samples) = Samples::decode(&data) {
            prop_assert_eq!(crate::encoding::write_body(&samples), body, "a body has one encoding");
        }
    }

    #[test]
    fn a_changed_body_is_answered(samples in any_samples(), at: prop::sample::Index, with: u8) {
        let mut body = crate::encoding::write_body(&samples);
        let at = at.index(body.len());
        body[at] = with;
        let mut data = vec![1];
        data.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        crate::encoding::deflate(&body, &mut data);
        if let Ok(samples) = Samples::decode(&data) {
            prop_assert_eq!(crate::encoding::write_body(&samples), body);
        }
    }

    #[test]
    fn coverage_agrees_with_counting(list in proptest::collection::vec((0u64..40, 0u32..8), 0..12)) {
        let times = |seq: u64| list.iter().filter(|(first, count)| (*first..first + u64::from(*count)).contains(&seq)).count();
        let held = |ranges: &[SeqRange], seq: u64| ranges.iter().any(|range| (range.first_seq..range.first_seq + range.count).contains(&seq));
        let coverage = Coverage::of(&list);
        let covered: Vec<u64> = (0..60).filter(|seq| times(*seq) > 0).collect();
        for seq in 0..60 {
            let inside = covered.first().is_some_and(|first| *first <= seq) && covered.last().is_some_and(|last| seq <= *last);
            prop_assert_eq!(held(&coverage.gaps, seq), inside && times(seq) == 0, "gap at {}", seq);
            prop_assert_eq!(held(&coverage.overlaps, seq), times(seq) > 1, "overlap at {}", seq);
        }
    }
}
