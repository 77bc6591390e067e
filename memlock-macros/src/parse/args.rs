//! Parses the attribute's arguments.
//!
//! ```text
//! #[lock(KEY, option = value, …)]
//! ```

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Result, Token};

use crate::parse::options::{Given, OPTION_NAMES, Options};

/// Parses the arguments: at most one key in front, then options.
pub(crate) fn parse_args(input: ParseStream<'_>) -> Result<Options> {
    let mut options = Options::default();
    let mut is_first = true;
    while !input.is_empty() {
        if is_option(input, is_first) {
            let name = input.call(Ident::parse_any)?;
            options.parse_option(&name, input)?;
        } else if is_first {
            let key: Expr = input.parse()?;
            let span = key.span();
            options.key = Some(Given { span, value: key });
        } else {
            return Err(Error::new_spanned(
                input.parse::<Expr>()?,
                "only the first argument is a key; for several locks at once write `keys = [a, b]`, for one key of several parts `(a, b)`",
            ));
        }
        is_first = false;
        if input.peek(Token![:]) {
            return Err(input.error("options are written with `=`: `timeout = 30`"));
        }
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
    // Behind the first argument no key is expected, so the name of an option is taken for one that lacks its value.
    !is_first && OPTION_NAMES.contains(&name.to_string().as_str())
}
