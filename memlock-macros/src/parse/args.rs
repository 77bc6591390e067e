//! Parses the attribute's arguments.
//!
//! ```text
//! #[lock(KEY, option = value, …)]
//! ```

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, Result, Token};

use crate::error::{error_at, error_on};
use crate::parse::options::{Given, OPTION_NAMES, Options};

/// Parses the arguments: at most one key in front, then options.
pub(crate) fn parse_args(input: ParseStream<'_>) -> Result<Options> {
    let mut options = Options::default();
    let mut is_first = true;
    while !input.is_empty() {
        if is_name_with_colon(input) {
            input.call(Ident::parse_any)?;
            return Err(error_at(
                input.span(),
                "expected `=`, found `:`",
                "write an option as `timeout = 30`",
            ));
        }
        if is_option(input, is_first) {
            let name = input.call(Ident::parse_any)?;
            options.parse_option(&name, input)?;
        } else if is_first {
            let key: Expr = input.parse()?;
            let span = key.span();
            options.key = Some(Given { span, value: key });
        } else {
            let help = if options.key.is_some() {
                "to take several locks, write `keys = [a, b]`; for one key of several parts, write `(a, b)`"
            } else {
                "put the key first, or write `key = …`"
            };
            return Err(error_on(
                input.parse::<Expr>()?,
                "only the first argument can be a key",
                help,
            ));
        }
        is_first = false;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(options)
}

/// Returns whether the next argument is an option, not a key.
fn is_option(input: ParseStream<'_>, is_first: bool) -> bool {
    let ahead = input.fork();
    let Ok(name) = ahead.call(Ident::parse_any) else {
        return false;
    };
    if ahead.peek(Token![=]) {
        return !ahead.peek(Token![==]) && !ahead.peek(Token![=>]);
    }
    // `renew` is the one option without a value. A key of that name is written `key = renew`.
    let stands_alone = ahead.is_empty() || ahead.peek(Token![,]);
    if name == "renew" && stands_alone {
        return true;
    }
    // After the first argument no key is expected, so the bare name of an option is an option that lacks its value.
    !is_first && OPTION_NAMES.contains(&name.to_string().as_str())
}

/// Returns whether a name with a `:` is next, which starts no expression.
fn is_name_with_colon(input: ParseStream<'_>) -> bool {
    input.peek(Ident::peek_any) && input.peek2(Token![:]) && !input.peek2(Token![::])
}
