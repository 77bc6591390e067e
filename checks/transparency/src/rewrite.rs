//! Puts an attribute in front of every function of a file that can take one, and leaves the rest of the file as it is,
//! byte for byte and line for line.
//!
//! It works on tokens, not on a syntax tree, so that functions that a `macro_rules!` writes are found as well.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Why a function stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    /// `const fn`: it may run in the compiler.
    Const,
    /// Declared, not defined: in a trait, in an `extern` block.
    NoBody,
    /// In the arguments of a macro, which decides what may stand there.
    MacroCall,
    /// Written by a `macro_rules!` from parts among which no attribute can be put without knowing what they are.
    MacroParts,
    /// It gives a future of a named type, which the attribute refuses, saying so: only the compiler knows which types are
    /// futures.
    NamedFuture,
    /// Named in the list of crates, with the reason there.
    Named,
}

impl Skip {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Skip::Const => "const fn",
            Skip::NoBody => "no body",
            Skip::MacroCall => "in a macro's arguments",
            Skip::MacroParts => "of a macro's parts",
            Skip::NamedFuture => "gives a named future",
            Skip::Named => "by name",
        }
    }
}

/// The changes to a file, or to several.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) wrapped: usize,
    pub(crate) skipped: BTreeMap<Skip, usize>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.wrapped += other.wrapped;
        for (skip, count) in &other.skipped {
            *self.skipped.entry(*skip).or_default() += count;
        }
    }

    pub(crate) fn functions(&self) -> usize {
        self.wrapped + self.skipped.values().sum::<usize>()
    }
}

/// The attribute for a function that returns these tokens.
pub(crate) type Attribute<'a> = &'a dyn Fn(&[TokenTree]) -> String;

/// Rewrites `source`. Functions called one of `named` are left alone, and those with one of these lines in their
/// signature, where the attribute was `refused` before.
pub(crate) fn rewrite(
    source: &str,
    attribute: Attribute<'_>,
    named: &[&str],
    refused: &[usize],
) -> Result<(String, Tally), String> {
    let tokens = TokenStream::from_str(source).map_err(|error| error.to_string())?;
    let mut rewriting = Rewriting {
        attribute,
        named,
        refused,
        insertions: Vec::new(),
        tally: Tally::default(),
    };
    rewriting.items(tokens, Place::Code);
    let mut result = source.to_owned();
    rewriting.insertions.sort_by_key(|(at, _)| *at);
    for (at, text) in rewriting.insertions.iter().rev() {
        result.insert_str(*at, text);
    }
    Ok((result, rewriting.tally))
}

struct Rewriting<'a> {
    attribute: Attribute<'a>,
    named: &'a [&'a str],
    refused: &'a [usize],
    /// The insertions, by their offsets in bytes.
    insertions: Vec<(usize, String)>,
    tally: Tally,
}

/// Among which tokens one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    /// The body of a `macro_rules!`.
    Transcriber,
    /// The arguments of a macro: nothing is changed there, only counted.
    Arguments,
}

