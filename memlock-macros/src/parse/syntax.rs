//! Questions about pieces of syntax that several files ask.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, Ident, Pat, Type};

/// An expression without the invisible groups that `macro_rules` puts around its variables.
pub(crate) fn peel_expr(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}

/// A type without parentheses, and without the invisible groups that `macro_rules` puts around its variables.
pub(crate) fn peel_type(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}

/// The first identifier `name` in some tokens, groups included.
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

/// The name of a parameter that is one, `id` or `mut id`, by which its value can be reached.
pub(crate) fn plain_name(pat: &Pat) -> Option<&Ident> {
    match pat {
        Pat::Ident(ident) if ident.by_ref.is_none() && ident.subpat.is_none() => Some(&ident.ident),
        _ => None,
    }
}

/// The `#[cfg]`s of a parameter, which decide whether it is there at all.
pub(crate) fn cfg_attrs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}
