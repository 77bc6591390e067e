//! The types of the options' values.
//!
//! A literal is checked here. A computed value is left to the runtime.

use std::fmt::Display;
use std::time::Duration;

use proc_macro2::{Ident, Span};
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprArray, ExprUnary, Lit, LitStr, Path, Result, UnOp};

use crate::error::{error_at, error_on};
use crate::parse::format_string::FormatString;
use crate::parse::syntax::peel_expr;

/// The longest duration of an option.
///
/// memcached takes an expiry above 30 days for a point in time. The runtime holds computed durations to the same limit.
const MAX_DURATION: Duration = Duration::from_secs(29 * 24 * 3600);

/// A value that can be written behind an option's `=`.
pub(crate) trait OptionValue: Sized {
    /// Parses the value of the option `name`.
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<Self>;

    /// Returns the value of an option that is written without one.
    fn without_value(name: &Ident) -> Result<Self> {
        Err(error_at(
            name.span(),
            format_args!("`{name}` needs a value"),
            format_args!("write `{name} = …`"),
        ))
    }
}

impl OptionValue for Expr {
    fn parse_value(_name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
        input.parse()
    }
}

impl OptionValue for Vec<Expr> {
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<Vec<Expr>> {
        match parse_expr(input)? {
            Expr::Array(ExprArray { elems, .. }) if !elems.is_empty() => Ok(elems.into_iter().collect()),
            other => Err(error_on(
                other,
                format_args!("`{name}` must be a list of at least one key"),
                format_args!("write `{name} = [a, b]`"),
            )),
        }
    }
}

impl OptionValue for Path {
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<Path> {
        match parse_expr(input)? {
            Expr::Path(path) if path.qself.is_none() => Ok(path.path),
            other => Err(error_on(
                other,
                format_args!("`{name}` must be a path"),
                format_args!("write it without quotes: `{name} = ::my_memlock`"),
            )),
        }
    }
}

/// The namespace of the key: a string, or an expression.
pub(crate) struct Name(pub(crate) Expr);

impl OptionValue for Name {
    fn parse_value(_name: &Ident, input: ParseStream<'_>) -> Result<Name> {
        let value = parse_expr(input)?;
        if let Some(text) = string_literal(&value) {
            if text.value().is_empty() {
                return Err(error_at(
                    text.span(),
                    "`name` cannot be empty",
                    "leave it out to name the lock after the function and its module",
                ));
            }
            if FormatString::has_captures(text) {
                return Err(error_at(
                    text.span(),
                    "`name` cannot capture an argument",
                    "the name is the same for every call: put what differs between calls into the key",
                ));
            }
        }
        Ok(Name(value))
    }
}

/// A duration above zero.
pub(crate) enum DurationValue {
    Literal(Duration),
    Computed(Expr),
}

impl OptionValue for DurationValue {
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<DurationValue> {
        DurationValue::from_expr(parse_expr(input)?, name, false)
    }
}

impl DurationValue {
    fn from_expr(value: Expr, name: &Ident, may_be_zero: bool) -> Result<DurationValue> {
        let Some(literal) = literal_duration(&value, name)? else {
            return Ok(DurationValue::Computed(value));
        };
        if literal.is_zero() && !may_be_zero {
            return Err(not_positive(&value, format_args!("`{name}` cannot be zero")));
        }
        if literal > MAX_DURATION {
            return Err(too_long(value.span(), name));
        }
        Ok(DurationValue::Literal(literal))
    }
}

/// The longest wait for the lock; with zero, the lock is tried once.
pub(crate) struct Wait(pub(crate) DurationValue);

impl OptionValue for Wait {
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<Wait> {
        DurationValue::from_expr(parse_expr(input)?, name, true).map(Wait)
    }
}

/// Whether the lease is renewed while the body runs, and for how long.
pub(crate) enum Renew {
    Never,
    Always,
    For(DurationValue),
}

impl OptionValue for Renew {
    fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<Renew> {
        match parse_expr(input)? {
            Expr::Lit(literal) if matches!(&literal.lit, Lit::Bool(_)) => match literal.lit {
                Lit::Bool(yes) if yes.value => Ok(Renew::Always),
                _ => Ok(Renew::Never),
            },
            value => DurationValue::from_expr(value, name, false).map(Renew::For),
        }
    }

    fn without_value(_name: &Ident) -> Result<Renew> {
        Ok(Renew::Always)
    }
}

