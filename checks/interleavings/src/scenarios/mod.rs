//! Who meets whom. Each scenario is one execution: it makes a world, lets threads loose in it, waits for their end, and asks
//! whether all is as if nobody had been there.

#![allow(clippy::missing_panics_doc, reason = "each panics where a promise is broken")]

mod crowd;
mod dismissal;
mod lateness;
mod leaving;
mod places;
mod sleep;

pub use crowd::*;
pub use dismissal::*;
pub use lateness::*;
pub use leaving::*;
pub use places::*;
pub use sleep::*;

use shuttle::thread::JoinHandle;

use crate::caller::{Holder, Waiting};
use crate::world::{TIMEOUT, World};

/// Waits for the end of all these threads.
fn join_all<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("a thread that fails ends the scenario");
    }
}

/// Hangs past the end of its lease.
fn hangs(world: &World, hanging: Holder) {
    world.time.move_to(TIMEOUT);
    hanging.hang(TIMEOUT * 2);
    hanging.done();
}

/// Steps in for one who hangs, and gets the lock when the lease is over for the server, too.
fn steps_in(world: &World, first: Waiting) {
    let stepped_in = first.turn();
    world.time.move_to(TIMEOUT * 2);
    stepped_in.hold().done();
}
