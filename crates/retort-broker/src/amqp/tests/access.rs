//! Who may do what, and what happens to those who may not.

use super::*;
use crate::testkit::FaultProxy;

async fn add_user(rabbit: &Rabbit, vhost: &str, user: &str, rights: [&str; 3]) -> BrokerUrl {
    let [configure, write, read] = rights;
    let add = format!(
        "catch rabbit_auth_backend_internal:delete_user(<<\"{user}\">>, <<\"retort\">>), \
         rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"secret\">>, <<\"retort\">>), \
         rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{vhost}\">>, \
         <<\"{configure}\">>, <<\"{write}\">>, <<\"{read}\">>, <<\"retort\">>)."
    );
    rabbit.ctl(&["eval", &add]).await;
    let url = format!("amqp://{user}:secret@{}/{vhost}", rabbit.address());
    url.parse().unwrap()
}

fn check_refused<T: std::fmt::Debug>(result: Result<T, BrokerError>) {
    let error = result.expect_err("it is refused");
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
}

fn check_absent<T: std::fmt::Debug>(result: Result<T, BrokerError>) {
    let error = result.expect_err("it is not there");
    assert!(matches!(error, BrokerError::Absent { .. }), "{error:?}");
}

/// The rights that `docs/broker.md` gives to those who only submit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submit_only_user_can_neither_read_nor_publish_probes() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("rights").await;
    let url_submit = add_user(&rabbit, "rights", "submitter", ["^$", "^submit$", "^$"]).await;
    let owner = connect(rabbit.settings(url)).await;
    let all = [
        probes("a"),
        Queue::Receipts,
        Queue::Submissions,
        Queue::Dead,
    ];
    for queue in &all {
        owner.declare(queue).await.unwrap();
    }
    for topic in [Topic::Control, Topic::Events] {
        owner.announce(topic, message(0)).await.unwrap();
    }
    publish(&owner, &probes("a"), 0..1).await;
    let submitter = connect(rabbit.settings(url_submit)).await;
    submitter.declare(&Queue::Submissions).await.unwrap();
    publish(&submitter, &Queue::Submissions, 0..1).await;
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN,
        priority: 0,
    };
    for queue in &all {
        check_refused(submitter.consume(queue, options).await);
        check_refused(submitter.purge(queue).await);
        if *queue != Queue::Submissions {
            check_refused(submitter.publish(queue, message(9)).await);
        }
    }
    let domain = DomainId::new("a").unwrap();
    let later = submitter.publish_later(&domain, message(9), Duration::ZERO);
    check_refused(later.await);
    check_refused(submitter.announce(Topic::Control, message(9)).await);
    check_refused(submitter.subscribe(Topic::Events).await);
    check_absent(submitter.declare(&probes("b")).await);
    // It still can do what it may.
    publish(&submitter, &Queue::Submissions, 1..2).await;
    let mut consumer = consume(&owner, &Queue::Submissions, 10).await;
    for id in 0..2 {
        assert_eq!(next(&mut consumer).await.message, message(id));
    }
    assert_eq!(owner.depth(&probes("a")).await.unwrap(), Some(1));
}

