//! What a function returns: a value, or a future that gives one.
//!
//! A future is recognised by how its type is written. Whether a type can report a lock error is left to the compiler.

use syn::punctuated::Punctuated;
use syn::{
    GenericArgument, Path, PathArguments, PathSegment, ReturnType, Signature, Token, Type, TypeParamBound, parse_quote,
};

use crate::parse::syntax::peel_type;

/// What a function's body returns, as far as the body can name it. For a future it is the future's output.
pub(crate) enum Returns {
    /// A type, with `_` for each `impl Trait` in it.
    Type(Box<Type>),
    /// `impl Trait`.
    Opaque,
    /// `!`.
    Never,
}

impl Returns {
    fn from_type(ty: &Type) -> Returns {
        match peel_type(ty) {
            Type::Never(_) => Returns::Never,
            Type::ImplTrait(_) => Returns::Opaque,
            other => Returns::Type(Box::new(infer_impl_traits(other))),
        }
    }
}

/// How a function's body runs.
pub(crate) enum Shape {
    /// During the call.
    Sync,
    /// In the future of an `async fn`.
    Async,
    /// In a future that the function returns as `impl Future`.
    ImplFuture,
    /// In a future that the function returns in a pinned box of this type.
    BoxedFuture(Box<Type>),
}

/// Reads from a signature how the body runs and what it returns.
pub(crate) fn read_signature(sig: &Signature) -> (Shape, Returns) {
    let ReturnType::Type(_, ty) = &sig.output else {
        let shape = match sig.asyncness {
            Some(_) => Shape::Async,
            None => Shape::Sync,
        };
        return (shape, Returns::Type(Box::new(parse_quote!(()))));
    };
    let ty = peel_type(ty);
    if sig.asyncness.is_some() {
        return (Shape::Async, Returns::from_type(ty));
    }
    read_future(ty).unwrap_or_else(|| (Shape::Sync, Returns::from_type(ty)))
}

/// Recognises `impl Future<Output = T>`, `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>` and
/// `LocalBoxFuture<'_, T>`.
fn read_future(ty: &Type) -> Option<(Shape, Returns)> {
    if let Type::ImplTrait(opaque) = ty {
        return Some((Shape::ImplFuture, future_output(&opaque.bounds)?));
    }
    let last = last_segment(ty)?;
    let returns = if last.ident == "Pin" {
        let boxed = last_segment(last_type_argument(last)?).filter(|boxed| boxed.ident == "Box")?;
        match peel_type(last_type_argument(boxed)?) {
            Type::TraitObject(object) => future_output(&object.bounds)?,
            Type::ImplTrait(opaque) => future_output(&opaque.bounds)?,
            _ => return None,
        }
    } else if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
        Returns::from_type(last_type_argument(last)?)
    } else {
        return None;
    };
    Some((Shape::BoxedFuture(Box::new(infer_impl_traits(ty))), returns))
}

/// Returns the `T` of the `Future<Output = T>` among `bounds`; a `Future` without an `Output` gives an opaque type.
fn future_output(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Returns> {
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
    Some(output.map_or(Returns::Opaque, Returns::from_type))
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel_type(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the last of the types between a segment's `<` and `>`.
fn last_type_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().rev().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Replaces each `impl Trait` in `ty` by `_`, which may stand in a body.
fn infer_impl_traits(ty: &Type) -> Type {
    let mut ty = ty.clone();
    for_each_unnamed(&mut ty, &mut |unnamed| *unnamed = parse_quote!(_));
    ty
}

/// Replaces each `_` in `ty` by `()`, for a place where nothing lets the compiler infer it and only the rest matters.
pub(crate) fn fill_inferred(ty: &Type) -> Type {
    let mut ty = ty.clone();
    for_each_unnamed(&mut ty, &mut |unnamed| *unnamed = parse_quote!(()));
    ty
}

/// Returns whether a part of `ty` is `_`.
pub(crate) fn has_inferred(ty: &Type) -> bool {
    let mut found = false;
    for_each_unnamed(&mut ty.clone(), &mut |_| found = true);
    found
}

/// Calls `visit` with each part of a type that is `impl Trait` or `_`.
fn for_each_unnamed(ty: &mut Type, visit: &mut impl FnMut(&mut Type)) {
    // By types, not by tokens: in `'_` the token is a lifetime's.
    match ty {
        Type::ImplTrait(_) | Type::Infer(_) => visit(ty),
        Type::Array(array) => for_each_unnamed(&mut array.elem, visit),
        Type::Group(group) => for_each_unnamed(&mut group.elem, visit),
        Type::Paren(paren) => for_each_unnamed(&mut paren.elem, visit),
        Type::Ptr(pointer) => for_each_unnamed(&mut pointer.elem, visit),
        Type::Reference(reference) => for_each_unnamed(&mut reference.elem, visit),
        Type::Slice(slice) => for_each_unnamed(&mut slice.elem, visit),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|part| for_each_unnamed(part, visit)),
        Type::Path(path) => for_each_unnamed_in_path(&mut path.path, visit),
        Type::TraitObject(object) => object.bounds.iter_mut().for_each(|bound| {
            if let TypeParamBound::Trait(bound) = bound {
                for_each_unnamed_in_path(&mut bound.path, visit);
            }
        }),
        _ => {}
    }
}

fn for_each_unnamed_in_path(path: &mut Path, visit: &mut impl FnMut(&mut Type)) {
    for segment in &mut path.segments {
        if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
            for argument in &mut arguments.args {
                match argument {
                    GenericArgument::Type(ty) => for_each_unnamed(ty, visit),
                    GenericArgument::AssocType(binding) => for_each_unnamed(&mut binding.ty, visit),
                    _ => {}
                }
            }
        }
    }
}
