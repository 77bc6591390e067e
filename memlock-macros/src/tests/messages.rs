//! Checks that `tests/ui` of the workspace has a case for each error of the attribute.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Item, LitStr, Meta};

/// The least length of a piece that identifies a message.
const MIN_PIECE: usize = 6;

/// A message that is never shown: rustc refuses such a function before it expands the attribute.
const NEVER_SHOWN: &str = "expected a function body";

#[test]
fn each_message_has_a_ui_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected: String = files(&root.join("../tests/ui"), "stderr")
        .iter()
        .map(|file| read(file))
        .collect();
    let mut missing = Vec::new();
    for file in files(&root.join("src"), "rs") {
        // The messages of tests are not the attribute's.
        if file.starts_with(root.join("src/tests")) {
            continue;
        }
        let mut messages = Vec::new();
        let parsed = syn::parse_file(&read(&file)).expect("a source file is Rust");
        let items = parsed.items.into_iter().filter(|item| !is_test_module(item));
        items.for_each(|item| collect_strings(item.into_token_stream(), &mut messages));
        let sentences = messages
            .into_iter()
            .filter(|message| message.trim().contains(' ') && message != NEVER_SHOWN);
        missing.extend(sentences.filter(|message| !is_covered(message, &expected)));
    }
    for file in files(&root.join("../memlock-runtime/src"), "rs") {
        let mut messages = Vec::new();
        collect_diagnostics(read(&file).parse().expect("a source file is Rust"), &mut messages);
        missing.extend(messages.into_iter().filter(|message| !is_covered(message, &expected)));
    }
    assert!(
        missing.is_empty(),
        "no case in tests/ui has these messages:\n{}",
        missing.join("\n")
    );
}

/// Returns whether each piece between the placeholders of a message is in `expected`.
fn is_covered(message: &str, expected: &str) -> bool {
    let message = message.replace("{{", "\0").replace("}}", "\u{1}");
    message
        .split('{')
        .enumerate()
        .map(|(index, piece)| {
            if index == 0 {
                piece
            } else {
                piece.split_once('}').map_or(piece, |(_, rest)| rest)
            }
        })
        .map(|piece| piece.replace('\0', "{").replace('\u{1}', "}"))
        .all(|piece| piece.trim().len() < MIN_PIECE || expected.contains(piece.trim()))
}

fn is_test_module(item: &Item) -> bool {
    let Item::Mod(module) = item else { return false };
    module.attrs.iter().any(|attr| attr.path().is_ident("cfg"))
}

/// Collects the string literals in some code, except those in attributes.
fn collect_strings(code: TokenStream, strings: &mut Vec<String>) {
    let mut is_attribute = false;
    for token in code {
        match token {
            TokenTree::Group(group) if !is_attribute => collect_strings(group.stream(), strings),
            TokenTree::Literal(literal) => strings.extend(string_value(literal.into())),
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                is_attribute = true;
                continue;
            }
            // An inner attribute.
            TokenTree::Punct(punct) if punct.as_char() == '!' && is_attribute => continue,
            _ => {}
        }
        is_attribute = false;
    }
}

/// Collects the string literals of the `#[diagnostic::…]` attributes in some code.
fn collect_diagnostics(code: TokenStream, strings: &mut Vec<String>) {
    for token in code {
        let TokenTree::Group(group) = token else { continue };
        match syn::parse2(group.stream()) {
            Ok(Meta::List(list))
                if list
                    .path
                    .segments
                    .first()
                    .is_some_and(|first| first.ident == "diagnostic") =>
            {
                collect_strings(list.tokens, strings);
            }
            _ => collect_diagnostics(group.stream(), strings),
        }
    }
}

fn string_value(literal: TokenTree) -> Option<String> {
    let string = syn::parse2::<LitStr>(literal.into()).ok()?;
    Some(string.value())
}

/// Returns all files with an extension in a folder and its subfolders.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder exists");
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable entry").path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|its| its == extension) {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("readable")
}
