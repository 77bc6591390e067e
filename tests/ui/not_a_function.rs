struct Shelf;

#[memlock::lock("k")]
impl Shelf {}

#[memlock::lock("k")]
struct Book;

#[memlock::lock("k")]
mod books {}

trait Place {
    #[memlock::lock("k")]
    fn without_a_body(&self);
}

#[memlock::lock("k")]
const fn in_the_compiler() -> u8 {
    7
}

fn main() {
    let _ = (Shelf, Book, in_the_compiler());
}
