#[memlock::lock(id)]
pub fn wrong_type(id: u64) -> Option<u64> {
    "seven"
}

#[memlock::lock(id)]
pub fn wrong_early_return(id: u64) -> Option<u64> {
    if id > 7 {
        return 7;
    }
    None
}

#[memlock::lock(id)]
pub fn no_value(id: u64) -> u64 {
    let _ = id;
}

#[memlock::lock(id, on_lost = error)]
pub fn wrong_type_in_a_closure(id: u64) -> Result<u64, memlock::Error> {
    Ok("seven")
}

fn main() {}
