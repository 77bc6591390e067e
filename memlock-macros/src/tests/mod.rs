//! Tests that need the whole attribute.

mod messages;
mod snapshots;
