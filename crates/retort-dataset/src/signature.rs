//! Signatures of manifests, in the format of minisign, so that public tools can check them.
//!
//! A signature is a file of its own beside the manifest: who vouches for a snapshot, and when, is
//! no part of it. A secret key stands in a file that its owner alone may read, under a password if
//! one was given, and is printed nowhere.

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

/// What the untrusted comment of our files says; minisign does not sign it.
const COMMENT: &str = "signature of a retort snapshot";

/// Longest key or signature file that is read, in bytes: real ones take some 300.
pub const FILE_MAX_BYTES: u64 = 64 << 10;

/// A key or a signature could not be made or used. Texts hold no key and no password.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key file is there already.
    #[error("`{}` exists", .0.display())]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("failed to write `{}`", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is no secret key of minisign.
    #[error("this is no secret key of minisign")]
    NotASecretKey,
    /// The text is no public key of minisign.
    #[error("this is no public key of minisign")]
    NotAPublicKey,
    /// The key is under a password, and none was given.
    #[error("the secret key is under a password")]
    PasswordNeeded,
    /// The password does not open the key.
    #[error("the password does not open the secret key")]
    WrongPassword,
    /// The text is no signature of minisign.
    #[error("this is no signature of minisign")]
    NotASignature,
    /// The signature was made with another key, or of something else.
    #[error("the signature is not of this manifest by this key")]
    Mismatch,
    /// The system gave no random bytes.
    #[error("failed to make a key or a signature")]
    System,
}

/// Makes a key pair in two new files, and returns the public key in one line.
///
/// # Errors
/// When a file exists or cannot be written.
pub fn generate(
    secret: &Path,
    public: &Path,
    password: Option<&str>,
) -> Result<String, SignatureError> {
    for path in [secret, public] {
        if path.exists() {
            return Err(SignatureError::Exists(path.to_owned()));
        }
    }
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(|_| SignatureError::System)?;
    let key = pair.sk.to_box(Some("retort secret key"));
    let key = key.map_err(|_| SignatureError::System)?.into_string();
    let told = pair.pk.to_box().map_err(|_| SignatureError::System)?;
    write_new(secret, key.as_bytes(), true)?;
    write_new(public, told.into_string().as_bytes(), false)?;
    Ok(pair.pk.to_base64())
}

fn write_new(path: &Path, bytes: &[u8], is_secret: bool) -> Result<(), SignatureError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| SignatureError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Returns the public key, in one line, of the secret key in the text `secret`.
///
/// # Errors
/// When the text is no key or the password does not open it.
pub fn public_key_of(secret: &str, password: Option<&str>) -> Result<String, SignatureError> {
    let key = PublicKey::from_secret_key(&open(secret, password)?);
    Ok(key.map_err(|_| SignatureError::NotASecretKey)?.to_base64())
}

/// Returns the signature file of `manifest` by the secret key in the text `secret`; `comment` is
/// signed with it.
///
/// # Errors
/// When the text is no key or the password does not open it.
pub fn sign(
    secret: &str,
    password: Option<&str>,
    manifest: &[u8],
    comment: &str,
) -> Result<String, SignatureError> {
    let key = open(secret, password)?;
    let comment = comment.replace(['\r', '\n'], " ");
    let signed = minisign::sign(
        None,
        &key,
        Cursor::new(manifest),
        Some(&comment),
        Some(COMMENT),
    );
    Ok(signed.map_err(|_| SignatureError::System)?.into_string())
}

/// Checks a signature file and returns its signed comment.
///
/// # Errors
/// [`SignatureError::Mismatch`] when it does not hold, others when a text is not what it should be.
pub fn check(public: &str, manifest: &[u8], signature: &str) -> Result<String, SignatureError> {
    let key = public_key(public)?;
    let bad = |_| SignatureError::NotASignature;
    let text = signature;
    let signature = SignatureBox::from_string(text).map_err(bad)?;
    // Base64 has several forms of the same bytes; only the one that is written counts.
    if signature.to_string() != text {
        return Err(SignatureError::NotASignature);
    }
    minisign::verify(&key, &signature, Cursor::new(manifest), true, false, false)
        .map_err(|_| SignatureError::Mismatch)?;
    signature.trusted_comment().map_err(bad)
}

