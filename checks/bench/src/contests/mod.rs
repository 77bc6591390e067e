//! What is measured: the table of contents.

pub(crate) mod keys;
pub(crate) mod processes;
pub(crate) mod tasks;
pub(crate) mod threads;
pub(crate) mod uncontended;
pub(crate) mod waiters;

use crate::report::Table;
use crate::stage::Stage;

/// One contest, which can be asked for by its name.
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Stage) -> Vec<Table>,
}

pub(crate) const ALL: [Contest; 6] = [
    Contest {
        name: "uncontended",
        run: uncontended::run,
    },
    Contest {
        name: "tasks",
        run: tasks::run,
    },
    Contest {
        name: "threads",
        run: threads::run,
    },
    Contest {
        name: "processes",
        run: processes::run,
    },
    Contest {
        name: "waiters",
        run: waiters::run,
    },
    Contest {
        name: "keys",
        run: keys::run,
    },
];
