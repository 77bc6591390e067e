#[memlock::lock("k", timeout = 0)]
fn zero() {}

#[memlock::lock("k", interval = -0.5)]
fn negative() {}

#[memlock::lock("k", timeout = "30 days")]
fn unknown_unit() {}

#[memlock::lock("k", timeout = "30d")]
fn too_long() {}

#[memlock::lock("k", renew = "30")]
fn no_unit() {}

#[memlock::lock("k", wait = true)]
fn not_a_duration() {}

#[memlock::lock("k", timeout = 'x')]
fn character() {}

fn main() {}