/// Reads a public key: a file of minisign, or its second line alone.
fn public_key(text: &str) -> Result<PublicKey, SignatureError> {
    let text = text.trim();
    let key = if text.contains('\n') {
        PublicKeyBox::from_string(text).and_then(PublicKeyBox::into_public_key)
    } else {
        PublicKey::from_base64(text)
    };
    key.map_err(|_| SignatureError::NotAPublicKey)
}

fn open(secret: &str, password: Option<&str>) -> Result<SecretKey, SignatureError> {
    let boxed = || SecretKeyBox::from_string(secret).map_err(|_| SignatureError::NotASecretKey);
    if let Ok(key) = SecretKey::from_unencrypted_box(boxed()?) {
        return Ok(key);
    }
    let line = secret.lines().nth(1).unwrap_or_default();
    let is_locked = SecretKey::from_bytes(&decoded(line)).is_ok_and(|key| key.is_encrypted());
    if !is_locked {
        return Err(SignatureError::NotASecretKey);
    }
    let password = password.ok_or(SignatureError::PasswordNeeded)?;
    let opened = SecretKey::from_box(boxed()?, Some(password.to_owned()));
    opened.map_err(|_| SignatureError::WrongPassword)
}

/// Returns the bytes of a line of Base64, or none.
fn decoded(line: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in line.trim().trim_end_matches('=').bytes() {
        let Some(digit) = DIGITS.iter().position(|digit| *digit == byte) else {
            return Vec::new();
        };
        bits = bits << 6 | u32::try_from(digit).unwrap_or(0);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(password: Option<&str>) -> (tempfile::TempDir, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = (dir.path().join("k.key"), dir.path().join("k.pub"));
        generate(&secret, &public, password).unwrap();
        let again = generate(&secret, &public, None).unwrap_err();
        assert!(matches!(again, SignatureError::Exists(_)));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let texts = (read(&secret), read(&public));
        (dir, texts.0, texts.1)
    }

    #[test]
    fn a_signature_holds_for_its_manifest_and_key_only() {
        let (_dir, secret, public) = pair(None);
        let (_other_dir, _, other) = pair(None);
        let signature = sign(&secret, None, b"manifest", "who\nwhen").unwrap();
        assert_eq!(check(&public, b"manifest", &signature).unwrap(), "who when");
        let line = public_key_of(&secret, None).unwrap();
        assert_eq!(check(&line, b"manifest", &signature).unwrap(), "who when");
        let checked = check(&public, b"manifesT", &signature);
        assert!(matches!(checked, Err(SignatureError::Mismatch)));
        let checked = check(&other, b"manifest", &signature);
        assert!(matches!(checked, Err(SignatureError::Mismatch)));
    }

    #[test]
    fn a_password_is_needed_and_checked() {
        let (_dir, secret, public) = pair(Some("open sesame"));
        let signed = |password| sign(&secret, password, b"m", "c");
        assert!(matches!(signed(None), Err(SignatureError::PasswordNeeded)));
        assert!(matches!(
            signed(Some("sesame")),
            Err(SignatureError::WrongPassword)
        ));
        let signature = signed(Some("open sesame")).unwrap();
        assert!(check(&public, b"m", &signature).is_ok());
        assert!(matches!(
            sign("text", None, b"m", "c"),
            Err(SignatureError::NotASecretKey)
        ));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_a_secret_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, secret, _) = pair(None);
        let mode = std::fs::metadata(dir.path().join("k.key")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        assert!(!secret.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_text_makes_checking_panic(line in "(untrusted comment: |trusted comment: )?[A-Za-z0-9+/=]{0,120}", lines in 0_usize..6) {
            let text = format!("{line}\n").repeat(lines);
            prop_assert!(check(&text, b"m", &text).is_err());
            prop_assert!(sign(&text, Some("p"), b"m", "c").is_err());
        }

        #[test]
        fn a_flipped_bit_of_what_is_signed_is_found(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let (secret, public) = KEYS.with(Clone::clone);
            let text = sign(&secret, None, b"m", "c").unwrap();
            // The first line is not signed: minisign calls it untrusted.
            let begin = text.find('\n').unwrap() + 1;
            let mut bytes = text.into_bytes();
            let at = begin + at.index(bytes.len() - begin);
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(check(&public, b"m", &changed).is_err(), "{changed}");
            }
        }
    }

    thread_local! {
        static KEYS: (String, String) = {
            let (_dir, secret, public) = pair(None);
            (secret, public)
        };
    }
}
