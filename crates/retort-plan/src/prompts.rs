//! Reads prompts from files and puts them into campaigns.

use retort_types::campaign::{ConversationPrompt, InlineSuite, NamedPrompt, PromptSpec};
use retort_types::{Campaign, Message, SuiteName};
use serde_saphyr::Spanned;

use crate::error::{Document, SpecError, steps, suggest};
use crate::node::{Node, Placed, line_and_column};
use crate::read::{TEXT_MAX_BYTES, from_fault, options};

/// Keys of a row that hold the prompt, in datasets that were not made for Retort.
const DATASET_KEYS: [&str; 3] = ["instruction", "prompt", "question"];

/// Keys of such a row that belong to the prompt, so that leaving them out would change it.
const DATASET_CONTEXT_KEYS: [&str; 3] = ["input", "context", "system"];

/// Where a prompt is written decides how much is expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a campaign: a text, `{id, text}` or `{id, messages}`.
    Campaign,
    /// In a file: the id may be left out, and rows of datasets are understood.
    File,
}

/// Reads a file of prompts by the extension of `file_name`.
///
/// `.txt`: a prompt per line that is not empty. `.jsonl`, `.ndjson`: a prompt per line. `.json`,
/// `.yaml`, `.yml`: a list of prompts, or `{name, prompts}`. A prompt is a text, `{id?, text}`,
/// `{id?, messages}` or a row with `instruction`, `prompt` or `question`, whose other keys are
/// ignored. A conversation without an id is named after its number in the file, from 1.
///
/// # Errors
/// When the extension is unknown, the text cannot be read or no prompt is in it.
pub fn parse_prompts(text: &str, file_name: &str) -> Result<Vec<PromptSpec>, SpecError> {
    let new = |message: String| SpecError::new(Document::Prompts, Vec::new(), message);
    if text.len() > TEXT_MAX_BYTES {
        let message = format!("the text is longer than {TEXT_MAX_BYTES} bytes");
        return Err(new(message).with_name(file_name));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let extension = file_name.rsplit_once('.').map_or("", |(_, end)| end);
    let prompts = match extension.to_ascii_lowercase().as_str() {
        "txt" => Ok(text_lines(text)),
        "jsonl" | "ndjson" => json_lines(text),
        "json" | "yaml" | "yml" => whole_document(text),
        _ => Err(new("prompts are not read from such a file".to_owned())
            .with_hint("use .txt, .jsonl, .json or .yaml")),
    }
    .map_err(|error| error.with_name(file_name))?;
    if prompts.is_empty() {
        return Err(new("no prompt in this file".to_owned()).with_name(file_name));
    }
    Ok(prompts)
}

fn text_lines(text: &str) -> Vec<PromptSpec> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| PromptSpec::Text(line.to_owned()))
        .collect()
}

fn json_lines(text: &str) -> Result<Vec<PromptSpec>, SpecError> {
    let mut prompts = Vec::new();
    for (line, number) in text.lines().zip(1_u64..) {
        if line.trim().is_empty() {
            continue;
        }
        if !line.trim_start().starts_with(['"', '{']) {
            let message = "expected a JSON text or object on each line";
            return Err(SpecError::new(Document::Prompts, Vec::new(), message)
                .with_position(number, 1)
                .with_hint("one prompt per line without JSON goes into a .txt file"));
        }
        let on_this_line = |error: SpecError| match error.position() {
            Some((_, column)) => error.with_position(number, column),
            None => error.with_position(number, 1),
        };
        let place: Placed = serde_saphyr::from_str_with_options(line, options())
            .map_err(|fault| on_this_line(from_fault(&fault, Document::Prompts)))?;
        let prompt = prompt_of(&place, prompts.len() + 1, Place::File).map_err(on_this_line)?;
        prompts.push(prompt);
    }
    Ok(prompts)
}

