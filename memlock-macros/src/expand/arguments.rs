//! Passes the arguments of the locked function to a key function.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::{FnArg, Pat, Receiver, ReceiverKind, Signature, Type};

use crate::expand::pieces::site;
use crate::parse::function::Function;
use crate::parse::syntax::{cfg_attrs, find_ident, peel_type, plain_name};

/// Gives names to those of the leading parameters that are patterns, so that a key function's call can pass them.
///
/// Input: `(a, b): (u8, u8)`. Output: `__memlock_arg0: (u8, u8)`, and `let (a, b) = __memlock_arg0;`.
pub(super) fn name_patterns(sig: &Signature, named: usize) -> (Signature, Vec<TokenStream>) {
    let mut sig = sig.clone();
    let mut patterns = Vec::new();
    for (index, input) in sig.inputs.iter_mut().take(named).enumerate() {
        if let FnArg::Typed(typed) = input
            && plain_name(&typed.pat).is_none()
        {
            let argument = parameter_name(index);
            let pattern = std::mem::replace(&mut *typed.pat, Pat::Verbatim(quote!(#argument)));
            if !matches!(pattern, Pat::Wild(_)) {
                let cfgs = cfg_attrs(&typed.attrs);
                patterns.push(quote_spanned!(site()=> #(#cfgs)* let #pattern = #argument;));
            }
        }
    }
    (sig, patterns)
}

/// Returns references to the leading arguments, as a tuple.
pub(super) fn argument_references(function: &Function, count: usize) -> TokenStream {
    let site = site();
    let borrowed = function
        .sig
        .inputs
        .iter()
        .take(count)
        .enumerate()
        .map(|(index, input)| match input {
            FnArg::Receiver(receiver) => borrow_receiver(receiver),
            FnArg::Typed(typed) => {
                let cfgs = cfg_attrs(&typed.attrs);
                let name = plain_name(&typed.pat).cloned().unwrap_or_else(|| parameter_name(index));
                quote_spanned!(site=> #(#cfgs)* &#name)
            }
        });
    quote_spanned!(site=> (#(#borrowed,)*))
}

/// Borrows `self`: as `&*self`, or as `&self` where it is a value.
fn borrow_receiver(receiver: &Receiver) -> TokenStream {
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

/// Returns whether `self: ty` is a pointer: `&Self`, `Box<Self>`, `Pin<&mut Self>`.
fn points_to_self(ty: &Type) -> bool {
    match peel_type(ty) {
        Type::Reference(_) => true,
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let is_std_pointer = ["Box", "Rc", "Arc", "Pin"].iter().any(|pointer| last.ident == pointer);
            is_std_pointer || find_ident(last.arguments.to_token_stream(), "Self").is_some()
        }),
        _ => false,
    }
}

/// Returns whether one of the leading parameters has a name such as `_id`, whose use clippy reports.
pub(super) fn passes_underscore_name(function: &Function, count: usize) -> bool {
    function.sig.inputs.iter().take(count).any(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(typed) => plain_name(&typed.pat).is_some_and(|name| {
            let name = name.to_string();
            name.starts_with('_') && !name.starts_with("__")
        }),
    })
}

/// Returns the name for a parameter that is a pattern.
fn parameter_name(index: usize) -> Ident {
    format_ident!("__memlock_arg{index}", span = site())
}
