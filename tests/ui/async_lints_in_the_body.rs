#![deny(unused)]

#[memlock::lock(id)]
pub async fn unused_variable(id: u64) {
    let unused = 7;
}

#[memlock::lock(id)]
pub async fn unused_argument(id: u64, unused: String, mut never_changed: Vec<u8>) -> usize {
    never_changed.len()
}

#[memlock::lock(id)]
pub async fn unreachable(id: u64) -> u64 {
    return id;
    7
}

#[memlock::lock(id)]
pub async fn unused_result(id: u64) {
    Err::<(), _>(id);
}

#[memlock::lock(id)]
pub async fn unused_future(id: u64) {
    unused_variable(id);
}

#[memlock::lock(id)]
async fn dead(id: u64) {}

fn main() {}