fn whole_document(text: &str) -> Result<Vec<PromptSpec>, SpecError> {
    let root: Placed = serde_saphyr::from_str_with_options(text, options())
        .map_err(|fault| from_fault(&fault, Document::Prompts))?;
    let items = match &root.value {
        Node::List(items) => items,
        Node::Map(entries) => prompts_of_suite(&root, entries)?,
        Node::Text(_) | Node::Other(_) => {
            return Err(at(&root, "expected a list of prompts or {name, prompts}"));
        }
    };
    items
        .iter()
        .zip(1..)
        .map(|(item, number)| prompt_of(item, number, Place::File))
        .collect()
}

fn prompts_of_suite<'a>(
    root: &'a Placed,
    entries: &[(Spanned<String>, Placed)],
) -> Result<&'a [Placed], SpecError> {
    let known = ["name", "prompts"];
    if let Some((key, _)) = entries
        .iter()
        .find(|(key, _)| !known.contains(&&*key.value))
    {
        return Err(unknown_key(key, &known));
    }
    let place = get(root, "prompts").ok_or_else(|| at(root, "missing key `prompts`"))?;
    list_of(place, "a list of prompts")
}

/// Returns the items of the list at `place`.
fn list_of<'a>(place: &'a Placed, expected: &str) -> Result<&'a [Placed], SpecError> {
    if let Node::List(items) = &place.value {
        return Ok(items);
    }
    let message = format!("expected {expected}, found {}", place.value.kind());
    Err(at(place, &message))
}

/// Returns what is wrong with the first prompt of a campaign that cannot be read.
pub(crate) fn diagnose_inline(text: &str) -> Option<SpecError> {
    let root: Placed = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let Node::List(suites) = &get(&root, "suites")?.value else {
        return None;
    };
    for suite in suites {
        let Some(prompts) = get(suite, "inline").and_then(|inline| get(inline, "prompts")) else {
            continue;
        };
        let Node::List(items) = &prompts.value else {
            continue;
        };
        for (item, number) in items.iter().zip(1..) {
            if let Err(error) = prompt_of(item, number, Place::Campaign) {
                return Some(error.about(Document::Campaign));
            }
        }
    }
    None
}

fn get<'a>(place: &'a Placed, key: &str) -> Option<&'a Placed> {
    let Node::Map(entries) = &place.value else {
        return None;
    };
    entries
        .iter()
        .find(|(name, _)| name.value == key)
        .map(|(_, value)| value)
}

fn at<T>(place: &Spanned<T>, message: &str) -> SpecError {
    let (line, column) = line_and_column(place);
    SpecError::new(Document::Prompts, Vec::new(), message).with_position(line, column)
}

