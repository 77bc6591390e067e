//! The forms of a key.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprClosure, ExprPath, Lit, Result};

use crate::error::error_at;
use crate::parse::format_string::FormatString;
use crate::parse::function::Function;
use crate::parse::syntax::peel_expr;

/// The number of arguments that a key function or closure can take.
const MAX_ARGUMENTS: usize = 8;

/// One key of a locked function.
pub(crate) enum Key {
    /// A function of the leading arguments.
    Function(ExprPath),
    /// A closure of as many arguments as it has parameters.
    Closure(ExprClosure),
    /// A format string.
    Format(FormatString),
    /// An expression in the scope of the function. The expansion takes a reference to it.
    Value(TokenStream),
}

impl Key {
    /// Classifies the expression of a key.
    pub(crate) fn from_expr(key: Expr, function: &Function) -> Result<Key> {
        Ok(match peel_expr(key) {
            Expr::Path(path) => match path.path.get_ident().and_then(|name| function.binding(name)) {
                Some(binding) => Key::Value(binding),
                None => Key::Function(path),
            },
            Expr::Closure(closure) => {
                let most = function.sig.inputs.len().min(MAX_ARGUMENTS);
                if closure.inputs.len() > most {
                    return Err(error_at(
                        closure.inputs.span(),
                        format_args!(
                            "this closure takes {} arguments, but only {most} can be passed to it",
                            closure.inputs.len()
                        ),
                        "a key closure takes references to the leading arguments of the function, `self` first",
                    ));
                }
                Key::Closure(closure)
            }
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => match FormatString::parse(text)? {
                    Some(format) => Key::Format(format),
                    None => Key::Value(quote!(#text)),
                },
                _ => Key::Value(quote!(#literal)),
            },
            // The expansion adds a `&`, so the user's own is removed.
            Expr::Reference(reference) if reference.mutability.is_none() => {
                Key::Value(reference.expr.into_token_stream())
            }
            other if needs_parentheses(&other) => Key::Value(quote_spanned!(other.span()=> (#other))),
            other => Key::Value(quote!(#other)),
        })
    }

    /// Returns how many of the function's leading arguments the key may be called with.
    pub(crate) fn argument_count(&self) -> usize {
        match self {
            Key::Function(_) => MAX_ARGUMENTS,
            Key::Closure(closure) => closure.inputs.len(),
            Key::Format(_) | Key::Value(_) => 0,
        }
    }
}

/// Returns whether `&` in front of the expression would borrow only a part of it.
fn needs_parentheses(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Assign(_) | Expr::Binary(_) | Expr::Break(_) | Expr::Cast(_) | Expr::Range(_) | Expr::Return(_)
    )
}
