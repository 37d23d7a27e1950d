//! What a real client sends, the crate `h2`, and what it was asked to send.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

/// A request to send.
#[derive(Clone, Debug)]
struct Order {
    method: &'static str,
    path: String,
    fields: Vec<(&'static str, String)>,
    body: usize,
}

fn order() -> impl Strategy<Value = Order> {
    let name =
        prop::sample::select(vec!["x-request-id", "cookie", "authorization", "user-agent", "grpc-trace-bin"]);
    let fields = prop::collection::vec((name, "[!-~&&[^\\\\\"']]{0,40}"), 0..8);
    let method = prop::sample::select(vec!["GET", "POST", "DELETE"]);
    let body = prop_oneof![Just(0_usize), 1_usize..100, Just(40_000)];
    (method, "/[a-z0-9/]{0,30}(\\?q=[a-z]{0,300})?", fields, body)
        .prop_map(|(method, path, fields, body)| Order { method, path, fields, body })
}

/// Passes bytes on, and keeps those that come from `from`.
async fn pass(mut from: DuplexStream, mut to: DuplexStream, kept: Arc<Mutex<Vec<u8>>>) {
    let (mut there, mut back) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = from.read(&mut there) => match read {
                Ok(len @ 1..) => {
                    kept.lock().unwrap().extend_from_slice(&there[..len]);
                    if to.write_all(&there[..len]).await.is_err() { return }
                }
                _ => return,
            },
            read = to.read(&mut back) => match read {
                Ok(len @ 1..) => if from.write_all(&back[..len]).await.is_err() { return },
                _ => return,
            },
        }
    }
}

async fn serve(io: DuplexStream) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let mut body = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(data)) = body.data().await {
                _ = body.flow_control().release_capacity(data.len());
            }
            _ = respond.send_response(http::Response::new(()), true);
        });
    }
}

/// Returns what a client sends for these requests, several at a time.
async fn sent(orders: &[Order]) -> Vec<u8> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (client, inner) = tokio::io::duplex(1 << 20);
    let (outer, server) = tokio::io::duplex(1 << 20);
    let tasks = [tokio::spawn(pass(inner, outer, Arc::clone(&kept))), tokio::spawn(serve(server))];
    let (mut send, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    for orders in orders.chunks(4) {
        let mut answers = Vec::new();
        for Order { method, path, fields, body } in orders {
            let uri = format!("http://api.example{path}");
            let mut request =
                http::Request::builder().method(*method).uri(uri).version(http::Version::HTTP_2);
            for (name, value) in fields {
                request = request.header(*name, value);
            }
            send = send.ready().await.unwrap();
            let (answer, mut stream) = send.send_request(request.body(()).unwrap(), *body == 0).unwrap();
            if *body > 0 {
                stream.send_data(Bytes::from(vec![b'x'; *body]), true).unwrap();
            }
            answers.push(answer);
        }
        for answer in answers {
            answer.await.unwrap();
        }
    }
    drop(send);
    _ = connection.await;
    for task in tasks {
        _ = task.await;
    }
    Arc::try_unwrap(kept).unwrap().into_inner().unwrap()
}

fn expected(orders: &[Order]) -> Vec<String> {
    let head = |Order { method, path, fields, .. }: &Order| {
        // The crate sends the fields of a name one after the other, in the order of their first.
        let mut names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        let mut lines = String::new();
        for (name, value) in names.into_iter().flat_map(|name| fields.iter().filter(move |it| it.0 == name)) {
            lines.extend([*name, ": ", value.as_str(), "\n"]);
        }
        format!("{method} {path} HTTP/2\nhost: api.example\n{lines}\n")
    };
    orders.iter().map(head).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn requests_of_a_real_client_are_as_it_sent_them(orders in prop::collection::vec(order(), 1..20), step in 1_usize..3000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(sent(&orders));
        let wire = Wire::new(true).pieces(&bytes, step);
        let heads: Vec<_> = wire.found.iter().map(|it| it.head.clone()).collect();
        prop_assert_eq!(heads, expected(&orders));
        prop_assert!(wire.found.iter().all(|it| it.malformation.is_none() && it.incomplete.is_none()));
        let body: usize = orders.iter().map(|order| order.body).sum();
        prop_assert_eq!((wire.ledger.body_bytes, wire.ledger.possibly_unread_requests), (body as u64, 0));
    }
}