/// Enums whose variants are written as one word each.
macro_rules! word_values {
    ($($(#[$doc:meta])* $type:ident { $($variant:ident = $word:literal),* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type { $($variant),* }

        impl OptionValue for $type {
            fn parse_value(name: &Ident, input: ParseStream<'_>) -> Result<$type> {
                let value = parse_expr(input)?;
                let word = match &value {
                    Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
                    _ => None,
                };
                match word.as_deref() {
                    $(Some($word) => Ok($type::$variant),)*
                    _ => Err(error_on(
                        value,
                        format_args!("invalid value for `{name}`"),
                        format_args!(
                            "write one of {}, without quotes",
                            [$(concat!("`", $word, "`")),*].join(", "),
                        ),
                    )),
                }
            }
        }
    )*};
}
word_values! {
    /// What to do when the server is unreachable.
    OnUnavailable { Error = "error", Unlocked = "unlocked", Panic = "panic" }
    /// What to do when the lease was lost before the body returned.
    OnLost { Warn = "warn", Error = "error" }
}

/// Parses an expression.
fn parse_expr(input: ParseStream<'_>) -> Result<Expr> {
    input.parse().map(peel_expr)
}

/// Returns the string literal that an expression is.
fn string_literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the duration that a literal denotes, or `None` for another expression.
fn literal_duration(value: &Expr, name: &Ident) -> Result<Option<Duration>> {
    let literal = match value {
        Expr::Lit(literal) => &literal.lit,
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) if matches!(**expr, Expr::Lit(_)) => {
            return Err(not_positive(value, format_args!("`{name}` cannot be negative")));
        }
        _ => return Ok(None),
    };
    let seconds = match literal {
        Lit::Int(number) if is_numeric_suffix(number.suffix()) => number.base10_parse()?,
        Lit::Float(number) if is_numeric_suffix(number.suffix()) => number.base10_parse()?,
        Lit::Str(text) => parse_seconds(&text.value()).ok_or_else(|| not_a_duration(literal.span(), name))?,
        _ => return Err(not_a_duration(literal.span(), name)),
    };
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| too_long(literal.span(), name))
}

fn not_a_duration(span: Span, name: &Ident) -> Error {
    error_at(
        span,
        format_args!("`{name}` must be a duration"),
        "write a number of seconds (`30`, `0.05`), a string with a unit (`\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`, \
         `\"1d\"`), or an expression of type `Duration`",
    )
}

fn not_positive(value: &Expr, message: impl Display) -> Error {
    error_on(value, message, "write a duration such as `30` or `\"250ms\"`")
}

fn too_long(span: Span, name: &Ident) -> Error {
    error_at(
        span,
        format_args!("`{name}` cannot be longer than 29 days"),
        "write at most `\"29d\"`",
    )
}

fn is_numeric_suffix(suffix: &str) -> bool {
    matches!(
        suffix,
        "" | "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" | "f32" | "f64"
    )
}

/// Parses a number with a unit.
fn parse_seconds(text: &str) -> Option<f64> {
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

    fn parse(value: Expr) -> std::result::Result<Option<Duration>, String> {
        let name = parse_quote!(timeout);
        match DurationValue::from_expr(value, &name, false) {
            Ok(DurationValue::Literal(duration)) => Ok(Some(duration)),
            Ok(DurationValue::Computed(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_number_is_in_seconds_and_a_string_has_a_unit() {
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
            assert_eq!(parse(value), Ok(Some(Duration::from_millis(milliseconds))));
        }
        assert_eq!(parse(parse_quote!("7us")), Ok(Some(Duration::from_micros(7))));
        assert_eq!(parse(parse_quote!(2 * 15)), Ok(None));
        assert_eq!(parse(parse_quote!(TIMEOUT)), Ok(None));
    }

    #[test]
    fn an_invalid_duration_is_refused() {
        for (value, problem) in [
            (parse_quote!(0), "zero"),
            (parse_quote!(0.0), "zero"),
            (parse_quote!("0s"), "zero"),
            (parse_quote!(-1), "negative"),
            (parse_quote!(-0.5), "negative"),
            (parse_quote!("30d"), "29 days"),
            (parse_quote!(1e300), "29 days"),
            (parse_quote!(99999999999999999999), "29 days"),
            (parse_quote!("30"), "a string with a unit"),
            (parse_quote!("-5s"), "a string with a unit"),
            (parse_quote!("5 parsecs"), "a string with a unit"),
            (parse_quote!(""), "a string with a unit"),
            (parse_quote!(30s), "a string with a unit"),
            (parse_quote!('5'), "a string with a unit"),
            (parse_quote!(true), "a string with a unit"),
        ] {
            let error = parse(value).expect_err(problem);
            assert!(error.contains(problem), "{error}");
        }
    }
}
