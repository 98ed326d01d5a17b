//! Errors of the HTTP library, in a few words of ours.
//!
//! The library tells some causes only in the text of its errors; the tests of exchanges meet each
//! of them, so that a new version with other words is noticed.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::connect::TooLate;
use crate::{Ending, Phase, Which};

/// Returns how an exchange ended whose request could not be sent or got no head.
pub(crate) fn before_head(error: &hyper_util::client::legacy::Error) -> Ending {
    let cause = cause(error);
    if error.is_connect() {
        if cause == Some(TOO_LATE) {
            return Ending::TimedOut(Phase::Connect);
        }
        return Ending::ConnectFailed(cause.unwrap_or("failed"));
    }
    match cause {
        Some(HEAD_TOO_LARGE) => Ending::TooLarge(Which::Head),
        Some(cause) => Ending::Broken(cause),
        None => Ending::Broken("protocol"),
    }
}

/// Returns how an exchange ended whose body broke off.
pub(crate) fn within_body(error: &hyper::Error) -> Ending {
    Ending::Broken(cause(error).unwrap_or("protocol"))
}

const HEAD_TOO_LARGE: &str = "head too large";

const TOO_LATE: &str = "too late";

/// Returns the first cause that is known, from the outermost error to the innermost.
fn cause(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = known(error) {
            return Some(cause);
        }
        next = error.source();
    }
    None
}

fn known(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<TooLate>() {
        return Some(TOO_LATE);
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls(error));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources; TLS errors come wrapped twice.
        let wrapped = error.get_ref().and_then(|inner| known(inner));
        return wrapped.or_else(|| io_cause(error));
    }
    match error.to_string().as_str() {
        "dns error" => Some("dns"),
        "message head is too large" => Some(HEAD_TOO_LARGE),
        "connection closed before message completed"
        | "channel closed"
        | "operation was canceled" => Some("closed early"),
        text if text.contains("error received: ") => Some("reset"),
        _ => None,
    }
}

fn tls(error: &rustls::Error) -> &'static str {
    if matches!(error, rustls::Error::InvalidCertificate(_)) {
        "tls certificate"
    } else {
        "tls"
    }
}

/// `ENFILE` and `EMFILE`, alike on every Unix: a limit of this machine, not the host's fault.
const OUT_OF_FILES: [i32; 2] = [23, 24];

const IO_CAUSES: [(ErrorKind, &str); 9] = [
    (ErrorKind::ConnectionRefused, "refused"),
    (ErrorKind::ConnectionReset, "reset"),
    (ErrorKind::ConnectionAborted, "reset"),
    (ErrorKind::BrokenPipe, "reset"),
    (ErrorKind::UnexpectedEof, "closed early"),
    (ErrorKind::HostUnreachable, "unreachable"),
    (ErrorKind::NetworkUnreachable, "unreachable"),
    (ErrorKind::TimedOut, "no answer"),
    (ErrorKind::AddrNotAvailable, "no free port"),
];

fn io_cause(error: &io::Error) -> Option<&'static str> {
    let code = error.raw_os_error();
    if code.is_some_and(|code| OUT_OF_FILES.contains(&code)) {
        return Some("too many open files");
    }
    let found = IO_CAUSES.iter().find(|(kind, _)| *kind == error.kind());
    found.map(|(_, cause)| *cause)
}
