#[memlock::lock(id)]
fn uses_the_guard(id: u64) {
    drop(__memlock_held);
}

#[memlock::lock(id)]
fn uses_the_result(id: u64) {
    drop(__memlock_entered);
}

fn main() {}
