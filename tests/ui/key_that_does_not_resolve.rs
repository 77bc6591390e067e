#[memlock::lock(no_such_function)]
fn function(id: u64) {}

#[memlock::lock("{no_such_argument}")]
fn text(id: u64) {}

#[memlock::lock(ib)]
fn argument(id: u64) {}

#[memlock::lock("k", crate = ::no_such_crate)]
fn crate_path(id: u64) {}

fn main() {}