impl Rewriting<'_> {
    fn items(&mut self, tokens: TokenStream, place: Place) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(ident) if ident == "fn" => self.function(&tokens, at, place),
                TokenTree::Group(group) => self.group(&tokens, at, group, place),
                _ => {}
            }
        }
    }

    fn group(&mut self, tokens: &[TokenTree], at: usize, group: &Group, place: Place) {
        let before = |back: usize| at.checked_sub(back).map(|index| &tokens[index]);
        let is_attribute = group.delimiter() == Delimiter::Bracket
            && (is_punct(before(1), '#') || is_punct(before(1), '!') && is_punct(before(2), '#'));
        if is_attribute {
            return;
        }
        if is_ident(before(3), "macro_rules") && is_punct(before(2), '!') {
            self.macro_rules(group.stream());
        } else if is_punct(before(1), '!')
            && matches!(before(2), Some(TokenTree::Ident(name)) if !is_operator_before(name))
        {
            self.items(group.stream(), Place::Arguments);
        } else {
            self.items(group.stream(), place);
        }
    }

    /// `matcher => transcriber; …`: what is matched stays as it is.
    fn macro_rules(&mut self, rules: TokenStream) {
        let rules: Vec<TokenTree> = rules.into_iter().collect();
        for (at, token) in rules.iter().enumerate() {
            if let TokenTree::Group(group) = token
                && at >= 2
                && is_punct(rules.get(at - 2), '=')
                && is_punct(rules.get(at - 1), '>')
            {
                self.items(group.stream(), Place::Transcriber);
            }
        }
    }

    /// The function whose `fn` stands at `at`.
    fn function(&mut self, tokens: &[TokenTree], at: usize, place: Place) {
        let name = match tokens.get(at + 1) {
            Some(TokenTree::Ident(name)) => name.to_string(),
            Some(TokenTree::Punct(dollar)) if dollar.as_char() == '$' => String::from("$"),
            // The type of a function.
            _ => return,
        };
        match self.place_for(tokens, at, place, &name) {
            Ok((start, returns)) => {
                let attribute = (self.attribute)(&tokens[returns]);
                self.insertions.push((start, attribute));
                self.tally.wrapped += 1;
            }
            Err(skip) => *self.tally.skipped.entry(skip).or_default() += 1,
        }
    }

    /// Where its attribute goes, and the tokens of its return type.
    fn place_for(
        &self,
        tokens: &[TokenTree],
        at: usize,
        place: Place,
        name: &str,
    ) -> Result<(usize, Range<usize>), Skip> {
        if place == Place::Arguments {
            return Err(Skip::MacroCall);
        }
        if self.named.contains(&name) {
            return Err(Skip::Named);
        }
        let first = first_qualifier(tokens, at, place)?;
        if tokens[first..at].iter().any(|token| is_ident(Some(token), "const")) {
            return Err(Skip::Const);
        }
        let body = body(tokens, at, place)?;
        let lines = tokens[first].span().start().line..=tokens[body].span().start().line;
        if self.refused.iter().any(|line| lines.contains(line)) {
            return Err(Skip::NamedFuture);
        }
        let arrow = (at..body).find(|index| {
            is_punct(tokens.get(*index), '-')
                && is_punct(tokens.get(index + 1), '>')
                // The arrow of the function, not one of a bound `F: Fn() -> u8`, comes behind its arguments.
                && (at..*index).any(|index| matches!(&tokens[index], TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis))
        });
        Ok((
            tokens[first].span().byte_range().start,
            arrow.map_or(body..body, |arrow| arrow + 2..body),
        ))
    }
}

/// Of `pub(crate) async unsafe extern "C" fn`, the `pub`.
fn first_qualifier(tokens: &[TokenTree], at: usize, place: Place) -> Result<usize, Skip> {
    let mut first = at;
    loop {
        let before = |back: usize| first.checked_sub(back).map(|index| &tokens[index]);
        let taken = match before(1) {
            Some(TokenTree::Ident(ident)) => {
                let known = ["pub", "const", "async", "unsafe", "safe", "extern", "default", "crate"];
                if is_punct(before(2), '$') && place == Place::Transcriber {
                    2
                } else {
                    usize::from(known.iter().any(|known| ident == known))
                }
            }
            Some(TokenTree::Literal(_)) if is_ident(before(2), "extern") => 2,
            Some(TokenTree::Group(_)) if is_ident(before(2), "pub") => 2,
            // `$(#[$attribute])*` stays in front; what else is repeated may be anything.
            Some(TokenTree::Punct(punct))
                if matches!(punct.as_char(), '*' | '?' | '+') && place == Place::Transcriber =>
            {
                match (before(2), before(3)) {
                    (Some(TokenTree::Group(group)), dollar) if is_punct(dollar, '$') => {
                        if is_punct(group.stream().into_iter().next().as_ref(), '#') {
                            0
                        } else {
                            return Err(Skip::MacroParts);
                        }
                    }
                    _ => 0,
                }
            }
            _ => 0,
        };
        if taken == 0 {
            return Ok(first);
        }
        first -= taken;
    }
}

/// Where the body of the function at `at` is.
fn body(tokens: &[TokenTree], at: usize, place: Place) -> Result<usize, Skip> {
    for (index, token) in tokens.iter().enumerate().skip(at + 2) {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return Err(Skip::NoBody),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                // Not the `{ N }` of a `Matrix<{ N }>`.
                let after = tokens.get(index + 1);
                if !is_punct(after, '>') && !is_punct(after, ',') {
                    return Ok(index);
                }
            }
            // The next function: this one's body is a `$body`.
            TokenTree::Ident(ident) if ident == "fn" && matches!(tokens.get(index + 1), Some(TokenTree::Ident(_))) => {
                break;
            }
            _ => {}
        }
    }
    Err(match place {
        Place::Transcriber => Skip::MacroParts,
        _ => Skip::NoBody,
    })
}

