//! The rules, each a list of problems.

use std::collections::{BTreeMap, BTreeSet};

use crate::crate_tree::{CrateTree, circles};

/// Lines, tests aside.
const LONGEST_FILE: usize = 450;

/// Entries of `src`, `lib.rs` included.
const MOST_ENTRIES: usize = 14;

type Path = Vec<String>;

/// One line that says that all is well, or all that is not.
pub(crate) fn check(tree: &CrateTree) -> Result<String, Vec<String>> {
    let floors = floors(tree)?;
    let mut problems = entries(tree, &floors);
    let (arrows, climbs) = arrows(tree, &floors);
    problems.extend(climbs);
    problems.extend(circles_of_files(tree, &arrows));
    problems.extend(long_files(tree));
    problems.extend(names_of_two(tree));
    if !problems.is_empty() {
        return Err(problems);
    }
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    Ok(format!(
        "{} files on {} floors, {count} imports between them: none climbs, and there is no circle",
        tree.modules.len(),
        floors.len()
    ))
}

/// The floors, the top one first: the first column of the table in `lib.rs`.
fn floors(tree: &CrateTree) -> Result<Vec<String>, Vec<String>> {
    let rows = tree.modules[&Vec::new()].documentation();
    let names = rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once("` |")?.0.to_owned()));
    let floors: Vec<String> = names.collect();
    if floors.is_empty() {
        return Err(vec!["lib.rs: its documentation has no table of floors".to_owned()]);
    }
    Ok(floors)
}

fn entries(tree: &CrateTree, floors: &[String]) -> Vec<String> {
    let there: BTreeSet<&String> = tree.modules.keys().filter_map(|path| path.first()).collect();
    let named: BTreeSet<&String> = floors.iter().collect();
    let mut problems = Vec::new();
    for missing in there.difference(&named) {
        problems.push(format!("lib.rs: the table of floors does not name `{missing}`"));
    }
    for gone in named.difference(&there) {
        problems.push(format!(
            "lib.rs: the table of floors names `{gone}`, which is not there"
        ));
    }
    if there.len() + 1 > MOST_ENTRIES {
        problems.push(format!(
            "src has {} entries, and may have {MOST_ENTRIES}",
            there.len() + 1
        ));
    }
    problems
}

/// Which file imports which; and the imports that climb.
fn arrows(tree: &CrateTree, floors: &[String]) -> (BTreeMap<Path, BTreeSet<Path>>, Vec<String>) {
    let floor_of = |path: &[String]| {
        path.first()
            .and_then(|first| floors.iter().position(|floor| floor == first))
    };
    let mut arrows: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    let mut climbs = Vec::new();
    for (from, module) in &tree.modules {
        let targets = arrows.entry(from.clone()).or_default();
        if from.is_empty() {
            // The root re-exports what it likes, and nothing imports it.
            continue;
        }
        for import in tree.imports(from) {
            let to = tree.module_of(&import.path);
            if to == from {
                continue;
            }
            targets.insert(to.to_vec());
            let place = format!("{}:{}", module.file, import.line);
            match (floor_of(from), floor_of(to)) {
                (_, None) => climbs.push(format!(
                    "{place}: `crate::{}` goes by the crate's root; name the floor that has it",
                    import.path.join("::")
                )),
                (Some(here), Some(there)) if there < here => climbs.push(format!(
                    "{place}: `crate::{}` climbs from `{}` to `{}`",
                    import.path.join("::"),
                    floors[here],
                    floors[there]
                )),
                _ => {}
            }
        }
    }
    (arrows, climbs)
}

fn circles_of_files(tree: &CrateTree, arrows: &BTreeMap<Path, BTreeSet<Path>>) -> Vec<String> {
    let file = |path: &Path| tree.modules[path].file.as_str();
    let describe = |circle: &BTreeSet<Path>| {
        let lines = circle.iter().map(|from| {
            let to: Vec<&str> = arrows[from].intersection(circle).map(file).collect();
            format!("\n    {} imports {}", file(from), to.join(", "))
        });
        format!("a circle of files:{}", lines.collect::<String>())
    };
    circles(arrows).iter().map(describe).collect()
}

fn long_files(tree: &CrateTree) -> Vec<String> {
    let long = tree.modules.values().filter(|module| module.lines() > LONGEST_FILE);
    long.map(|module| format!("{}: {} lines, and may have {LONGEST_FILE}", module.file, module.lines()))
        .collect()
}

fn names_of_two(tree: &CrateTree) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in tree.modules.values() {
        for (name, line) in module.types() {
            places.entry(name).or_default().push(format!("{}:{line}", module.file));
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice
        .map(|(name, places)| format!("`{name}` is the name of {} types: {}", places.len(), places.join(", ")))
        .collect()
}
