use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

#[memlock::lock(id)]
pub async fn wrong_lifetime<'a, 'b>(id: u64, _a: &'a str, b: &'b str) -> &'a str {
    let _ = id;
    b
}

#[memlock::lock(id)]
pub async fn moved_value(id: String) -> String {
    drop(id);
    id
}

#[memlock::lock(id)]
async fn not_send(id: u64) -> u64 {
    let id = Rc::new(id);
    std::future::ready(()).await;
    *id
}

#[memlock::lock(id)]
fn not_send_in_a_box(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let id = Rc::new(id);
        std::future::ready(()).await;
        *id
    })
}

fn must_be_send(_: impl Send) {}

fn main() {
    must_be_send(not_send(7));
}
