//! The DEFLATE algorithm (RFC 1951, RFC 1950), which two encodings share.

use flate2::{Decompress, FlushDecompress, Status};

use super::{BUFFER_BYTES, Fault, Out};

pub(super) struct Inflate {
    inner: Decompress,
    buffer: Box<[u8]>,
    ended: bool,
}

impl Inflate {
    pub(super) fn new(zlib_header: bool) -> Self {
        Self {
            inner: Decompress::new(zlib_header),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            ended: false,
        }
    }

    /// Starts again at the beginning of a raw stream.
    pub(super) fn restart(&mut self) {
        self.inner.reset(false);
        self.ended = false;
    }

    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Expands `input` up to its end or the stream's and returns how much of it was used.
    pub(super) fn push(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<usize, Fault> {
        let mut used = 0;
        while !self.ended {
            let (in_before, out_before) = (self.inner.total_in(), self.inner.total_out());
            let rest = &input[used..];
            let status = self
                .inner
                .decompress(rest, &mut self.buffer, FlushDecompress::None);
            let taken = distance(in_before, self.inner.total_in());
            let given = distance(out_before, self.inner.total_out());
            used += taken;
            out(&self.buffer[..given])?;
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(Status::Ok | Status::BufError) => {
                    if used == input.len() && given < self.buffer.len() {
                        break;
                    }
                    if taken == 0 && given == 0 {
                        return Err(Fault::Corrupt);
                    }
                }
                Err(_) => return Err(Fault::Corrupt),
            }
        }
        Ok(used)
    }
}

/// Counts within one call are lengths of slices.
fn distance(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(0)
}
