//! The first phase: what stands between the attribute's parentheses.
//!
//! ```text
//! #[lock(KEY, option = value, …)]
//! ```

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Result, Token};

use crate::parse::options::{Given, NAMES, Options};

/// Reads the arguments.
pub(crate) fn parse(input: ParseStream<'_>) -> Result<Options> {
    let mut options = Options::default();
    let mut first = true;
    while !input.is_empty() {
        if is_option(input) {
            let name = input.call(Ident::parse_any)?;
            options.read(&name, input)?;
        } else if first {
            let key: Expr = input.parse()?;
            let span = key.span();
            options.key = Some(Given { span, value: key });
        } else {
            return Err(not_an_option(input)?);
        }
        first = false;
        if input.peek(Token![:]) {
            return Err(input.error("options are written with `=`: `timeout = 30`"));
        }
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(options)
}

/// Whether an option is next: `name = …`, or a `renew` alone. (A key of that name is written `key = renew`.)
fn is_option(input: ParseStream<'_>) -> bool {
    if !input.peek(Ident::peek_any) {
        return false;
    }
    if input.peek2(Token![=]) {
        return !input.peek2(Token![==]) && !input.peek2(Token![=>]);
    }
    let ahead = input.fork();
    let is_renew = ahead.call(Ident::parse_any).is_ok_and(|name| name == "renew");
    is_renew && (ahead.is_empty() || ahead.peek(Token![,]))
}

fn not_an_option(input: ParseStream<'_>) -> Result<Error> {
    let ahead = input.fork();
    if let Ok(name) = ahead.call(Ident::parse_any)
        && NAMES.contains(&name.to_string().as_str())
    {
        return Ok(Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`")));
    }
    let second: Expr = input.parse()?;
    Ok(Error::new_spanned(
        second,
        "only the first argument is a key; for several locks at once write `keys = [a, b]`, for one key of several parts `(a, b)`",
    ))
}
