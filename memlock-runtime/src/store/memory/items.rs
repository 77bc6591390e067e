//! memcached's semantics on a page: [`Items::apply`] is one pure function of state, time and request. It is the server
//! behind `memory:` (see [`super`]), the server of the simulation, and a transition of the model checker.

use std::collections::hash_map;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::key::{ByItem, ItemName};
use crate::protocol::lease::{CLOCK_ITEM_EXPIRY, CLOCK_ITEM_LIFE, clock_item_ttl};
use crate::protocol::{Cas, Content, Instance, Record, Refusal, Reply, Request, WaitList};

/// memcached's reply to a store for which it has no memory, if it may not evict.
const OUT_OF_MEMORY: &str = "SERVER_ERROR out of memory storing object";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    content: Content,
    cas: Cas,
    /// The server's second in which the item expires.
    expires: u64,
}

/// The item that lists the processes in line for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InLine {
    line: WaitList,
    cas: Cas,
    expires: u64,
}

/// All items of one instance of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    instance: Instance,
    /// The last CAS that was given. One counter for all items; only stores advance it.
    last_cas: u64,
    locks: ByItem<Item>,
    lines: ByItem<InLine>,
    /// The server's second in which the clock item expires, if it exists.
    clock_item: Option<u64>,
    /// The counter's number is not kept, since only its CAS is used.
    has_counter: bool,
    out_of_memory: bool,
    /// The second for which expired items have been removed.
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
            clock_item: None,
            has_counter: false,
            out_of_memory: false,
            swept: 0,
        }
    }

    /// Which run of the server this is.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// Executes `request` about `item` in the server's `second` (Unix time), and returns the reply.
    pub fn apply(&mut self, second: u64, item: &ItemName, request: &Request) -> Reply {
        self.apply_drawn(second, item, request, None)
    }

    /// Draws a CAS, as memcached does since 1.6.27 when it has parsed the line of a store and waits for its data. The
    /// item will have this CAS, whatever is stored meanwhile.
    pub fn draw(&mut self) -> Cas {
        next_cas(&mut self.last_cas)
    }

    /// The same as [`apply`](Self::apply), for a store with a CAS that was [drawn](Self::draw) before.
    pub fn apply_drawn(&mut self, second: u64, item: &ItemName, request: &Request, drawn: Option<Cas>) -> Reply {
        self.sweep(second);
        match request {
            Request::ReadClock => match self.clock_item {
                Some(expires) => Reply::Clock(CLOCK_ITEM_EXPIRY - (expires - second)),
                None => Reply::Missing,
            },
            // As with a lock's item below.
            Request::CreateClock if self.out_of_memory => {
                self.clock_item = None;
                Reply::Refused(Refusal(OUT_OF_MEMORY.into()))
            }
            Request::CreateClock if self.clock_item.is_some() => Reply::NotStored,
            Request::CreateClock => {
                self.clock_item = Some(match clock_item_ttl(second) {
                    CLOCK_ITEM_LIFE => second + CLOCK_ITEM_LIFE,
                    date => date,
                });
                Reply::Stored(next_cas(&mut self.last_cas))
            }
            // A counter is raised in place. Only a missing one needs memory.
            Request::RaiseCounter if self.out_of_memory && !self.has_counter => {
                Reply::Refused(Refusal("SERVER_ERROR Out of memory allocating new item".into()))
            }
            Request::RaiseCounter => {
                self.has_counter = true;
                Reply::Raised(next_cas(&mut self.last_cas))
            }
            // memcached allocates memory before it checks the condition, and a refusal deletes the item that was there.
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
            Request::ReadWaitList | Request::StoreWaitList { .. } | Request::DeleteWaitList { .. } => {
                self.apply_to_line(second, item, request)
            }
        }
    }

    /// Removes the items that have expired by `second`.
    fn sweep(&mut self, second: u64) {
        if self.swept != second {
            self.locks.retain(|_, item| item.expires > second);
            self.lines.retain(|_, item| item.expires > second);
            self.clock_item = self.clock_item.filter(|expires| *expires > second);
            self.swept = second;
        }
    }

    /// Executes a request about a wait list, by the same rules.
    fn apply_to_line(&mut self, second: u64, item: &ItemName, request: &Request) -> Reply {
        match request {
            Request::StoreWaitList { .. } if self.out_of_memory => {
                self.lines.remove(item);
                Reply::Refused(Refusal(OUT_OF_MEMORY.into()))
            }
            Request::StoreWaitList { line, ttl, cas } => {
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
            Request::DeleteWaitList { cas } => match self.lines.get(item) {
                Some(there) if there.cas != *cas => Reply::Exists,
                Some(_) => {
                    self.lines.remove(item);
                    Reply::Deleted
                }
                None => Reply::Missing,
            },
            Request::ReadWaitList => match self.lines.get(item) {
                Some(there) => Reply::WaitList {
                    line: there.line.clone(),
                    cas: there.cas,
                },
                None => Reply::Missing,
            },
            _ => unreachable!("a request about a lock"),
        }
    }

    /// The server's second in which `item` expires, if it exists.
    pub fn expiry(&self, item: &ItemName) -> Option<u64> {
        self.locks.get(item).map(|held| held.expires)
    }

    /// Removes all items, including the clock item and the counter. The CAS counter goes on.
    pub fn flush(&mut self) {
        self.locks.clear();
        self.lines.clear();
        self.clock_item = None;
        self.has_counter = false;
        self.last_cas += 1;
    }

    /// Replaces the process by another: all items are gone, and the CAS counter begins at 1 again.
    pub fn restart(&mut self, instance: Instance) {
        *self = Items {
            out_of_memory: self.out_of_memory,
            ..Items::new(instance)
        };
    }

    /// Loses the clock item, as by eviction.
    pub fn lose_clock(&mut self) {
        self.clock_item = None;
    }

    /// Loses a lock's item, as by eviction.
    pub fn evict(&mut self, item: &ItemName) {
        self.locks.remove(item);
    }

    /// Gives a live item another CAS, as slab moves did before memcached 1.6.24.
    pub fn renumber(&mut self, item: &ItemName) {
        let cas = next_cas(&mut self.last_cas);
        if let Some(held) = self.locks.get_mut(item) {
            held.cas = cas;
        }
    }

    /// Stores a foreign value under the lock's name.
    pub fn store_foreign(&mut self, second: u64, item: &ItemName, ttl: u32) {
        let cas = next_cas(&mut self.last_cas);
        let foreign = Item {
            content: Content::Foreign,
            cas,
            expires: second + u64::from(ttl),
        };
        self.locks.insert(item.clone(), foreign);
    }

    /// Sets whether the server has no memory left for stores.
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
    // It counts from 1, and no process lives long enough for it to wrap around to 0.
    Cas::new(*last_cas).unwrap_or(Cas::MIN)
}

impl Hash for Items {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Items {
            instance,
            last_cas,
            locks,
            lines,
            clock_item,
            has_counter,
            out_of_memory,
            swept,
        } = self;
        (instance, last_cas, clock_item, has_counter, out_of_memory, swept).hash(state);
        (sum_of_hashes(locks), sum_of_hashes(lines)).hash(state);
    }
}

/// A hash of a table's contents that does not depend on the order of insertion.
fn sum_of_hashes<T: Hash>(table: &ByItem<T>) -> u64 {
    let hash = |entry: (&ItemName, &T)| {
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        hasher.finish()
    };
    table.iter().map(hash).fold(0, u64::wrapping_add)
}
