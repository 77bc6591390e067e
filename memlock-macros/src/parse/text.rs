//! A key written as a text: fixed, or a format string that captures arguments and fields of arguments.
//!
//! Only the names are looked for here; rustc checks the rest, in the `format_args!` of the expansion.

use std::fmt::Write as _;

use proc_macro2::{Ident, Span};
use syn::{Error, LitStr, Member, Result};

/// A text that captures something.
///
/// Input: `"{self.shelf}/{id:08}"`. Output: the text `"{}/{id:08}"`, the field `self.shelf` and the name `id`.
pub(crate) struct Text {
    /// For `format_args!`. Where nothing but names is captured, the user's literal as it was.
    pub(crate) format: LitStr,
    /// What the `{}` stand for.
    pub(crate) fields: Vec<Field>,
    /// The names that are captured without a field, each once.
    pub(crate) names: Vec<Ident>,
}

/// `argument.member.member`.
pub(crate) struct Field {
    pub(crate) argument: Ident,
    pub(crate) members: Vec<Member>,
}

impl Text {
    /// Takes `literal` apart; `None` where it is a fixed text, without a single brace.
    pub(crate) fn parse(literal: &LitStr) -> Result<Option<Text>> {
        let text = literal.value();
        if !text.contains(['{', '}']) {
            return Ok(None);
        }
        let mut parsed = Text {
            format: literal.clone(),
            fields: Vec::new(),
            names: Vec::new(),
        };
        let mut format = String::new();
        for piece in pieces(&text) {
            match piece {
                Piece::Plain(plain) => format.push_str(plain),
                Piece::Placeholder(inside) => parsed.placeholder(inside, &mut format, literal.span())?,
            }
        }
        if !parsed.fields.is_empty() {
            parsed.format = LitStr::new(&format, literal.span());
        }
        Ok(Some(parsed))
    }

    /// Whether `literal` looks like a format string.
    pub(crate) fn captures_something(literal: &LitStr) -> bool {
        pieces(&literal.value()).any(|piece| matches!(piece, Piece::Placeholder(_)))
    }

    fn placeholder(&mut self, inside: &str, format: &mut String, span: Span) -> Result<()> {
        let (what, spec) = inside
            .split_once(':')
            .map_or((inside, None), |(what, spec)| (what, Some(spec)));
        let mut parts = what.trim().split('.');
        let first = parts.next().unwrap_or_default();
        let members: Vec<&str> = parts.collect();
        let argument = name(first, span).ok_or_else(|| not_a_capture(inside, span))?;
        let _ = write!(format, "{{{}", if members.is_empty() { first } else { "" });
        if members.is_empty() {
            self.capture(argument);
        } else {
            let members = members
                .into_iter()
                .map(|part| member(part, span).ok_or_else(|| not_a_capture(inside, span)))
                .collect::<Result<_>>()?;
            self.fields.push(Field { argument, members });
        }
        if let Some(spec) = spec {
            let _ = write!(format, ":{spec}");
            // `{id:width$.digits$}` captures two more.
            for parameter in spec.split('$').rev().skip(1) {
                let start = parameter
                    .rfind(|character: char| !(character.is_alphanumeric() || character == '_'))
                    .map_or(0, |at| at + parameter[at..].chars().next().map_or(1, char::len_utf8));
                if let Some(captured) = name(&parameter[start..], span) {
                    self.capture(captured);
                }
            }
        }
        format.push('}');
        Ok(())
    }

    fn capture(&mut self, name: Ident) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

enum Piece<'a> {
    /// Text, escapes included.
    Plain(&'a str),
    /// What stands between the braces.
    Placeholder(&'a str),
}

/// Splits a format string. A brace that is never closed stays in the text, for rustc to complain about.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let inside = rest.strip_prefix('{').filter(|after| !after.starts_with('{'));
        if let Some((inside, after)) = inside.and_then(|inside| inside.split_once('}')) {
            rest = after;
            return Some(Piece::Placeholder(inside));
        }
        let escape_or_first = if rest.starts_with("{{") {
            2
        } else {
            rest.chars().next()?.len_utf8()
        };
        let end = rest[escape_or_first..]
            .find('{')
            .map_or(rest.len(), |at| escape_or_first + at);
        let (plain, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Plain(plain))
    })
}

fn name(text: &str, span: Span) -> Option<Ident> {
    if text == "self" {
        return Some(Ident::new(text, span));
    }
    let mut ident = syn::parse_str::<Ident>(text)
        .or_else(|_| syn::parse_str(&format!("r#{text}")))
        .ok()?;
    ident.set_span(span);
    Some(ident)
}

fn member(text: &str, span: Span) -> Option<Member> {
    let mut member = syn::parse_str::<Member>(text).ok()?;
    match &mut member {
        Member::Named(field) => field.set_span(span),
        Member::Unnamed(index) => index.span = span,
    }
    Some(member)
}

fn not_a_capture(inside: &str, span: Span) -> Error {
    Error::new(
        span,
        format!(
            "`{{{inside}}}` is neither an argument nor a field of one, like `{{id}}` or `{{self.shelf}}`; for anything \
             else the key can be a closure or an expression, and `{{{{` is a brace"
        ),
    )
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::parse_quote;

    use super::*;

    /// Format, fields and names, separated by `|`.
    fn parsed(literal: &LitStr) -> String {
        let text = Text::parse(literal).expect("a good text").expect("captures");
        let fields = text.fields.iter().map(|field| {
            let members: Vec<_> = field.members.iter().map(|m| m.to_token_stream().to_string()).collect();
            format!("{}.{}", field.argument, members.join("."))
        });
        let names = text.names.iter().map(ToString::to_string);
        format!(
            "{}|{}|{}",
            text.format.value(),
            fields.collect::<Vec<_>>().join(","),
            names.collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn arguments_and_fields_are_found() {
        for (literal, expected) in [
            (parse_quote!("account/{id}"), "account/{id}||id"),
            (
                parse_quote!("{self.shelf}/{book.id:08}"),
                "{}/{:08}|self.shelf,book.id|",
            ),
            (parse_quote!("{pair.0.name}-{id}-{id}"), "{}-{id}-{id}|pair.0.name|id"),
            (parse_quote!("{{{id}}}"), "{{{id}}}||id"),
            (
                parse_quote!("a}}{id:>width$.digits$}é"),
                "a}}{id:>width$.digits$}é||id,digits,width",
            ),
            (parse_quote!("{type}"), "{type}||r#type"),
            (parse_quote!("{{"), "{{||"),
            (parse_quote!("é{"), "é{||"),
        ] {
            assert_eq!(parsed(&literal), expected);
        }
    }

    #[test]
    fn a_text_without_braces_is_fixed() {
        assert!(Text::parse(&parse_quote!("a/b:c")).expect("good").is_none());
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        for literal in [
            parse_quote!("{}"),
            parse_quote!("{0}"),
            parse_quote!("{:?}"),
            parse_quote!("{self.path()}"),
            parse_quote!("{a + b}"),
        ] {
            assert!(Text::parse(&literal).is_err());
        }
    }
}
