#[memlock::lock("k", wait = 5)]
fn waits() -> u64 {
    7
}

#[memlock::lock("k", wait = 5)]
fn waits_with_another_error() -> Result<u64, std::fmt::Error> {
    Ok(7)
}

#[memlock::lock("k", wait = 5)]
fn waits_for_unit() {}

#[memlock::lock("k", wait = 5)]
fn waits_for_a_hidden_type() -> impl Copy {
    7
}

#[memlock::lock("k", on_unavailable = error)]
fn cannot_return_an_error() -> Option<u64> {
    Some(7)
}

#[memlock::lock("k", on_lost = error)]
fn cannot_report_loss() -> u64 {
    7
}

#[memlock::lock("k", on_lost = error)]
fn hides_its_type() -> impl Copy {
    7
}

fn main() {}
