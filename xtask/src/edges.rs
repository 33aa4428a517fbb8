//! Who may depend on whom: the table of `docs/ARCHITECTURE.md`, held against `cargo metadata`.

use crate::process::Tool;
use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Each package of the workspace with those of ours that its normal and build dependencies may name.
/// A crate may use fewer. Tests and benchmarks are free, as long as no cycle comes of it.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("blockhie-packing", &[]),
    ("blockhie-core", &["blockhie-packing"]),
    ("blockhie-pow", &["blockhie-core"]),
    ("blockhie-engine", &["blockhie-core"]),
    ("blockhie-emr", &["blockhie-core"]),
    ("blockhie-phd", &["blockhie-core"]),
    ("blockhie-coupling", &["blockhie-core", "blockhie-emr", "blockhie-phd"]),
    ("blockhie-store", &["blockhie-core"]),
    ("blockhie-transport", &["blockhie-core"]),
    (
        "blockhie-node",
        &[
            "blockhie-engine",
            "blockhie-transport",
            "blockhie-store",
            "blockhie-pow",
            "blockhie-core",
            "blockhie-packing",
        ],
    ),
    (
        "blockhie-gateway",
        &["blockhie-emr", "blockhie-phd", "blockhie-coupling", "blockhie-transport", "blockhie-store", "blockhie-core"],
    ),
    ("blockhie-sim", &["blockhie-engine", "blockhie-core", "blockhie-pow", "blockhie-packing"]),
    ("emr-node", &["blockhie-node", "blockhie-emr", "blockhie-coupling"]),
    ("phd-node", &["blockhie-node", "blockhie-phd", "blockhie-coupling"]),
    ("gateway", &["blockhie-gateway"]),
    ("blockhie", &["blockhie-transport", "blockhie-emr", "blockhie-phd", "blockhie-coupling", "blockhie-core"]),
    (
        "blockhie-fuzz-targets",
        &["blockhie-transport", "blockhie-emr", "blockhie-phd", "blockhie-coupling", "blockhie-pow", "blockhie-core"],
    ),
    ("blockhie-benches", &[]),
    ("xtask", &[]),
];

/// Crates that others embed: their tests, too, must build without a database, gRPC or a runtime.
const LIGHT: [&str; 3] = ["blockhie-core", "blockhie-packing", "blockhie-engine"];
/// What must not be in the tree of a [`LIGHT`] crate.
const HEAVY: [&str; 4] = ["rocksdb", "librocksdb-sys", "tonic", "tokio"];

/// The cargo feature by which the simulator plants bugs inside core and engine (docs/adr/0023-planted-bugs.md).
const PLANTED: &str = "planted";
/// Who may have that feature, and who may turn it on for tests.
const PLANTERS: [&str; 3] = ["blockhie-core", "blockhie-engine", "blockhie-sim"];
/// See [`PLANTERS`].
const SIMULATOR: &str = "blockhie-sim";

/// Dependencies between packages of the workspace: from, to, and whether only tests need it.
type Edges = BTreeSet<(String, String, bool)>;

/// Checks the workspace at `root` against the table.
///
/// # Errors
/// Lists every forbidden edge, cycle and heavy dependency.
pub(crate) fn check(root: &Path) -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    let members = metadata.workspace_packages();
    let names: BTreeSet<String> = members.iter().map(|package| package.name.to_string()).collect();
    let mut problems = violations(&names, &edges(&metadata));
    problems.extend(planted(&switches(&metadata)));
    problems.extend(heavy_dependencies(root)?);
    if !problems.is_empty() {
        bail!("{}\nthe table is in docs/ARCHITECTURE.md and xtask/src/edges.rs", problems.join("\n"));
    }
    Ok(())
}

/// Something that turns the feature [`PLANTED`] on: of a package, its own feature or a dependency.
#[derive(Debug)]
struct Switch {
    package: String,
    /// The feature that does it; `None`: a dependency does it always.
    feature: Option<String>,
    only_tests: bool,
}

