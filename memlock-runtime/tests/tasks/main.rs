//! Asynchronous callers under several executors: guards, order, cancellation, and runtimes that come and go.
//!
//! | file | what |
//! |---|---|
//! | `executors` | tokio in both flavours, smol, and no executor |
//! | `guards` | acquiring and releasing |
//! | `order` | threads and tasks in one queue |
//! | `cancellation` | futures that are dropped at each of their await points |
//! | `kept` | futures that are kept at each of their await points, and not polled any more |
//! | `ends` | flush, shutdown, runtimes that end |

mod executors;

mod cancellation;
mod ends;
mod guards;
mod kept;
mod order;
