//! The output for a mistake: the error, and the function as it was written.

use proc_macro2::TokenStream;
use syn::Error;

/// Returns the error beside the untouched item.
///
/// The item is kept so that its callers still compile: one mistake gives one error.
pub(crate) fn fall_back(error: &Error, item: TokenStream) -> TokenStream {
    let mut output = error.to_compile_error();
    output.extend(item);
    output
}
