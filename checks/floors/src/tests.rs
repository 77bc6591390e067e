//! Small crates that keep the rules, or break one.

use std::path::PathBuf;
use std::{env, fs, process};

use crate::crate_tree::CrateTree;
use crate::rules;

const TABLE: &str = "//! | floor | what |\n//! |---|---|\n//! | `high` | x |\n//! | `low` | x |\nmod high;\nmod low;\n";

/// What the check says of a crate with these files.
fn verdict(name: &str, files: &[(&str, &str)]) -> Result<String, Vec<String>> {
    let src = folder(name);
    for (file, text) in files {
        let file = src.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("it is new");
        fs::write(file, text).expect("it is writable");
    }
    let verdict = CrateTree::read(&src)
        .map_err(|problem| vec![problem])
        .and_then(|tree| rules::check(&tree));
    fs::remove_dir_all(&src).expect("it is there");
    verdict
}

fn folder(name: &str) -> PathBuf {
    env::temp_dir().join(format!("memlock-floors-{}-{name}", process::id()))
}

fn problem(name: &str, files: &[(&str, &str)]) -> String {
    verdict(name, files).expect_err("a rule is broken").join("\n")
}

#[test]
fn imports_that_go_down_are_well() {
    let files = [
        ("lib.rs", TABLE),
        (
            "high.rs",
            "use crate::low::Thing;\nfn f() -> crate::low::Thing { Thing }",
        ),
        ("low.rs", "pub(crate) struct Thing;"),
    ];
    let summary = verdict("down", &files).expect("nothing is wrong");
    assert!(summary.contains("3 files on 2 floors"), "{summary}");
}

#[test]
fn an_import_that_climbs_is_named_with_its_line_also_within_an_expression() {
    for (name, text) in [
        ("use", "\nuse crate::{high::Thing};"),
        ("path", "\nfn f() { crate::high::g() }"),
    ] {
        let files = [("lib.rs", TABLE), ("high.rs", ""), ("low.rs", text)];
        let problem = problem(name, &files);
        assert!(
            problem.contains("low.rs:2") && problem.contains("climbs from `low` to `high`"),
            "{problem}"
        );
    }
}

#[test]
fn an_import_by_the_root_hides_its_floor() {
    let lib = format!("{TABLE}pub use crate::high::Thing;\n");
    let files = [
        ("lib.rs", lib.as_str()),
        ("high.rs", "pub struct Thing;"),
        ("low.rs", "use crate::Thing;"),
    ];
    assert!(problem("root", &files).contains("goes by the crate's root"));
}

#[test]
fn files_of_one_floor_that_import_each_other_are_a_circle() {
    let files = [
        ("lib.rs", TABLE),
        ("high.rs", ""),
        ("low/mod.rs", "mod first;\nmod second;"),
        ("low/first.rs", "use super::second::B; pub(super) struct A;"),
        ("low/second.rs", "use super::first::A; pub(super) struct B;"),
    ];
    let problem = problem("circle", &files);
    assert!(problem.contains("low/first.rs imports low/second.rs"), "{problem}");
}

#[test]
fn what_only_tests_import_counts_for_nothing() {
    let files = [
        ("lib.rs", TABLE),
        ("high.rs", ""),
        ("low.rs", "#[cfg(test)]\nmod tests { use crate::high::Thing; }"),
    ];
    assert!(verdict("tests", &files).is_ok());
}

#[test]
fn the_table_names_the_folders_that_are_there() {
    let lib = TABLE.replace("`low`", "`cellar`");
    let files = [("lib.rs", lib.as_str()), ("high.rs", ""), ("low.rs", "")];
    let problem = problem("table", &files);
    assert!(
        problem.contains("does not name `low`") && problem.contains("`cellar`, which is not there"),
        "{problem}"
    );
}

#[test]
fn two_types_of_one_name_are_told_with_their_places() {
    let files = [
        ("lib.rs", TABLE),
        ("high.rs", "struct Thing;"),
        ("low.rs", "\ntrait Thing {}\n#[cfg(test)]\nstruct Other;"),
    ];
    let problem = problem("names", &files);
    assert_eq!(problem, "`Thing` is the name of 2 types: high.rs:1, low.rs:2");
}

#[test]
fn a_long_file_is_told_and_its_tests_do_not_count() {
    let code = "fn f() {}\n".repeat(450);
    for (name, low) in [
        ("long", format!("{code}fn f() {{}}\n")),
        ("tests", format!("{code}#[cfg(test)]\nmod tests {{}}\n")),
    ] {
        let files = [("lib.rs", TABLE), ("high.rs", ""), ("low.rs", low.as_str())];
        let verdict = verdict(&format!("lines-{name}"), &files);
        assert_eq!(verdict.is_err(), name == "long", "{verdict:?}");
    }
}
