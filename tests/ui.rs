//! What a person reads who made a mistake: one message for each, that says what to do, where the mistake is. And what is
//! unusual but right, in crates of its own, whose lints this package does not set.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the messages anew; read the difference before you commit it.

#[test]
fn mistakes_are_told_once_and_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    // Its message lists the types that it knows.
    if cfg!(all(
        feature = "rusqlite",
        feature = "sqlx",
        feature = "tokio-postgres",
        feature = "anyhow"
    )) {
        cases.compile_fail("tests/ui/with_databases/*.rs");
    }
    cases.pass("tests/ui/pass/*.rs");
}
