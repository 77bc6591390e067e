//! memcached's semantics in a page: [`Items::apply`] is one pure function of state, time and request. It is the
//! server behind `memory:` (see [`super`]), the simulator's, and the model checker's transition.

use std::collections::hash_map;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::key::{ByItem, ItemName};
use crate::protocol::lease::CLOCK_ITEM_EXPIRY;
use crate::protocol::{Cas, Content, Instance, Record, Refusal, Reply, Request, WaitList};

/// What memcached says when it has no memory for a store and may not evict.
const OUT_OF_MEMORY: &str = "SERVER_ERROR out of memory storing object";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    content: Content,
    cas: Cas,
    /// The server's second in which it is gone.
    expires: u64,
}

/// The item of those who stand in line for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InLine {
    line: WaitList,
    cas: Cas,
    expires: u64,
}

/// All that one instance of a server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    instance: Instance,
    /// The last CAS given: one counter for all items, which only stores advance.
    last_cas: u64,
    locks: ByItem<Item>,
    lines: ByItem<InLine>,
    has_clock_item: bool,
    /// Its number matters to nobody, and is not kept.
    has_counter: bool,
    out_of_memory: bool,
    /// The second for which expired items have been dropped.
    swept: u64,
}

impl Items {
    /// A server that has just started.
    pub fn new(instance: Instance) -> Items {
        Items {
            instance,
            last_cas: 0,
            locks: ByItem::default(),
            lines: ByItem::default(),
            has_clock_item: false,
            has_counter: false,
            out_of_memory: false,
            swept: 0,
        }
    }

    /// Which run of the server this is.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// What `request` about `item` does, and is answered, when the server's clock stands at `second` (Unix seconds, whole).
    pub fn apply(&mut self, second: u64, item: &ItemName, request: &Request) -> Reply {
        self.apply_drawn(second, item, request, None)
    }

    /// What a server draws that has parsed the line of a store, and waits for its data: so does memcached since 1.6.27. It is the CAS
    /// that the item will have, whatever is stored meanwhile.
    pub fn draw(&mut self) -> Cas {
        next_cas(&mut self.last_cas)
    }

    /// The same as [`apply`](Self::apply), for a store that has [drawn](Self::draw) its CAS before.
    pub fn apply_drawn(&mut self, second: u64, item: &ItemName, request: &Request, drawn: Option<Cas>) -> Reply {
        self.sweep(second);
        let has_clock_item = self.has_clock_item(second);
        match request {
            Request::ReadClock if has_clock_item => Reply::Clock(second),
            Request::ReadClock => Reply::Missing,
            // As with a lock's item below.
            Request::CreateClock if self.out_of_memory => {
                self.has_clock_item = false;
                Reply::Refused(Refusal(OUT_OF_MEMORY.into()))
            }
            Request::CreateClock if has_clock_item => Reply::NotStored,
            Request::CreateClock => {
                self.has_clock_item = true;
                Reply::Stored(next_cas(&mut self.last_cas))
            }
            // It is raised in place; only one that is missing needs memory.
            Request::RaiseCounter if self.out_of_memory && !self.has_counter => {
                Reply::Refused(Refusal("SERVER_ERROR Out of memory allocating new item".into()))
            }
            Request::RaiseCounter => {
                self.has_counter = true;
                Reply::Raised(next_cas(&mut self.last_cas))
            }
            // Memory is asked for before the condition is looked at, and a refusal deletes what was there.
            Request::Add { .. } | Request::Replace { .. } if self.out_of_memory => {
                self.locks.remove(item);
                Reply::Refused(Refusal(OUT_OF_MEMORY.into()))
            }
            Request::Add { record, ttl } => match self.locks.entry(item.clone()) {
                hash_map::Entry::Occupied(_) => Reply::NotStored,
                hash_map::Entry::Vacant(vacant) => {
                    let cas = drawn.unwrap_or_else(|| next_cas(&mut self.last_cas));
                    vacant.insert(Item::of(record.clone(), cas, second, *ttl));
                    Reply::Stored(cas)
                }
            },
            Request::Replace { record, ttl, cas } => match self.locks.get_mut(item) {
                None => Reply::Missing,
                Some(held) if held.cas != *cas => Reply::Exists,
                Some(held) => {
                    let cas = drawn.unwrap_or_else(|| next_cas(&mut self.last_cas));
                    *held = Item::of(record.clone(), cas, second, *ttl);
                    Reply::Stored(cas)
                }
            },
            Request::Delete { cas } => match self.locks.get(item) {
                None => Reply::Missing,
                Some(held) if held.cas != *cas => Reply::Exists,
                Some(_) => {
                    self.locks.remove(item);
                    Reply::Deleted
                }
            },
            Request::Read => match self.locks.get(item) {
                None => Reply::Missing,
                Some(held) => Reply::Item {
                    content: Box::new(held.content.clone()),
                    cas: held.cas,
                },
            },
            Request::ReadLine | Request::StoreLine { .. } | Request::DeleteLine { .. } => {
                self.apply_to_line(second, item, request)
            }
        }
    }

