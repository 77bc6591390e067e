//! The expressions of the keys.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::arguments::arguments;
use super::pieces::site;
use crate::key::Key;
use crate::parse::function::Function;
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
