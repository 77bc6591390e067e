//! The server's side of a transition: commands, one by one, its clock, and its accidents.
//! [`Items::apply`](memlock_runtime::__internals::Items::apply) executes a command; this module only watches it.

use memlock_runtime::__internals::{Cas, Instance, Nonce, Reply, Request, YOUNGEST_SERVER};

use crate::outcomes::{Reached, Tally};
use crate::world::{FIRST_UPTIME, ITEM, Machine, Promise, Sender, World};

impl World {
    /// Executes one command, and records what that means for the promises.
    pub(crate) fn execute(&mut self, sender: Sender, request: &Request, drawn: Option<Cas>, tally: &Tally) -> Reply {
        let holder = self.watched.holder;
        let second = self.server.second;
        let reply = self.server.items.apply_drawn(second, &ITEM, request, drawn);
        match (request, &reply) {
            (Request::Add { record, .. } | Request::Replace { record, .. }, Reply::Stored(_)) => {
                match sender.machine {
                    Machine::Acquire => self.stored(sender, record.nonce, tally),
                    Machine::Renew(nonce) | Machine::Release(nonce) => {
                        self.require(holder == Some(nonce) && record.nonce == nonce, Promise::OnlyTheOwnItem);
                    }
                }
                if self.server.second < self.true_second() {
                    tally.count(Reached::StoredByStaleClock);
                }
            }
            (Request::Delete { .. }, Reply::Deleted) => {
                let is_own = match sender.machine {
                    Machine::Release(nonce) | Machine::Renew(nonce) => holder == Some(nonce),
                    // An item of its own attempts, and not one that it has been granted.
                    Machine::Acquire => holder.is_some_and(|holder| {
                        holder.0 >> 8 == sender.contender as u128 + 1
                            && self.believers().all(|(_, believed)| believed != holder)
                    }),
                };
                self.require(is_own, Promise::OnlyTheOwnItem);
            }
            _ => {}
        }
        reply
    }

    fn stored(&mut self, sender: Sender, nonce: Nonce, tally: &Tally) {
        if sender.is_stray {
            tally.count(Reached::LateStore);
            return;
        }
        // An earlier store of the same machine can no longer become a grant.
        self.forget_stored_by(sender.contender);
        self.watched.stored.push((nonce, None));
    }

    /// Forgets the stores of `contender` that were not granted.
    pub(crate) fn forget_stored_by(&mut self, contender: usize) {
        let is_its = |nonce: Nonce| nonce.0 >> 8 == contender as u128 + 1;
        self.watched
            .stored
            .retain(|(nonce, token)| token.is_some() || !is_its(*nonce));
        self.forget_old_tokens();
    }

    /// Among the grants before every store that may still become one, only the last one's token matters.
    pub(crate) fn forget_old_tokens(&mut self) {
        let stored = &mut self.watched.stored;
        let settled = stored.iter().take_while(|(_, token)| token.is_some()).count();
        stored.drain(..settled.saturating_sub(1));
        if let (false, Some((nonce @ Nonce(1..), Some(_)))) = (self.has_next_holders, stored.first_mut()) {
            // It does not matter which contender's it was.
            *nonce = Nonce(0);
        }
    }

    pub(crate) fn require(&mut self, is_kept: bool, promise: Promise) {
        if !is_kept {
            self.watched.broken.get_or_insert(promise);
        }
    }

    pub(crate) fn is_young(&self) -> bool {
        self.server.second.saturating_sub(self.server.items.instance().start) < YOUNGEST_SERVER
    }

    /// The server's clock ticks, unless the server is stopped. `late` is how many seconds it stays behind.
    pub(crate) fn tick(&mut self, late: u64) {
        if !self.server.is_stopped {
            self.server.second = self.server.second.max(self.true_second() - late);
        }
        // The server drops expired items at the next request. Here it does so now, so that equal states are equal.
        self.server.items.apply(self.server.second, &ITEM, &Request::ReadClock);
    }

    pub(crate) fn flush(&mut self) {
        self.excuse();
        self.server.items.flush();
    }

    pub(crate) fn restart(&mut self) {
        self.excuse();
        // In a container every server process has the same id.
        let pid = self.server.items.instance().pid;
        let start = self.true_second() - FIRST_UPTIME;
        self.server.run += 1;
        self.server.items.restart(Instance { start, pid });
        self.server.second = self.true_second();
        self.server.is_stopped = false;
        self.server.items.apply(self.server.second, &ITEM, &Request::ReadClock);
        // The connections of stray exchanges ended with the server.
        self.strays.clear();
    }

    /// A holder may still believe in its item after that is lost with the server's state. The protocol does not promise
    /// otherwise.
    fn excuse(&mut self) {
        self.watched.excused.extend(self.watched.holder);
    }
}
