//! Helpers for syntax trees that several files use.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, Ident, Pat, Type};

/// Removes the invisible groups that `macro_rules` puts around its variables.
pub(crate) fn peel_expr(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}

/// Removes parentheses, and the invisible groups that `macro_rules` puts around its variables.
pub(crate) fn peel_type(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}

/// Returns the first identifier `name` in some tokens, groups included.
pub(crate) fn find_ident<Name: ?Sized>(tokens: TokenStream, name: &Name) -> Option<Ident>
where
    Ident: PartialEq<Name>,
{
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident == *name => Some(ident),
        TokenTree::Group(group) => find_ident(group.stream(), name),
        _ => None,
    })
}

/// Returns the name of a parameter that is written as one, `id` or `mut id`, not as a pattern.
pub(crate) fn plain_name(pat: &Pat) -> Option<&Ident> {
    match pat {
        Pat::Ident(ident) if ident.by_ref.is_none() && ident.subpat.is_none() => Some(&ident.ident),
        _ => None,
    }
}

/// Returns the `#[cfg]`s of a parameter, which decide whether it exists.
pub(crate) fn cfg_attrs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}
