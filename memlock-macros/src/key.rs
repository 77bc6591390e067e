//! The forms of a key, and how each becomes an expression.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Expr, ExprClosure, ExprPath, FnArg, Lit, Result};

use crate::parse::function::{Function, plain_name};
use crate::parse::text::{Field, Text};
use crate::parse::values::peel;

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
        Ok(match peel(key) {
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

    /// The expression of the finished key.
    pub(crate) fn expand(&self, function: &Function) -> TokenStream {
        let site = Span::mixed_site();
        let value = match self {
            Key::Function(path) => {
                let here = site.located_at(path.span());
                let arguments = arguments(function, MOST_ARGUMENTS);
                quote_spanned!(here=> &__memlock::KeyFn::new(#path, #arguments).__memlock_key())
            }
            Key::Closure(closure) => {
                let helper = format_ident!("key{}", closure.inputs.len(), span = site);
                let arguments = arguments(function, closure.inputs.len());
                quote_spanned!(site=> &__memlock::#helper(#closure, #arguments))
            }
            Key::Text(text) => expand_text(text, function),
            Key::Value(value) => {
                let here = site.located_at(value.span());
                quote_spanned!(here=> &#value)
            }
        };
        quote_spanned!(site=> __memlock::key(#value))
    }
}

/// Whether `&` in front of it would take hold of a part only.
fn binds_looser_than_borrowing(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Assign(_) | Expr::Binary(_) | Expr::Break(_) | Expr::Cast(_) | Expr::Range(_) | Expr::Return(_)
    )
}

fn expand_text(text: &Text, function: &Function) -> TokenStream {
    let site = Span::mixed_site();
    let Text { format, fields, names } = text;
    let fields = fields.iter().map(|Field { argument, members }| {
        let argument = function.binding(argument).unwrap_or_else(|| quote!(#argument));
        quote!(#argument #(.#members)*)
    });
    let names = names.iter().filter_map(|name| {
        let binding = function.binding(name)?;
        Some(quote!(#name = #binding))
    });
    quote_spanned!(site=> &::core::format_args!(#format #(, #fields)* #(, #names)*))
}

/// References to the leading arguments, as a tuple.
fn arguments(function: &Function, most: usize) -> TokenStream {
    let site = Span::mixed_site();
    let borrowed = function
        .sig
        .inputs
        .iter()
        .take(most)
        .enumerate()
        .map(|(index, input)| match input {
            FnArg::Receiver(receiver) => Function::borrowed_receiver(receiver),
            FnArg::Typed(typed) => {
                let conditions = conditions(&typed.attrs);
                let name = plain_name(&typed.pat).cloned().unwrap_or_else(|| argument_name(index));
                quote_spanned!(site=> #(#conditions)* &#name)
            }
        });
    quote_spanned!(site=> (#(#borrowed,)*))
}

/// Whether one of the leading parameters is called `_id`, by which clippy would have nobody refer to it.
pub(crate) fn hands_over_unused(function: &Function, most: usize) -> bool {
    function.sig.inputs.iter().take(most).any(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(typed) => plain_name(&typed.pat).is_some_and(|name| {
            let name = name.to_string();
            name.starts_with('_') && !name.starts_with("__")
        }),
    })
}

/// The name of a parameter that is a pattern, while a key function needs one.
pub(crate) fn argument_name(index: usize) -> Ident {
    format_ident!("__memlock_arg{index}", span = Span::mixed_site())
}

/// What decides whether a parameter is there at all.
pub(crate) fn conditions(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}
