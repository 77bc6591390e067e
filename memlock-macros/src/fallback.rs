//! Where expanding failed: the error, and the function as it was, so that one mistake is one error.

use proc_macro2::TokenStream;
use syn::Error;

/// The error beside the untouched item.
pub(crate) fn refuse(error: &Error, item: TokenStream) -> TokenStream {
    let mut output = error.to_compile_error();
    output.extend(item);
    output
}
