#![deny(unused, deprecated)]

#[memlock::lock(id)]
pub fn unused_variable(id: u64) {
    let unused = 7;
}

#[memlock::lock(id)]
pub fn unused_argument(id: u64, unused: u64) {}

#[memlock::lock(id)]
pub fn unused_mut(mut id: u64) {}

#[memlock::lock(id)]
pub fn unreachable(id: u64) -> u64 {
    return id;
    7
}

#[memlock::lock(id)]
pub fn unused_result(id: u64) {
    Err::<(), _>(id);
}

#[memlock::lock(id)]
fn dead(id: u64) {}

#[memlock::lock(id)]
#[deprecated]
pub fn old(id: u64) {}

fn main() {
    old(7);
}
