//! Keys: what is locked, as a text. Plain data; no I/O. The name of a lock's item on the server is in [`item_name`].

mod item_name;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::text::digits::Decimal;
use crate::text::shown::Shown;

pub use self::item_name::{ByItem, Carried, ItemName};

/// How many bytes of a key need no allocation: enough for two UUIDs or a long path segment.
const INLINE_KEY_BYTES: usize = 80;

/// The marker a key function returns (as `Err(DontLock)`) to run the body without a lock.
///
/// `None` means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DontLock;

impl fmt::Display for DontLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key is `DontLock`, so no lock is taken")
    }
}

impl std::error::Error for DontLock {}

/// The text of a key while it is being written. [`IntoKey::write_key`] appends to it.
///
/// At the top level, text is kept as it is. Inside a tuple or a slice, it is escaped, so that `("a:b", "c")` and
/// `("a", "b:c")` are different keys.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct KeyText {
    bytes: SmallVec<[u8; INLINE_KEY_BYTES]>,
    nesting: u32,
}

impl KeyText {
    /// Appends `text`, which is escaped inside a tuple or a slice.
    pub fn push_str(&mut self, text: &str) {
        if self.nesting == 0 {
            self.bytes.extend_from_slice(text.as_bytes());
            return;
        }
        for &byte in text.as_bytes() {
            if matches!(byte, b'\\' | b':' | b'(' | b')' | b'[' | b']') {
                self.bytes.push(b'\\');
            }
            self.bytes.push(byte);
        }
    }

    /// Appends a number, which never needs escapes.
    fn push_number(&mut self, number: u64) {
        self.bytes.extend_from_slice(Decimal::of(number).as_bytes());
    }

    /// Appends one part of a composite. `write` writes the part.
    fn push_part(
        &mut self,
        first: bool,
        write: impl FnOnce(&mut KeyText) -> Result<(), DontLock>,
    ) -> Result<(), DontLock> {
        if !first {
            self.bytes.push(b':');
        }
        let start = self.bytes.len();
        self.nesting += 1;
        let written = write(self);
        self.nesting -= 1;
        if self.bytes.len() == start {
            // An empty part is marked: a slice of one empty string is not an empty slice.
            self.bytes.extend_from_slice(b"\\-");
        }
        written
    }

    /// Appends a composite between brackets, or, with `bare_outside`, without brackets at the top level.
    fn composite(
        &mut self,
        open: u8,
        close: u8,
        bare_outside: bool,
        write: impl FnOnce(&mut KeyText) -> Result<(), DontLock>,
    ) -> Result<(), DontLock> {
        let bare = bare_outside && self.nesting == 0;
        if !bare {
            self.bytes.push(open);
        }
        write(self)?;
        if !bare {
            self.bytes.push(close);
        }
        Ok(())
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        // Only whole `str`s and ASCII are ever appended, so the fallback is never used.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

impl fmt::Write for KeyText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key may contain anything that users send.
        fmt::Debug::fmt(&Shown::new(self.as_str()), f)
    }
}

/// A finished key: a text, or the request to run without a lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Result<KeyText, DontLock>);

impl Key {
    /// The key's text, or `None` if no lock is taken.
    pub fn text(&self) -> Option<&str> {
        self.0.as_ref().ok().map(KeyText::as_str)
    }
}

/// A value that can be the key of a lock.
///
/// Strings, integers, `bool`, `char`, tuples, slices, arrays, `Vec`, `Cow`, `Box`, `Rc`, `Arc`, references to these,
/// and `Option` or `Result<_, DontLock>`, where `None` or `Err(DontLock)` means to run without a lock. Floats are not
/// keys: two floats that print alike may differ.
///
/// A key *is* its text: the number `7` and the string `"7"` are the same key, and `("tenant", 7)` is `tenant:7`. It may
/// have any length.
///
/// ```
/// use memlock_runtime::{DontLock, IntoKey, KeyText};
///
/// struct Account { id: u64 }
///
/// impl IntoKey for Account {
///     fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
///         self.id.write_key(key)
///     }
/// }
///
/// assert_eq!((Account { id: 7 }, "eur").into_key().text(), Some("7:eur"));
/// assert_eq!(None::<u64>.into_key().text(), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a lock",
    label = "this key is a `{Self}`",
    note = "keys are strings, integers, bool, char, tuples and slices of these, references to them, and `Option` or `Result<_, DontLock>` of them",
    note = "for a type of your own implement `memlock::IntoKey`, or use its text: `value.to_string()`"
)]
pub trait IntoKey {
    /// Appends this value's text to `key`.
    ///
    /// # Errors
    ///
    /// [`DontLock`] to run without a lock.
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock>;

    /// The finished key.
    fn into_key(self) -> Key
    where
        Self: Sized,
    {
        let mut text = KeyText::default();
        let written = self.write_key(&mut text);
        Key(written.map(|()| text))
    }
}

impl IntoKey for Key {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        match &self.0 {
            Ok(text) => text.as_str().write_key(key),
            Err(DontLock) => Err(DontLock),
        }
    }

    fn into_key(self) -> Key {
        self
    }
}

impl IntoKey for str {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        key.push_str(self);
        Ok(())
    }
}

impl IntoKey for String {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        self.as_str().write_key(key)
    }
}

