//! Text for people: of others, escaped and short; secret, and not shown; and digits.

pub(crate) mod digits;
pub(crate) mod secret;
pub(crate) mod shown;
