//! The files of a crate: their modules, what they import, the types that they define.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// The crate, by its modules' paths. Modules that are only compiled for tests are left out.
pub(crate) struct CrateTree {
    pub(crate) modules: BTreeMap<Vec<String>, Module>,
}

/// One file.
pub(crate) struct Module {
    /// Below `src`, for messages.
    pub(crate) file: String,
    text: String,
    syntax: syn::File,
    /// The line of the first item that is only compiled for tests.
    tests_begin: usize,
}

/// A path in the code that begins inside the crate.
pub(crate) struct Import {
    /// From the crate's root.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl CrateTree {
    pub(crate) fn read(src: &Path) -> Result<CrateTree, String> {
        let mut modules = BTreeMap::new();
        let root = src.join("lib.rs");
        let mut files = vec![(Vec::new(), root)];
        while let Some((path, file)) = files.pop() {
            let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let text = fs::read_to_string(&file).map_err(|error| problem(&error))?;
            let syntax = syn::parse_file(&text).map_err(|error| problem(&error))?;
            let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
                Some("lib" | "mod") | None => file.parent().unwrap_or(src).to_owned(),
                Some(stem) => file.with_file_name(stem),
            };
            for item in &syntax.items {
                if let syn::Item::Mod(module) = item
                    && module.content.is_none()
                    && !is_for_tests(&module.attrs)
                {
                    let name = module.ident.to_string();
                    let single = folder.join(format!("{name}.rs"));
                    let file = if single.exists() {
                        single
                    } else {
                        folder.join(&name).join("mod.rs")
                    };
                    files.push((with(&path, name), file));
                }
            }
            let tests = syntax.items.iter().find(|item| is_for_tests(attributes(item)));
            let module = Module {
                file: file.strip_prefix(src).unwrap_or(&file).display().to_string(),
                tests_begin: tests.map_or(usize::MAX, |item| item.span().start().line),
                text,
                syntax,
            };
            modules.insert(path, module);
        }
        Ok(CrateTree { modules })
    }

    /// What the file of `module` imports from this crate.
    pub(crate) fn imports(&self, module: &[String]) -> Vec<Import> {
        let mut collected = Imports {
            tree: self,
            here: module.to_vec(),
            found: Vec::new(),
        };
        collected.visit_file(&self.modules[module].syntax);
        collected.found
    }

    /// The module, a file of its own, in which `path` is.
    pub(crate) fn module_of<'a>(&self, path: &'a [String]) -> &'a [String] {
        let deepest = (0..=path.len())
            .rev()
            .find(|length| self.modules.contains_key(&path[..*length]));
        &path[..deepest.unwrap_or(0)]
    }

    /// Lines of code of each floor, and of all: without comments, blank lines and tests.
    pub(crate) fn lines_of_code(&self) -> String {
        let mut floors: BTreeMap<&str, usize> = BTreeMap::new();
        for (path, module) in &self.modules {
            let floor = path.first().map_or("lib", String::as_str);
            *floors.entry(floor).or_default() += module.lines_of_code();
        }
        let total: usize = floors.values().sum();
        let rows = floors.iter().map(|(floor, lines)| format!("{lines:6} {floor}\n"));
        format!("{}{total:6} in all", rows.collect::<String>())
    }
}

impl Module {
    /// Lines of the file up to its tests.
    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count().min(self.tests_begin - 1)
    }

    fn lines_of_code(&self) -> usize {
        let lines = self.text.lines().take(self.lines()).map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
    }

    /// The documentation at the head of the file.
    pub(crate) fn documentation(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .map(str::trim)
    }

    /// The names of the types and traits that it defines, and their lines.
    pub(crate) fn types(&self) -> impl Iterator<Item = (String, usize)> {
        self.syntax.items.iter().filter_map(|item| {
            let name = match item {
                syn::Item::Struct(item) => &item.ident,
                syn::Item::Enum(item) => &item.ident,
                syn::Item::Trait(item) => &item.ident,
                syn::Item::Type(item) => &item.ident,
                _ => return None,
            };
            (!is_for_tests(attributes(item))).then(|| (name.to_string(), name.span().start().line))
        })
    }
}

struct Imports<'a> {
    tree: &'a CrateTree,
    /// The module that is being visited: a file's, or an inline one of it.
    here: Vec<String>,
    found: Vec<Import>,
}

impl Imports<'_> {
    /// Takes note of `segments`, if they begin in this crate.
    fn note(&mut self, segments: &[String], line: usize) {
        let mut path = match segments[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.here.clone(),
            child if self.tree.modules.contains_key(&with(&self.here, child.to_owned())) => {
                with(&self.here, child.to_owned())
            }
            _ => return,
        };
        let mut rest = &segments[1..];
        if segments[0] == "super" {
            path.pop();
            while let Some((first, others)) = rest.split_first()
                && first == "super"
            {
                path.pop();
                rest = others;
            }
        }
        path.extend(rest.iter().filter(|segment| *segment != "self").cloned());
        self.found.push(Import { path, line });
    }

    fn flatten(&mut self, prefix: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => self.flatten(&with(prefix, path.ident.to_string()), &path.tree),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.flatten(prefix, tree)),
            syn::UseTree::Name(name) => self.note(&with(prefix, name.ident.to_string()), name.span().start().line),
            syn::UseTree::Rename(name) => self.note(&with(prefix, name.ident.to_string()), name.span().start().line),
            syn::UseTree::Glob(glob) => self.note(prefix, glob.span().start().line),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.here.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.flatten(&[], &item.tree);
    }

    // `pub(in crate::…)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 && matches!(segments[0].as_str(), "crate" | "self" | "super") {
            self.note(&segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }
}

/// Whether something with these attributes is only compiled for tests.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn with(path: &[String], name: String) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(name);
    path
}

/// The strongly connected parts of a graph that have more than one node.
pub(crate) fn circles(arrows: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Vec<BTreeSet<Vec<String>>> {
    let reach = |from: &Vec<String>| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Vec<String>> = arrows.get(from).into_iter().flatten().collect();
        while let Some(node) = next.pop() {
            if reached.insert(node.clone()) {
                next.extend(arrows.get(node).into_iter().flatten());
            }
        }
        reached
    };
    let reached: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> =
        arrows.keys().map(|node| (node, reach(node))).collect();
    let mut circles = BTreeSet::new();
    for (node, from_node) in &reached {
        let circle: BTreeSet<Vec<String>> = from_node
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*node)))
            .cloned()
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}
