//! A client that has no CPU left still tells how long the host took.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Instant;

use super::*;
use crate::Ending;

/// How long the host takes, by its own clock.
const HOLD: Duration = Duration::from_millis(200);

/// Requests at the same time, and what each costs besides: twice the CPU that there is.
const IN_FLIGHT: usize = 128;
const WORK: Duration = Duration::from_millis(3);

/// Answers each request after [`HOLD`] and says how long that was in microseconds; a thread for each
/// connection, so that it waits for nobody else.
fn host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                // The request fits into one segment, and so does the answer.
                while let Ok(1..) = stream.read(&mut buffer) {
                    let begun = Instant::now();
                    std::thread::sleep(HOLD);
                    let held = begun.elapsed().as_micros().to_string();
                    let length = held.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{held}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// What one exchange told, in milliseconds above what the host says that it took.
struct Told {
    /// From the call to its return.
    seen: f64,
    /// What is told of the host.
    told: f64,
}

async fn rounds(client: HttpClient, url: String) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let (exchange, text) = ask(&client, &url).await;
        let seen = begun.elapsed();
        assert_eq!(exchange.end, Ending::Complete);
        let held: f64 = String::from_utf8(text).unwrap().parse().unwrap();
        let over = |time: Duration| time.as_secs_f64() * 1e3 - held / 1e3;
        told.push(Told {
            seen: over(seen),
            told: over(exchange.elapsed.saturating_sub(exchange.lag)),
        });
        let until = Instant::now() + WORK;
        while Instant::now() < until {}
    }
    // The first one begins with all the others, connects, and meets no queue yet.
    told.remove(0);
    told
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
async fn a_client_without_cpu_tells_the_time_of_the_host() {
    let url = host();
    let client = plain_client();
    let measured = client.clone();
    let measuring = tokio::spawn(async move { measured.measure_lag().await });
    let asking: Vec<_> = (0..IN_FLIGHT)
        .map(|_| tokio::spawn(rounds(client.clone(), url.clone())))
        .collect();
    let mut all = Vec::new();
    for task in asking {
        all.extend(task.await.unwrap());
    }
    measuring.abort();
    let seen = median(all.iter().map(|told| told.seen));
    let told = median(all.iter().map(|told| told.told.abs()));
    assert!(seen > 50.0, "{seen} ms: the client was not busy");
    // A tenth of what the host took; on a machine that is busy with others too, a small part of what
    // would be told otherwise.
    let most = (HOLD.as_secs_f64() * 1e2).max(seen / 4.0);
    assert!(told < most, "{told} ms too much or too little of {seen}");
}
