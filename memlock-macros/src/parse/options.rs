//! The options of an attribute: one table, from which their fields, their kinds of value, and the errors for unknown and
//! repeated ones follow. What a kind of value may be is in `values`.

use std::ops::Deref;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Error, Expr, Path, Result, Token};

use crate::parse::values::{Length, Name, OnLost, OnUnavailable, OptionValue, Renew, Wait};

table! {
    "key" key: Expr;
    "keys" keys: Vec<Expr>;
    "timeout" timeout: Length;
    "interval" interval: Length;
    "wait" wait: Wait;
    "name" name: Name;
    "renew" renew: Renew;
    "on_unavailable" on_unavailable: OnUnavailable;
    "on_lost" on_lost: OnLost;
    "otherwise" otherwise: Expr;
    "reserve" reserve: Length;
    "conflict" conflict: Expr;
    "locks" locks: Expr;
    "crate" crate_path: Path;
}

/// An option's value, and where the option stands.
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
    /// Where `on_lost = error` stands, if it does.
    pub(crate) fn on_lost_error(&self) -> Option<Span> {
        let given = self.on_lost.as_ref()?;
        (**given == OnLost::Error).then_some(given.span)
    }
}

macro_rules! table {
    ($($name:literal $field:ident: $value:ty;)*) => {
        /// What the attribute says.
        #[derive(Default)]
        pub(crate) struct Options {
            $(pub(crate) $field: Option<Given<$value>>,)*
        }

        /// The names of all options.
        pub(crate) const NAMES: &[&str] = &[$($name),*];

        impl Options {
            /// Reads the value of the option `name`, at the `=` behind it.
            pub(crate) fn read(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
                match name.unraw().to_string().as_str() {
                    $($name => put(&mut self.$field, name, input),)*
                    unknown => Err(Error::new(name.span(), unknown_option(unknown))),
                }
            }
        }
    };
}
use table;

fn put<T: OptionValue>(field: &mut Option<Given<T>>, name: &Ident, input: ParseStream<'_>) -> Result<()> {
    let value = if input.is_empty() || input.peek(Token![,]) {
        T::bare(name)?
    } else {
        input.parse::<Token![=]>()?;
        T::read(name, input)?
    };
    if field.is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is given twice")));
    }
    let span = name.span();
    *field = Some(Given { span, value });
    Ok(())
}

fn unknown_option(unknown: &str) -> String {
    let nearest = NAMES
        .iter()
        .map(|name| (distance(unknown, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3);
    match nearest {
        Some((_, name)) => format!("unknown option `{unknown}`; did you mean `{name}`?"),
        None => format!("unknown option `{unknown}`; the options are `{}`", NAMES.join("`, `")),
    }
}

/// How many letters must be typed, deleted or replaced to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
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
    fn a_slip_of_the_finger_gets_a_hint() {
        for (slip, name) in [
            ("timout", "timeout"),
            ("intervall", "interval"),
            ("on_unavailible", "on_unavailable"),
            ("lock", "locks"),
            ("kes", "key"),
        ] {
            assert!(
                unknown_option(slip).ends_with(&format!("did you mean `{name}`?")),
                "{slip}"
            );
        }
    }

    #[test]
    fn anything_else_gets_the_list() {
        assert!(unknown_option("colour").contains("the options are `key`, `keys`, `timeout`"));
    }

    #[test]
    fn every_option_is_in_the_documentation() {
        let documentation = include_str!("../../docs/options.md");
        for name in NAMES {
            assert!(documentation.contains(&format!("`{name}`")), "{name} is not documented");
        }
    }
}
