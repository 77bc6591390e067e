//! The form of the attribute's errors: what is wrong, and below it what to do.

use std::fmt::Display;

use proc_macro2::Span;
use quote::ToTokens;
use syn::Error;

/// Makes an error that points at `span`.
pub(crate) fn error_at(span: Span, message: impl Display, help: impl Display) -> Error {
    Error::new(span, with_help(message, help))
}

/// Makes an error that points at all of `tokens`.
pub(crate) fn error_on(tokens: impl ToTokens, message: impl Display, help: impl Display) -> Error {
    Error::new_spanned(tokens, with_help(message, help))
}

fn with_help(message: impl Display, help: impl Display) -> String {
    // On stable Rust a procedural macro cannot attach a help to an error, so the help is a line of the message.
    format!("{message}\nhelp: {help}")
}
