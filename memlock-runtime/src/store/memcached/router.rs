//! Which server keeps an item: rendezvous hashing. Every build on every platform must give the same answer, or two
//! processes would hold one lock on two servers. So nothing here may depend on the order of the list, on the width of
//! an integer, or on a hash function that may change.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// The keys of the hash function. Any numbers would do, but these may never change.
const KEYS: (u64, u64) = (0x6d65_6d6c_6f63_6b20, 0x726f_7574_696e_6731);

/// The index in `ids` of the server that keeps the item of this name: the one with the highest score. Removing a server
/// moves only the items that it kept.
pub(crate) fn route<'a>(ids: impl ExactSizeIterator<Item = &'a str>, name: impl AsRef<[u8]>) -> usize {
    let name = name.as_ref();
    if ids.len() <= 1 {
        return 0;
    }
    // Equal scores are decided by the id, not by the order of the list.
    ids.enumerate()
        .max_by_key(|(_, id)| (score(id, name), *id))
        .map_or(0, |(index, _)| index)
}

fn score(id: &str, name: impl AsRef<[u8]>) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    for part in [id.as_bytes(), name.as_ref()] {
        // The length, in a fixed width and byte order, keeps two pairs from running together into the same bytes.
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 3] = ["127.0.0.1:11211", "cache.example:11211", "unix:/run/memcached.sock"];

    fn route(ids: &[&str], name: &str) -> usize {
        super::route(ids.iter().copied(), name)
    }

    fn names() -> impl Iterator<Item = String> {
        (0..3000).map(|number| format!("memlock:app::account:{number}"))
    }

    #[test]
    fn scores_never_change() {
        for (id, name, expected) in VECTORS {
            assert_eq!(score(id, name), expected, "{id} {name}: {:#018x}", score(id, name));
        }
    }

    #[test]
    fn the_score_is_siphash_of_the_framed_bytes() {
        // Computed from the definition, so that a change of the framing in `score` shows.
        let mut bytes = Vec::new();
        for part in ["ab", "c"] {
            bytes.extend_from_slice(&u64::try_from(part.len()).expect("small").to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        let whole = SipHasher24::new_with_keys(KEYS.0, KEYS.1).hash(&bytes);
        assert_eq!(score("ab", "c"), whole);
        assert_ne!(score("ab", "c"), score("a", "bc"));
    }

    #[test]
    fn routes_never_change() {
        let routed: Vec<usize> = names().take(16).map(|name| route(&SERVERS, &name)).collect();
        assert_eq!(routed, ROUTES);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let mut reversed = SERVERS;
        reversed.reverse();
        for name in names() {
            assert_eq!(SERVERS[route(&SERVERS, &name)], reversed[route(&reversed, &name)]);
        }
    }

    #[test]
    fn removing_a_server_moves_only_its_own_items() {
        for name in names() {
            let before = route(&SERVERS, &name);
            if before < 2 {
                assert_eq!(route(&SERVERS[..2], &name), before);
            }
        }
    }

    #[test]
    fn items_are_spread_evenly() {
        let mut counts = [0; 3];
        names().for_each(|name| counts[route(&SERVERS, &name)] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_server_or_none_is_index_zero() {
        assert_eq!(route(&SERVERS[..1], "x"), 0);
        assert_eq!(route(&[], "x"), 0);
    }

    /// Computed with another implementation of SipHash-2-4.
    const VECTORS: [(&str, &str, u64); 3] = [
        ("", "", 0x22c0_79cc_7dbe_3a61),
        ("127.0.0.1:11211", "memlock:app::account:1", 0x4b14_188f_b9a1_d4cb),
        ("cache.example:11211", "memlock:größe:ß", 0x8eb9_d6cd_30c5_5d81),
    ];
    const ROUTES: [usize; 16] = [0, 2, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 2, 1, 1, 2];
}
