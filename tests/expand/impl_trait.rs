#[memlock::lock(name = "shape", renew)]
fn measure() -> impl Fn(&str) -> usize {
    |text| text.len()
}

#[memlock::lock(shelf, on_unavailable = panic)]
fn books<'a>(shelf: &'a Shelf) -> io::Result<impl Iterator<Item = &'a Book>> {
    Ok(shelf.books.iter())
}
