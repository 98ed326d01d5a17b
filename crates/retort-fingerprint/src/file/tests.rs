//! What is saved is read back, and nothing else is.

use proptest::prelude::*;
use retort_types::{Mode, Outcome};

use super::*;
use crate::{Prompt, RawReply};

fn corpus(models: usize, prompts: usize) -> Corpus {
    let mut replies = Vec::new();
    for model in 0..models {
        for prompt in 0..prompts {
            let own = ["well", "so", "indeed", "sure"][model % 4];
            let text = format!(
                "{own}, the answer to question {prompt} is {}.\n- {own} it {own} goes on\n\n{own}!",
                prompt * 7 % 5
            );
            replies.push(RawReply {
                model: format!("m{model}"),
                prompt: Prompt {
                    suite: "s".to_owned(),
                    id: prompt.to_string(),
                    arm: String::new(),
                    mode: Mode::Chat,
                },
                order: (0, 0),
                outcome: Outcome::Answered,
                text,
                reasoning: None,
                input_tokens: Some(prompt as u64 + 3),
                output_tokens: Some(20),
                row: String::new(),
            });
        }
    }
    Corpus::from_replies(replies)
}

#[test]
fn what_is_saved_is_read_back() {
    for saved in SavedFingerprint::all(&corpus(3, 12), "here", &|_, _| {}) {
        let bytes = saved.to_bytes();
        assert_eq!(SavedFingerprint::from_bytes(&bytes).as_ref(), Ok(&saved));
        assert_eq!(saved.prompts(), 12);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("question"), "texts are not kept");
    }
}

#[test]
fn saved_fingerprints_compare_like_the_texts() {
    let corpus = corpus(8, 40);
    let whole = Fingerprints::of(&corpus, &Settings::default(), &|_, _| {});
    let saved = SavedFingerprint::all(&corpus, "here", &|_, _| {});
    let again = Fingerprints::of_saved(&saved, &Settings::default(), &|_, _| {});
    assert_eq!(again.models(), whole.models());
    let of = |from: &Fingerprints| {
        from.similarities(Family::Words, crate::Centring::Raw, &|_| true)
            .unwrap()
    };
    // Models 0 and 4 speak alike; a sample of the words tells that as well as all do.
    for matrix in [of(&whole), of(&again)] {
        assert!(matrix.get(0, 4) > matrix.get(0, 1), "{matrix:?}");
    }
    assert_eq!(again.tokenizer_match(0, 1), Some(1.0));
    assert_eq!(again.prompts_of(0, 1), 40);
}

#[test]
fn damage_is_seen() {
    let bytes = SavedFingerprint::all(&corpus(1, 3), "here", &|_, _| {})[0].to_bytes();
    let check = |bytes: &[u8], expected: FileError| {
        assert_eq!(SavedFingerprint::from_bytes(bytes), Err(expected));
    };
    check(b"", FileError::NotOne);
    check(b"RTFPRINT", FileError::Damaged);
    check(&bytes[..bytes.len() - 1], FileError::Damaged);
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    check(&changed, FileError::Damaged);
    let mut newer = MAGIC.to_vec();
    put(&mut newer, 9);
    newer.extend_from_slice(&xxh3_64(&newer).to_le_bytes());
    check(&newer, FileError::OtherVersion { found: 9 });
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, u64::from(VERSION));
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        let _unused = SavedFingerprint::from_bytes(&bytes);
    }
}
