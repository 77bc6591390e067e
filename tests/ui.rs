//! For a mistake in an attribute, the compiler reports one error, at the mistake, that says what to do.
//!
//! `pass` holds code that is unusual but correct, in crates without the lints of this package.
//!
//! `TRYBUILD=overwrite cargo test --test ui --all-features` writes the expected errors anew. Read the difference before
//! you commit it.

#[test]
fn each_mistake_gives_one_error_that_says_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.compile_fail("tests/ui/with_databases/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
