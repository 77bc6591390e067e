#[memlock::lock(id, timeout: 30)]
fn colon(id: u64) {}

#[memlock::lock(id, other)]
fn two_keys(id: u64, other: u64) {}

#[memlock::lock(timeout = 5, id)]
fn key_behind_an_option(id: u64) {}

#[memlock::lock(id, timeout)]
fn no_value(id: u64) {}

#[memlock::lock(id timeout = 5)]
fn no_comma(id: u64) {}

#[memlock::lock(keys = [])]
fn empty_list() {}

#[memlock::lock(keys = "a")]
fn keys_not_a_list() {}

#[memlock::lock("k", on_unavailable = "unlocked")]
fn quoted_word() {}

#[memlock::lock("k", on_lost = ignore)]
fn unknown_word() {}

#[memlock::lock("k", crate = "other")]
fn quoted_path() {}

#[memlock::lock(name: "other")]
fn colon_first() {}

fn main() {}
