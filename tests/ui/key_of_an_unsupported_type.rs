struct Account;

#[memlock::lock(account)]
fn own_type(account: Account) {}

#[memlock::lock(amount)]
fn float(amount: f64) {}

fn vec_of_floats(account: &Account) -> Vec<f32> {
    vec![]
}

#[memlock::lock(vec_of_floats)]
fn made_by_function(account: Account) {}

fn main() {}
