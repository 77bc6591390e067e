//! Text from outside the process, made safe for a terminal and a log.
//!
//! A label, a server's reply, a key or an environment variable may contain anything: escape sequences, line breaks,
//! characters that reverse the direction of text, or 60 KB of text. Every message, `Debug` output and log field shows
//! such a text through [`Shown`], and nothing else escapes or shortens.

use std::fmt::{self, Write};

/// The most characters that a name, a label or a server's word takes in a message, with its escapes. Text that memlock
/// itself writes fits: an item's name has 200 bytes at most, and so has a process's label.
const LONGEST: usize = 256;

/// The most characters of a whole foreign message, such as the error of a database, which may contain several of those.
const LONGEST_MESSAGE: usize = 1024;

/// Shows a text from outside on one line. Characters that a terminal would interpret or not show are escaped as in
/// Rust, and a long text is cut off.
///
/// Backslashes stay as they are. So a name without such characters can be copied out of a message, and a text that goes
/// through this twice looks as if it went through once.
pub(crate) struct Shown<T> {
    text: T,
    most: usize,
}

impl<T> Shown<T> {
    /// Shows a name, a label or a word.
    pub(crate) fn new(text: T) -> Shown<T> {
        Shown { text, most: LONGEST }
    }

    /// Shows a whole message.
    pub(crate) fn message(text: T) -> Shown<T> {
        Shown {
            text,
            most: LONGEST_MESSAGE,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaping = Escaping {
            out: f,
            left: self.most,
            is_cut: false,
        };
        match write!(escaping, "{}", self.text) {
            // Only an error stops the text.
            Err(_) if escaping.is_cut => Ok(()),
            written => written,
        }
    }
}

impl<T: fmt::Display> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes that should be text. Those that are not are shown like `\xff`.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Escapes the text that is written to it, and stops after `left` characters.
struct Escaping<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_cut: bool,
}

impl Escaping<'_, '_> {
    fn write_all(&mut self, characters: impl ExactSizeIterator<Item = char>) -> fmt::Result {
        let Some(left) = self.left.checked_sub(characters.len()).filter(|_| !self.is_cut) else {
            if !self.is_cut {
                self.is_cut = true;
                self.out.write_char('…')?;
            }
            return Err(fmt::Error);
        };
        self.left = left;
        for character in characters {
            self.out.write_char(character)?;
        }
        Ok(())
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            let escaped = character.escape_debug();
            if is_harmless(character) {
                self.write_all(std::iter::once(character))
            } else if escaped.len() > 1 {
                self.write_all(escaped)
            } else {
                self.write_all(character.escape_unicode())
            }
        })
    }
}

/// Whether a terminal shows `character`, and it changes nothing else, such as the text beside it. The standard library
/// knows which characters are printable; those that are printable but invisible are listed here. Accents stay beside
/// their letters.
fn is_harmless(character: char) -> bool {
    if matches!(character, ' '..='~') {
        return true;
    }
    let is_invisible = matches!(
        character,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    // `str` escapes an accent unless it stands behind a letter.
    let mut behind_a_letter = String::from("a");
    behind_a_letter.push(character);
    !is_invisible && behind_a_letter.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Shown::new(text).to_string()
    }

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        for (text, expected) in [
            ("\u{1b}[31mred\u{7}\r\n", "\\u{1b}[31mred\\u{7}\\r\\n"),
            (
                "a\u{202e}b\u{2066}\u{200b}\u{feff}\u{ad}c",
                "a\\u{202e}b\\u{2066}\\u{200b}\\u{feff}\\u{ad}c",
            ),
            ("\0\u{7f}\u{85}\u{9b}", "\\0\\u{7f}\\u{85}\\u{9b}"),
            ("\u{2028}\u{a0}\u{3000}", "\\u{2028}\\u{a0}\\u{3000}"),
            (
                "\u{3164}\u{115f}\u{e0041}\u{2800}\u{fe0f}",
                "\\u{3164}\\u{115f}\\u{e0041}\\u{2800}\\u{fe0f}",
            ),
            ("\u{e000}\u{10ffff}", "\\u{e000}\\u{10ffff}"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn readable_text_stays_as_it_is() {
        for text in [
            "memlock:m::f:(a\\:b:c)",
            "it's \"x\"",
            "Straße",
            "ключ",
            "日本",
            "e\u{301}",
            "हिन्दी",
            "🔒",
        ] {
            assert_eq!(shown(text), text);
            assert_eq!(format!("{:?}", Shown::new(text)), format!("\"{text}\""));
        }
        let twice = shown(&shown("a\u{1b}\\b"));
        assert_eq!(twice, "a\\u{1b}\\b");
    }

    /// A text without an end.
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("x")?;
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_off_without_reading_it_to_its_end() {
        let whole = "x".repeat(LONGEST);
        assert_eq!(shown(&whole), whole);
        assert_eq!(shown(&format!("{whole}y")), format!("{whole}…"));
        // An escape is never cut in two, and each of its characters counts.
        let escapes = shown(&"\u{202e}".repeat(60_000));
        assert!(
            escapes.chars().count() <= LONGEST + 1 && escapes.ends_with("}…"),
            "{escapes}"
        );
        assert_eq!(Shown::message(Endless).to_string().chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_numbers() {
        assert_eq!(
            Shown::new(Bytes(b"a\xff\x1b\xc3\xbc\xe2\x80")).to_string(),
            "a\\xff\\u{1b}ü\\xe2\\x80"
        );
    }
}
