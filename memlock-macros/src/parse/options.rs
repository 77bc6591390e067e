//! The options of an attribute.
//!
//! One table names each option and the type of its value. The fields, the parser, and the errors for unknown and
//! repeated options follow from it. The types are in `values`.

use std::ops::Deref;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Error, Expr, Path, Result, Token};

use crate::error::error_at;
use crate::parse::values::{DurationValue, Name, OnLost, OnUnavailable, OptionValue, Renew, Wait};

table! {
    "key" key: Expr;
    "keys" keys: Vec<Expr>;
    "timeout" timeout: DurationValue;
    "interval" interval: DurationValue;
    "wait" wait: Wait;
    "name" name: Name;
    "renew" renew: Renew;
    "on_unavailable" on_unavailable: OnUnavailable;
    "on_lost" on_lost: OnLost;
    "otherwise" otherwise: Expr;
    "reserve" reserve: DurationValue;
    "conflict" conflict: Expr;
    "locks" locks: Expr;
    "crate" crate_path: Path;
}

/// The value of an option, and where the option is written.
pub(crate) struct Given<T> {
    pub(crate) span: Span,
    pub(crate) value: T,
}

impl<T> Deref for Given<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Options {
    /// Returns where `on_lost = error` is written.
    pub(crate) fn on_lost_error(&self) -> Option<Span> {
        let given = self.on_lost.as_ref()?;
        (**given == OnLost::Error).then_some(given.span)
    }
}

macro_rules! table {
    ($($name:literal $field:ident: $value:ty;)*) => {
        /// The options that the attribute gives.
        #[derive(Default)]
        pub(crate) struct Options {
            $(pub(crate) $field: Option<Given<$value>>,)*
        }

        /// The names of all options.
        pub(crate) const OPTION_NAMES: &[&str] = &[$($name),*];

        impl Options {
            /// Parses what follows the `name` of an option.
            pub(crate) fn parse_option(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
                match name.unraw().to_string().as_str() {
                    $($name => parse_into(&mut self.$field, name, input),)*
                    unknown => Err(unknown_option(unknown, name.span())),
                }
            }
        }
    };
}
use table;

fn parse_into<T: OptionValue>(field: &mut Option<Given<T>>, name: &Ident, input: ParseStream<'_>) -> Result<()> {
    let value = if input.is_empty() || input.peek(Token![,]) {
        T::without_value(name)?
    } else {
        input.parse::<Token![=]>()?;
        T::parse_value(name, input)?
    };
    if field.is_some() {
        return Err(error_at(
            name.span(),
            format_args!("`{name}` is given twice"),
            "remove one of the two",
        ));
    }
    let span = name.span();
    *field = Some(Given { span, value });
    Ok(())
}

fn unknown_option(unknown: &str, span: Span) -> Error {
    let nearest = OPTION_NAMES
        .iter()
        .map(|name| (edit_distance(unknown, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3);
    let help = match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("the options are `{}`", OPTION_NAMES.join("`, `")),
    };
    error_at(span, format_args!("unknown option `{unknown}`"), help)
}

/// Returns how many letters must be inserted, deleted or replaced to turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_option_gets_the_nearest_name() {
        for (misspelt, name) in [
            ("timout", "timeout"),
            ("intervall", "interval"),
            ("on_unavailible", "on_unavailable"),
            ("lock", "locks"),
            ("kes", "key"),
        ] {
            let error = unknown_option(misspelt, Span::call_site()).to_string();
            assert!(error.ends_with(&format!("did you mean `{name}`?")), "{error}");
        }
    }

    #[test]
    fn an_unknown_option_gets_the_list_of_all_options() {
        let error = unknown_option("colour", Span::call_site()).to_string();
        assert!(error.contains("the options are `key`, `keys`, `timeout`"), "{error}");
    }

    #[test]
    fn every_option_is_documented() {
        let documentation = include_str!("../../docs/attribute.md");
        for name in OPTION_NAMES {
            assert!(documentation.contains(&format!("`{name}`")), "{name} is not documented");
        }
    }
}