impl IntoKey for DontLock {
    fn write_key(&self, _key: &mut KeyText) -> Result<(), DontLock> {
        Err(DontLock)
    }
}

impl IntoKey for fmt::Arguments<'_> {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        // Writing to a `KeyText` never fails. An error comes from a `Display` impl, and its text so far is the key.
        if key.write_fmt(*self).is_err() {
            tracing::warn!(target: "memlock", ?key, "a `Display` implementation in a key failed; the key ends there");
        }
        Ok(())
    }
}

macro_rules! keys_by_display {
    ($($type:ty)*) => {$(
        impl IntoKey for $type {
            fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
                format_args!("{self}").write_key(key)
            }
        }
    )*};
}
keys_by_display!(bool char);

macro_rules! keys_by_digits {
    ($($type:ty)*) => {$(
        impl IntoKey for $type {
            fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
                match u64::try_from(*self) {
                    Ok(number) => key.push_number(number),
                    // Negative, or very large.
                    Err(_) => format_args!("{self}").write_key(key)?,
                }
                Ok(())
            }
        }
    )*};
}
keys_by_digits!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! keys_by_reference {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<$($generics)*> IntoKey for $type {
            fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
                (**self).write_key(key)
            }
        }
    )*};
}
keys_by_reference! {
    [T: IntoKey + ?Sized] &T;
    [T: IntoKey + ?Sized] &mut T;
    [T: IntoKey + ?Sized] Box<T>;
    [T: IntoKey + ?Sized] Rc<T>;
    [T: IntoKey + ?Sized] Arc<T>;
    [T: IntoKey + ToOwned + ?Sized] Cow<'_, T>;
    [T: IntoKey] Vec<T>;
}

impl<T: IntoKey> IntoKey for Option<T> {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        self.as_ref().ok_or(DontLock)?.write_key(key)
    }
}

impl<T: IntoKey> IntoKey for Result<T, DontLock> {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        self.as_ref().map_err(|&DontLock| DontLock)?.write_key(key)
    }
}

impl<T: IntoKey> IntoKey for [T] {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        key.composite(b'[', b']', false, |key| {
            self.iter()
                .enumerate()
                .try_for_each(|(index, part)| key.push_part(index == 0, |key| part.write_key(key)))
        })
    }
}

impl<T: IntoKey, const N: usize> IntoKey for [T; N] {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        self.as_slice().write_key(key)
    }
}

macro_rules! keys_of_tuples {
    ($(($first:ident $($rest:ident)*))*) => {$(
        impl<$first: IntoKey, $($rest: IntoKey),*> IntoKey for ($first, $($rest,)*) {
            #[allow(non_snake_case, reason = "the type parameters' names serve as the variables'")]
            fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
                let ($first, $($rest,)*) = self;
                key.composite(b'(', b')', true, |key| {
                    key.push_part(true, |key| $first.write_key(key))?;
                    $(key.push_part(false, |key| $rest.write_key(key))?;)*
                    Ok(())
                })
            }
        }
    )*};
}
keys_of_tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: impl IntoKey) -> String {
        key.into_key().text().expect("a key").to_owned()
    }

    #[test]
    fn scalars_are_their_text() {
        assert_eq!(text("a:b/c"), "a:b/c");
        assert_eq!(text(7_u8), "7");
        assert_eq!(text(-7_i128), "-7");
        assert_eq!(text(true), "true");
        assert_eq!(text('ß'), "ß");
        assert_eq!(text(String::from("x")), "x");
        assert_eq!(text(Cow::Borrowed(&"x")), "x");
        assert_eq!(text(Arc::<str>::from("x")), "x");
        assert_eq!(text(format_args!("{}/{}", 1, 2)), "1/2");
    }

    #[test]
    fn a_long_key_with_control_characters_is_shown_short_and_escaped() {
        let key = format!("\u{1b}\u{202e}{}", "x".repeat(50_000)).into_key();
        let shown = format!("{key:?}");
        assert!(shown.len() < 400 && shown.contains("\\u{1b}\\u{202e}xxx"), "{shown}");
    }

    #[test]
    fn none_and_dont_lock_mean_no_lock_even_inside_a_tuple() {
        assert_eq!(None::<&str>.into_key().text(), None);
        assert_eq!(Err::<u8, _>(DontLock).into_key().text(), None);
        assert_eq!((1, None::<u8>).into_key().text(), None);
        assert_eq!(text(Some("x")), "x");
        assert_eq!(text(Ok::<_, DontLock>(5)), "5");
    }

    #[test]
    fn composites_of_different_parts_are_different_keys() {
        let samples = [
            text(("a:b", "c")),
            text(("a", "b:c")),
            text(("a", "b", "c")),
            text((("a", "b"), "c")),
            text(("a", ("b", "c"))),
            text((["a", "b"], "c")),
            text(["a", "b", "c"]),
            text(["a:b", "c"]),
            text(("a\\", "b:c")),
            text(("a\\:b", "c")),
            text(("", "")),
            text(("\\-", "")),
            text([""; 0]),
            text([""]),
            text(["", ""]),
            text([["", ""]]),
        ];
        for (index, one) in samples.iter().enumerate() {
            for other in &samples[index + 1..] {
                assert_ne!(one, other);
            }
        }
    }
}
