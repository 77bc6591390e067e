#[memlock::lock(id, timout = 30)]
fn slip_of_the_finger(id: u64) {}

#[memlock::lock(id, colour = "red")]
fn nothing_like_it(id: u64) {}

fn main() {
    // The functions are still there.
    slip_of_the_finger(1);
    nothing_like_it(1);
}
