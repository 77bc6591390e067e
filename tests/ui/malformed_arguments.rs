#[memlock::lock(id, timeout: 30)]
fn colon(id: u64) {}

#[memlock::lock(id, other)]
fn two_keys(id: u64, other: u64) {}

#[memlock::lock(id, timeout)]
fn no_value(id: u64) {}

#[memlock::lock(id timeout = 5)]
fn no_comma(id: u64) {}

#[memlock::lock(keys = [])]
fn no_keys() {}

#[memlock::lock(keys = "a")]
fn keys_that_are_no_list() {}

#[memlock::lock("k", on_unavailable = "unlocked")]
fn quoted_choice() {}

#[memlock::lock("k", on_lost = ignore)]
fn unknown_choice() {}

#[memlock::lock("k", crate = "other")]
fn quoted_path() {}

#[memlock::lock(name: "other")]
fn colon_and_no_key() {}

fn main() {}
