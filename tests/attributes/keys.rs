//! Each form of a key gives the expected lock, and is evaluated once, before the body.

use std::cell::Cell;
use std::fmt::Display;

use memlock::{DontLock, IntoKey, KeyText, lock, rlock};

use crate::stage::{LOCKS, held, key};

struct Shelf {
    name: String,
    row: (u8, u8),
}

impl Shelf {
    fn path(&self) -> &str {
        &self.name
    }

    #[lock(Self::path, locks = &LOCKS)]
    fn method_as_path(&self, _id: u64) -> String {
        key()
    }

    #[lock("{self.name}/{book.title:>4}/{self.row.1:02}", locks = &LOCKS)]
    fn fields_in_text(&self, book: &Book) -> String {
        let _ = book;
        key()
    }

    #[lock(self.path(), locks = &LOCKS)]
    fn expression(&mut self) -> String {
        self.row.0 += 1;
        key()
    }

    #[lock(self.name, locks = &LOCKS)]
    fn field_is_borrowed(&self) -> String {
        key()
    }

    #[lock(|shelf, id| format!("{}-{id}", shelf.name), locks = &LOCKS)]
    fn closure(&self, id: u64) -> String {
        let _ = id;
        key()
    }

    #[lock(|shelf| shelf.name.as_str(), locks = &LOCKS)]
    fn closure_that_borrows(&self, _id: u64) -> String {
        key()
    }
}

struct Book {
    title: &'static str,
}

fn shelf() -> Shelf {
    Shelf {
        name: "a".into(),
        row: (1, 2),
    }
}

#[test]
fn methods_and_fields() {
    let book = Book { title: "b" };
    assert_eq!(shelf().method_as_path(7), "a");
    assert_eq!(shelf().fields_in_text(&book), "a/%20%20%20b/02");
    assert_eq!(shelf().expression(), "a");
    assert_eq!(shelf().field_is_borrowed(), "a");
    assert_eq!(shelf().closure(7), "a-7");
    assert_eq!(shelf().closure_that_borrows(7), "a");
}

fn of_text(text: &str) -> String {
    text.to_uppercase()
}

fn of_bytes(bytes: &[u8]) -> usize {
    bytes.len()
}

fn of_anything<T: Display>(value: &T) -> String {
    format!("<{value}>")
}

fn of_nothing() -> &'static str {
    "nothing"
}

#[lock(of_text, locks = &LOCKS)]
fn string_to_str(text: String) -> String {
    drop(text);
    key()
}

#[lock(of_text, locks = &LOCKS)]
fn str_to_str(text: &str) -> (String, usize) {
    (key(), text.len())
}

#[lock(of_text, locks = &LOCKS)]
fn mutable_string_to_str(text: &mut String, _more: u8) -> String {
    text.push('!');
    key()
}

#[lock(of_text, locks = &LOCKS)]
#[allow(clippy::box_collection, reason = "two steps of `Deref` are the case")]
fn boxed_string_to_str(text: Box<String>) -> String {
    drop(text);
    key()
}

#[lock(of_bytes, locks = &LOCKS)]
fn array_to_slice(bytes: [u8; 3]) -> String {
    let _ = bytes;
    key()
}

#[lock(of_anything, locks = &LOCKS)]
fn generic_key_function(number: u64) -> String {
    let _ = number;
    key()
}

#[lock(of_nothing, locks = &LOCKS)]
fn key_function_of_nothing(number: u64) -> String {
    let _ = number;
    key()
}

#[lock(of_nothing, locks = &LOCKS)]
fn function_of_nothing() -> String {
    key()
}

#[lock(ToString::to_string, locks = &LOCKS)]
fn trait_method_as_key(number: u64) -> String {
    let _ = number;
    key()
}

#[lock(of_anything::<i8>, locks = &LOCKS)]
fn with_turbofish(number: i8) -> String {
    let _ = number;
    key()
}

