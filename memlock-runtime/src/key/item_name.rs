//! The name of a lock's item on the server. Plain data; no I/O.
//!
//! This file keeps two promises. Different keys never share an item: [`ItemName`] is injective except for a 128-bit
//! hash, and the full name in the value, or its SHA-256, reveals a collision of that. And no key can become a second command: every
//! byte that memcached's text protocol treats specially is percent-encoded.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use smallvec::SmallVec;

use crate::text::digits::push_hex;
use crate::text::shown::Shown;

/// The longest item name that is sent as it is. memcached accepts 250 bytes; the rest leaves room for suffixes such as
/// `%line`.
const LONGEST_READABLE_NAME: usize = 200;

/// The longest name that is stored in full in the item's value. The input of a program decides how long its keys are,
/// and long values would fill the server.
const LONGEST_FULL_NAME: usize = 1000;

/// How many bytes of a name need no allocation: enough for the path of a function and a UUID. With the length and the
/// enum's discriminant, that makes 80 bytes.
const INLINE_NAME_BYTES: usize = 78;

/// How many bytes of a name that is too long are kept, as they are, beside its hash.
const READABLE_PREFIX: usize = 120;

/// The name of a lock's item on the server: `prefix:name:key`, readable where it can be.
///
/// Control characters, spaces, `%` and DEL are percent-encoded, as are single colons in the name and a colon at the
/// start of the key, so that the first lone colon after the prefix always ends the name: no two pairs of name and key
/// share a text. A name that is too long for memcached keeps its first characters and gets a 128-bit hash, behind the
/// marker `~`, which no readable name has in that place. Its [`full`](Self::full) name, or beyond 1000 bytes the SHA-256
/// of that, is stored in the value, and compared.
///
/// A name is made once per call, kept in many places and looked up in several, so it carries its hash, and needs no
/// heap while it is short.
#[derive(Clone)]
pub struct ItemName {
    /// The hash of the text that is sent, which contains the hash of a full name.
    hash: u64,
    text: Text,
}

/// The text of a name, in UTF-8.
#[derive(Clone)]
enum Text {
    /// The length, and a buffer that begins with the name.
    Inline(u8, [u8; INLINE_NAME_BYTES]),
    Shared(Arc<SharedText>),
}

#[derive(PartialEq, Eq)]
struct SharedText {
    wire: Box<[u8]>,
    full: Option<Arc<str>>,
}

/// A name under construction, which mostly needs no allocation.
type NameText = SmallVec<[u8; LONGEST_READABLE_NAME]>;

impl ItemName {
    /// The name of the item for the lock on `key` in the namespace `name`.
    pub fn of_lock(prefix: &str, name: &str, key: &str) -> ItemName {
        let mut bytes = NameText::new();
        bytes.extend_from_slice(prefix.as_bytes());
        bytes.push(b':');
        push_name(&mut bytes, name);
        bytes.push(b':');
        push_key(&mut bytes, key);
        if bytes.len() <= LONGEST_READABLE_NAME {
            return ItemName::new(&bytes, None);
        }
        let full = text_of(&bytes);
        let mut hasher = SipHasher24::new();
        hasher.write(full.as_bytes());
        let mut cut = READABLE_PREFIX;
        while !full.is_char_boundary(cut) {
            cut -= 1;
        }
        let hash = hasher.finish128().as_u128();
        let readable = &full[prefix.len() + 1..cut];
        let wire = format!("{prefix}:~{hash:032x}:{readable}");
        if full.len() <= LONGEST_FULL_NAME {
            return ItemName::new(wire.as_bytes(), Some(full.into()));
        }
        // No full name has a `~` there.
        let mut digest = Vec::from(format!("{prefix}:~sha256:"));
        push_hex(&mut digest, Sha256::digest(full).into());
        ItemName::new(wire.as_bytes(), Some(text_of(&digest).into()))
    }

