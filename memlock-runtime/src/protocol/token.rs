//! The fencing token: a number that strictly rises from grant to grant of one key. This is arithmetic only.

use std::fmt;

use super::messages::{Cas, Instance};

/// 2026-01-01T00:00:00Z in Unix seconds: tokens count from here, so that they fit a signed 64-bit column until 2094.
const EPOCH: u64 = 1_767_225_600;

/// A fencing token. Give it to the resource that the lock protects, and let the resource refuse any token lower than
/// the highest that it has seen. Then a holder that was stopped past its lease can do no harm.
///
/// Tokens of one key strictly rise from grant to grant, across releases, expiry, flushes and restarts of the server, as
/// long as the server's wall clock is not set back across a restart. Tokens of different keys, or under different lists
/// of servers, cannot be compared. They fit a signed 64-bit integer until 2094.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// `((start - 2026-01-01) << 32) + (cas << 8) + sequence`.
    ///
    /// The start second of the instance comes first, because CAS restarts at 1 with the server.
    ///
    /// `cas` is that of the server's counter. Each granting batch raises the counter behind its store, so a grant's
    /// number is above all earlier grants' (see `protocol/acquire/`). The CAS of the item does not serve: it may have
    /// been drawn before the item was stored.
    ///
    /// `sequence` is the number of hand-overs under one grant so far.
    ///
    /// The parts are *added*, so that a CAS that has outgrown its 24 bits carries into the seconds that the server has
    /// run meanwhile. `None`: the server claims a start before 2026, or a number that overflows, which proves nothing.
    pub(crate) fn of_grant(instance: Instance, cas: Cas, sequence: u8) -> Option<Token> {
        let start = instance.start.checked_sub(EPOCH).filter(|start| *start < 1 << 31)?;
        let stores = cas.get().checked_mul(1 << 8)?;
        let token = (start << 32).checked_add(stores)?.checked_add(u64::from(sequence))?;
        (token < 1 << 63).then_some(Token(token))
    }

    /// Returns the token of the next holder under the same grant, in the same process. `None` after 256 holders: the
    /// next number belongs to another grant.
    pub(crate) fn next(self) -> Option<Token> {
        // The rest of the token is a multiple of 256, so the last byte is the number of the hand-over.
        let is_last = self.0.trailing_ones() >= u8::BITS;
        (!is_last).then(|| Token(self.0 + 1))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number for a signed 64-bit column.
    pub fn to_i64(self) -> i64 {
        // `of_grant` keeps the top bit clear.
        self.0.cast_signed()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> u64 {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(start: u64, cas: u64, sequence: u8) -> Option<Token> {
        Token::of_grant(Instance { start, pid: 1 }, Cas::new(cas)?, sequence)
    }

    #[test]
    fn a_later_grant_has_a_higher_token() {
        let start = EPOCH + 27_000_000;
        assert!(token(start, 1, 255) < token(start, 2, 0));
        assert!(
            token(start, 1 << 23, 0) < token(start + 1, 1, 0),
            "a restart outranks a large CAS"
        );
        assert!(token(start, 5, 0) < token(start, 5, 1));
    }

    #[test]
    fn hand_overs_under_one_grant_have_rising_tokens_below_the_next_grants() {
        let mut last = token(EPOCH + 27_000_000, 5, 0).expect("sound numbers");
        let mut holders = 1;
        while let Some(next) = last.next() {
            assert!(next > last);
            last = next;
            holders += 1;
        }
        assert_eq!(holders, 256);
        assert_eq!(Some(last), token(EPOCH + 27_000_000, 5, 255));
        assert!(Some(last) < token(EPOCH + 27_000_000, 6, 0));
    }

    #[test]
    fn implausible_server_numbers_make_no_token() {
        assert_eq!(token(EPOCH - 1, 1, 0), None);
        assert_eq!(token(EPOCH + (1 << 31), 1, 0), None);
        assert_eq!(token(EPOCH, u64::MAX, 0), None);
        assert_eq!(token(EPOCH + (1 << 31) - 1, u64::MAX >> 8, 255), None);
        assert!(token(EPOCH, 1, 0).is_some_and(|token| token.to_i64() == 256));
    }
}
