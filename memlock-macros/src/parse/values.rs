//! The kinds of value that options take. Each is checked here, once, as far as a literal can be.

use std::time::Duration;

use proc_macro2::{Ident, Span};
use syn::parse::ParseStream;
use syn::{Error, Expr, ExprArray, ExprUnary, Lit, LitStr, Path, Result, UnOp};

use crate::parse::syntax::peel_expr;
use crate::parse::text::Text;

/// The longest timeout that memcached's expiry can hold; the runtime has the same limit for what is computed.
const LONGEST: Duration = Duration::from_hours(29 * 24);

/// What can be written behind an option's `=`.
pub(crate) trait OptionValue: Sized {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Self>;

    /// The option without `=`.
    fn bare(name: &Ident) -> Result<Self> {
        Err(Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`")))
    }
}

impl OptionValue for Expr {
    fn read(_name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
        input.parse()
    }
}

impl OptionValue for Vec<Expr> {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Vec<Expr>> {
        match parse_expr(input)? {
            Expr::Array(ExprArray { elems, .. }) if !elems.is_empty() => Ok(elems.into_iter().collect()),
            other => Err(Error::new_spanned(
                other,
                format!("`{name}` takes a list of one or more keys: `{name} = [a, b]`"),
            )),
        }
    }
}

impl OptionValue for Path {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Path> {
        match parse_expr(input)? {
            Expr::Path(path) if path.qself.is_none() => Ok(path.path),
            other => Err(Error::new_spanned(
                other,
                format!("`{name}` takes a path, without quotes: `{name} = ::my_memlock`"),
            )),
        }
    }
}

/// The namespace of the key: a text, or an expression for one that does not depend on the call.
pub(crate) struct Name(pub(crate) Expr);

impl OptionValue for Name {
    fn read(_name: &Ident, input: ParseStream<'_>) -> Result<Name> {
        let value = parse_expr(input)?;
        if let Some(text) = as_text(&value) {
            if text.value().is_empty() {
                return Err(Error::new(text.span(), "a name cannot be empty"));
            }
            if Text::captures_something(text) {
                return Err(Error::new(
                    text.span(),
                    "a name is the same for every call; what differs from call to call belongs in the key",
                ));
            }
        }
        Ok(Name(value))
    }
}

/// A length of time above zero.
pub(crate) enum Length {
    Literal(Duration),
    Computed(Expr),
}

impl OptionValue for Length {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Length> {
        Length::of(parse_expr(input)?, name, false)
    }
}

impl Length {
    fn of(value: Expr, name: &Ident, may_be_zero: bool) -> Result<Length> {
        let Some(literal) = literal_length(&value, name)? else {
            return Ok(Length::Computed(value));
        };
        if literal.is_zero() && !may_be_zero {
            return Err(Error::new_spanned(value, format!("`{name}` cannot be zero")));
        }
        if literal > LONGEST {
            return Err(Error::new_spanned(value, format!("`{name}` can be 29 days at most")));
        }
        Ok(Length::Literal(literal))
    }
}

/// A length of time to wait: zero tries once.
pub(crate) struct Wait(pub(crate) Length);

impl OptionValue for Wait {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Wait> {
        Length::of(parse_expr(input)?, name, true).map(Wait)
    }
}

/// Whether and how long the lease is kept alive.
pub(crate) enum Renew {
    Never,
    Always,
    For(Length),
}

impl OptionValue for Renew {
    fn read(name: &Ident, input: ParseStream<'_>) -> Result<Renew> {
        match parse_expr(input)? {
            Expr::Lit(literal) if matches!(&literal.lit, Lit::Bool(_)) => match literal.lit {
                Lit::Bool(yes) if yes.value => Ok(Renew::Always),
                _ => Ok(Renew::Never),
            },
            value => Length::of(value, name, false).map(Renew::For),
        }
    }

    fn bare(_name: &Ident) -> Result<Renew> {
        Ok(Renew::Always)
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $type:ident { $($variant:ident = $word:literal),* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type { $($variant),* }

        impl OptionValue for $type {
            fn read(name: &Ident, input: ParseStream<'_>) -> Result<$type> {
                let value = parse_expr(input)?;
                let word = match &value {
                    Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
                    _ => None,
                };
                match word.as_deref() {
                    $(Some($word) => Ok($type::$variant),)*
                    _ => Err(Error::new_spanned(
                        value,
                        format!("`{name}` is one of {}, without quotes", [$(concat!("`", $word, "`")),*].join(", ")),
                    )),
                }
            }
        }
    )*};
}
choices! {
    /// What to do when the server cannot be asked.
    OnUnavailable { Error = "error", Unlocked = "unlocked", Panic = "panic" }
    /// What to do when the lease did not last.
    OnLost { Warn = "warn", Error = "error" }
}

fn parse_expr(input: ParseStream<'_>) -> Result<Expr> {
    input.parse().map(peel_expr)
}

fn as_text(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The length that a literal stands for; `None` for what is no literal.
fn literal_length(value: &Expr, name: &Ident) -> Result<Option<Duration>> {
    let literal = match value {
        Expr::Lit(literal) => &literal.lit,
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) if matches!(**expr, Expr::Lit(_)) => {
            return Err(Error::new_spanned(value, format!("`{name}` cannot be negative")));
        }
        _ => return Ok(None),
    };
    let seconds = match literal {
        Lit::Int(number) if is_number_type(number.suffix()) => number.base10_parse()?,
        Lit::Float(number) if is_number_type(number.suffix()) => number.base10_parse()?,
        Lit::Str(text) => seconds_of_text(&text.value()).ok_or_else(|| not_a_length(literal.span(), name))?,
        _ => return Err(not_a_length(literal.span(), name)),
    };
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| Error::new(literal.span(), format!("`{name}` can be 29 days at most")))
}

fn not_a_length(span: Span, name: &Ident) -> Error {
    Error::new(
        span,
        format!(
            "`{name}` is a number of seconds (`30`, `0.05`), a text with a unit (`\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`, `\"1d\"`), or an expression of type `Duration`"
        ),
    )
}