#[test]
fn a_key_function_is_called_with_references_to_as_many_arguments_as_it_takes() {
    assert_eq!(string_to_str("a".into()), "A");
    assert_eq!(str_to_str("a"), ("A".into(), 1));
    assert_eq!(mutable_string_to_str(&mut "a".into(), 1), "A");
    assert_eq!(boxed_string_to_str(Box::new("a".into())), "A");
    assert_eq!(array_to_slice([1, 2, 3]), "3");
    assert_eq!(generic_key_function(7), "<7>");
    assert_eq!(key_function_of_nothing(7), "nothing");
    assert_eq!(function_of_nothing(), "nothing");
    assert_eq!(trait_method_as_key(7), "7");
    assert_eq!(with_turbofish(7), "<7>");
}

const REGION: &str = "eu";
static STATIC: &str = "st";

#[lock("fixed", locks = &LOCKS)]
fn fixed() -> String {
    key()
}

#[lock("{{{id}}}:{id:0width$}:{REGION}", locks = &LOCKS)]
fn text(id: u64, width: usize) -> String {
    let _ = (id, width);
    key()
}

#[lock("{type}", locks = &LOCKS)]
fn raw_name(r#type: u64) -> String {
    let _ = r#type;
    key()
}

#[lock(id, locks = &LOCKS)]
fn argument(id: String) -> String {
    drop(id);
    key()
}

#[lock(id, locks = &LOCKS)]
fn argument_in_pattern((id, _): (u64, u64)) -> String {
    let _ = id;
    key()
}

#[lock({ REGION }, locks = &LOCKS)]
fn constant() -> String {
    key()
}

#[lock({ STATIC }, locks = &LOCKS)]
fn in_a_static() -> String {
    key()
}

#[lock(key = (&tenant, id), locks = &LOCKS)]
fn tuple(tenant: String, id: u64) -> String {
    let _ = (tenant, id);
    key()
}

#[lock(7, locks = &LOCKS)]
fn number() -> String {
    key()
}

#[lock(id + 1, locks = &LOCKS)]
fn sum(id: u64) -> String {
    let _ = id;
    key()
}

#[lock(id as u64, locks = &LOCKS)]
#[allow(clippy::cast_lossless, reason = "a cast is the case")]
fn cast(id: u8) -> String {
    let _ = id;
    key()
}

#[lock(concat!("a", "b"), locks = &LOCKS)]
fn made_by_a_macro() -> String {
    key()
}

#[lock(|| "closure", locks = &LOCKS)]
fn closure_of_nothing(id: u64) -> String {
    let _ = id;
    key()
}

#[lock(|id: &u64, _| *id, locks = &LOCKS)]
fn closure_with_types(id: u64, more: u8) -> String {
    let _ = (id, more);
    key()
}

#[lock(if id > 5 { "big" } else { "small" }, locks = &LOCKS)]
fn condition(id: u64) -> String {
    let _ = id;
    key()
}

struct Account(u64);

impl IntoKey for Account {
    fn write_key(&self, key: &mut KeyText) -> Result<(), DontLock> {
        self.0.write_key(key)
    }
}

impl Account {
    #[lock(self, locks = &LOCKS)]
    fn itself(&self) -> String {
        let _ = self.0;
        key()
    }
}

#[test]
fn values() {
    assert_eq!(fixed(), "fixed");
    assert_eq!(text(7, 3), "{7}:007:eu");
    assert_eq!(raw_name(7), "7");
    assert_eq!(argument("x".into()), "x");
    assert_eq!(argument_in_pattern((7, 8)), "7");
    assert_eq!(constant(), "eu");
    assert_eq!(in_a_static(), "st");
    assert_eq!(tuple("t".into(), 7), "t:7");
    assert_eq!(number(), "7");
    assert_eq!(sum(7), "8");
    assert_eq!(cast(1), "1");
    assert_eq!(made_by_a_macro(), "ab");
    assert_eq!(closure_of_nothing(7), "closure");
    assert_eq!(closure_with_types(7, 8), "7");
    assert_eq!(condition(7), "big");
    assert_eq!(Account(7).itself(), "7");
}

#[lock(keys = [to, "account/{from}", |from, _| *from, of_anything], name = "bank", locks = &LOCKS)]
fn several(from: u64, to: u64) -> Vec<String> {
    let _ = (from, to);
    held()
}

