struct Book {
    title: String,
}

#[memlock::lock("book/{}")]
fn nothing_captured(book: &Book) {}

#[memlock::lock("book/{book.title()}")]
fn call(book: &Book) {}

#[memlock::lock("book/{book.id}")]
fn unknown_field(book: &Book) {}

#[memlock::lock("book/{book}")]
fn not_displayable(book: &Book) {}

#[memlock::lock("book/{book.title")]
fn unclosed(book: &Book) {}

fn main() {}
