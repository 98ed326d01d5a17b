//! `retort keys`: keys that sign snapshots, in the format of minisign.

use std::path::{Path, PathBuf};

use retort_dataset::signature::{self, FILE_MAX_BYTES, SignatureError};
use retort_dataset::snapshot::Snapshot;

use super::{Context, target};
use crate::cli::KeysCommand;
use crate::failure::{FAILED, Failure};
use crate::output::{line, note, visible};
use crate::secrets;

/// Carries a command on keys out.
pub(crate) async fn keys(context: &Context, command: &KeysCommand) -> Result<u8, Failure> {
    match command {
        KeysCommand::Generate { secret } => generate(secret),
        KeysCommand::Show { secret } => {
            let signer = Signer::open(secret)?;
            line(&signer.public);
            Ok(0)
        }
        KeysCommand::Sign { secret, snapshot } => {
            let signer = Signer::open(secret)?;
            let snapshot = target::snapshot(context, snapshot).await?;
            signer.sign(context, &snapshot).await?;
            Ok(0)
        }
        KeysCommand::Verify { key, snapshot } => {
            let key = public_key(key)?;
            verify(&key, &target::snapshot(context, snapshot).await?).await
        }
    }
}

fn generate(secret: &Path) -> Result<u8, Failure> {
    let public = PathBuf::from(secret).with_extension("pub");
    if public == secret {
        return Err(Failure::bad("the secret key cannot end in .pub")
            .hint("as in retort keys generate lab.key"));
    }
    let password = secrets::key_password();
    let key = signature::generate(secret, &public, password.as_deref()).map_err(explain)?;
    if password.is_none() {
        note("the secret key has no password; whoever reads its file can sign as you");
    }
    line(&format!("secret key  {} (keep it)", secret.display()));
    line(&format!("public key  {} (hand it out)", public.display()));
    line(&key);
    Ok(0)
}

async fn verify(key: &str, snapshot: &Snapshot) -> Result<u8, Failure> {
    let Some(signature) = snapshot.signature().await? else {
        return Err(Failure::new(format!("{} is not signed", snapshot.place())));
    };
    let manifest = snapshot.file("MANIFEST.json").await?;
    match signature::check(key, &manifest, &String::from_utf8_lossy(&signature)) {
        Ok(comment) => {
            line(&format!("the signature of {} holds", snapshot.place()));
            line(&format!("signed with it: {}", visible(&comment)));
            Ok(0)
        }
        Err(error) => {
            line(&format!("{}: {error}", snapshot.place()));
            Ok(FAILED)
        }
    }
}

/// A secret key that is ready to sign. It has no way to be printed.
pub(super) struct Signer {
    secret: String,
    password: Option<String>,
    public: String,
}

impl Signer {
    /// Opens the key in `path`, so that a wrong key or password is told before anything is done.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let secret = read(path)?;
        let password = secrets::key_password();
        let public = signature::public_key_of(&secret, password.as_deref()).map_err(explain)?;
        Ok(Self {
            secret,
            password,
            public,
        })
    }

    /// Signs a snapshot's manifest.
    pub(super) async fn sign(&self, context: &Context, snapshot: &Snapshot) -> Result<(), Failure> {
        let manifest = snapshot.file("MANIFEST.json").await?;
        let comment = format!(
            "timestamp:{} file:MANIFEST.json campaign:{} plan:{} merkle_root:{}",
            context.clock.now().as_micros() / 1_000_000,
            snapshot.manifest.campaign,
            snapshot.manifest.plan_hash,
            snapshot.manifest.merkle_root,
        );
        let signed = signature::sign(&self.secret, self.password.as_deref(), &manifest, &comment);
        snapshot.put_signature(signed.map_err(explain)?).await?;
        note(&format!("signed with {}", self.public));
        Ok(())
    }
}

/// Returns the text of a public key: of the file of this name, or the key itself.
pub(super) fn public_key(key: &str) -> Result<String, Failure> {
    let path = Path::new(key);
    if path.is_file() {
        read(path)
    } else {
        Ok(key.to_owned())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed =
        |reason: String| Failure::bad(format!("failed to read `{}`: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if length.len() > FILE_MAX_BYTES {
        return Err(failed(format!(
            "{} bytes are too many for a key",
            length.len()
        )));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn explain(error: SignatureError) -> Failure {
    let hint = match &error {
        SignatureError::PasswordNeeded | SignatureError::WrongPassword => {
            Some("export RETORT_KEY_PASSWORD=…")
        }
        SignatureError::NotASecretKey => Some("make one with `retort keys generate lab.key`"),
        SignatureError::Exists(_) => Some("a key is never overwritten: name another file"),
        SignatureError::Write { .. }
        | SignatureError::NotAPublicKey
        | SignatureError::NotASignature
        | SignatureError::Mismatch
        | SignatureError::System => None,
    };
    Failure::from(error).maybe_hint(hint)
}
