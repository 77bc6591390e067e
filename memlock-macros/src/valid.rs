//! The third phase: what was written, made into what can be expanded without a further question.
//!
//! What only the compiler knows (whether a type can report, whether a value is a key) is left to the runtime's traits.

use std::slice;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Error, Result};

use crate::key::Key;
use crate::parse::function::Function;
use crate::parse::options::Options;
use crate::parse::returns::{self, Returns, Shape};
use crate::parse::values::OnUnavailable;

/// Which attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Rlock,
    Zlock,
}

/// A function to lock, and how.
pub(crate) struct Locked {
    pub(crate) kind: Kind,
    pub(crate) function: Function,
    pub(crate) shape: Shape,
    /// What the body returns in the end: of a future, what it gives.
    pub(crate) returns: Returns,
    /// None: the whole function has one lock.
    pub(crate) keys: Vec<Key>,
    pub(crate) options: Options,
    /// What the return type has to stand.
    pub(crate) demand: Demand,
    /// The path of the runtime's hidden module.
    pub(crate) private: TokenStream,
}

/// What the attribute asks of the return type. A demand for a report stands where its option does.
pub(crate) enum Demand {
    /// A `Result` must be able to report, unless there is `otherwise`.
    Usual,
    /// A `Result` that cannot report is like any other type that cannot.
    Soft,
    /// The function must be able to report that the wait is over, …
    ReportsBusy(Span),
    /// … that the server cannot be asked, …
    ReportsUnavailable(Span),
    /// … or that the lease did not last.
    ReportsLost(Span),
    /// It must be a `Result` that can report conflicts, or, with `otherwise`, a `Result`.
    ReportsConflicts { has_otherwise: bool },
}

/// Checks the arguments against the function.
pub(crate) fn validate(kind: Kind, options: Options, function: Function) -> Result<Locked> {
    if let Some(constness) = &function.sig.constness {
        return Err(Error::new_spanned(
            constness,
            "a `const fn` cannot take a lock: it may run in the compiler",
        ));
    }
    let (shape, returns) = returns::read(&function.sig);
    of_zlock(kind, &options, &returns, &function)?;
    if let Some(span) = options.on_lost_error()
        && !matches!(returns, Returns::Type(_))
    {
        return Err(Error::new(
            span,
            "`on_lost = error` needs a function that can report that its lease did not last: name the type that it returns",
        ));
    }
    Ok(Locked {
        kind,
        shape,
        returns,
        keys: keys(&options, &function)?,
        demand: demand(kind, &options),
        private: private(&options),
        options,
        function,
    })
}

/// Checks what only `zlock` has, and what it has not.
fn of_zlock(kind: Kind, options: &Options, returns: &Returns, function: &Function) -> Result<()> {
    if kind != Kind::Zlock {
        let reserve = options.reserve.as_ref().map(|given| (given.span, "reserve"));
        let conflict = options.conflict.as_ref().map(|given| (given.span, "conflict"));
        return match reserve.or(conflict) {
            None => Ok(()),
            Some((span, name)) => Err(Error::new(
                span,
                format!("`{name}` is an option of `zlock`: other locks know no conflicts"),
            )),
        };
    }
    if let Some(span) = options.on_lost_error() {
        return Err(Error::new(
            span,
            "`zlock` has no `on_lost = error`: its database finds out whether another wrote meanwhile",
        ));
    }
    if !matches!(returns, Returns::Type(_)) {
        return Err(Error::new_spanned(
            &function.sig.output,
            "`zlock` needs a function that returns a `Result`, written out: its errors are looked at for conflicts",
        ));
    }
    Ok(())
}

/// One demand at most: a type that does not stand it would not stand the others, and one error is enough.
fn demand(kind: Kind, options: &Options) -> Demand {
    if kind == Kind::Zlock {
        let has_otherwise = options.otherwise.is_some();
        return Demand::ReportsConflicts { has_otherwise };
    }
    if options.otherwise.is_some() {
        return Demand::Usual;
    }
    if let Some(wait) = &options.wait {
        return Demand::ReportsBusy(wait.span);
    }
    if let Some(span) = options.on_lost_error() {
        return Demand::ReportsLost(span);
    }
    match &options.on_unavailable {
        Some(choice) if **choice == OnUnavailable::Error => Demand::ReportsUnavailable(choice.span),
        Some(_) => Demand::Soft,
        None => Demand::Usual,
    }
}

fn keys(options: &Options, function: &Function) -> Result<Vec<Key>> {
    let exprs = match (&options.key, &options.keys) {
        (Some(_), Some(keys)) => return Err(Error::new(keys.span, "give either one key or `keys`, not both")),
        (Some(key), None) => slice::from_ref(&key.value),
        (None, Some(keys)) => keys.as_slice(),
        (None, None) if options.name.is_some() => &[],
        (None, None) => {
            return Err(Error::new(
                Span::call_site(),
                "say what to lock: an argument `id`, a text `\"account/{id}\"`, a function `get_key`, a closure `|id| …` or an \
                 expression; or give the function one lock with `name = \"…\"`",
            ));
        }
    };
    exprs.iter().map(|expr| Key::of(expr.clone(), function)).collect()
}

fn private(options: &Options) -> TokenStream {
    let site = Span::mixed_site();
    let crate_path = options
        .crate_path
        .as_deref()
        .map_or_else(|| quote_spanned!(site=> ::memlock), ToTokens::to_token_stream);
    quote_spanned!(site=> #crate_path::__private)
}
