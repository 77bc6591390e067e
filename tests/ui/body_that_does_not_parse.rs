#[memlock::lock(id)]
fn half_typed(id: u64) -> u64 {
    let half = id.
}

fn main() {
    half_typed(7);
}
