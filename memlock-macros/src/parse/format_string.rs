//! A key written as a format string, which captures arguments and fields of arguments.
//!
//! Only the captures are parsed here. rustc checks the rest, in the `format_args!` of the expansion.

use std::fmt::Write as _;

use proc_macro2::{Ident, Span};
use syn::{Error, LitStr, Member, Result};

use crate::error::error_at;

/// A format string, taken apart.
///
/// Input: `"{self.shelf}/{id:08}"`. Output: the template `"{}/{id:08}"`, the field `self.shelf` and the name `id`.
pub(crate) struct FormatString {
    /// The first argument of `format_args!`. Without captured fields it is the user's literal.
    pub(crate) template: LitStr,
    /// The captured fields, one for each `{}` of the template.
    pub(crate) fields: Vec<FieldCapture>,
    /// The names that are captured without a field, once each.
    pub(crate) names: Vec<Ident>,
}

/// `argument.member.member`.
pub(crate) struct FieldCapture {
    pub(crate) argument: Ident,
    pub(crate) members: Vec<Member>,
}

impl FormatString {
    /// Parses `literal`. Returns `None` if it has no brace and thus is a fixed string.
    pub(crate) fn parse(literal: &LitStr) -> Result<Option<FormatString>> {
        let text = literal.value();
        if !text.contains(['{', '}']) {
            return Ok(None);
        }
        let mut parsed = FormatString {
            template: literal.clone(),
            fields: Vec::new(),
            names: Vec::new(),
        };
        let mut template = String::new();
        for piece in split(&text) {
            match piece {
                Piece::Plain(plain) => template.push_str(plain),
                Piece::Placeholder(inside) => parsed.add_placeholder(inside, &mut template, literal.span())?,
            }
        }
        if !parsed.fields.is_empty() {
            parsed.template = LitStr::new(&template, literal.span());
        }
        Ok(Some(parsed))
    }

    /// Returns whether `literal` has a placeholder.
    pub(crate) fn has_captures(literal: &LitStr) -> bool {
        split(&literal.value()).any(|piece| matches!(piece, Piece::Placeholder(_)))
    }

    /// Records the captures of the placeholder `{inside}`, and appends the placeholder to the template.
    fn add_placeholder(&mut self, inside: &str, template: &mut String, span: Span) -> Result<()> {
        let (capture, spec) = inside
            .split_once(':')
            .map_or((inside, None), |(capture, spec)| (capture, Some(spec)));
        let mut parts = capture.trim().split('.');
        let first = parts.next().unwrap_or_default();
        let members: Vec<&str> = parts.collect();
        let argument = parse_ident(first, span).ok_or_else(|| invalid_capture(inside, span))?;
        let _ = write!(template, "{{{}", if members.is_empty() { first } else { "" });
        if members.is_empty() {
            self.add_name(argument);
        } else {
            let members = members
                .into_iter()
                .map(|part| parse_member(part, span).ok_or_else(|| invalid_capture(inside, span)))
                .collect::<Result<_>>()?;
            self.fields.push(FieldCapture { argument, members });
        }
        if let Some(spec) = spec {
            let _ = write!(template, ":{spec}");
            // The width and the precision may be captures, too: `{id:width$.digits$}`.
            for parameter in spec.split('$').rev().skip(1) {
                let start = parameter
                    .rfind(|character: char| !(character.is_alphanumeric() || character == '_'))
                    .map_or(0, |at| at + parameter[at..].chars().next().map_or(1, char::len_utf8));
                if let Some(captured) = parse_ident(&parameter[start..], span) {
                    self.add_name(captured);
                }
            }
        }
        template.push('}');
        Ok(())
    }

    fn add_name(&mut self, name: Ident) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

enum Piece<'a> {
    /// Literal text, with its escapes.
    Plain(&'a str),
    /// The inside of a pair of braces.
    Placeholder(&'a str),
}

/// Splits a format string. An unclosed brace stays in the literal text, where rustc reports it.
fn split(text: &str) -> impl Iterator<Item = Piece<'_>> {
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

/// Parses an identifier, which in a format string may be a keyword: `{type}`.
fn parse_ident(text: &str, span: Span) -> Option<Ident> {
    if text == "self" {
        return Some(Ident::new(text, span));
    }
    let mut ident = syn::parse_str::<Ident>(text)
        .or_else(|_| syn::parse_str(&format!("r#{text}")))
        .ok()?;
    ident.set_span(span);
    Some(ident)
}

fn parse_member(text: &str, span: Span) -> Option<Member> {
    let mut member = syn::parse_str::<Member>(text).ok()?;
    match &mut member {
        Member::Named(field) => field.set_span(span),
        Member::Unnamed(index) => index.span = span,
    }
    Some(member)
}

fn invalid_capture(inside: &str, span: Span) -> Error {
    error_at(
        span,
        format_args!("`{{{inside}}}` is neither an argument nor a field of one"),
        format_args!(
            "capture as in `{{id}}` or `{{self.shelf}}`; for anything else, write the key as a closure or an expression; \
             a literal brace is `{{{{`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::parse_quote;

    use super::*;

    /// Returns template, fields and names, separated by `|`.
    fn describe(literal: &LitStr) -> String {
        let parsed = FormatString::parse(literal)
            .expect("a valid format string")
            .expect("it has braces");
        let fields = parsed.fields.iter().map(|field| {
            let members: Vec<_> = field.members.iter().map(|m| m.to_token_stream().to_string()).collect();
            format!("{}.{}", field.argument, members.join("."))
        });
        let names = parsed.names.iter().map(ToString::to_string);
        format!(
            "{}|{}|{}",
            parsed.template.value(),
            fields.collect::<Vec<_>>().join(","),
            names.collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn names_and_fields_are_captured() {
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
            assert_eq!(describe(&literal), expected);
        }
    }

    #[test]
    fn a_string_without_braces_captures_nothing() {
        assert!(
            FormatString::parse(&parse_quote!("a/b:c"))
                .expect("a valid string")
                .is_none()
        );
    }

    #[test]
    fn a_placeholder_other_than_a_capture_is_refused() {
        for literal in [
            parse_quote!("{}"),
            parse_quote!("{0}"),
            parse_quote!("{:?}"),
            parse_quote!("{self.path()}"),
            parse_quote!("{a + b}"),
        ] {
            assert!(FormatString::parse(&literal).is_err());
        }
    }
}
