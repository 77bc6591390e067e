//! Compares what the attributes expand to with the files in `tests/expand` of the workspace.
//!
//! `name.rs` is the input, `name.expanded.rs` the expansion. `MEMLOCK_BLESS=1 cargo test` writes the expansions anew.
//! Read the difference before you commit it.

use std::path::Path;

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::{Attribute, File, ImplItem, Item, Meta};

use crate::expand_attribute;
use crate::valid::LockKind;

#[test]
fn expansions_match_their_snapshots() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expand");
    let bless = std::env::var_os("MEMLOCK_BLESS").is_some();
    let mut changed = Vec::new();
    for entry in std::fs::read_dir(&directory).expect("the directory of snapshots exists") {
        let input = entry.expect("a readable entry").path();
        let name = input.file_stem().expect("a file name").to_string_lossy().into_owned();
        if name.ends_with(".expanded") {
            continue;
        }
        let written = std::fs::read_to_string(&input).expect("readable");
        let expanded = expand_file(syn::parse_file(&written).expect("the input is Rust"));
        let snapshot = input.with_file_name(format!("{name}.expanded.rs"));
        if bless {
            std::fs::write(&snapshot, &expanded).expect("writable");
        } else if std::fs::read_to_string(&snapshot).unwrap_or_default() != expanded {
            changed.push(format!("--- {name} now expands to\n{expanded}"));
        }
    }
    assert!(
        changed.is_empty(),
        "expansions have changed; if that is intended, run `MEMLOCK_BLESS=1 cargo test -p memlock-macros`\n{}",
        changed.join("\n")
    );
}

/// Expands the attributes on the functions and methods of a file, and nothing else in it.
fn expand_file(mut file: File) -> String {
    for item in &mut file.items {
        match item {
            Item::Fn(function) => {
                if let Some((kind, args)) = take_attribute(&mut function.attrs) {
                    *item = Item::Verbatim(expand_attribute(kind, args, item.to_token_stream()));
                }
            }
            Item::Impl(block) => {
                for method in &mut block.items {
                    if let ImplItem::Fn(function) = method
                        && let Some((kind, args)) = take_attribute(&mut function.attrs)
                    {
                        *method = ImplItem::Verbatim(expand_attribute(kind, args, method.to_token_stream()));
                    }
                }
            }
            _ => {}
        }
    }
    let expanded = syn::parse2(file.into_token_stream()).expect("an expansion is Rust");
    prettyplease::unparse(&expanded)
}

/// Removes memlock's attribute from a function, and returns its kind and arguments.
fn take_attribute(attrs: &mut Vec<Attribute>) -> Option<(LockKind, TokenStream)> {
    let (at, kind) = attrs.iter().enumerate().find_map(|(at, attr)| {
        match attr.path().segments.last()?.ident.to_string().as_str() {
            "lock" => Some((at, LockKind::Lock)),
            "rlock" => Some((at, LockKind::Rlock)),
            "zlock" => Some((at, LockKind::Zlock)),
            _ => None,
        }
    })?;
    match attrs.remove(at).meta {
        Meta::List(list) => Some((kind, list.tokens)),
        _ => None,
    }
}
