#[memlock::rlock(id, on_lost = error, renew = "1h", locks = &self.locks)]
fn long_work(&self, id: u64) -> io::Result<u64> {
    work(id)
}

#[memlock::rlock(id, on_lost = error, otherwise = None)]
fn long_guess(id: u64) -> Option<u64> {
    work(id).ok()
}
