//! The expressions of the keys.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, Receiver, ReceiverKind, Type};

use super::pieces::{argument_name, conditions, site};
use crate::key::Key;
use crate::parse::function::{Function, plain_name};
use crate::parse::text::{Field, Text};
use crate::valid::Locked;

/// One expression for each key; a function that has only a name has one empty key.
pub(super) fn keys(locked: &Locked) -> Vec<TokenStream> {
    if locked.keys.is_empty() {
        return vec![quote_spanned!(site()=> __memlock::key(""))];
    }
    locked
        .keys
        .iter()
        .map(|key| expand_key(key, &locked.function))
        .collect()
}

/// The expression of the finished key.
fn expand_key(key: &Key, function: &Function) -> TokenStream {
    let site = site();
    let value = match key {
        Key::Function(path) => {
            let here = site.located_at(path.span());
            let arguments = arguments(function, key.arguments());
            quote_spanned!(here=> &__memlock::KeyFn::new(#path, #arguments).__memlock_key())
        }
        Key::Closure(closure) => {
            let helper = format_ident!("key{}", closure.inputs.len(), span = site);
            let arguments = arguments(function, key.arguments());
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

fn expand_text(text: &Text, function: &Function) -> TokenStream {
    let site = site();
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
    let site = site();
    let borrowed = function
        .sig
        .inputs
        .iter()
        .take(most)
        .enumerate()
        .map(|(index, input)| match input {
            FnArg::Receiver(receiver) => borrowed_receiver(receiver),
            FnArg::Typed(typed) => {
                let conditions = conditions(&typed.attrs);
                let name = plain_name(&typed.pat).cloned().unwrap_or_else(|| argument_name(index));
                quote_spanned!(site=> #(#conditions)* &#name)
            }
        });
    quote_spanned!(site=> (#(#borrowed,)*))
}

/// The receiver's `self`, borrowed: `&*self`, or `&self` where it is a value.
fn borrowed_receiver(receiver: &Receiver) -> TokenStream {
    let this = &receiver.self_token;
    let is_reference = match &receiver.kind {
        ReceiverKind::Reference(..) => true,
        ReceiverKind::Typed(_, ty) => points_to_self(ty),
        _ => false,
    };
    let site = site();
    if is_reference {
        quote_spanned!(site=> &*#this)
    } else {
        quote_spanned!(site=> &#this)
    }
}

/// Whether `self: ty` is a pointer: `&Self`, `Box<Self>`, `Pin<&mut Self>`.
fn points_to_self(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Group(group) => points_to_self(&group.elem),
        Type::Paren(paren) => points_to_self(&paren.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let is_known = ["Box", "Rc", "Arc", "Pin"].iter().any(|pointer| last.ident == pointer);
            is_known || mentions_self(last.arguments.to_token_stream())
        }),
        _ => false,
    }
}

fn mentions_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "Self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        _ => false,
    })
}

/// Whether one of the leading parameters is called `_id`, by which clippy would have nobody refer to it.
pub(super) fn hands_over_unused(function: &Function, most: usize) -> bool {
    function.sig.inputs.iter().take(most).any(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(typed) => plain_name(&typed.pat).is_some_and(|name| {
            let name = name.to_string();
            name.starts_with('_') && !name.starts_with("__")
        }),
    })
}
