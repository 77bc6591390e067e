//! Text: foreign text, escaped and shortened; secrets, which are not shown; and digits.

pub(crate) mod digits;
pub(crate) mod secret;
pub(crate) mod shown;