fn unknown_key(key: &Spanned<String>, known: &[&'static str]) -> SpecError {
    at(key, &format!("unknown key `{}`", key.value))
        .with_hint(suggest(&key.value, known.iter().copied()))
}

/// Returns the text at `place`.
fn text_of(place: &Placed) -> Result<String, SpecError> {
    if let Node::Text(text) = &place.value {
        return Ok(text.clone());
    }
    let message = format!("expected a text, found {}", place.value.kind());
    Err(at(place, &message).with_hint("put it in quotes if it is meant as text"))
}

/// Returns the prompt at `place`, the `number`th of its list, from 1.
fn prompt_of(place: &Placed, number: usize, written: Place) -> Result<PromptSpec, SpecError> {
    if let Node::Text(text) = &place.value {
        return Ok(PromptSpec::Text(text.clone()));
    }
    let Node::Map(entries) = &place.value else {
        let message = format!("expected a prompt, found {}", place.value.kind());
        return Err(at(place, &message)
            .with_hint("a prompt is a text in quotes, {id, text} or {id, messages}"));
    };
    if written == Place::File
        && let Some(row_key) = DATASET_KEYS.iter().find(|key| get(place, key).is_some())
    {
        return dataset_row(place, row_key);
    }
    let known = ["id", "text", "messages"];
    if let Some((key, _)) = entries
        .iter()
        .find(|(key, _)| !known.contains(&&*key.value))
    {
        return Err(unknown_key(key, &known));
    }
    let id = get(place, "id").map(text_of).transpose()?;
    if id.is_none() && written == Place::Campaign {
        return Err(at(place, "missing key `id`")
            .with_hint("write {id, text}, {id, messages} or the text alone"));
    }
    match (get(place, "text"), get(place, "messages")) {
        (Some(text), None) => Ok(named(id, text_of(text)?)),
        (None, Some(messages)) => Ok(PromptSpec::Conversation(ConversationPrompt {
            id: id.unwrap_or_else(|| number.to_string()),
            messages: messages_of(messages)?,
        })),
        (Some(_), Some(_)) => Err(at(place, "a prompt has `text` or `messages`, not both")),
        (None, None) => Err(at(place, "missing key `text` or `messages`")),
    }
}

fn named(id: Option<String>, text: String) -> PromptSpec {
    match id {
        Some(id) => PromptSpec::Named(NamedPrompt { id, text }),
        None => PromptSpec::Text(text),
    }
}

fn dataset_row(place: &Placed, row_key: &str) -> Result<PromptSpec, SpecError> {
    for key in DATASET_CONTEXT_KEYS {
        if let Some(context) = get(place, key)
            && !matches!(&context.value, Node::Text(text) if text.trim().is_empty())
            && !matches!(context.value, Node::Other("nothing"))
        {
            let message = format!("`{key}` belongs to the prompt but would be left out");
            return Err(at(context, &message).with_hint(format!(
                "join it with `{row_key}` into `text`, or write both as `messages`"
            )));
        }
    }
    let text = get(place, row_key).map_or_else(|| Err(at(place, "missing key")), text_of)?;
    let id = get(place, "id").and_then(|id| text_of(id).ok());
    Ok(named(id, text))
}

fn messages_of(place: &Placed) -> Result<Vec<Message>, SpecError> {
    let items = list_of(place, "a list of messages")
        .map_err(|error| error.with_hint("a message is {role, content}"))?;
    items.iter().map(message_of).collect()
}

fn message_of(place: &Placed) -> Result<Message, SpecError> {
    let Node::Map(entries) = &place.value else {
        return Err(at(
            place,
            &format!("expected a message, found {}", place.value.kind()),
        )
        .with_hint("a message is {role, content}"));
    };
    let known = ["role", "content"];
    if let Some((key, _)) = entries
        .iter()
        .find(|(key, _)| !known.contains(&&*key.value))
    {
        return Err(unknown_key(key, &known));
    }
    let field = |key: &str| {
        get(place, key).map_or_else(|| Err(at(place, &format!("missing key `{key}`"))), text_of)
    };
    Ok(Message {
        role: field("role")?,
        content: field("content")?,
    })
}

/// Returns the campaign with the prompts of its `file` entries written into it.
///
/// `read` returns the text of a file by its name in the campaign, or why it cannot. The suite is
/// named after the file, without folders and extension.
///
/// # Errors
/// When a file cannot be read or understood.
pub fn inline_files(
    mut campaign: Campaign,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Campaign, SpecError> {
    for (index, entry) in campaign.suites.iter_mut().enumerate() {
        let Some(file) = entry.file.take() else {
            continue;
        };
        let place = || steps!["suites", index, "file"];
        let text = read(&file).map_err(|reason| {
            SpecError::campaign(place(), format!("failed to read `{file}`: {reason}"))
        })?;
        let prompts = parse_prompts(&text, &file)?;
        let name = SuiteName::new(stem(&file)).map_err(|error| {
            SpecError::campaign(
                place(),
                format!("the file's name does not make a suite: {error}"),
            )
            .with_hint("rename the file")
        })?;
        entry.inline = Some(InlineSuite { name, prompts });
    }
    crate::check::campaign(&campaign)?;
    Ok(campaign)
}

/// Returns the name of a file without folders and extension.
fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests;