/// `return !(…)` is not a macro.
fn is_operator_before(ident: &proc_macro2::Ident) -> bool {
    ["return", "if", "in", "match", "while", "break", "else", "yield"]
        .iter()
        .any(|keyword| ident == keyword)
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_ident(token: Option<&TokenTree>, text: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `@` for the attribute, and `@?` where there is a return type.
    fn rewritten(source: &str) -> String {
        let attribute = |returns: &[TokenTree]| {
            if returns.is_empty() {
                "@ ".to_owned()
            } else {
                "@? ".to_owned()
            }
        };
        rewrite(source, &attribute, &["named"], &[]).expect("tokens").0
    }

    #[test]
    fn the_attribute_goes_in_front_of_the_qualifiers_and_behind_other_attributes() {
        for (source, expected) in [
            ("fn f() {}", "@ fn f() {}"),
            (
                "/// Doc.\n#[inline]\npub(crate) async unsafe fn f() -> u8 { 0 }",
                "/// Doc.\n#[inline]\n@? pub(crate) async unsafe fn f() -> u8 { 0 }",
            ),
            (
                "impl A { fn f(&self) {}\n fn g() {} }",
                "impl A { @ fn f(&self) {}\n @ fn g() {} }",
            ),
            ("pub extern \"C\" fn f() {}", "@ pub extern \"C\" fn f() {}"),
            ("mod m { fn f() { fn g() {} } }", "mod m { @ fn f() { @ fn g() {} } }"),
            ("fn é() {} /* é */ fn g() {}", "@ fn é() {} /* é */ @ fn g() {}"),
            (
                "fn f(g: fn(u8) -> u8) -> A<{ N }> { }",
                "@? fn f(g: fn(u8) -> u8) -> A<{ N }> { }",
            ),
            ("fn f(g: impl Fn() -> u8) { }", "@ fn f(g: impl Fn() -> u8) { }"),
            (
                "fn f() { if !(a) { fn g() {} } }",
                "@ fn f() { if !(a) { @ fn g() {} } }",
            ),
        ] {
            assert_eq!(rewritten(source), expected);
        }
    }

    #[test]
    fn functions_that_cannot_take_the_attribute_stay_as_they_are() {
        for (source, skip) in [
            ("const fn f() {}", Skip::Const),
            ("pub const unsafe fn f() {}", Skip::Const),
            ("trait T { fn f(); }", Skip::NoBody),
            ("extern \"C\" { fn f(x: u8) -> u8; }", Skip::NoBody),
            ("items! { fn f() {} }", Skip::MacroCall),
            ("macro_rules! m { () => { $(const)? fn f() {} } }", Skip::MacroParts),
            ("macro_rules! m { ($b:block) => { fn f() $b } }", Skip::MacroParts),
            ("fn named() {}", Skip::Named),
        ] {
            let (rewritten, tally) = rewrite(source, &|_| "@ ".to_owned(), &["named"], &[]).expect("tokens");
            assert_eq!(rewritten, source);
            assert_eq!(tally.skipped.into_iter().collect::<Vec<_>>(), [(skip, 1)], "{source}");
        }
    }

    #[test]
    fn a_refused_function_is_found_by_a_line_of_its_signature() {
        let source = "fn f()\n-> Recv { }\nfn g() {}";
        let (rewritten, tally) = rewrite(source, &|_| "@ ".to_owned(), &[], &[2]).expect("tokens");
        assert_eq!(rewritten, "fn f()\n-> Recv { }\n@ fn g() {}");
        assert_eq!(tally.skipped.into_iter().collect::<Vec<_>>(), [(Skip::NamedFuture, 1)]);
    }

    #[test]
    fn the_body_of_a_macro_is_rewritten_and_its_pattern_is_not() {
        assert_eq!(
            rewritten("macro_rules! m { (fn $n:ident() {}) => { $(#[$a])* $vis fn $n() {} }; }"),
            "macro_rules! m { (fn $n:ident() {}) => { $(#[$a])* @ $vis fn $n() {} }; }"
        );
    }

    #[test]
    fn arguments_of_attributes_and_function_types_are_not_functions() {
        for source in [
            "#[a(fn f() {})] struct A;",
            "type F = fn(u8);",
            "// fn f() {}\nconst A: &str = \"fn f() {}\";",
        ] {
            let (rewritten, tally) = rewrite(source, &|_| "@ ".to_owned(), &[], &[]).expect("tokens");
            assert_eq!((rewritten.as_str(), tally.functions()), (source, 0));
        }
    }
}
