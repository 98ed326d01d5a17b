//! Names of WARC fields, and of our own beside them.

pub(super) const VERSION: &str = "WARC/1.1";
pub(super) const TYPE: &str = "WARC-Type";
pub(super) const RECORD_ID: &str = "WARC-Record-ID";
pub(super) const CONCURRENT_TO: &str = "WARC-Concurrent-To";
pub(super) const DATE: &str = "WARC-Date";
pub(super) const TARGET_URI: &str = "WARC-Target-URI";
pub(super) const FILENAME: &str = "WARC-Filename";
/// The HTTP version that was spoken when it is not the one that the block is written in.
pub(super) const PROTOCOL: &str = "WARC-Protocol";
pub(super) const TRUNCATED: &str = "WARC-Truncated";
pub(super) const PAYLOAD_DIGEST: &str = "WARC-Payload-Digest";
pub(super) const BLOCK_DIGEST: &str = "WARC-Block-Digest";
pub(super) const CONTENT_TYPE: &str = "Content-Type";
pub(super) const CONTENT_LENGTH: &str = "Content-Length";

pub(super) const ATTEMPT_ID: &str = "Retort-Attempt-ID";
pub(super) const SAMPLE_ID: &str = "Retort-Sample-ID";
pub(super) const RECEIVED_AT: &str = "Retort-Received-At";
pub(super) const ENDING: &str = "Retort-Ending";
pub(super) const REDACTED: &str = "Retort-Redacted";
pub(super) const DECODER: &str = "Retort-Decoder";

/// Name under which `transfer-encoding` is kept: the stored body has none any more, and readers
/// would try to undo it.
pub(super) const ORIGINAL_TRANSFER_ENCODING: &str = "x-archive-orig-transfer-encoding";

/// What the digests of records begin with.
pub(super) const SHA256: &str = "sha256:";
