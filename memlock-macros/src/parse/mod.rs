//! Reads the attribute's arguments and the function below the attribute.
//!
//! Each part is checked on its own, as far as that goes. `valid` checks the parts against each other.

pub(crate) mod args;
pub(crate) mod format_string;
pub(crate) mod function;
pub(crate) mod options;
pub(crate) mod returns;
pub(crate) mod syntax;
pub(crate) mod values;
