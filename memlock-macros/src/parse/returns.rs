//! What a function returns: a value, or a future that gives one. Futures are known here by how they are written; whether
//! a type can report is left to the compiler.

use syn::punctuated::Punctuated;
use syn::{
    GenericArgument, Path, PathArguments, PathSegment, ReturnType, Signature, Token, Type, TypeParamBound, parse_quote,
};

use crate::parse::syntax::peel_type;

/// What a function returns, as far as it can be written in its body.
pub(crate) enum Returns {
    /// A type; each `impl Trait` in it is a `_`.
    Type(Box<Type>),
    /// `impl Trait`.
    Hidden,
    /// `!`.
    Never,
}

impl Returns {
    fn of(ty: &Type) -> Returns {
        match peel_type(ty) {
            Type::Never(_) => Returns::Never,
            Type::ImplTrait(_) => Returns::Hidden,
            other => Returns::Type(Box::new(infer_hidden_in(other))),
        }
    }
}

/// How the body of a function runs.
pub(crate) enum Shape {
    /// When the function is called.
    Sync,
    /// In the future of an `async fn`.
    Async,
    /// It makes a future, `impl Future`.
    Future,
    /// It makes a future of this type, in a pinned box.
    Boxed(Box<Type>),
}

/// How the body runs, and what it returns in the end.
pub(crate) fn read(sig: &Signature) -> (Shape, Returns) {
    let ReturnType::Type(_, ty) = &sig.output else {
        let shape = match sig.asyncness {
            Some(_) => Shape::Async,
            None => Shape::Sync,
        };
        return (shape, Returns::Type(Box::new(parse_quote!(()))));
    };
    let ty = peel_type(ty);
    if sig.asyncness.is_some() {
        return (Shape::Async, Returns::of(ty));
    }
    future(ty).unwrap_or_else(|| (Shape::Sync, Returns::of(ty)))
}

/// The shape that makes a future, and what that future gives, where `ty` is written as `impl Future<Output = T>`,
/// `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>` or `LocalBoxFuture<'_, T>`.
fn future(ty: &Type) -> Option<(Shape, Returns)> {
    if let Type::ImplTrait(hidden) = ty {
        return Some((Shape::Future, given_by_future(&hidden.bounds)?));
    }
    let last = last_segment(ty)?;
    let returns = if last.ident == "Pin" {
        let boxed = last_segment(argument_of(last)?).filter(|boxed| boxed.ident == "Box")?;
        match peel_type(argument_of(boxed)?) {
            Type::TraitObject(object) => given_by_future(&object.bounds)?,
            Type::ImplTrait(hidden) => given_by_future(&hidden.bounds)?,
            _ => return None,
        }
    } else if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
        Returns::of(argument_of(last)?)
    } else {
        return None;
    };
    Some((Shape::Boxed(Box::new(infer_hidden_in(ty))), returns))
}

/// The `T` of the `Future<Output = T>` among `bounds`; hidden where it is not written.
fn given_by_future(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Returns> {
    let future = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().filter(|last| last.ident == "Future"),
        _ => None,
    })?;
    let output = match &future.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(binding) if binding.ident == "Output" => Some(&binding.ty),
            _ => None,
        }),
        _ => None,
    };
    Some(output.map_or(Returns::Hidden, Returns::of))
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel_type(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The last of the types between a path's `<` and `>`.
fn argument_of(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().rev().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// `ty` with each `impl Trait` replaced by `_`, for a type that is written again in the body.
fn infer_hidden_in(ty: &Type) -> Type {
    let mut ty = ty.clone();
    for_each_hidden(&mut ty, &mut |hidden| *hidden = parse_quote!(_));
    ty
}

/// `ty` with `()` in place of each `_`, for where only the rest of it matters and nothing says what `_` is.
pub(crate) fn with_units(ty: &Type) -> Type {
    let mut ty = ty.clone();
    for_each_hidden(&mut ty, &mut |hidden| *hidden = parse_quote!(()));
    ty
}

/// Whether a part of `ty` is `_`.
pub(crate) fn is_inferred(ty: &Type) -> bool {
    let mut found = false;
    for_each_hidden(&mut ty.clone(), &mut |_| found = true);
    found
}

/// Calls `each` with the parts of a type that are `impl Trait`, or the `_` in place of it. (That of a lifetime `'_` is none:
/// so this goes by types, not by tokens.)
fn for_each_hidden(ty: &mut Type, each: &mut impl FnMut(&mut Type)) {
    match ty {
        Type::ImplTrait(_) | Type::Infer(_) => each(ty),
        Type::Array(array) => for_each_hidden(&mut array.elem, each),
        Type::Group(group) => for_each_hidden(&mut group.elem, each),
        Type::Paren(paren) => for_each_hidden(&mut paren.elem, each),
        Type::Ptr(pointer) => for_each_hidden(&mut pointer.elem, each),
        Type::Reference(reference) => for_each_hidden(&mut reference.elem, each),
        Type::Slice(slice) => for_each_hidden(&mut slice.elem, each),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|part| for_each_hidden(part, each)),
        Type::Path(path) => for_each_hidden_in_path(&mut path.path, each),
        Type::TraitObject(object) => object.bounds.iter_mut().for_each(|bound| {
            if let TypeParamBound::Trait(bound) = bound {
                for_each_hidden_in_path(&mut bound.path, each);
            }
        }),
        _ => {}
    }
}

fn for_each_hidden_in_path(path: &mut Path, each: &mut impl FnMut(&mut Type)) {
    for segment in &mut path.segments {
        if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
            for argument in &mut arguments.args {
                match argument {
                    GenericArgument::Type(ty) => for_each_hidden(ty, each),
                    GenericArgument::AssocType(binding) => for_each_hidden(&mut binding.ty, each),
                    _ => {}
                }
            }
        }
    }
}
