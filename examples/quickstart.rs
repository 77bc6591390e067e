//! Eight threads sell tickets for one show. Each reads how many are left, thinks, and writes the new number back. Sales
//! get lost between reading and writing. With the attribute, no other thread reads or writes in between.
//!
//! `cargo run --example quickstart` needs nothing installed: without `MEMLOCK_SERVERS` the locks are in this process's
//! memory. `cargo expand --example quickstart` shows the code that the attribute makes of `sell_locked`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use memlock::Locks;

/// A show, and how many tickets are left for it.
struct Show {
    name: &'static str,
    left: AtomicU32,
}

impl Show {
    /// Sells a ticket, and assumes that no other thread does so meanwhile.
    fn sell(&self) {
        let left = self.left.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(1)); // ask for the customer's name, print the ticket, …
        self.left.store(left - 1, Ordering::SeqCst);
    }

    /// Sells a ticket while no other thread sells one for this show, in this process or any other.
    #[memlock::lock("show/{self.name}", timeout = 30)]
    fn sell_locked(&self) -> Result<(), memlock::Error> {
        self.sell();
        Ok(())
    }
}

fn main() -> Result<(), memlock::Error> {
    if std::env::var_os("MEMLOCK_SERVERS").is_none() {
        memlock::init(Locks::builder().servers("memory:").build()?)?;
    }

    let show = Show {
        name: "hamlet",
        left: AtomicU32::new(100),
    };
    in_eight_threads(|| {
        show.sell();
        Ok(())
    })?;
    println!(
        "without a lock: 80 tickets sold, {} of 100 left",
        show.left.load(Ordering::SeqCst)
    );

    let show = Show {
        name: "hamlet",
        left: AtomicU32::new(100),
    };
    in_eight_threads(|| show.sell_locked())?;
    println!(
        "with the lock:  80 tickets sold, {} of 100 left",
        show.left.load(Ordering::SeqCst)
    );
    Ok(())
}

/// Sells ten tickets in each of eight threads.
fn in_eight_threads(sell: impl Fn() -> Result<(), memlock::Error> + Sync) -> Result<(), memlock::Error> {
    thread::scope(|scope| {
        let sellers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..10).try_for_each(|_| sell())))
            .collect();
        sellers
            .into_iter()
            .try_for_each(|seller| seller.join().expect("a seller panicked"))
    })
}
