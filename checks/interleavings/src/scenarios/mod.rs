//! The scenarios. Each is one execution: it makes a world, runs threads in it, waits for their end, and checks that
//! nothing of them is left.

#![allow(clippy::missing_panics_doc, reason = "each panics where a promise is broken")]

mod crowd;
mod dismissal;
mod lateness;
mod leaving;
mod places;
mod sleep;
mod stalls;

pub use crowd::*;
pub use dismissal::*;
pub use lateness::*;
pub use leaving::*;
pub use places::*;
pub use sleep::*;
pub use stalls::*;

use shuttle::thread::JoinHandle;

use crate::caller::{Holder, Waiting};
use crate::world::{TIMEOUT, World};

/// Waits for the end of all `threads`.
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

/// Steps in for a holder that hangs, and gets the lock when the lease has ended for the server, too.
fn steps_in(world: &World, first: Waiting) {
    let stepped_in = first.turn();
    world.time.move_to(TIMEOUT * 2);
    stepped_in.hold().done();
}
