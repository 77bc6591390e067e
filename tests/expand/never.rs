#[memlock::lock(name = "leader", timeout = "5s", renew)]
fn lead() -> ! {
    loop {
        work();
    }
}
