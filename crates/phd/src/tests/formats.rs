//! CSV in; CSV, JSON Lines and FHIR out.

use super::{any_samples, chain, decimal, pulse, secret, timed};
use crate::formats::{CsvError, Format, lines, read_csv, rfc3339, write_csv, write_fhir, write_jsonl};
use crate::{Carriage, ClockForm, Decimal, Samples, Timing, prepare_segment, unseal};
use proptest::prelude::*;

/// Reads, cuts, seals, opens and writes again.
fn there_and_back(text: &str, per_segment: usize) -> String {
    let table = read_csv(text).unwrap();
    let parts = table.segments("8867-4", "", 1_750_000_000_000, Some(decimal("100")), per_segment).unwrap();
    let mut first = 0;
    let mut opened = vec![];
    for part in &parts {
        let segment = prepare_segment(&chain(), &secret(3), first, part, Carriage::Blob, 1).unwrap();
        let (_, data) = unseal(&segment.key, &segment.place, &segment.sealed, &segment.content).unwrap();
        opened.push((first, Samples::decode(&data).unwrap()));
        first += u64::from(segment.place.count);
    }
    write_csv(&opened.iter().map(|(first, samples)| (*first, samples)).collect::<Vec<_>>())
}

#[test]
fn a_file_comes_back_byte_for_byte() {
    for text in [
        "530\n518\n506\n",
        "530\r\n518\r\n506\r\n",
        "530\n518",
        "530",
        "hr\n72.50\n-0.5\n",
        "timer,hr\r\n0.0,515\r\n8.54790319355,514\r\n17.0958063871,514",
        "\u{feff}timer,hr\n0,1\n0,2\n",
        "0,1\n0.5,2\n",
        "Zeit [ms], µV\n0,1\n",
        "datetime,hr\n2016-11-24 13:58:58.081000,514\n2016-11-24 13:58:59,514\n2016-11-24 13:58:59.000001,5.0\n",
        "2016-11-24T13:58:58.1Z,1\r\n2016-11-24T13:58:58.9Z,2\r\n",
        "2016-02-29 23:59:59,1\n2016-03-01 00:00:00,2",
        "2100-01-01 00:00:00,1\n2100-02-28 23:59:59,2\n",
        "1970-01-01 00:00:00.000000000,1\n1970-01-02 23:59:59.999999999,2\n",
    ] {
        for per_segment in [1, 2, 1_000] {
            assert_eq!(there_and_back(text, per_segment), text, "{per_segment} a segment");
        }
    }
}

#[test]
fn dates_say_when_it_began() {
    let table = read_csv("t,v\n2025-06-15 15:06:40.123456,1\n2025-06-15 15:06:41.000000,2\n").unwrap();
    assert_eq!(table.start_ms, Some(1_750_000_000_123));
    let samples = table.segments("8867-4", "", 5, None, 9).unwrap().remove(0);
    assert_eq!((samples.time_us(0), samples.time_us(1)), (1_750_000_000_123_456, 1_750_000_001_000_000));
}

/// The sample waveforms, where they are at hand.
#[test]
fn real_waveforms_come_back_byte_for_byte() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/phd");
    for (name, rows) in [("ppg-100hz.csv", 2_483), ("ppg-117hz-timed.csv", 15_000)] {
        let Ok(text) = std::fs::read_to_string(format!("{folder}/{name}")) else { continue };
        assert_eq!(read_csv(&text).unwrap().values.len(), rows);
        assert!(there_and_back(&text, 6_000) == text, "{name} differs");
        let data = read_csv(&text).unwrap().segments("8867-4", "", 0, Some(decimal("100")), 1 << 20).unwrap();
        let bytes = data[0].encode().unwrap().len();
        assert!(bytes * 2 < text.len(), "{name}: {bytes} bytes for {}", text.len());
    }
}

