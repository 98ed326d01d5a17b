//! The `br` encoding (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BUFFER_BYTES, Coding, Fault, Out};

pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    buffer: Box<[u8]>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            // Strict: windows as the standard has them, at most 16 MiB, not the 1 GiB of an extension.
            state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            ended: false,
        }
    }
}

impl Coding for Brotli {
    fn push(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
        let (mut available, mut at) = (input.len(), 0);
        while !self.ended {
            let (mut room, mut given, mut total) = (self.buffer.len(), 0, 0);
            let result = BrotliDecompressStream(
                &mut available,
                &mut at,
                input,
                &mut room,
                &mut given,
                &mut self.buffer,
                &mut total,
                &mut self.state,
            );
            out(&self.buffer[..given])?;
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultFailure => return Err(Fault::Corrupt),
            }
        }
        if available > 0 {
            return Err(Fault::Trailing);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.ended {
            Ok(())
        } else {
            Err(Fault::Truncated)
        }
    }
}
