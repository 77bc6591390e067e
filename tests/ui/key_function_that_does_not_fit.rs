struct Catalog;

fn of_catalog(catalog: &Catalog) -> u64 {
    0
}

fn by_value(id: u64) -> u64 {
    id
}

const REGION: &str = "eu";

#[memlock::lock(of_catalog)]
fn wrong_argument(name: &str) {}

#[memlock::lock(of_catalog)]
fn too_few_arguments() {}

#[memlock::lock(by_value)]
fn takes_no_reference(id: u64) {}

#[memlock::lock(REGION)]
fn constant(id: u64) {}

#[memlock::lock(|a, b| a + b)]
fn closure_of_too_many(a: u64) {}

fn main() {}