fn is_number_type(suffix: &str) -> bool {
    matches!(
        suffix,
        "" | "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" | "f32" | "f64"
    )
}

fn seconds_of_text(text: &str) -> Option<f64> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds_in_unit = match unit.trim_start() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * seconds_in_unit)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn length(value: Expr) -> std::result::Result<Option<Duration>, String> {
        let name = parse_quote!(timeout);
        match Length::of(value, &name, false) {
            Ok(Length::Literal(length)) => Ok(Some(length)),
            Ok(Length::Computed(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn numbers_are_seconds_and_texts_have_a_unit() {
        for (value, milliseconds) in [
            (parse_quote!(30), 30_000),
            (parse_quote!(0.05), 50),
            (parse_quote!(1e3), 1_000_000),
            (parse_quote!(0x10u64), 16_000),
            (parse_quote!(2f64), 2_000),
            (parse_quote!("250ms"), 250),
            (parse_quote!("1.5 s"), 1_500),
            (parse_quote!("2m"), 120_000),
            (parse_quote!("1h"), 3_600_000),
            (parse_quote!("29d"), 29 * 86_400_000),
        ] {
            assert_eq!(length(value), Ok(Some(Duration::from_millis(milliseconds))));
        }
        assert_eq!(length(parse_quote!("7us")), Ok(Some(Duration::from_micros(7))));
        assert_eq!(length(parse_quote!(2 * 15)), Ok(None));
        assert_eq!(length(parse_quote!(TIMEOUT)), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (value, problem) in [
            (parse_quote!(0), "zero"),
            (parse_quote!(0.0), "zero"),
            (parse_quote!("0s"), "zero"),
            (parse_quote!(-1), "negative"),
            (parse_quote!(-0.5), "negative"),
            (parse_quote!("30d"), "29 days"),
            (parse_quote!(1e300), "29 days"),
            (parse_quote!(99999999999999999999), "29 days"),
            (parse_quote!("30"), "a text with a unit"),
            (parse_quote!("-5s"), "a text with a unit"),
            (parse_quote!("5 parsecs"), "a text with a unit"),
            (parse_quote!(""), "a text with a unit"),
            (parse_quote!(30s), "a text with a unit"),
            (parse_quote!('5'), "a text with a unit"),
            (parse_quote!(true), "a text with a unit"),
        ] {
            let error = length(value).expect_err(problem);
            assert!(error.contains(problem), "{error}");
        }
    }
}