#[test]
fn several_keys_are_sorted_and_each_is_taken_once() {
    assert_eq!(several(1, 2), ["bank:1", "bank:2", "bank:<1>", "bank:account/1"]);
    assert_eq!(several(2, 2), ["bank:2", "bank:<2>", "bank:account/2"]);
}

#[lock(name = "whole", locks = &LOCKS)]
fn without_a_key(id: u64) -> Vec<String> {
    let _ = id;
    held()
}

#[test]
fn a_name_alone_is_one_lock_for_the_function() {
    assert_eq!(without_a_key(1), without_a_key(2));
    assert_eq!(without_a_key(1), ["whole:"]);
}

#[lock(id, locks = &LOCKS)]
fn maybe(id: Option<u64>) -> Vec<String> {
    let _ = id;
    held()
}

fn unless_zero(id: &u64) -> Result<u64, DontLock> {
    if *id == 0 { Err(DontLock) } else { Ok(*id) }
}

#[lock(unless_zero, locks = &LOCKS)]
fn unless(id: u64) -> Vec<String> {
    let _ = id;
    held()
}

#[test]
fn none_and_dont_lock_run_without_a_lock() {
    assert_eq!(maybe(Some(7)), ["attributes::keys::maybe:7"]);
    assert!(maybe(None).is_empty());
    assert_eq!(unless(7), ["attributes::keys::unless:7"]);
    assert!(unless(0).is_empty());
}

#[lock({ evaluated.set(evaluated.get() + 1); evaluated.get() }, locks = &LOCKS)]
fn counts_evaluations(evaluated: &Cell<u32>) -> (String, u32) {
    (key(), evaluated.get())
}

#[test]
fn a_key_is_evaluated_once_before_the_body() {
    assert_eq!(counts_evaluations(&Cell::new(0)), ("1".into(), 1));
}

#[rlock(|guarded| *guarded.lock().expect("not poisoned"), locks = &LOCKS)]
fn releases_what_its_key_borrowed(guarded: &std::sync::Mutex<u64>) -> bool {
    guarded.try_lock().is_ok()
}

#[rlock(*guarded.lock().expect("not poisoned"), locks = &LOCKS)]
fn releases_what_its_expression_borrowed(guarded: &std::sync::Mutex<u64>) -> bool {
    guarded.try_lock().is_ok()
}

#[test]
fn a_guard_in_a_key_is_gone_before_the_body() {
    let guarded = std::sync::Mutex::new(7);
    assert!(releases_what_its_key_borrowed(&guarded));
    assert!(releases_what_its_expression_borrowed(&guarded));
}

fn parse(text: &str) -> Result<u64, memlock::Error> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => in_vain(),
    }
}

#[lock("k", locks = &crate::stage::UNREACHABLE)]
fn in_vain() -> Result<u64, memlock::Error> {
    Ok(0)
}

#[lock(parse(id)?, locks = &LOCKS)]
fn key_that_may_fail(id: &str) -> Result<String, memlock::Error> {
    let _ = id;
    Ok(key())
}

#[test]
fn a_question_mark_in_a_key_returns_from_the_function() {
    assert_eq!(key_that_may_fail("7").expect("a number"), "7");
    assert!(key_that_may_fail("x").is_err());
}

#[lock(r#"a"{id}"#, locks = &LOCKS)]
fn raw_literal(id: &str) -> String {
    let _ = id;
    key()
}

#[test]
fn keys_of_any_text_are_themselves() {
    assert_eq!(raw_literal("b"), "a\"b");
    for text in [" ", "", "\r\n", "\0", "ключ", "%20", ":"] {
        let held = raw_literal(text);
        assert!(!held.contains(char::is_whitespace));
        assert_ne!(held, raw_literal(&format!("{text}x")));
    }
    let long = "k".repeat(900);
    assert_eq!(raw_literal(&long), format!("a\"{long}"));
}

#[lock("file/{name}", locks = &LOCKS)]
fn cannot_report(name: &str) -> usize {
    held().len()
}

#[test]
fn keys_of_any_length_are_locked() {
    for (character, length) in [("k", 60_000), ("k", 1_000_000), (" ", 100_000)] {
        assert_eq!(cannot_report(&character.repeat(length)), 1, "{}", length);
    }
}
