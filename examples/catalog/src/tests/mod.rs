//! The example's claims, as counts over a fixed number of documents: never as times, which depend on the machine.

#[cfg(feature = "server-tests")]
mod counts;
#[cfg(all(feature = "server-tests", feature = "postgres"))]
mod in_postgres;
mod traps;
