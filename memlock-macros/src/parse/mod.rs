//! Reads the attribute's arguments and the function below the attribute.
//!
//! Each part is checked as far as it can be alone; `valid` checks the parts against each other.

pub(crate) mod args;
pub(crate) mod function;
pub(crate) mod options;
pub(crate) mod returns;
pub(crate) mod syntax;
pub(crate) mod text;
pub(crate) mod values;
