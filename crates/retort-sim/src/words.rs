//! The words canned models write with. Every list holds at least eight, adjectives and singular
//! nouns begin with a consonant sound so that `a` fits them.

use crate::spec::Vocabulary;

/// Words that could stand anywhere: the tail of alternatives.
pub(crate) const COMMON: [&str; 24] = [
    " the", " a", " of", " and", " to", " in", " it", " that", " with", " for", ",", " this",
    " on", " as", " but", " or", " we", " so", ".", " there", " not", " more", " by", " from",
];

const EVERYDAY: [&str; 24] = [
    "kitchen",
    "market",
    "garden",
    "bicycle",
    "neighbour",
    "recipe",
    "letter",
    "window",
    "table",
    "journey",
    "morning",
    "family",
    "school",
    "friend",
    "street",
    "dinner",
    "holiday",
    "budget",
    "habit",
    "conversation",
    "chair",
    "village",
    "train",
    "present",
];

const TECHNICAL: [&str; 24] = [
    "system",
    "method",
    "process",
    "signal",
    "measurement",
    "parameter",
    "module",
    "sensor",
    "network",
    "buffer",
    "component",
    "protocol",
    "model",
    "dataset",
    "function",
    "controller",
    "circuit",
    "schedule",
    "variable",
    "specification",
    "device",
    "database",
    "test",
    "machine",
];

const LITERARY: [&str; 24] = [
    "river", "shadow", "forest", "silence", "mountain", "lantern", "tide", "dream", "meadow",
    "winter", "memory", "candle", "horizon", "whisper", "storm", "harbour", "melody", "stone",
    "moon", "journey", "garden", "secret", "path", "song",
];

/// Returns the nouns of a vocabulary, in the singular.
pub(crate) const fn nouns(vocabulary: Vocabulary) -> &'static [&'static str] {
    match vocabulary {
        Vocabulary::Everyday => &EVERYDAY,
        Vocabulary::Technical => &TECHNICAL,
        Vocabulary::Literary => &LITERARY,
    }
}

pub(crate) const PLURALS: [&str; 24] = [
    "people",
    "details",
    "choices",
    "examples",
    "reasons",
    "questions",
    "patterns",
    "changes",
    "results",
    "habits",
    "problems",
    "stories",
    "conditions",
    "differences",
    "decisions",
    "limits",
    "parts",
    "ideas",
    "costs",
    "effects",
    "words",
    "steps",
    "rules",
    "years",
];

pub(crate) const ADJECTIVES: [&str; 32] = [
    "careful",
    "quiet",
    "simple",
    "practical",
    "common",
    "subtle",
    "gradual",
    "reliable",
    "surprising",
    "familiar",
    "small",
    "large",
    "clear",
    "gentle",
    "robust",
    "complex",
    "modest",
    "vivid",
    "narrow",
    "broad",
    "notable",
    "crucial",
    "delicate",
    "steady",
    "useful",
    "hidden",
    "bright",
    "formal",
    "patient",
    "nuanced",
    "thoughtful",
    "modern",
];

pub(crate) const VERBS: [&str; 24] = [
    "change",
    "support",
    "reveal",
    "shape",
    "limit",
    "improve",
    "explain",
    "follow",
    "measure",
    "protect",
    "share",
    "describe",
    "reflect",
    "balance",
    "connect",
    "guide",
    "question",
    "repeat",
    "simplify",
    "notice",
    "challenge",
    "sustain",
    "replace",
    "welcome",
];

pub(crate) const VERBS_SINGULAR: [&str; 24] = [
    "changes",
    "supports",
    "reveals",
    "shapes",
    "limits",
    "improves",
    "explains",
    "follows",
    "measures",
    "protects",
    "shares",
    "describes",
    "reflects",
    "balances",
    "connects",
    "guides",
    "questions",
    "repeats",
    "simplifies",
    "notices",
    "challenges",
    "sustains",
    "replaces",
    "welcomes",
];

pub(crate) const GERUNDS: [&str; 16] = [
    "changing",
    "losing",
    "repeating",
    "ignoring",
    "measuring",
    "breaking",
    "sharing",
    "hiding",
    "forgetting",
    "testing",
    "simplifying",
    "weighing",
    "naming",
    "counting",
    "following",
    "replacing",
];

