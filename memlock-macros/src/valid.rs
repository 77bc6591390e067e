//! Checks the attribute's arguments against the function. Nothing is left to check for the expansion.
//!
//! What only the compiler knows (whether a type can report an error, whether a value is a key) is left to the traits of
//! the runtime.

use std::slice;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Result;

use crate::error::{error_at, error_on};
use crate::key::Key;
use crate::parse::function::Function;
use crate::parse::options::Options;
use crate::parse::returns::{self, Returns, Shape};
use crate::parse::values::OnUnavailable;

/// The attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    Lock,
    Rlock,
    Zlock,
}

/// A function to lock, and how.
pub(crate) struct LockedFunction {
    pub(crate) kind: LockKind,
    pub(crate) function: Function,
    pub(crate) shape: Shape,
    pub(crate) returns: Returns,
    /// Empty if the whole function has one lock.
    pub(crate) keys: Vec<Key>,
    pub(crate) options: Options,
    pub(crate) requirement: Requirement,
    /// The path of the runtime's hidden module.
    pub(crate) private: TokenStream,
}

/// What the attribute requires of the return type. A span is that of the option that requires it.
pub(crate) enum Requirement {
    /// A `Result` must be able to report a lock error, unless there is `otherwise`.
    ResultReports,
    /// Nothing is required: a `Result` that cannot report falls back like any other type that cannot.
    Nothing,
    /// The function must be able to report that it did not get the lock in time.
    ReportsBusy(Span),
    /// The function must be able to report that the server is unreachable.
    ReportsUnavailable(Span),
    /// The function must be able to report that its lease was lost.
    ReportsLost(Span),
    /// The type must be a `Result` that can report conflicts; with `otherwise`, any `Result`.
    ReportsConflicts { has_otherwise: bool },
}

/// Checks the arguments against the function.
pub(crate) fn validate(kind: LockKind, options: Options, function: Function) -> Result<LockedFunction> {
    if let Some(constness) = &function.sig.constness {
        return Err(error_on(
            constness,
            "a `const fn` cannot take a lock",
            "remove `const`: such a function may run at compile time",
        ));
    }
    let (shape, returns) = returns::read_signature(&function.sig);
    check_zlock(kind, &options, &returns, &function)?;
    if let Some(span) = options.on_lost_error()
        && !matches!(returns, Returns::Type(_))
    {
        return Err(error_at(
            span,
            "`on_lost = error` needs a return type that is written out",
            "return a `Result` whose error is `From<memlock::Error>`, instead of `impl Trait` or `!`",
        ));
    }
    Ok(LockedFunction {
        kind,
        shape,
        returns,
        keys: keys(&options, &function)?,
        requirement: requirement(kind, &options),
        private: private_path(&options),
        options,
        function,
    })
}

/// Checks the options that only `zlock` has, and those that it lacks.
fn check_zlock(kind: LockKind, options: &Options, returns: &Returns, function: &Function) -> Result<()> {
    if kind != LockKind::Zlock {
        let reserve = options.reserve.as_ref().map(|given| (given.span, "reserve"));
        let conflict = options.conflict.as_ref().map(|given| (given.span, "conflict"));
        return match reserve.or(conflict) {
            None => Ok(()),
            Some((span, name)) => Err(error_at(
                span,
                format_args!("`{name}` is an option of `zlock` only"),
                "remove it: other locks do not look for conflicts",
            )),
        };
    }
    if let Some(span) = options.on_lost_error() {
        return Err(error_at(
            span,
            "`zlock` has no `on_lost = error`",
            "remove it: the database detects what others wrote in the meantime",
        ));
    }
    if !matches!(returns, Returns::Type(_)) {
        return Err(error_on(
            &function.sig.output,
            "`zlock` needs a return type that is written out",
            "return a `Result`, whose error may be a conflict, instead of `impl Trait` or `!`",
        ));
    }
    Ok(())
}

/// Returns one requirement: a type that fails it would fail the others as well, and one error is enough.
fn requirement(kind: LockKind, options: &Options) -> Requirement {
    if kind == LockKind::Zlock {
        let has_otherwise = options.otherwise.is_some();
        return Requirement::ReportsConflicts { has_otherwise };
    }
    if options.otherwise.is_some() {
        return Requirement::ResultReports;
    }
    if let Some(wait) = &options.wait {
        return Requirement::ReportsBusy(wait.span);
    }
    if let Some(span) = options.on_lost_error() {
        return Requirement::ReportsLost(span);
    }
    match &options.on_unavailable {
        Some(choice) if **choice == OnUnavailable::Error => Requirement::ReportsUnavailable(choice.span),
        Some(_) => Requirement::Nothing,
        None => Requirement::ResultReports,
    }
}

fn keys(options: &Options, function: &Function) -> Result<Vec<Key>> {
    let exprs = match (&options.key, &options.keys) {
        (Some(_), Some(keys)) => {
            return Err(error_at(
                keys.span,
                "both a key and `keys` are given",
                "write all keys in `keys = [a, b]`",
            ));
        }
        (Some(key), None) => slice::from_ref(&key.value),
        (None, Some(keys)) => keys.as_slice(),
        (None, None) if options.name.is_some() => &[],
        (None, None) => {
            return Err(error_at(
                Span::call_site(),
                "the attribute does not say what to lock",
                "write a key: an argument `id`, a string `\"account/{id}\"`, a function `get_key`, a closure `|id| …`, \
                 or an expression; for one lock for the whole function, write `name = \"…\"`",
            ));
        }
    };
    exprs
        .iter()
        .map(|expr| Key::from_expr(expr.clone(), function))
        .collect()
}

fn private_path(options: &Options) -> TokenStream {
    let site = Span::mixed_site();
    let crate_path = options
        .crate_path
        .as_deref()
        .map_or_else(|| quote_spanned!(site=> ::memlock), ToTokens::to_token_stream);
    quote_spanned!(site=> #crate_path::__private)
}
