//! Request fields that chat and raw completions share.

use retort_types::Params;
use retort_types::catalog::StreamUsage;
use serde_json::json;

use crate::encode::{Ask, EncodeError};
use crate::request::Fields;
use crate::sampling;

/// What further fields may not replace.
pub(super) const RESERVED: [&str; 2] = ["messages", "prompt"];

/// Returns the fields that both protocols write alike. `params` are already without dropped ones.
pub(super) fn shared_fields(ask: &Ask<'_>, params: &Params) -> Result<Fields, EncodeError> {
    let options = ask.options;
    let mut fields = Fields::new();
    fields.insert("model".to_owned(), json!(ask.request_model));
    let numbers = [
        ("temperature", params.temperature),
        ("top_p", params.top_p),
        ("min_p", params.min_p),
        ("frequency_penalty", params.frequency_penalty),
        ("presence_penalty", params.presence_penalty),
        ("repetition_penalty", params.repetition_penalty),
    ];
    sampling::put_numbers(
        &mut fields,
        &numbers.map(|(name, value)| (name, name, value)),
    )?;
    if let Some(top_k) = params.top_k {
        fields.insert("top_k".to_owned(), json!(top_k));
    }
    sampling::put_max_tokens(&mut fields, "max_tokens", ask, params);
    sampling::put_seed(&mut fields, Some("seed"), ask, params)?;
    sampling::put_stop(&mut fields, "stop", params);
    if params.stream == Some(true) {
        fields.insert("stream".to_owned(), json!(true));
        if asks_for_usage(options.stream_usage) {
            fields.insert(
                "stream_options".to_owned(),
                json!({ "include_usage": true }),
            );
        }
    }
    Ok(fields)
}

/// Streams of most providers tell no usage unless asked, so asking is the habit; a dialect that
/// refuses the option, or tells usage anyway, says so.
const fn asks_for_usage(told: Option<StreamUsage>) -> bool {
    match told {
        None | Some(StreamUsage::Option) => true,
        Some(StreamUsage::Always | StreamUsage::Never) => false,
    }
}