pub(crate) const ADVERBS: [&str; 20] = [
    "often",
    "usually",
    "rarely",
    "slowly",
    "clearly",
    "perhaps",
    "simply",
    "quietly",
    "generally",
    "surprisingly",
    "typically",
    "gradually",
    "easily",
    "truly",
    "certainly",
    "sometimes",
    "mostly",
    "really",
    "quickly",
    "constantly",
];

pub(crate) const PREPOSITIONS: [&str; 12] = [
    "with", "without", "between", "behind", "through", "among", "beyond", "within", "against",
    "for", "across", "near",
];

pub(crate) const LINKS: [&str; 12] = [
    "because", "while", "although", "since", "whenever", "if", "unless", "until", "before",
    "after", "so", "whereas",
];

/// First words of sentences; each begins a pattern of its own.
pub(crate) const OPENERS: [&str; 12] = [
    "The",
    "A",
    "In",
    "When",
    "It",
    "Many",
    "However,",
    "For",
    "Most",
    "Some",
    "Ultimately,",
    "Every",
];

/// What a canned model says before it answers; the empty one says nothing.
pub(crate) const GREETINGS: [&str; 8] = [
    "",
    "Certainly!",
    "Sure, here is a short answer.",
    "Great question!",
    "Of course.",
    "Let me think about this step by step.",
    "",
    "Absolutely, happy to help.",
];

/// What a canned model says in the end; the empty one says nothing.
pub(crate) const FAREWELLS: [&str; 8] = [
    "",
    "I hope this helps!",
    "Let me know if you would like more detail.",
    "",
    "In short, it depends.",
    "",
    "Would you like an example?",
    "That is the main point.",
];

pub(crate) const COLOURS: [&str; 12] = [
    "Blue",
    "Red",
    "Green",
    "Teal",
    "Purple",
    "Yellow",
    "Orange",
    "Crimson",
    "Black",
    "White",
    "Indigo",
    "Turquoise",
];

pub(crate) const ANIMALS: [&str; 12] = [
    "Dog", "Cat", "Elephant", "Octopus", "Fox", "Dolphin", "Owl", "Tiger", "Penguin", "Wolf",
    "Otter", "Horse",
];

pub(crate) const CITIES: [&str; 12] = [
    "Paris",
    "Tokyo",
    "Lisbon",
    "Berlin",
    "Nairobi",
    "Toronto",
    "Kyoto",
    "Barcelona",
    "Lima",
    "Sydney",
    "Mumbai",
    "Oslo",
];

pub(crate) const FRUITS: [&str; 12] = [
    "Apple", "Mango", "Banana", "Pear", "Cherry", "Peach", "Plum", "Kiwi", "Orange", "Grape",
    "Papaya", "Fig",
];

pub(crate) const NAMES: [&str; 12] = [
    "Emma", "Liam", "Sofia", "Noah", "Maya", "Elena", "Lucas", "Aria", "Oliver", "Chen", "Amina",
    "Mateo",
];

pub(crate) const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub(crate) const SINGLE: [&str; 16] = [
    "Serendipity",
    "Harmony",
    "Balance",
    "Light",
    "Hope",
    "Wonder",
    "Ocean",
    "Echo",
    "Curiosity",
    "Resilience",
    "Home",
    "Luminous",
    "Whisper",
    "Time",
    "River",
    "Clarity",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fit_the_grammar() {
        for vocabulary in [
            Vocabulary::Everyday,
            Vocabulary::Technical,
            Vocabulary::Literary,
        ] {
            assert!(nouns(vocabulary).len() >= 8);
            assert!(
                nouns(vocabulary)
                    .iter()
                    .all(|w| !w.starts_with(['a', 'e', 'i', 'o', 'u']))
            );
        }
        assert!(
            ADJECTIVES
                .iter()
                .all(|w| !w.starts_with(['a', 'e', 'i', 'o']))
        );
        assert_eq!(VERBS.len(), VERBS_SINGULAR.len());
    }
}
