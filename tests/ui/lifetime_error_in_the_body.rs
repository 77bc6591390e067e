#[memlock::lock(id)]
pub fn wrong_lifetime<'a, 'b>(id: u64, _a: &'a str, b: &'b str) -> &'a str {
    let _ = id;
    b
}

#[memlock::lock(id)]
pub fn moved_value(id: String) -> String {
    drop(id);
    id
}

fn main() {}
