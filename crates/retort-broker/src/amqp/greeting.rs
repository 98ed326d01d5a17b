//! The server's first words, which tell its version before anything is asked of it.
//!
//! The client library keeps them to itself, and has no deadline for the moments before it knows its
//! heartbeat: an address that accepts connections and stays silent would hold a thread for each
//! attempt. So a first connection is made here, within a deadline, and thrown away.

use std::io;
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::tcp::AMQPUriTcpExt as _;
use tokio::time::timeout;

use super::settings::Login;

/// Longest wait for the first words, TLS included.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Largest first frame that is read; real ones have about 500 bytes.
const FRAME_MAX_BYTES: usize = 64 * 1024;

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A frame begins with type, channel and size.
const FRAME_HEADER_BYTES: usize = 7;

/// Returns the version the server announces, major and minor, where it is readable.
///
/// # Errors
/// When nothing answers as an AMQP server within the deadline. `InvalidData` stands for a
/// certificate that is not believed.
pub(super) async fn greet(login: &Login) -> io::Result<Option<(u32, u32)>> {
    let greeted = timeout(GREETING_MAX, first_frame(login)).await;
    let frame = greeted.map_err(|_| {
        let problem = format!("no answer within {} s", GREETING_MAX.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, problem)
    })??;
    Ok(version(&frame))
}

async fn first_frame(login: &Login) -> io::Result<Vec<u8>> {
    let runtime = lapin::runtime::default_runtime().map_err(io::Error::other)?;
    let connecting = login
        .uri
        .connect_with_config_async(login.tls.as_ref(), &runtime);
    let mut stream = connecting.await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let [1, 0, 0, a, b, c, d] = header else {
        let problem = "what answers is no AMQP 0-9-1 server";
        return Err(io::Error::other(problem));
    };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let mut frame = vec![0; size.min(FRAME_MAX_BYTES)];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Finds the field `version` in the server's properties.
fn version(frame: &[u8]) -> Option<(u32, u32)> {
    const FIELD: &[u8] = b"\x07versionS";
    let at = frame.windows(FIELD.len()).position(|part| part == FIELD)?;
    let (size, rest) = frame.get(at + FIELD.len()..)?.split_first_chunk::<4>()?;
    let text = rest.get(..u32::from_be_bytes(*size) as usize)?;
    let mut parts = std::str::from_utf8(text).ok()?.split(['.', '-', '+']);
    let mut part = || parts.next()?.parse().ok();
    Some((part()?, part()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_nothing_else_is_believed() {
        let field = |text: &[u8]| {
            let size = u32::try_from(text.len()).unwrap().to_be_bytes();
            [b"..\x07product\x07versionS".as_slice(), &size, text, b".."].concat()
        };
        assert_eq!(version(&field(b"3.10.8")), Some((3, 10)));
        assert_eq!(version(&field(b"4.0.0-rc.1")), Some((4, 0)));
        for frame in [field(b"four"), field(b"4"), field(b"\xff.1"), Vec::new()] {
            assert_eq!(version(&frame), None);
        }
        let cut = field(b"3.10.8");
        for end in 0..cut.len() - 2 {
            assert_eq!(version(&cut[..end]), None, "cut at {end}");
        }
    }
}
