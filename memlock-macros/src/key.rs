//! The forms of a key.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprClosure, ExprPath, Lit, Result};

use crate::parse::function::Function;
use crate::parse::syntax::peel_expr;
use crate::parse::text::Text;

/// How many arguments a key function or closure can be given.
const MOST_ARGUMENTS: usize = 8;

/// One key.
pub(crate) enum Key {
    /// A function of the leading arguments.
    Function(ExprPath),
    /// A closure of as many arguments as it has parameters.
    Closure(ExprClosure),
    /// A text that captures something.
    Text(Text),
    /// Something in the function's scope, to be borrowed.
    Value(TokenStream),
}

impl Key {
    pub(crate) fn of(key: Expr, function: &Function) -> Result<Key> {
        Ok(match peel_expr(key) {
            Expr::Path(path) => match path.path.get_ident().and_then(|name| function.binding(name)) {
                Some(binding) => Key::Value(binding),
                None => Key::Function(path),
            },
            Expr::Closure(closure) => {
                let most = function.sig.inputs.len().min(MOST_ARGUMENTS);
                if closure.inputs.len() > most {
                    return Err(Error::new(
                        closure.inputs.span(),
                        format!(
                            "this closure takes {} arguments, and the function has {most} to give",
                            closure.inputs.len()
                        ),
                    ));
                }
                Key::Closure(closure)
            }
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => match Text::parse(text)? {
                    Some(text) => Key::Text(text),
                    None => Key::Value(quote!(#text)),
                },
                _ => Key::Value(quote!(#literal)),
            },
            // Already borrowed.
            Expr::Reference(reference) if reference.mutability.is_none() => {
                Key::Value(reference.expr.into_token_stream())
            }
            other if binds_looser_than_borrowing(&other) => Key::Value(quote_spanned!(other.span()=> (#other))),
            other => Key::Value(quote!(#other)),
        })
    }

    /// How many of the function's arguments are handed over by reference, so that they need names.
    pub(crate) fn arguments(&self) -> usize {
        match self {
            Key::Function(_) => MOST_ARGUMENTS,
            Key::Closure(closure) => closure.inputs.len(),
            Key::Text(_) | Key::Value(_) => 0,
        }
    }
}

/// Whether `&` in front of it would take hold of a part only.
fn binds_looser_than_borrowing(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Assign(_) | Expr::Binary(_) | Expr::Break(_) | Expr::Cast(_) | Expr::Range(_) | Expr::Return(_)
    )
}
