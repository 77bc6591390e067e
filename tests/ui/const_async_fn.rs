#[memlock::lock("k")]
const async fn both() {}

fn main() {}
