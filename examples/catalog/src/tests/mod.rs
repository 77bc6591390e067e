//! What the example is there to show, as counts over a fixed number of documents: never as times, which tell of the machine.

#[cfg(feature = "server-tests")]
mod counts;
#[cfg(all(feature = "server-tests", feature = "postgres"))]
mod in_postgres;
mod traps;