#[test]
fn what_could_not_be_written_again_is_refused_by_line() {
    let at = |text: &str| match read_csv(text) {
        Err(CsvError { line, .. }) => line,
        Ok(table) => panic!("{text:?} was read as {table:?}"),
    };
    for (text, line) in [
        ("", 1),
        ("hr\n", 2),
        ("hr", 2),
        ("1\n\n2\n", 2),
        ("1\n2\n\n", 3),
        ("1\n2\r\n", 2),
        ("1\r\n2\n3\r\n", 2),
        ("1\n+2\n", 2),
        ("1\n2.\n", 2),
        ("1\n1e3\n", 2),
        ("1\n-0\n", 2),
        ("1\n 2\n", 2),
        ("1\n\"2\"\n", 2),
        ("5x0\n2\n", 1),
        ("\u{feff}530\n2\n", 1),
        (".5\n1\n", 1),
        ("a,b\n1\n", 2),
        ("hr\n1,2\n", 2),
        ("1,2\n3\n", 2),
        ("1,2,3\n", 1),
        ("a,b,c\n1,2,3\n", 2),
        ("0,1\n2,2\n1.99,3\n", 3),
        ("-1,1\n", 1),
        ("t\t,x\n1,2\n", 1),
        ("2016-11-24 13:58:58.08,1\n2016-11-24 13:58:59.081,2\n", 2),
        ("2016-11-24 13:58:58.08,1\n2016-11-24 13:58:59.00,2\n2016-11-24 13:59:00,3\n", 2),
        ("2016-11-24 13:58:58.08,1\n2016-11-24T13:58:59.08,2\n", 2),
        ("2016-11-24 13:58:58,1\n2016-11-24 13:58:57,2\n", 2),
        ("2016-11-24 13:58:58,1\n5,2\n", 2),
        ("2015-02-29 13:58:58,1\n", 1),
        ("2016-11-24 24:00:00,1\n", 1),
        ("2016-11-24 13:58:58+01:00,1\n", 1),
        ("1969-12-31 23:59:59,1\n", 1),
        ("13:58:58,1\n", 1),
    ] {
        assert_eq!(at(text), line, "{text:?}");
    }
    let table = read_csv("1\n2\n").unwrap();
    assert!(table.segments("8867-4", "", 0, None, 5).is_err(), "no rate");
    let error = read_csv("1\ntwo\n").unwrap_err().to_string();
    assert!(error.starts_with("line 2: expected") && error.contains("\"two\""), "{error}");
}

#[test]
fn segments_of_other_files_keep_their_headers() {
    let (a, b) = (pulse(), timed());
    let text = write_csv(&[(0, &a), (4, &b), (8, &b)]);
    assert_eq!(text.matches("timer,hr\r\n").count(), 1);
    assert!(text.starts_with("530\n518\n506\n494.5\ntimer,hr\r\n0.0,530\r\n"), "{text}");
    assert_eq!(write_csv(&[]), "");
    let mut open = pulse();
    open.layout.final_newline = false;
    assert_eq!(write_csv(&[(0, &open), (4, &open)]), "530\n518\n506\n494.5\n530\n518\n506\n494.5");
}

#[test]
fn every_line_knows_its_segment_and_reading() {
    let (a, b) = (pulse(), timed());
    let placed = |format| -> Vec<(Option<usize>, Option<usize>)> {
        let lines = lines(format, &chain(), &secret(3).public(), &[(0, &a), (4, &b)]);
        lines.iter().map(|line| (line.segment, line.index)).collect()
    };
    let csv = placed(Format::Csv);
    assert_eq!((csv.len(), csv[3], csv[4], csv[5]), (9, (Some(0), Some(3)), (Some(1), None), (Some(1), Some(0))));
    let jsonl = placed(Format::Jsonl);
    assert_eq!((jsonl.len(), jsonl[4]), (8, (Some(1), Some(0))));
    let fhir = placed(Format::Fhir);
    assert_eq!((fhir.len(), fhir[0], fhir[1], fhir[5]), (7, (None, None), (Some(0), None), (Some(1), Some(3))));
}

