//! Frames of Amazon's event streams, as its services write them. Shared by tests, fuzz targets and
//! benches, none of which sees the decoder's own code.

/// Returns a frame with right sums: these headers, all of them texts, and this payload.
pub(crate) fn frame(headers: &[(&str, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).expect("a short name"));
        written.extend_from_slice(name.as_bytes());
        written.push(7);
        let length = u16::try_from(value.len()).expect("a short value");
        written.extend_from_slice(&length.to_be_bytes());
        written.extend_from_slice(value);
    }
    let mut frame = Vec::new();
    for length in [written.len() + payload.len() + 16, written.len()] {
        let length = u32::try_from(length).expect("a short frame");
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&written);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// Returns the frame of an event, or of an exception where its name says so.
pub(crate) fn event(name: &[u8], payload: &[u8]) -> Vec<u8> {
    let (of, kind): (&str, &[u8]) = if name.ends_with(b"Exception") {
        (":exception-type", b"exception")
    } else {
        (":event-type", b"event")
    };
    frame(&[(of, name), (":message-type", kind)], payload)
}
