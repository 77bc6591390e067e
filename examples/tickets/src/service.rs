//! The service: its one route, the handler behind it, and the handler's answers to errors.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::time::sleep;

use crate::box_office::{BoxOffice, Failed};

/// The state that all requests share.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) box_office: BoxOffice,
    /// How long the payment provider takes to answer.
    pub(crate) payment: Duration,
}

/// `POST /events/{event}/tickets` sells a ticket for the next free seat.
pub(crate) fn router(shop: Shop, is_locked: bool) -> Router {
    let sell = if is_locked { post(sell_locked) } else { post(sell) };
    Router::new().route("/events/{event}/tickets", sell).with_state(shop)
}

/// Sells a ticket the way much code in the world does it: read, wait for another system, write. A request that reads
/// between another request's read and write sells the same seat once more.
async fn sell(State(shop): State<Shop>, Path(event): Path<String>) -> Result<Seat, AppError> {
    let token = memlock::current().map(|lease| lease.token());
    let stock = shop
        .box_office
        .read(&event, token)
        .await?
        .ok_or(AppError::NoSuchEvent)?;
    if stock.sold >= stock.seats {
        return Err(AppError::SoldOut);
    }
    let seat = stock.sold + 1;
    shop.charge().await;
    if !shop.box_office.write(&event, seat, token).await? {
        return Err(AppError::TooLate);
    }
    Ok(Seat(seat))
}

/// The same, by one request at a time for each event, in all instances together: the attribute is the whole difference.
/// It waits without a thread, and holds the lock across the `.await`s of the body.
///
/// A request that has not had its turn after two seconds gets 503. An instance that dies in here blocks its event for five
/// seconds at the most. If a customer hangs up, this future is dropped wherever it waits, and the lock is released. Work
/// that must not stop half-way runs in a task of its own: `tokio::spawn(sell_locked(shop, event)).await`.
#[memlock::lock("event/{event.0}", timeout = 5, wait = 2)]
async fn sell_locked(shop: State<Shop>, event: Path<String>) -> Result<Seat, AppError> {
    sell(shop, event).await
}

impl Shop {
    /// Asks the payment provider, which is far away.
    async fn charge(&self) {
        sleep(self.payment).await;
    }
}

/// A sold seat: its number.
struct Seat(u32);

impl IntoResponse for Seat {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, self.0.to_string()).into_response()
    }
}

/// Why there is no ticket.
enum AppError {
    NoSuchEvent,
    SoldOut,
    /// This instance stood still for longer than its lease, and another instance went on meanwhile. Nothing was written. A
    /// real shop gives the money back.
    TooLate,
    Lock(memlock::Error),
    BoxOffice(Failed),
}

/// With this, the attribute can report that the lock was not available.
impl From<memlock::Error> for AppError {
    fn from(error: memlock::Error) -> Self {
        Self::Lock(error)
    }
}

impl From<Failed> for AppError {
    fn from(failed: Failed) -> Self {
        Self::BoxOffice(failed)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let try_again = [(RETRY_AFTER, "1")];
        match self {
            Self::NoSuchEvent => (StatusCode::NOT_FOUND, "there is no such event").into_response(),
            Self::SoldOut => (StatusCode::CONFLICT, "sold out").into_response(),
            Self::TooLate => (StatusCode::SERVICE_UNAVAILABLE, try_again, "this took too long").into_response(),
            Self::Lock(error) if error.is_busy() => {
                (StatusCode::SERVICE_UNAVAILABLE, try_again, "too many customers").into_response()
            }
            // memcached is down, for an unknown time.
            Self::Lock(error) if error.is_unavailable() => {
                (StatusCode::SERVICE_UNAVAILABLE, "closed for the moment").into_response()
            }
            Self::Lock(error) => internal(&error),
            Self::BoxOffice(failed) => internal(&failed),
        }
    }
}

/// Logs the reason, which is not for the customer.
fn internal(error: &dyn std::fmt::Display) -> Response {
    eprintln!("tickets: {error}");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