#[test]
fn lines_of_json_hold_number_time_and_digits() {
    let text = write_jsonl(&[(7, &timed())]);
    let lines: Vec<&str> = text.lines().collect();
    let second = r#"{"seq":8,"time":"2025-06-15T15:06:40.008547Z","code":"8867-4","value":518,"unit":"/min"}"#;
    assert_eq!((lines.len(), lines[1]), (4, second));
    assert!(lines[3].contains(r#""seq":10"#) && lines[3].contains(r#""value":494.5,"#));
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert!(!rfc3339(u64::MAX).is_empty());
}

#[test]
fn fhir_has_sampled_data_at_a_rate_and_one_observation_a_time() {
    let device = secret(3).public();
    let text = write_fhir(&chain(), &device, &[(7, &pulse()), (11, &timed())]);
    let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!((bundle["resourceType"].as_str(), entries.len()), (Some("Bundle"), 5));
    let sampled = &entries[0]["resource"];
    assert_eq!(sampled["valueSampledData"]["data"], "530 518 506 494.5");
    assert_eq!(sampled["valueSampledData"]["period"], 10);
    assert_eq!(sampled["effectivePeriod"]["end"], "2025-06-15T15:06:40.03Z");
    assert_eq!(sampled["identifier"][0]["value"], format!("{}/{device}/7", chain()));
    assert_eq!(sampled["code"]["coding"][0]["code"], "8867-4");
    assert!(text.contains(r#""effectiveInstant":"2025-06-15T15:06:40.008547Z","valueQuantity":{"value":518,"#));
    assert!(entries[4]["resource"]["identifier"][0]["value"].as_str().unwrap().ends_with("/14"));
    let period = |rate: &str| {
        let samples = Samples { unit: String::new(), timing: Timing::Rate(decimal(rate)), ..pulse() };
        let text = write_fhir(&chain(), &device, &[(0, &samples)]);
        assert!(text.contains(r#""origin":{"value":0},"#), "no unit");
        text.split("\"period\":").nth(1).unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!(
        (period("117"), period("0.5"), period("1000.0"), period("256")),
        ("8.547008547".into(), "2000".into(), "1".into(), "3.90625".into())
    );
}

proptest! {
    #[test]
    fn any_text_that_is_read_is_written_again(
        header in proptest::option::of("[a-z]{1,4}(,[a-z]{1,4})?"),
        rows in proptest::collection::vec("(-?[0-9]{1,3}(\\.[0-9]{1,3})?)(,[0-9]{1,4})?", 1..8),
        crlf: bool,
        ended: bool,
        per_segment in 1usize..5,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let lines: Vec<String> = header.into_iter().chain(rows).collect();
        let text = lines.join(end) + if ended { end } else { "" };
        if read_csv(&text).is_ok() {
            prop_assert_eq!(there_and_back(&text, per_segment), text);
        }
    }

    #[test]
    fn any_bytes_are_answered(text in "[0-9a-z,.\\-\r\n \"]{0,60}") {
        if read_csv(&text).is_ok() {
            prop_assert_eq!(there_and_back(&text, 2), text);
        }
    }

    #[test]
    fn dates_come_back(
        steps in proptest::collection::vec(0i64..2_000_000, 1..9),
        start_ms in 0u64..1 << 45,
        byte in 0u8..128,
        per_segment in 1usize..5,
    ) {
        let Some(form) = ClockForm::from_byte(byte) else { return Ok(()) };
        let mut at = 0;
        let rows = steps.iter().map(|step| {
            at += step;
            form.write(start_ms, Decimal::new(at, 3).unwrap()) + ",1\n"
        });
        let text: String = rows.collect();
        prop_assert_eq!(there_and_back(&text, per_segment), text);
    }

    #[test]
    fn what_is_written_is_read(samples in any_samples()) {
        let text = write_csv(&[(0, &samples)]);
        let timed = matches!(samples.timing, Timing::Offsets(_));
        // A header of a single name over two columns is no table that could have been read, and a file without a line
        // end does not say which kind it has.
        let ends = samples.layout.final_newline || samples.len() > 1 || samples.layout.header.is_some();
        // Dates have a test of their own.
        if ends && samples.layout.clock.is_none() && (samples.layout.header.is_none() || !timed) {
            let table = read_csv(&text).unwrap();
            prop_assert_eq!((table.values, table.layout), (samples.values, samples.layout));
        }
    }
}
