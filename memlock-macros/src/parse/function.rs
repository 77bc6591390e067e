//! The function below the attribute.
//!
//! Its signature is parsed. Its body stays raw tokens, so that a half-typed body gives rustc's error and no other.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, FnArg, Ident, Result, Signature, Token, Visibility};

use crate::error::{error_at, error_on};
use crate::parse::syntax::find_ident;

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) default: Option<Token![default]>,
    pub(crate) sig: Signature,
    /// The attributes at the start of the body, `#![…]`.
    pub(crate) inner_attrs: Vec<Attribute>,
    /// The body, in its braces, without its inner attributes.
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Function> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let default = if input.peek(Token![default]) {
            Some(input.parse()?)
        } else {
            None
        };
        if !peek_function(input) {
            return Err(error_at(
                input.span(),
                "only a function or a method can be locked",
                "put the attribute on a function",
            ));
        }
        let sig: Signature = input.parse()?;
        if input.peek(Token![;]) {
            return Err(error_on(
                &sig.ident,
                "this function has no body to lock",
                "put the attribute on its implementations",
            ));
        }
        let (inner_attrs, body) = split_inner_attrs(parse_body(input.parse()?)?)?;
        Ok(Function {
            attrs,
            vis,
            default,
            sig,
            inner_attrs,
            body,
        })
    }
}

/// Returns whether a `fn` is next, behind `const async unsafe extern "C"`.
fn peek_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    loop {
        if ahead.peek(Token![fn]) {
            return true;
        }
        let is_qualifier = ahead.peek(Token![const])
            || ahead.peek(Token![async])
            || ahead.peek(Token![unsafe])
            || ahead.peek(Token![extern])
            || ahead.peek(syn::LitStr)
            || ahead.peek(Ident) && ahead.fork().parse::<Ident>().is_ok_and(|ident| ident == "safe");
        if !is_qualifier || ahead.parse::<TokenTree>().is_err() {
            return false;
        }
    }
}

/// Returns the body's braces, without the invisible groups that `macro_rules` puts around a `$body:block`.
fn parse_body(token: TokenTree) -> Result<Group> {
    if let TokenTree::Group(group) = &token {
        match (group.delimiter(), group.stream().into_iter().next()) {
            (Delimiter::Brace, _) => return Ok(group.clone()),
            (Delimiter::None, Some(inside)) => return parse_body(inside),
            _ => {}
        }
    }
    Err(Error::new_spanned(token, "expected a function body"))
}

/// Takes the inner attributes out of a body.
fn split_inner_attrs(body: Group) -> Result<(Vec<Attribute>, Group)> {
    let mut tokens = body.stream().into_iter();
    let starts_with_attribute = matches!(
        (tokens.next(), tokens.next()),
        (Some(TokenTree::Punct(pound)), Some(TokenTree::Punct(bang))) if pound.as_char() == '#' && bang.as_char() == '!'
    );
    // Most bodies have none and remain the original token.
    if !starts_with_attribute {
        return Ok((Vec::new(), body));
    }
    let split = |input: ParseStream<'_>| Ok((input.call(Attribute::parse_inner)?, input.parse::<TokenStream>()?));
    let (inner_attrs, rest) = syn::parse::Parser::parse2(split, body.stream())?;
    let mut without = Group::new(Delimiter::Brace, rest);
    without.set_span(body.span());
    Ok((inner_attrs, without))
}

impl Function {
    /// Returns the function's name, without `r#`.
    pub(crate) fn name(&self) -> String {
        self.sig.ident.unraw().to_string()
    }

    /// Returns `name` as the signature writes it, if a parameter binds it. Errors still point at `name`.
    ///
    /// In a function made by `macro_rules!`, a parameter is only visible to the identifier in the signature, not to an
    /// equal one in the attribute.
    pub(crate) fn binding(&self, name: &Ident) -> Option<TokenStream> {
        self.sig.inputs.iter().find_map(|input| match input {
            FnArg::Receiver(receiver) if name == "self" => {
                let mut this = receiver.self_token;
                this.span = this.span.located_at(name.span());
                Some(this.to_token_stream())
            }
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => {
                // This also finds the types and fields that a pattern names. A key of such a name means a binding, too.
                let mut binding = find_ident(typed.pat.to_token_stream(), name)?;
                binding.set_span(binding.span().located_at(name.span()));
                Some(binding.to_token_stream())
            }
        })
    }
}