fn switches(metadata: &Metadata) -> Vec<Switch> {
    let mut switches = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.to_string();
        for dependency in package.dependencies.iter().filter(|dep| dep.features.iter().any(|on| on == PLANTED)) {
            let only_tests = dependency.kind == DependencyKind::Development;
            switches.push(Switch { package: name.clone(), feature: None, only_tests });
        }
        let plants = |part: &String| part.split(['/', '?']).any(|word| word == PLANTED);
        for (feature, parts) in &package.features {
            if feature == PLANTED || parts.iter().any(plants) {
                switches.push(Switch { package: name.clone(), feature: Some(feature.clone()), only_tests: false });
            }
        }
    }
    switches
}

/// No program but the simulator may be built with planted bugs, and that only when it is asked to.
fn planted(switches: &[Switch]) -> Vec<String> {
    let allowed = |switch: &&Switch| match switch.feature.as_deref() {
        Some(feature) => feature == PLANTED && PLANTERS.contains(&switch.package.as_str()),
        None => switch.only_tests && switch.package == SIMULATOR,
    };
    let wrong = switches.iter().filter(|switch| !allowed(switch));
    wrong.map(|switch| format!("{} must not turn on the feature {PLANTED}: {switch:?}", switch.package)).collect()
}

fn edges(metadata: &Metadata) -> Edges {
    let members = metadata.workspace_packages();
    let is_ours = |name: &str| members.iter().any(|package| package.name == name);
    let mut edges = Edges::new();
    for package in &members {
        for dependency in package.dependencies.iter().filter(|dep| is_ours(&dep.name)) {
            let only_tests = dependency.kind == DependencyKind::Development;
            edges.insert((package.name.to_string(), dependency.name.clone(), only_tests));
        }
    }
    edges
}

/// What is wrong with these edges between these packages, one line each.
fn violations(names: &BTreeSet<String>, edges: &Edges) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut problems = Vec::new();
    for name in names.iter().filter(|name| !table.contains_key(name.as_str())) {
        problems.push(format!("{name} has no row in the table of allowed edges"));
    }
    for (from, to, only_tests) in edges {
        let allowed = table.get(from.as_str()).is_none_or(|row| row.contains(&to.as_str()));
        if !allowed && !only_tests {
            problems.push(format!("{from} must not depend on {to}"));
        }
    }
    problems.extend(cycle(names, edges));
    problems
}

/// The packages left when those that depend on nothing left are taken away again and again.
fn cycle(names: &BTreeSet<String>, edges: &Edges) -> Option<String> {
    let mut left = names.clone();
    loop {
        let waits = |name: &String| edges.iter().any(|(from, to, _)| from == name && left.contains(to));
        let next: BTreeSet<String> = left.iter().filter(|name| waits(name)).cloned().collect();
        if next.is_empty() {
            return None;
        }
        if next.len() == left.len() {
            let members = next.into_iter().collect::<Vec<_>>().join(", ");
            return Some(format!("a cycle, tests included, among or above: {members}"));
        }
        left = next;
    }
}

/// The heavy packages in the trees of the light crates, as cargo resolves `cargo test -p` for them.
fn heavy_dependencies(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for light in LIGHT {
        let tree = Tool::cargo()
            .args(["tree", "--quiet", "--package", light, "--edges", "normal,build,dev"])
            .args(["--prefix", "none", "--format", "{p}"])
            .dir(root)
            .output()?;
        problems.extend(heavy_in(&tree).map(|heavy| {
            format!("{light} must build and test without {heavy}: see `cargo tree -p {light} -i {heavy} -e all`")
        }));
    }
    Ok(problems)
}