    /// The name of the item that tells the server's time. No lock has this name, since it has no colon after the
    /// prefix's colon.
    pub fn of_clock(prefix: &str) -> ItemName {
        ItemName::new(format!("{prefix}:clock").as_bytes(), None)
    }

    /// The name of the counter from which the server's fencing tokens are made. No lock has this name, for the same
    /// reason.
    pub fn of_counter(prefix: &str) -> ItemName {
        ItemName::new(format!("{prefix}:tokens").as_bytes(), None)
    }

    fn new(wire: &[u8], full: Option<Arc<str>>) -> ItemName {
        // Seeded by the operating system: keys come from users, who must not be able to choose keys that share a
        // bucket.
        static SEEDED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let mut hasher = SEEDED.build_hasher();
        hasher.write(wire);
        let hash = hasher.finish();
        let mut inline = [0; INLINE_NAME_BYTES];
        let text = match (u8::try_from(wire.len()), inline.get_mut(..wire.len())) {
            (Ok(length), Some(start)) if full.is_none() => {
                start.copy_from_slice(wire);
                Text::Inline(length, inline)
            }
            _ => Text::Shared(Arc::new(SharedText {
                wire: wire.into(),
                full,
            })),
        };
        ItemName { hash, text }
    }

    /// The name's hash: evenly distributed, and always the same within this process.
    pub fn hash_value(&self) -> u64 {
        self.hash
    }

    /// The text that is sent to the server.
    pub fn as_str(&self) -> &str {
        text_of(self.as_ref())
    }

    /// The name of the item that lists the processes in line for this lock, as it is sent. No lock has such a name: in
    /// the name of a lock, two digits follow each percent sign.
    pub fn of_line(&self) -> String {
        format!("{}%line", self.as_str())
    }

    /// The whole name. Beyond 1000 bytes, its SHA-256.
    pub fn whole(&self) -> &str {
        self.full().map_or(self.as_str(), |full| full)
    }

    /// The whole name, or beyond 1000 bytes its SHA-256, if the text that is sent is shortened.
    pub fn full(&self) -> Option<&Arc<str>> {
        match &self.text {
            Text::Inline(..) => None,
            Text::Shared(shared) => shared.full.as_ref(),
        }
    }
}

impl AsRef<[u8]> for ItemName {
    /// The bytes that are sent to the server.
    fn as_ref(&self) -> &[u8] {
        match &self.text {
            Text::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Text::Shared(shared) => &shared.wire,
        }
    }
}

