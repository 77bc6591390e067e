//! Asynchronous callers, under every executor that tells them apart: guards, order, cancellation, runtimes that come and go.
//!
//! | file | what |
//! |---|---|
//! | `executors` | tokio in both flavours, smol, and none at all |
//! | `guards` | acquiring and releasing |
//! | `order` | threads and tasks in one queue |
//! | `cancellation` | a future dropped at each of its await points |
//! | `ends` | flush, shutdown, runtimes that end |

mod executors;

mod cancellation;
mod ends;
mod guards;
mod order;
