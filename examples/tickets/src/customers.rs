//! The customers: tasks that ask the instances in turn, and record the answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Result;

/// Few, so that customers meet.
pub(crate) const EVENTS: u32 = 4;
pub(crate) const SEATS: u32 = 250;
pub(crate) const CUSTOMERS: u32 = 24;
/// Together a fifth more than there are seats.
pub(crate) const REQUESTS_PER_CUSTOMER: u32 = 50;

/// How long a request may go unanswered: far longer than the handler waits for its lock.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// An answer to a customer.
pub(crate) struct Answer {
    pub(crate) instance: usize,
    pub(crate) event: u32,
    pub(crate) status: StatusCode,
    /// The number of the seat that was promised.
    pub(crate) seat: Option<u32>,
    pub(crate) took: Duration,
}

/// Runs all customers at once. Each asks for one event after the other, at one instance after the other.
pub(crate) async fn come(instances: &[SocketAddr]) -> Result<Vec<Answer>> {
    let mut customers = JoinSet::new();
    for customer in 0..CUSTOMERS {
        customers.spawn(buy(customer, instances.to_vec()));
    }
    let mut answers = Vec::new();
    while let Some(customer) = customers.join_next().await {
        answers.extend(customer??);
    }
    Ok(answers)
}

async fn buy(customer: u32, instances: Vec<SocketAddr>) -> Result<Vec<Answer>> {
    let mut counters = Vec::new();
    for (instance, address) in instances.into_iter().enumerate() {
        counters.push(Counter::open(instance, address).await?);
    }
    let mut answers = Vec::new();
    for request in 0..REQUESTS_PER_CUSTOMER {
        let turn = (customer + request) as usize % counters.len();
        // Not in step with the instances, so that every instance is asked for every event.
        let event = (customer + request / 2) % EVENTS;
        answers.push(counters[turn].ask(event).await?);
    }
    Ok(answers)
}

/// A customer's connection to one instance.
pub(crate) struct Counter {
    instance: usize,
    address: SocketAddr,
    connection: SendRequest<Empty<Bytes>>,
}

impl Counter {
    pub(crate) async fn open(instance: usize, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (connection, work) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection. The request gets the connection's errors.
        tokio::spawn(work);
        Ok(Self {
            instance,
            address,
            connection,
        })
    }

    /// Asks for a ticket.
    pub(crate) async fn ask(&mut self, event: u32) -> Result<Answer> {
        let asked = Instant::now();
        let response = self.post(event).await?;
        let took = asked.elapsed();
        let seat = match response.status() {
            StatusCode::CREATED => Some(str::from_utf8(response.body())?.parse()?),
            _ => None,
        };
        Ok(Answer {
            instance: self.instance,
            event,
            status: response.status(),
            seat,
            took,
        })
    }

    /// The same, with the response as it is on the wire.
    pub(crate) async fn post(&mut self, event: u32) -> Result<Response<Bytes>> {
        let request = Request::post(format!("/events/{event}/tickets"))
            .header(HOST, self.address.to_string())
            .body(Empty::new())?;
        let response = async {
            self.connection.ready().await?;
            let (head, body) = self.connection.send_request(request).await?.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        timeout(ANSWER_LIMIT, response)
            .await
            .map_err(|_| format!("no answer within {ANSWER_LIMIT:?}"))?
    }
}