/// The rights that `docs/broker.md` gives to workers suffice for all they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_rights_suffice_for_workers_alone() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.vhost("worker-rights").await;
    let rights = [
        r"^(probes(\..*)?|dead|control\..*)$",
        r"^(probes\..*|retry\..*|receipts|dead|control\..*)$",
        r"^(probes(\..*)?|dead|control(\..*)?)$",
    ];
    let rights = rights.map(|right| right.replace('\\', "\\\\"));
    let rights = [rights[0].as_str(), &rights[1], &rights[2]];
    let worker = add_user(&rabbit, "worker-rights", "worker", rights).await;
    let owner = connect(rabbit.settings(url)).await;
    let worker = connect(rabbit.settings(worker)).await;
    // What is not there yet may come: that is no refusal.
    check_absent(worker.declare(&Queue::Receipts).await);
    check_absent(worker.publish(&Queue::Receipts, message(0)).await);
    check_absent(worker.subscribe(Topic::Control).await);
    for queue in [Queue::Receipts, Queue::Submissions, probes("plan")] {
        owner.declare(&queue).await.unwrap();
    }
    owner.announce(Topic::Control, message(0)).await.unwrap();
    worker.declare(&probes("a")).await.unwrap();
    worker.declare(&Queue::Receipts).await.unwrap();
    publish(&owner, &probes("a"), 0..2).await;
    let mut commands = worker.subscribe(Topic::Control).await.unwrap();
    owner.announce(Topic::Control, message(7)).await.unwrap();
    assert_eq!(in_time(commands.next()).await, Some(message(7)));
    let mut consumer = consume(&worker, &probes("a"), 10).await;
    next(&mut consumer).await.reject("poison").await.unwrap();
    publish(&worker, &Queue::Receipts, 0..1).await;
    next(&mut consumer).await.acknowledge().await.unwrap();
    let domain = DomainId::new("a").unwrap();
    let later = worker.publish_later(&domain, message(3), Duration::ZERO);
    later.await.unwrap();
    check_refused(worker.publish(&probes("a"), message(4)).await);
    check_refused(worker.publish(&Queue::Submissions, message(4)).await);
    let options = ConsumeOptions {
        prefetch: NonZeroU32::MIN,
        priority: 0,
    };
    check_refused(worker.consume(&Queue::Receipts, options).await);
    check_refused(worker.consume(&Queue::Submissions, options).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_refused_without_a_hot_loop() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    rabbit.vhost("credentials").await;
    let proxy = FaultProxy::start(rabbit.address()).await.unwrap();
    let url = format!("amqp://guest:wrong@{}/credentials", proxy.address());
    let broker = AmqpBroker::start(rabbit.settings(url.parse().unwrap())).unwrap();
    let error = in_time(broker.connected()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("failed to connect to the broker: the broker refuses it: ACCESS_REFUSED"),
        "{text}"
    );
    assert!(!text.contains("wrong"), "{text}");
    assert_eq!(broker.health(), Health::Refused);
    check_refused(broker.publish(&Queue::Receipts, message(0)).await);
    // At 0.2 s, 0.4 s, … each attempt takes two connections.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(proxy.accepted() <= 14, "{} connections", proxy.accepted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_virtual_host_is_refused() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    let url = rabbit.url_at(rabbit.address(), "no-such-host");
    let broker = AmqpBroker::start(rabbit.settings(url)).unwrap();
    let error = in_time(broker.connected()).await.unwrap_err();
    assert!(error.to_string().contains("no-such-host"), "{error}");
    check_refused(Err::<(), _>(error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_authority_is_believed_when_it_is_named() {
    let _peace = peace().await;
    let rabbit = Rabbit::shared().await;
    rabbit.vhost("tls").await;
    let folder = tempfile::tempdir().unwrap();
    let port = serve_tls(&rabbit, folder.path()).await;
    let url: BrokerUrl = format!("amqps://guest:guest@localhost:{port}/tls")
        .parse()
        .unwrap();
    let mut settings = rabbit.settings(url);
    let stranger = AmqpBroker::start(settings.clone()).unwrap();
    let error = in_time(stranger.connected()).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    check_refused(Err::<(), _>(error));
    settings.ca_file = Some(folder.path().join("ca.pem"));
    let broker = connect(settings.clone()).await;
    broker.declare(&probes("a")).await.unwrap();
    publish(&broker, &probes("a"), 0..1).await;
    let mut consumer = consume(&broker, &probes("a"), 1).await;
    assert_eq!(next(&mut consumer).await.message, message(0));
    // TLS where there is none.
    let plain = format!(
        "amqps://guest:guest@localhost:{}/tls",
        rabbit.address().port()
    );
    settings.url = plain.parse().unwrap();
    let broker = AmqpBroker::start(settings).unwrap();
    check_refused(in_time(broker.connected()).await);
}

/// Makes the broker listen with a certificate of an authority of its own; returns the port.
async fn serve_tls(rabbit: &Rabbit, folder: &std::path::Path) -> u16 {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signed = authority.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), signed.pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let folder = folder.display();
    let listen = format!(
        "rabbit_networking:ensure_ssl(), rabbit_networking:start_ssl_listener({{\"127.0.0.1\", {port}}}, \
         [{{cacertfile, \"{folder}/ca.pem\"}}, {{certfile, \"{folder}/server.pem\"}}, \
         {{keyfile, \"{folder}/server.key\"}}, {{verify, verify_none}}], 4)."
    );
    rabbit.ctl(&["eval", &listen]).await;
    port
}
