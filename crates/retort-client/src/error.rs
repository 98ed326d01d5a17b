//! What can be wrong before anything is sent.

use std::path::PathBuf;

/// The client cannot be made, or may not be used as asked. All of these are for a person to mend.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A setting has a value that cannot work.
    #[error("client setting `{name}` {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong, as the end of a sentence.
        reason: &'static str,
    },
    /// The file of further root certificates cannot be read.
    #[error("failed to read the root certificates in `{path}`")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of further root certificates holds none, or one that cannot be parsed.
    #[error("`{0}` holds no usable root certificates in PEM form")]
    BadCaFile(PathBuf),
    /// The TLS library refused its configuration.
    #[error("failed to set up TLS")]
    Build(#[source] rustls::Error),
    /// A URL that cannot be asked.
    #[error("the URL {0}")]
    Url(&'static str),
    /// A host that is not this machine, and no contact for its operators.
    #[error("requests to `{0}` need a contact in the settings")]
    NoContact(String),
    /// An `https` URL, and no root certificates to check the host with.
    #[error("no root certificates found on this machine, and no `ca_file` is set")]
    NoRoots,
    /// A secret, or the header that should carry it, holds a character that no header may hold.
    #[error("the secret cannot be sent in a header")]
    SecretHeader,
}

impl ClientError {
    /// Returns the same in a few constant words, as an exchange's ending carries it.
    pub(crate) const fn cause(&self) -> &'static str {
        match self {
            Self::Url(reason) => reason,
            Self::NoContact(_) => "no contact is set",
            Self::NoRoots => "no root certificates",
            Self::SecretHeader => "unusable secret",
            Self::Setting { .. } | Self::CaFile { .. } | Self::BadCaFile(_) | Self::Build(_) => {
                "unusable settings"
            }
        }
    }
}