/// `name` as text. Names consist of whole characters, so the fallback is never used.
fn text_of(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

impl PartialEq for ItemName {
    fn eq(&self, other: &ItemName) -> bool {
        self.hash == other.hash && self.as_ref() == other.as_ref() && self.full() == other.full()
    }
}

impl Eq for ItemName {}

impl PartialOrd for ItemName {
    fn partial_cmp(&self, other: &ItemName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ItemName {
    fn cmp(&self, other: &ItemName) -> Ordering {
        // The same order in every process.
        (self.as_ref(), self.full()).cmp(&(other.as_ref(), other.full()))
    }
}

impl Hash for ItemName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ItemName").field(&Shown::new(self.as_str())).finish()
    }
}

/// A map from the name of a lock's item to `T`.
pub type ByItem<T> = HashMap<ItemName, T, BuildHasherDefault<Carried>>;

/// A hasher that returns the hash that an [`ItemName`] carries.
#[derive(Debug, Clone, Default)]
pub struct Carried(u64);

impl Hasher for Carried {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for ItemName {
    /// The name as it is sent: an operator can find the item by it, and it is short even if the key is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name has no control characters, but it may have invisible characters and some that reverse the direction of
        // text.
        fmt::Display::fmt(&Shown::new(self.as_str()), f)
    }
}

/// Appends a lock's name. `::` between path segments stays; any other colon, and a `~` at the start, is encoded.
fn push_name(out: &mut NameText, name: &str) {
    if is_plain_path(name) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let mut at = 0;
    if name.starts_with('~') {
        push_percent(out, '~');
        at = 1;
    }
    while let Some(found) = name[at..].find(':') {
        let colon = at + found;
        push_plain(out, &name[at..colon]);
        let ends_or_third = matches!(name.as_bytes().get(colon + 2), None | Some(b':'));
        if colon > 0 && name[colon..].starts_with("::") && !ends_or_third {
            out.extend_from_slice(b"::");
            at = colon + 2;
        } else {
            push_percent(out, ':');
            at = colon + 1;
        }
    }
    push_plain(out, &name[at..]);
}

/// Whether `name` needs no encoding, which is nearly always so: it consists of segments of plain text with `::` between
/// them.
fn is_plain_path(name: &str) -> bool {
    let mut colons = 0;
    for byte in name.bytes() {
        match byte {
            b':' => colons += 1,
            _ if is_plain(byte) && matches!(colons, 0 | 2) => colons = 0,
            _ => return false,
        }
    }
    colons == 0 && !name.starts_with([':', '~'])
}

/// Appends a lock's key: a colon at its start is encoded.
fn push_key(out: &mut NameText, key: &str) {
    match key.strip_prefix(':') {
        Some(rest) => {
            push_percent(out, ':');
            push_plain(out, rest);
        }
        None => push_plain(out, key),
    }
}

/// Appends `text`, with all characters encoded that the protocol or a terminal would interpret.
fn push_plain(out: &mut NameText, text: &str) {
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        if character.is_control() || character.is_whitespace() || character == '%' {
            push_percent(out, character);
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Whether `byte` needs no encoding, wherever it stands.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'%'
}

fn push_percent(out: &mut NameText, character: char) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_pairs_of_name_and_key_never_share_an_item() {
        let pieces = [
            "", "a", ":", "::", "a:", ":a", "a::", "::a", "a::b", "a:b", "~", "~a", "%", "%3A", " ", "%20", "é",
        ];
        let mut seen: HashMap<String, (&str, &str)> = HashMap::new();
        for name in pieces {
            for key in pieces {
                let item = ItemName::of_lock("memlock", name, key);
                if let Some(before) = seen.insert(item.as_str().to_owned(), (name, key)) {
                    panic!("{before:?} and {:?} share {item}", (name, key));
                }
                assert_ne!(item, ItemName::of_clock("memlock"));
                assert_ne!(item, ItemName::of_counter("memlock"));
            }
        }
    }

    #[test]
    fn no_key_becomes_a_second_command() {
        let item = ItemName::of_lock("memlock", "m::f", "x\r\nflush_all\r\n\0 \t\u{7f}\u{2028}ключ");
        assert_eq!(
            item.as_str(),
            "memlock:m::f:x%0D%0Aflush_all%0D%0A%00%20%09%7F%E2%80%A8ключ"
        );
    }

    #[test]
    fn long_keys_stay_distinct_short_enough_and_keep_their_full_name() {
        let long = "k".repeat(900);
        let one = ItemName::of_lock("memlock", "m::f", &format!("{long}1"));
        let two = ItemName::of_lock("memlock", "m::f", &format!("{long}2"));
        assert_ne!(one.as_str(), two.as_str());
        assert!(one.as_str().len() <= LONGEST_READABLE_NAME && one.as_str().starts_with("memlock:~"));
        assert_eq!(one.whole(), format!("memlock:m::f:{long}1"));
        let wide = ItemName::of_lock("memlock", "m::f", &"ß".repeat(500));
        assert!(wide.as_str().len() <= LONGEST_READABLE_NAME);
    }

    #[test]
    fn keys_of_any_length_are_kept_apart_in_little_space() {
        let mut full_names = std::collections::HashSet::new();
        let prefix = "memlock:m::f:".len();
        for length in [
            LONGEST_FULL_NAME - 1,
            LONGEST_FULL_NAME,
            LONGEST_FULL_NAME + 1,
            70_000,
            3_000_000,
        ] {
            for last in ["1", "2"] {
                let key = "k".repeat(length - prefix - 1) + last;
                let item = ItemName::of_lock("memlock", "m::f", &key);
                let full = item.full().expect("it is shortened");
                assert!(full.len() <= LONGEST_FULL_NAME, "{} bytes", full.len());
                assert_eq!(full.ends_with(&key), length <= LONGEST_FULL_NAME);
                assert!(full_names.insert(Arc::clone(full)), "{length} {last}");
                let digest = full.strip_prefix("memlock:").expect("a name");
                assert_ne!(ItemName::of_lock("memlock", digest, "").whole(), full.as_ref());
            }
        }
    }

    #[test]
    fn inline_and_shared_names_behave_alike() {
        let prefix = "memlock:n:".len();
        for length in [
            0,
            1,
            INLINE_NAME_BYTES - 1,
            INLINE_NAME_BYTES,
            INLINE_NAME_BYTES + 1,
            199,
            200,
            201,
            5000,
        ] {
            let key = "é".repeat(length.saturating_sub(prefix) / 2);
            let [one, same, other] = [&key, &key, &format!("{key}1")].map(|key| ItemName::of_lock("memlock", "n", key));
            assert_eq!(
                (&one, one.hash_value(), one.to_string()),
                (&same, same.hash_value(), same.to_string())
            );
            if length <= LONGEST_FULL_NAME {
                assert_eq!(one.whole(), format!("memlock:n:{key}"));
            }
            assert_eq!(one.as_str().as_bytes(), one.as_ref());
            assert!(one != other && one.hash_value() != other.hash_value());
            let by_item: ByItem<u8> = [(one, 1), (other.clone(), 2)].into_iter().collect();
            assert_eq!((by_item.get(&same), by_item.get(&other)), (Some(&1), Some(&2)));
        }
    }

    #[test]
    fn a_name_is_shown_as_it_is_sent_short_and_without_terminal_escapes() {
        let shown = |key: &str| ItemName::of_lock("memlock", "f", key).to_string();
        assert_eq!(shown("ключ/(a\\:b:c)"), "memlock:f:ключ/(a\\:b:c)");
        assert_eq!(
            shown("a\u{1b}\r\n\u{202e}b\u{200b}"),
            "memlock:f:a%1B%0D%0A\\u{202e}b\\u{200b}"
        );
        let long = ItemName::of_lock("memlock", "f", &"y".repeat(50_000));
        assert_eq!(long.to_string(), long.as_str());
        assert_eq!(format!("{long:?}"), format!("ItemName(\"{long}\")"));
        let turned = ItemName::of_lock("memlock", "f", &"\u{202e}".repeat(50_000));
        assert!(turned.to_string().chars().count() < 300 && !turned.to_string().contains('\u{202e}'));
    }

    #[test]
    fn no_lock_has_the_name_of_a_wait_list() {
        for (name, key) in [
            ("f", "k"),
            ("f", "k%line"),
            ("f", ""),
            ("%line", "%line"),
            ("f", &"x".repeat(300)),
        ] {
            let line = ItemName::of_lock("memlock", name, key).of_line();
            assert!(line.len() <= 250, "{line}");
            for (name, key) in [("f", "k%line"), ("f", "%line"), ("f", "k"), ("%line", "%line")] {
                assert_ne!(ItemName::of_lock("memlock", name, key).as_str(), line);
            }
            assert!(!ItemName::of_lock("memlock", name, key).as_str().contains("%l"));
        }
    }

    #[test]
    fn the_hash_of_a_long_name_is_the_same_in_every_build() {
        let item = ItemName::of_lock("memlock", "golden", &"x".repeat(300));
        assert_eq!(&item.as_str()[..41], "memlock:~ffde07a4995b7e10d7ef161711967948");
        let item = ItemName::of_lock("memlock", "golden", &"x".repeat(3000));
        assert_eq!(
            item.whole(),
            "memlock:~sha256:e36a9100dc1b97132eb1a642586bd956a3940061d3b8fe67e708277fe19f901a"
        );
    }
}
