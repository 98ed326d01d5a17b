//! The `zstd` encoding (RFC 8878), of one or more frames.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{BUFFER_BYTES, Coding, Fault, Out};

/// Largest window, as a power of two: 8 MiB, what RFC 9659 grants to HTTP.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Zstd {
    decoder: Decoder<'static>,
    buffer: Box<[u8]>,
    /// Whether a frame ended with the last byte.
    between_frames: bool,
}

impl Zstd {
    pub(super) fn new() -> Result<Self, Fault> {
        // Fails only without memory for the context.
        let mut decoder = Decoder::new().map_err(|_| Fault::Corrupt)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(|_| Fault::Corrupt)?;
        Ok(Self {
            decoder,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            between_frames: false,
        })
    }
}

impl Coding for Zstd {
    fn push(&mut self, input: &[u8], out: &mut Out<'_>) -> Result<(), Fault> {
        if input.is_empty() {
            return Ok(());
        }
        let mut input = InBuffer::around(input);
        loop {
            let mut output = OutBuffer::around(&mut *self.buffer);
            let hint = self.decoder.run(&mut input, &mut output);
            let given = output.pos();
            out(&self.buffer[..given])?;
            self.between_frames = hint.map_err(|_| Fault::Corrupt)? == 0;
            let is_used_up = input.pos() == input.src.len();
            if is_used_up && (self.between_frames || given < self.buffer.len()) {
                return Ok(());
            }
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        if self.between_frames {
            Ok(())
        } else {
            Err(Fault::Truncated)
        }
    }
}