    /// Drops what has expired by now.
    fn sweep(&mut self, second: u64) {
        if self.swept != second {
            self.locks.retain(|_, item| item.expires > second);
            self.lines.retain(|_, item| item.expires > second);
            self.swept = second;
        }
    }

    /// The clock item's expiry is a date. From then on it can be stored, and is not there.
    fn has_clock_item(&self, second: u64) -> bool {
        self.has_clock_item && second < CLOCK_ITEM_EXPIRY
    }

    /// The same rules for the items of those who stand in line.
    fn apply_to_line(&mut self, second: u64, item: &ItemName, request: &Request) -> Reply {
        match request {
            Request::StoreLine { .. } if self.out_of_memory => {
                self.lines.remove(item);
                Reply::Refused(Refusal(OUT_OF_MEMORY.into()))
            }
            Request::StoreLine { line, ttl, cas } => {
                match (self.lines.get(item), cas) {
                    (Some(_), None) => return Reply::NotStored,
                    (None, Some(_)) => return Reply::Missing,
                    (Some(there), Some(cas)) if there.cas != *cas => return Reply::Exists,
                    (Some(_), Some(_)) | (None, None) => {}
                }
                let cas = next_cas(&mut self.last_cas);
                let stored = InLine {
                    line: line.clone(),
                    cas,
                    expires: second + u64::from(*ttl),
                };
                self.lines.insert(item.clone(), stored);
                Reply::Stored(cas)
            }
            Request::DeleteLine { cas } => match self.lines.get(item) {
                Some(there) if there.cas != *cas => Reply::Exists,
                Some(_) => {
                    self.lines.remove(item);
                    Reply::Deleted
                }
                None => Reply::Missing,
            },
            Request::ReadLine => match self.lines.get(item) {
                Some(there) => Reply::WaitList {
                    line: there.line.clone(),
                    cas: there.cas,
                },
                None => Reply::Missing,
            },
            _ => unreachable!("a request about a lock"),
        }
    }

    /// The server's second in which `item` is gone, if it is there.
    pub fn expiry(&self, item: &ItemName) -> Option<u64> {
        self.locks.get(item).map(|held| held.expires)
    }

    /// All items are gone, the clock's and the counter, too. CAS goes on.
    pub fn flush(&mut self) {
        self.locks.clear();
        self.lines.clear();
        self.has_clock_item = false;
        self.has_counter = false;
        self.last_cas += 1;
    }

    /// The process is replaced by another: everything is gone, and CAS begins at 1 again.
    pub fn restart(&mut self, instance: Instance) {
        *self = Items {
            out_of_memory: self.out_of_memory,
            ..Items::new(instance)
        };
    }

    /// The clock item alone is lost (evicted).
    pub fn lose_clock(&mut self) {
        self.has_clock_item = false;
    }

    /// A lock's item is lost (evicted).
    pub fn evict(&mut self, item: &ItemName) {
        self.locks.remove(item);
    }

    /// A live item's CAS changes by itself, as slab moves do before memcached 1.6.24.
    pub fn renumber(&mut self, item: &ItemName) {
        let cas = next_cas(&mut self.last_cas);
        if let Some(held) = self.locks.get_mut(item) {
            held.cas = cas;
        }
    }

    /// Something that is not ours is stored under the lock's name.
    pub fn store_foreign(&mut self, second: u64, item: &ItemName, ttl: u32) {
        let cas = next_cas(&mut self.last_cas);
        let foreign = Item {
            content: Content::Foreign,
            cas,
            expires: second + u64::from(ttl),
        };
        self.locks.insert(item.clone(), foreign);
    }

    /// From now on there is (no) memory for stores.
    pub fn set_out_of_memory(&mut self, out_of_memory: bool) {
        self.out_of_memory = out_of_memory;
    }
}

impl Item {
    fn of(record: Record, cas: Cas, second: u64, ttl: u32) -> Item {
        Item {
            content: Content::Lock(record),
            cas,
            expires: second + u64::from(ttl),
        }
    }
}

fn next_cas(last_cas: &mut u64) -> Cas {
    *last_cas += 1;
    // Counting from 1, it takes longer than any process lives to come round to 0.
    Cas::new(*last_cas).unwrap_or(Cas::MIN)
}

impl Hash for Items {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Items {
            instance,
            last_cas,
            locks,
            lines,
            has_clock_item,
            has_counter,
            out_of_memory,
            swept,
        } = self;
        (instance, last_cas, has_clock_item, has_counter, out_of_memory, swept).hash(state);
        (sum_of_hashes(locks), sum_of_hashes(lines)).hash(state);
    }
}

/// The same for tables that hold the same, in whichever order they were filled.
fn sum_of_hashes<T: Hash>(table: &ByItem<T>) -> u64 {
    let hash = |entry: (&ItemName, &T)| {
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        hasher.finish()
    };
    table.iter().map(hash).fold(0, u64::wrapping_add)
}
