//! Each message that a mistake can bring is met in `tests/ui` of the workspace, where it is seen at its place in the code.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, LitStr, Meta};

/// A piece of a message that is shorter says nothing.
const SHORTEST: usize = 6;

/// What no person gets to read: such a function the compiler refuses before it asks the attribute.
const ONLY_THE_COMPILERS: &str = "expected the function's body";

#[test]
fn every_message_is_met_in_a_ui_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let met: String = files(&root.join("../tests/ui"), "stderr")
        .iter()
        .map(|file| read(file))
        .collect();
    let mut missing = Vec::new();
    for file in files(&root.join("src"), "rs") {
        let mut said = Vec::new();
        // A file of tests ends in no error but its own.
        if !file.starts_with(root.join("src/tests")) {
            let parsed = syn::parse_file(&read(&file)).expect("it is Rust");
            let items = parsed.items.into_iter().filter(|item| !is_for_tests(item));
            items.for_each(|item| texts(quote::ToTokens::into_token_stream(item), &mut said));
        }
        let sentences = said
            .into_iter()
            .filter(|text| text.trim().contains(' ') && text != ONLY_THE_COMPILERS);
        missing.extend(sentences.filter(|text| !is_met(text, &met)));
    }
    for file in files(&root.join("../memlock-runtime/src"), "rs") {
        let mut said = Vec::new();
        diagnostics(read(&file).parse().expect("it is Rust"), &mut said);
        missing.extend(said.into_iter().filter(|text| !is_met(text, &met)));
    }
    assert!(
        missing.is_empty(),
        "no case in tests/ui has these messages:\n{}",
        missing.join("\n")
    );
}

/// Whether all that stands between the placeholders of a message does.
fn is_met(message: &str, met: &str) -> bool {
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
        .all(|piece| piece.trim().len() < SHORTEST || met.contains(piece.trim()))
}

fn is_for_tests(item: &Item) -> bool {
    let Item::Mod(module) = item else { return false };
    module.attrs.iter().any(|attr| attr.path().is_ident("cfg"))
}

/// The texts in some code, but for those in attributes: documentation, and reasons for lints.
fn texts(code: TokenStream, said: &mut Vec<String>) {
    let mut is_attribute = false;
    for token in code {
        match token {
            TokenTree::Group(group) if !is_attribute => texts(group.stream(), said),
            TokenTree::Literal(literal) => said.extend(text(&literal.into())),
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                is_attribute = true;
                continue;
            }
            // An inner one.
            TokenTree::Punct(punct) if punct.as_char() == '!' && is_attribute => continue,
            _ => {}
        }
        is_attribute = false;
    }
}

/// The texts of the attributes with which a trait tells the compiler what to say.
fn diagnostics(code: TokenStream, said: &mut Vec<String>) {
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
                texts(list.tokens, said);
            }
            _ => diagnostics(group.stream(), said),
        }
    }
}

fn text(literal: &TokenTree) -> Option<String> {
    syn::parse2::<LitStr>(literal.clone().into())
        .ok()
        .map(|text| text.value())
}

/// All files of a kind in a folder, and in those below it.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
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
