//! memlock against real memcached servers and real processes, through its public interface: the table of contents.
//!
//! Each test sets its stage with [`stage::Stage`]: a server of its own, and its share of the machine. Second processes
//! are [`actor::Actor`]s, which the tests control. Times are measured, printed (`--nocapture` shows them) and compared
//! with the promised ones, with a margin for a busy machine. No test waits for a length of time where it can wait for a
//! condition.

mod actor;
mod addresses;
mod attributes;
mod configuration;
mod connections;
mod death;
mod evicting;
mod exclusion;
mod foreign;
mod foreign_texts;
mod full;
#[path = "../attributes/log.rs"]
mod log;
mod outage;
mod renewal;
mod restart;
mod several;
mod stage;
mod wait_list;
mod waiting;
mod wake;
mod warnings;
mod zlock;
