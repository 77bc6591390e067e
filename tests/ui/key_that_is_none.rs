struct Account;

#[memlock::lock(account)]
fn own_type(account: Account) {}

#[memlock::lock(amount)]
fn float(amount: f64) {}

fn of(account: &Account) -> Vec<f32> {
    vec![]
}

#[memlock::lock(of)]
fn made_by_function(account: Account) {}

fn main() {}
