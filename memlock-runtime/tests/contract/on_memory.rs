//! A server that is [`Items::apply`]: exact, in virtual seconds.

use std::time::Duration;

use memlock_runtime::__internals::{Instance, ItemName, Items, Reply, Request};

use crate::run::{self, Past, Server, Tolerance, item};
use crate::script::{Event, Step};

const START: u64 = 1_800_000_000;

pub(crate) fn play(script: &[Step]) {
    run::play(script, &mut Virtual::new(), Past::None);
}

pub(crate) struct Virtual {
    items: Items,
    second: u64,
}

impl Virtual {
    pub(crate) fn new() -> Virtual {
        Virtual {
            items: Items::new(Instance { start: START, pid: 1 }),
            second: START + 4,
        }
    }
}

impl Server for Virtual {
    fn exchange(&mut self, item: &ItemName, batch: &[Request]) -> (Instance, Vec<Reply>) {
        let replies = batch
            .iter()
            .map(|request| self.items.apply(self.second, item, request))
            .collect();
        (self.items.instance(), replies)
    }

    fn suffer(&mut self, event: &Event) {
        match event {
            Event::Flush => self.items.flush(),
            Event::Restart => {
                let old = self.items.instance();
                self.items.restart(Instance {
                    start: self.second,
                    pid: old.pid + 1,
                });
                self.second += 4;
            }
            Event::Fill => self.items.set_out_of_memory(true),
            Event::Free => self.items.set_out_of_memory(false),
            Event::LoseClock => self.items.lose_clock(),
            Event::Evict(key) => self.items.evict(&item(key)),
            Event::Renumber(key) => self.items.renumber(&item(key)),
            Event::StoreForeign(key) => self.items.store_foreign(self.second, &item(key), 60),
            Event::Expiry(_) => panic!("{event:?} is watched, not suffered"),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.second - START)
    }

    fn wall(&self) -> u64 {
        self.second
    }

    fn wait(&mut self) {
        self.second += 1;
    }

    fn first_cas(&self) -> u64 {
        1
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance {
            early: Duration::ZERO,
            late: Duration::ZERO,
            clock_seconds: 0,
        }
    }
}
