//! Holds `docs/threat-model.md` to the tree: a page that names tests rots unless a test reads it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every row that the page must have.
const ROWS: [(&str, u32); 6] = [("P", 13), ("C", 6), ("K", 3), ("V", 4), ("A", 3), ("D", 1)];

/// The words of a row without a test.
const EXCUSES: [&str; 2] = ["cannot be tested here", "not built yet"];

/// One row of a table: its name and its cells.
struct Row<'a> {
    name: &'a str,
    cells: Vec<&'a str>,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let rows = lines.map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| cells[0].len() > 1 && cells[0][1..].chars().all(|digit| digit.is_ascii_digit()))
        .map(|cells| Row { name: cells[0], cells })
        .collect()
}

/// The code spans `package::name` of a text.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|span| span.split_once("::")).filter(|(package, name)| {
        let is = |text: &str, more: char| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == more)
        };
        is(package, '-') && is(name, '_')
    })
}

/// Where the tests of a package are.
fn folders(root: &Path, package: &str) -> Vec<PathBuf> {
    let places = ["crates", "bins", "."].map(|place| root.join(place).join(package));
    places.into_iter().filter(|folder| folder.join("Cargo.toml").is_file()).collect()
}

/// The names of the functions under an attribute that makes them tests, in all Rust files below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(tests_in(&text).map(str::to_owned));
        }
    }
}

fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            return None;
        }
        let after = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let was_test = is_test;
        // Comments and other attributes may stand between.
        is_test = is_test && line.starts_with("//");
        after.filter(|_| was_test).and_then(|rest| rest.split('(').next())
    })
}

#[test]
fn every_row_has_a_test_that_exists() {
    let root = crate::root();
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let mut known: Vec<(String, BTreeSet<String>)> = Vec::new();
    let mut problems = Vec::new();
    for (package, name) in named(&page) {
        if !known.iter().any(|(of, _)| of == package) {
            let mut found = BTreeSet::new();
            folders(&root, package).iter().for_each(|folder| tests_below(folder, &mut found));
            known.push((package.to_owned(), found));
        }
        let (_, tests) = known.iter().find(|(of, _)| of == package).unwrap();
        if !tests.contains(name) {
            problems.push(format!("{package}::{name} is no test"));
        }
    }
    let rows = rows(&page);
    for (letter, count) in ROWS {
        for number in 1..=count {
            let name = format!("{letter}{number}");
            if rows.iter().filter(|row| row.name == name).count() != 1 {
                problems.push(format!("{name} has not one row"));
            }
        }
    }
    for row in &rows {
        let [_, _, defence, tests, gap] = row.cells[..] else {
            problems.push(format!("{}: expected 5 cells, got {}", row.name, row.cells.len()));
            continue;
        };
        let excused = EXCUSES.iter().any(|excuse| tests.contains(excuse) || gap.contains(excuse));
        if defence.is_empty() || (named(tests).next().is_none() && !excused) {
            problems.push(format!("{}: neither a test nor a reason for none", row.name));
        }
    }
    assert!(problems.is_empty(), "docs/threat-model.md:\n{}", problems.join("\n"));
}

#[test]
fn tests_are_told_from_other_functions() {
    let text = "#[test]\n#[ignore]\nfn one() {}\nfn two() {}\n  #[tokio::test]\n  // why\n  async fn three() {}\n#[derive(Debug)]\nfn four(){}";
    assert_eq!(tests_in(text).collect::<Vec<_>>(), ["one", "three"]);
    assert_eq!(
        named("`core::a_b`, `Ledger::alarm`, core::x, `a-b::c1`").collect::<Vec<_>>(),
        [("core", "a_b"), ("a-b", "c1")]
    );
    let page = "| # | x |\n|---|---|\n| P1 | a | b | c | |\n| Q | a |\n";
    assert_eq!(rows(page).iter().map(|row| (row.name, row.cells.len())).collect::<Vec<_>>(), [("P1", 5)]);
}
