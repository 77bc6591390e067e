//! The expressions that make the keys.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;

use crate::expand::arguments::argument_references;
use crate::expand::pieces::site;
use crate::key::Key;
use crate::parse::format_string::{FieldCapture, FormatString};
use crate::parse::function::Function;
use crate::valid::LockedFunction;

/// Returns an expression for each key. A function that only has a name has one empty key.
pub(super) fn key_exprs(locked: &LockedFunction) -> Vec<TokenStream> {
    if locked.keys.is_empty() {
        return vec![quote_spanned!(site()=> __memlock::key(""))];
    }
    locked.keys.iter().map(|key| key_expr(key, &locked.function)).collect()
}

fn key_expr(key: &Key, function: &Function) -> TokenStream {
    let site = site();
    let value = match key {
        Key::Function(path) => {
            let here = site.located_at(path.span());
            let arguments = argument_references(function, key.argument_count());
            quote_spanned!(here=> &__memlock::KeyFn::new(#path, #arguments).__memlock_key())
        }
        Key::Closure(closure) => {
            let helper = format_ident!("key{}", closure.inputs.len(), span = site);
            let arguments = argument_references(function, key.argument_count());
            quote_spanned!(site=> &__memlock::#helper(#closure, #arguments))
        }
        Key::Format(format) => format_expr(format, function),
        Key::Value(value) => {
            let here = site.located_at(value.span());
            quote_spanned!(here=> &#value)
        }
    };
    quote_spanned!(site=> __memlock::key(#value))
}

fn format_expr(format: &FormatString, function: &Function) -> TokenStream {
    let site = site();
    let FormatString {
        template,
        fields,
        names,
    } = format;
    let fields = fields.iter().map(|FieldCapture { argument, members }| {
        let argument = function.binding(argument).unwrap_or_else(|| quote!(#argument));
        quote!(#argument #(.#members)*)
    });
    let names = names.iter().filter_map(|name| {
        let binding = function.binding(name)?;
        Some(quote!(#name = #binding))
    });
    quote_spanned!(site=> &::core::format_args!(#template #(, #fields)* #(, #names)*))
}