/// The heavy packages among the lines `name version …` of a flat `cargo tree`.
fn heavy_in(tree: &str) -> impl Iterator<Item = &'static str> + use<> {
    let names: BTreeSet<String> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    HEAVY.into_iter().filter(move |heavy| names.contains(*heavy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(list: &[(&str, &str, bool)]) -> (BTreeSet<String>, Edges) {
        let names = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
        let edges = list.iter().map(|(a, b, t)| ((*a).to_owned(), (*b).to_owned(), *t)).collect();
        (names, edges)
    }

    fn problems(list: &[(&str, &str, bool)]) -> Vec<String> {
        let (names, edges) = graph(list);
        violations(&names, &edges)
    }

    #[test]
    fn the_workspace_keeps_to_the_table() {
        check(&crate::root()).unwrap();
    }

    #[test]
    fn every_crate_of_the_workspace_is_seen() {
        let metadata = MetadataCommand::new().current_dir(crate::root()).no_deps().exec().unwrap();
        let edges = edges(&metadata);
        let core_to_packing = ("blockhie-core".to_owned(), "blockhie-packing".to_owned(), false);
        assert!(edges.contains(&core_to_packing), "{edges:?}");
        assert!(edges.iter().any(|(from, _, only_tests)| from == "blockhie-benches" && *only_tests));
    }

    #[test]
    fn an_edge_outside_the_table_is_named() {
        assert!(problems(&[("blockhie-pow", "blockhie-core", false)]).is_empty());
        let found = problems(&[("blockhie-core", "blockhie-store", false)]);
        assert_eq!(found, ["blockhie-core must not depend on blockhie-store"]);
    }

    #[test]
    fn tests_may_use_anything_but_not_in_a_circle() {
        let emr_in_tests = ("blockhie-transport", "blockhie-emr", true);
        assert!(problems(&[emr_in_tests]).is_empty());
        let back = ("blockhie-emr", "blockhie-transport", true);
        let found = problems(&[emr_in_tests, back, ("blockhie-pow", "blockhie-core", false)]);
        assert_eq!(found, ["a cycle, tests included, among or above: blockhie-emr, blockhie-transport"]);
    }

    #[test]
    fn planted_bugs_stay_in_the_simulator() {
        let switch = |package: &str, feature: Option<&str>, only_tests| Switch {
            package: package.to_owned(),
            feature: feature.map(str::to_owned),
            only_tests,
        };
        assert!(
            planted(&[switch("blockhie-sim", None, true), switch("blockhie-core", Some(PLANTED), false)]).is_empty()
        );
        let wrong = [
            switch("blockhie-node", None, false),
            switch("blockhie-node", None, true),
            switch("blockhie-sim", None, false),
            switch("blockhie-core", Some("default"), false),
            switch("emr-node", Some(PLANTED), false),
        ];
        assert_eq!(planted(&wrong).len(), wrong.len());
        let metadata = MetadataCommand::new().current_dir(crate::root()).no_deps().exec().unwrap();
        assert_eq!(switches(&metadata).len(), 5, "three features and two dependencies of tests");
    }

    #[test]
    fn a_crate_without_a_row_is_named() {
        let (mut names, edges) = graph(&[]);
        names.insert("blockhie-new".to_owned());
        let found = violations(&names, &edges);
        assert_eq!(found, ["blockhie-new has no row in the table of allowed edges"]);
    }

    #[test]
    fn heavy_packages_are_found_by_their_whole_name() {
        let tree = "blockhie-core v0.1.0 (/src)\ntokio-stream v0.1.1\n\ntonic v0.14.9\ntonic v0.14.9 (*)\n";
        assert_eq!(heavy_in(tree).collect::<Vec<_>>(), ["tonic"]);
    }

    #[test]
    fn rows_name_only_packages_that_have_a_row() {
        let rows: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
        assert!(ALLOWED.iter().all(|(_, allowed)| allowed.iter().all(|name| rows.contains(name))));
        assert_eq!(rows.len(), ALLOWED.len());
    }
}
